/**
 * Writes lines in batches: to a file at once, as a write to the page cache is; to a pipe, a socket or a terminal in pieces
 * that the kernel takes whole or not at all. Nothing here ever waits: a reader may be slow, and the thread that writes the
 * log serves connections.
 *
 * So several processes share a file that is opened for appending, or a pipe, and lines stay whole; only one that is longer
 * than `PIPE_BUF` may be torn on a pipe. What a slow reader or a full disk leaves no room for is lost and counted: a log must
 * not stop a server.
 */
import { constants, fstatSync, openSync, writeSync } from 'node:fs';
import { EAGAIN } from '../os/libc.js';
import { sendAtOnce } from '../os/socket.js';
import { type LineWriter, LogFile, standardError } from '../util/log-file.js';

/** A line waits at most this long for others. */
const WAIT_MS = 200;
/** More does not wait: what a pipe takes. */
const BATCH_BYTES = 65_536;
/** A file takes large pieces at half the cost for each byte. */
const BATCH_FOR_FILE = 4 * BATCH_BYTES;
/** What a reader that stands still can leave waiting. */
const MOST_BYTES = 4 * 1024 * 1024;
/** Then a reader that did not keep up is tried again. */
const TRY_AGAIN_MS = 50;
/** PIPE_BUF of Linux: so much a pipe takes whole. */
const PIECE_BYTES = 4096;
const LF = 0x0a;
const TOO_SLOW = 'its reader does not keep up';

export class LineBatch {
  readonly #to: LineWriter;
  readonly #kind: 'file' | 'pipe' | 'socket';
  /** Of a pipe, opened anew: it does not block, whatever others that have the pipe do. −1: that of `#to`. */
  readonly #own: number;
  readonly #enough: number;
  /** Lines are put here at once: as texts they would live until the batch leaves, and be moved about by the collector. */
  #bytes: Buffer;
  #length = 0;
  #timer: NodeJS.Timeout | undefined;
  /** Its reader does not keep up: it is tried again by the clock alone. */
  #isBehind = false;
  #isClosed = false;
  #lost = 0;
  #why = '';

  constructor(to: LineWriter) {
    this.#to = to;
    const stat = fstatSync(to.descriptor);
    this.#kind = stat.isFile() ? 'file' : stat.isSocket() ? 'socket' : 'pipe';
    this.#own = this.#kind === 'pipe' ? openedAnew(to.descriptor) : -1;
    this.#enough = this.#kind === 'file' ? BATCH_FOR_FILE : BATCH_BYTES;
    this.#bytes = Buffer.allocUnsafeSlow(this.#enough * 2);
  }

  /**
   * Makes room for a line, which is then put into `bytes` from `length` on; `added` follows.
   * @returns false: there is none, and the line is lost
   */
  reserve(most: number): boolean {
    const length = this.#length + most;
    if (length <= this.#bytes.length || this.#makeRoom(length)) return true;
    this.#lose(1, TOO_SLOW);
    return false;
  }

  get bytes(): Buffer {
    return this.#bytes;
  }

  get length(): number {
    return this.#length;
  }

  /** @param end of the line */
  added(end: number): void {
    this.#length = end;
    if (this.#isClosed) this.close();
    else if (this.#length >= this.#enough && !this.#isBehind) this.flush();
    else this.#timer ??= setTimeout(() => this.flush(), WAIT_MS).unref();
  }

  #makeRoom(bytes: number): boolean {
    if (bytes > MOST_BYTES) return false;
    const larger = Buffer.allocUnsafeSlow(Math.min(MOST_BYTES, Math.max(bytes, this.#bytes.length * 2)));
    this.#bytes.copy(larger, 0, 0, this.#length);
    this.#bytes = larger;
    return true;
  }

  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#length === 0) return;
    const why = this.#write();
    this.#isBehind = why === 'EAGAIN';
    if (this.#isBehind) this.#timer = setTimeout(() => this.flush(), TRY_AGAIN_MS).unref();
    else if (why !== undefined) this.#drop(why);
    else this.#tellLost();
  }

  /** This thread ends: what waits is written, unless its reader does not take it; what comes later is written at once. */
  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    const why = this.#length === 0 ? undefined : this.#write();
    if (why !== undefined) this.#drop(why === 'EAGAIN' ? TOO_SLOW : why);
    this.#tellLost();
  }

  /** @returns why not all has left, which then waits at the front; undefined: it has */
  #write(): string | undefined {
    if (this.#to instanceof LogFile) this.#to.refresh();
    let at = 0;
    try {
      while (at < this.#length) at += this.#put(at);
    } catch (error) {
      this.#bytes.copyWithin(0, at, this.#length);
      this.#length -= at;
      return (error as NodeJS.ErrnoException).code ?? 'unknown';
    }
    this.#length = 0;
    if (this.#bytes.length > this.#enough * 2) this.#bytes = Buffer.allocUnsafeSlow(this.#enough * 2);
    return undefined;
  }

  /** @returns how many bytes have left @throws an Error with `code` */
  #put(at: number): number {
    if (this.#kind === 'file') return writeSync(this.#to.descriptor, this.#bytes, at, this.#length - at);
    const piece = this.#bytes.subarray(at, this.#endOfPiece(at));
    if (this.#kind === 'pipe') return writeSync(this.#own < 0 ? this.#to.descriptor : this.#own, piece);
    const sent = sendAtOnce(this.#to.descriptor, piece);
    if (sent < 0) throw Object.assign(new Error('send'), { code: sent === -EAGAIN ? 'EAGAIN' : `errno ${-sent}` });
    return sent;
  }

  /** As many whole lines as the kernel takes whole, at least one. */
  #endOfPiece(at: number): number {
    const most = Math.min(at + PIECE_BYTES, this.#length);
    const last = this.#bytes.lastIndexOf(LF, most - 1);
    return last >= at ? last + 1 : this.#bytes.indexOf(LF, at) + 1;
  }

  #drop(why: string): void {
    let lines = 0;
    for (let at = this.#bytes.indexOf(LF); at >= 0 && at < this.#length; at = this.#bytes.indexOf(LF, at + 1)) lines++;
    this.#length = 0;
    this.#lose(lines, why);
  }

  #lose(lines: number, why: string): void {
    if (this.#lost === 0) this.#complain(`lines of the access log are lost: ${why}`);
    this.#lost += lines;
    this.#why = why;
  }

  /** Lines leave again, or none will. */
  #tellLost(): void {
    if (this.#lost === 0) return;
    this.#complain(`${this.#lost} lines of the access log were lost: ${this.#why}`);
    this.#lost = 0;
  }

  #complain(what: string): void {
    standardError.write(`${new Date().toISOString()} error [${process.pid}] ${what}\n`);
  }
}

/** @returns −1: the system cannot */
function openedAnew(descriptor: number): number {
  try {
    return openSync(`/proc/self/fd/${descriptor}`, constants.O_WRONLY | constants.O_NONBLOCK);
  } catch {
    return -1;
  }
}
