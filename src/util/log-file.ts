/**
 * Writes lines to a descriptor or a file. Synchronously, so that the last words of a process that exits are not lost; each
 * line in one write, so that processes can share a file opened for appending.
 *
 * Lines that cannot be written (no reader, a full disk, a full pipe that does not block) are lost and counted: a log must
 * not stop a server. The loss is reported once on standard error, and the count in the log when writing works again.
 */
import { closeSync, constants, fchownSync, fstatSync, writeSync } from 'node:fs';
import { openUnlinked } from './open-file.js';

const STANDARD_ERROR = 2;
/** The group may read it. */
const FILE_MODE = 0o640;
/** A named pipe without a reader is an error then, and no wait. */
const APPEND = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NONBLOCK;
/** Time between attempts to reopen a file. */
const TRY_AGAIN_MS = 1000;

export class LineWriter {
  #descriptor: number;
  #lost = 0;
  #why = '';
  #rest: Buffer | undefined;
  /** Formats a line about the log itself like the lines of that log. */
  note: (text: string) => string = (text) => `(${text})\n`;
  /** Called with what is to be told of the log itself. */
  told: (text: string) => void = (text) => void this.#put(this.note(text));
  /** Called when the first of some lines is lost. */
  protected failed: (why: string) => void = () => {};

  constructor(descriptor: number) {
    this.#descriptor = descriptor;
  }

  get descriptor(): number {
    return this.#descriptor;
  }

  write(line: string): void {
    if (this.#lost > 0 && this.#put(this.note(`${this.#lost} lines of the log were lost: ${this.#why}`)))
      this.#lost = 0;
    if (this.#put(line)) return;
    if (this.#lost++ === 0) this.failed(this.#why);
  }

  /** Lines go to this descriptor from now on. */
  moveTo(descriptor: number): void {
    this.#descriptor = descriptor;
    this.#rest = undefined;
  }

  /** A non-blocking pipe, or a nearly full disk, may take a part of a long line: the rest is then written first. */
  #put(line: string): boolean {
    try {
      if (this.#rest !== undefined) this.#rest = restOf(this.#rest, writeSync(this.#descriptor, this.#rest));
      if (this.#rest !== undefined) return false;
      const written = writeSync(this.#descriptor, line);
      if (written < Buffer.byteLength(line)) this.#rest = restOf(Buffer.from(line), written);
      return true;
    } catch (error) {
      this.#why = codeOf(error);
      return false;
    }
  }
}

export const standardError = new LineWriter(STANDARD_ERROR);

export interface LogFileParts {
  /** Carries whole lines to the parent, which writes them: for a process without rights to the file. */
  readonly relay?: number | undefined;
}

/** A log file, which may be moved away at any time: `refresh` continues in a new file with the old name. */
export class LogFile extends LineWriter {
  readonly path: string;
  /** Grows when all processes are to reopen their log files. */
  epoch: () => number = () => 0;
  readonly #relay: number | undefined;
  #seen = 0;
  #failures = 0;
  #tryAt = 0;
  /** Called when this process has reopened it: other descriptors may have to follow. */
  reopened: (descriptor: number) => void = () => {};

  /** @throws an Error with `code` */
  constructor(path: string, { relay }: LogFileParts = {}) {
    super(openUnlinked(path, APPEND, FILE_MODE));
    this.path = path;
    this.#relay = relay;
    this.failed = (why) => this.#complain(`lines for the log file ${path} are lost: ${why}`);
  }

  override write(line: string): void {
    this.refresh();
    super.write(line);
  }

  close(): void {
    closeSync(this.descriptor);
  }

  /** Reopens the file if that was requested. */
  refresh(): void {
    const epoch = this.epoch();
    if (epoch === this.#seen) return;
    if (performance.now() < this.#tryAt) return;
    try {
      this.reopen();
    } catch {
      // it was told, and is tried again
    }
  }

  /** Reopens the file now, also when that has just failed. @throws an Error with `code`: lines go on in the old one */
  reopen(): void {
    const epoch = this.epoch();
    try {
      this.#goOnIn(this.#openAgain());
      this.#seen = epoch;
      this.#tryAt = 0;
    } catch (error) {
      this.#stay(error, epoch, performance.now() + TRY_AGAIN_MS);
      throw error;
    }
    const failures = this.#failures;
    this.#failures = 0;
    if (failures > 0) this.told(`the log file was opened again after ${failures} failures`);
  }

  /** The new file gets the owner of the old one, as far as this process may set it. */
  #openAgain(): number {
    const before = fstatSync(this.descriptor);
    const descriptor = openUnlinked(this.path, APPEND, before.isFile() ? before.mode & 0o777 : FILE_MODE);
    const { uid, gid, size } = fstatSync(descriptor);
    const isNew = size === 0 && uid === process.geteuid?.();
    if (isNew && uid === 0 && before.isFile() && (before.uid !== uid || before.gid !== gid)) {
      fchownSync(descriptor, before.uid, before.gid);
    }
    return descriptor;
  }

  #goOnIn(descriptor: number): void {
    const before = this.descriptor;
    this.moveTo(descriptor);
    if (before !== this.#relay) closeSync(before);
    this.reopened(descriptor);
  }

  /** A process that dropped its rights relays its lines; any other keeps writing to the old file, rather than nowhere. */
  #stay(error: unknown, epoch: number, tryAt: number): void {
    if (this.#relay !== undefined) {
      if (this.descriptor !== this.#relay) this.#goOnIn(this.#relay);
      this.#seen = epoch;
      return;
    }
    this.#tryAt = tryAt;
    if (this.#failures++ > 0) return;
    this.#complain(`the log file ${this.path} cannot be opened again: ${codeOf(error)}; lines go on in the old one`);
  }

  #complain(what: string): void {
    standardError.write(`${new Date().toISOString()} error [${process.pid}] ${what}\n`);
  }
}

function restOf(bytes: Buffer, written: number): Buffer | undefined {
  return written < bytes.length ? bytes.subarray(written) : undefined;
}

function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? 'unknown';
}
