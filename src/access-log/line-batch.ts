/**
 * Writes lines in batches: to a file at once, as a write to the page cache is; to a pipe or a terminal on a thread of
 * libuv's pool, because its reader may be slow, and the thread that writes the log serves connections.
 *
 * Whole lines leave in one write, so several processes share a file that is opened for appending. What a slow reader or
 * a full disk leaves no room for is lost and counted: a log must not stop a server.
 */
import { closeSync, constants, fstatSync, openSync, write, writeSync } from 'node:fs';
import { sendAtOnce } from '../os/socket.js';
import { writeLatin1 } from '../util/latin1.js';
import { type LineWriter, LogFile, standardError } from '../util/log-file.js';

/** A line waits at most this long for others. */
const WAIT_MS = 200;
/** More does not wait. */
const BATCH_BYTES = 65_536;
/** What a reader that stands still can leave waiting. */
const MOST_BYTES = 4 * 1024 * 1024;
/** A pipe that does not block is full. */
const TRY_AGAIN_MS = 50;
const TOO_SLOW = 'its reader does not keep up';

export class LineBatch {
  readonly #to: LineWriter;
  readonly #isFile: boolean;
  /** Lines are put here at once: as texts they would live until the batch leaves, and be moved about by the collector. */
  #bytes = Buffer.allocUnsafeSlow(BATCH_BYTES * 2);
  #length = 0;
  #lines = 0;
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;
  /** On their way to a pipe. */
  #underWay: Buffer | undefined;
  #underWayLines = 0;
  #lost = 0;
  #why = '';

  constructor(to: LineWriter) {
    this.#to = to;
    this.#isFile = fstatSync(to.descriptor).isFile();
  }

  /** @param line of ASCII, with its line feed */
  add(line: string): void {
    const length = this.#length + line.length;
    if (length > this.#bytes.length && !this.#makeRoom(length)) return this.#lose(1, TOO_SLOW);
    writeLatin1(this.#bytes, line, this.#length);
    this.#length = length;
    this.#lines++;
    if (this.#isClosed) this.close();
    else if (this.#length >= BATCH_BYTES) this.flush();
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
    if (this.#underWay !== undefined || this.#length === 0) return;
    const [bytes, lines] = this.#take();
    if (this.#isFile) return this.#writeAtOnce(this.#to.descriptor, bytes, lines);
    this.#bytes = Buffer.allocUnsafeSlow(BATCH_BYTES * 2);
    this.#underWay = bytes;
    this.#underWayLines = lines;
    this.#writeAside();
  }

  /** This thread ends: what waits is written, unless its reader does not take it; what comes later is written at once. */
  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    if (this.#length > 0) this.#writeLast(...this.#take());
  }

  #writeLast(bytes: Buffer, lines: number): void {
    if (this.#isFile) return this.#writeAtOnce(this.#to.descriptor, bytes, lines);
    let descriptor: number;
    try {
      // Opened anew it does not block, whatever others that have the pipe do.
      descriptor = openSync(`/proc/self/fd/${this.#to.descriptor}`, constants.O_WRONLY | constants.O_NONBLOCK);
    } catch (error) {
      // A socket.
      if (sendAtOnce(this.#to.descriptor, bytes) < bytes.length) this.#lose(lines, codeOf(error));
      return;
    }
    this.#writeAtOnce(descriptor, bytes, lines);
    closeSync(descriptor);
  }

  /** Good until the next line is added. */
  #take(): [bytes: Buffer, lines: number] {
    if (this.#to instanceof LogFile) this.#to.refresh();
    const taken: [Buffer, number] = [this.#bytes.subarray(0, this.#length), this.#lines];
    this.#length = 0;
    this.#lines = 0;
    return taken;
  }

  #writeAtOnce(descriptor: number, bytes: Buffer, lines: number): void {
    try {
      for (let at = 0; at < bytes.length; ) at += writeSync(descriptor, bytes, at);
      this.#recovered();
    } catch (error) {
      this.#lose(lines, codeOf(error));
    }
  }

  #writeAside(): void {
    const bytes = this.#underWay as Buffer;
    write(this.#to.descriptor, bytes, (error, written) => {
      if (error?.code === 'EAGAIN') return void setTimeout(() => this.#writeAside(), TRY_AGAIN_MS).unref();
      if (error !== null) this.#lose(this.#underWayLines, codeOf(error));
      else if (written < bytes.length) {
        this.#underWay = bytes.subarray(written);
        return this.#writeAside();
      } else this.#recovered();
      this.#underWay = undefined;
      this.flush();
    });
  }

  #lose(lines: number, why: string): void {
    if (this.#lost === 0) this.#complain(`lines of the access log are lost: ${why}`);
    this.#lost += lines;
    this.#why = why;
  }

  #recovered(): void {
    if (this.#lost === 0) return;
    this.#complain(`${this.#lost} lines of the access log were lost: ${this.#why}`);
    this.#lost = 0;
  }

  #complain(what: string): void {
    standardError.write(`${new Date().toISOString()} error [${process.pid}] ${what}\n`);
  }
}

function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? 'unknown';
}
