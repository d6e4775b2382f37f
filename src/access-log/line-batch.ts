/**
 * Writes lines in batches: to a file at once, as a write to the page cache is; to a pipe, a socket or a terminal in pieces
 * that the kernel takes whole or not at all. Nothing here ever waits: a reader may be slow, and the thread that writes the
 * log serves connections.
 *
 * So several processes share a file that is opened for appending, or a pipe, and lines stay whole; only one that is longer
 * than `PIPE_BUF` may be torn on a pipe. What a slow reader or a full disk leaves no room for is lost and counted: a log must
 * not stop a server.
 */
import { closeSync, constants, fstatSync, openSync, writeSync } from 'node:fs';
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
/** Then a reader that has taken something is tried again; one that took nothing twice as late each time. */
const TRY_AGAIN_MS = 1;
const TRY_AGAIN_AT_LATEST_MS = 50;
/** PIPE_BUF of Linux: so much a pipe takes whole. */
const PIECE_BYTES = 4096;
const LF = 0x0a;
const TOO_SLOW = 'its reader does not keep up';

export class LineBatch {
  readonly #to: LineWriter;
  #kind: 'file' | 'pipe' | 'socket' = 'file';
  /** Of a pipe, opened anew: it does not block, whatever others that have the pipe do. −1: that of `#to`. */
  #own = -1;
  /** So many bytes do not wait for others. */
  #enough = BATCH_FOR_FILE;
  /** Lines are put here at once: as texts they would live until the batch leaves, and be moved about by the collector. */
  #bytes = Buffer.allocUnsafeSlow(BATCH_FOR_FILE * 2);
  /** What waits is between these two. */
  #start = 0;
  #length = 0;
  /** What waits begins within a line. */
  #isTorn = false;
  #timer: NodeJS.Timeout | undefined;
  /** Its reader does not keep up; bytes that waited when it was tried last. */
  #isBehind = false;
  #tried = 0;
  #againMs = TRY_AGAIN_MS;
  #isClosed = false;
  #lost = 0;
  #why = '';

  constructor(to: LineWriter) {
    this.#to = to;
    if (to instanceof LogFile) to.reopened = () => this.#goOn();
    this.#look();
  }

  #look(): void {
    const { descriptor } = this.#to;
    const stat = fstatSync(descriptor);
    this.#kind = stat.isFile() ? 'file' : stat.isSocket() ? 'socket' : 'pipe';
    this.#own = this.#kind === 'pipe' ? openedAnew(descriptor) : -1;
    this.#enough = this.#kind === 'file' ? BATCH_FOR_FILE : BATCH_BYTES;
  }

  /** In the file that was opened in place of the old one: the end of a line of the old one has no place there. */
  #goOn(): void {
    if (this.#own >= 0) closeSync(this.#own);
    this.#look();
    if (!this.#isTorn) return;
    this.#start = this.#lineEnd();
    this.#isTorn = false;
    this.#lose(1, 'the file was replaced within a line');
  }

  /** Behind the first line that waits, or what is left of it. */
  #lineEnd(): number {
    return this.#bytes.indexOf(LF, this.#start) + 1;
  }

  /**
   * Makes room for a line, which is then put into `bytes` from `length` on; `added` follows.
   * @returns false: there is none, and the line is lost
   */
  reserve(most: number): boolean {
    if (this.#waiting + most > MOST_BYTES) {
      this.#lose(1, TOO_SLOW);
      return false;
    }
    if (this.#length + most > this.#bytes.length) this.#makeRoom(this.#waiting + most);
    return true;
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
    else if (this.#waiting >= this.#enough + (this.#isBehind ? this.#tried : 0)) this.flush();
    else this.#timer ??= setTimeout(() => this.flush(), WAIT_MS).unref();
  }

  get #waiting(): number {
    return this.#length - this.#start;
  }

  /** Twice the bound is made, so that what waits is moved to the front only when as much has left. */
  #makeRoom(needed: number): void {
    const isRoomy = needed <= this.#bytes.length / 2;
    const bytes = isRoomy ? this.#bytes : Buffer.allocUnsafeSlow(needed * 2);
    this.#bytes.copy(bytes, 0, this.#start, this.#length);
    this.#bytes = bytes;
    this.#length -= this.#start;
    this.#start = 0;
  }

  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const before = this.#waiting;
    if (before === 0) return;
    const why = this.#write();
    this.#isBehind = why === 'EAGAIN';
    if (this.#isBehind) this.#tryAgain(before);
    else if (why !== undefined) this.#drop(why);
    else this.#tellLost();
  }

  #tryAgain(before: number): void {
    this.#tried = this.#waiting;
    this.#againMs = this.#tried < before ? TRY_AGAIN_MS : Math.min(TRY_AGAIN_AT_LATEST_MS, this.#againMs * 2);
    this.#timer = setTimeout(() => this.flush(), this.#againMs).unref();
  }

  /** This thread ends: what waits is written, unless its reader does not take it; what comes later is written at once. */
  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    const why = this.#waiting === 0 ? undefined : this.#write();
    if (why !== undefined) this.#drop(why === 'EAGAIN' ? TOO_SLOW : why);
    this.#tellLost();
  }

  /** @returns why not all has left; undefined: it has */
  #write(): string | undefined {
    if (this.#to instanceof LogFile) this.#to.refresh();
    try {
      while (this.#start < this.#length) {
        this.#start += this.#put(this.#start);
        this.#isTorn = this.#bytes[this.#start - 1] !== LF;
      }
    } catch (error) {
      return (error as NodeJS.ErrnoException).code ?? 'unknown';
    }
    this.#start = this.#length = 0;
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

  /** All but the end of a line that has left in part: it goes first when there is room again, so the next line begins as one. */
  #drop(why: string): void {
    const from = this.#isTorn ? this.#lineEnd() : this.#start;
    let lines = 0;
    for (let at = this.#bytes.indexOf(LF, from); at >= 0 && at < this.#length; at = this.#bytes.indexOf(LF, at + 1))
      lines++;
    this.#length = from;
    if (lines > 0) this.#lose(lines, why);
  }

  #lose(lines: number, why: string): void {
    if (this.#lost === 0) complain(`lines of the access log are lost: ${why}`);
    this.#lost += lines;
    this.#why = why;
  }

  /** Lines leave again, or none will. */
  #tellLost(): void {
    if (this.#lost === 0) return;
    complain(`${this.#lost} lines of the access log were lost: ${this.#why}`);
    this.#lost = 0;
  }
}

/** Says on standard error what is to be said of the access log. */
export function complain(what: string): void {
  standardError.write(`${new Date().toISOString()} error [${process.pid}] ${what}\n`);
}

/** @returns −1: the system cannot */
function openedAnew(descriptor: number): number {
  try {
    return openSync(`/proc/self/fd/${descriptor}`, constants.O_WRONLY | constants.O_NONBLOCK);
  } catch {
    return -1;
  }
}
