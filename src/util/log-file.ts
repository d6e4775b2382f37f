/**
 * Where lines go: a descriptor or a file. Written synchronously, so that the last words of a process that is about to
 * exit are not lost; each line in one write, so that processes can share a file that was opened for appending.
 *
 * What cannot be written (no reader any more, a full disk, a full pipe that does not block) is lost and counted: a log
 * is not worth a server.
 */
import { closeSync, openSync, writeSync } from 'node:fs';

const STANDARD_ERROR = 2;
/** Others of the group may read it. */
const FILE_MODE = 0o640;

export class LineWriter {
  #descriptor: number;
  #lost = 0;
  #why = '';

  constructor(descriptor: number) {
    this.#descriptor = descriptor;
  }

  get descriptor(): number {
    return this.#descriptor;
  }

  write(line: string): void {
    if (this.#lost > 0 && this.#put(`(${this.#lost} lines of the log were lost: ${this.#why})\n`)) this.#lost = 0;
    if (!this.#put(line)) this.#lost++;
  }

  /** Lines go there from now on. */
  moveTo(descriptor: number): void {
    this.#descriptor = descriptor;
  }

  #put(line: string): boolean {
    try {
      writeSync(this.#descriptor, line);
      return true;
    } catch (error) {
      this.#why = (error as NodeJS.ErrnoException).code ?? 'unknown';
      return false;
    }
  }
}

export const standardError = new LineWriter(STANDARD_ERROR);

/** A log file, which may be moved away at any time: `reopen` goes on in a new one of the old name. */
export class LogFile extends LineWriter {
  readonly path: string;
  /** Grows when all processes shall open their log files again. */
  epoch: () => number = () => 0;
  #seen = 0;
  /** Called when this process has opened it again: other descriptors may lead there. */
  reopened: (descriptor: number) => void = () => {};

  /** @throws an Error with `code` */
  constructor(path: string) {
    super(openSync(path, 'a', FILE_MODE));
    this.path = path;
  }

  override write(line: string): void {
    this.refresh();
    super.write(line);
  }

  /** Opens it again where somebody has asked for it. */
  refresh(): void {
    const epoch = this.epoch();
    if (epoch === this.#seen) return;
    this.#seen = epoch;
    try {
      const before = this.descriptor;
      this.moveTo(openSync(this.path, 'a', FILE_MODE));
      closeSync(before);
      this.reopened(this.descriptor);
    } catch {
      // goes on in the old one: better there than nowhere
    }
  }
}
