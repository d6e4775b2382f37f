/**
 * Often only standard error says why a process does not become ready: Node or the script writes there before the package
 * is loaded, or before `process.exit(3)`. So until a process is ready, its standard error leads to its parent, which passes
 * everything on at once and keeps the end of it. From then on the process writes directly where its parent does. A terminal
 * is left alone: a person reads it, and programs test for it.
 */
import { closeSync, writeSync } from 'node:fs';
import type { Readable } from 'node:stream';
import { StringDecoder } from 'node:string_decoder';
import { isatty } from 'node:tty';
import { keepStandardFlags } from '../os/exit.js';
import { duplicateTo } from '../os/lock.js';
import { closeOnExec } from '../os/socket.js';
import { standardError } from '../util/log-file.js';
import { within } from '../util/within.js';

const STANDARD_ERROR = 2;
/** The parent keeps this much of the end of the output. */
const KEPT_CHARACTERS = 4096;
/** A parent that does not read delays a process no longer than this; the rest follows. */
const FLUSH_MS = 1000;
/** Time between attempts to write to a full pipe. */
const TRY_AGAIN_MS = 10;

/** The final standard error of this process and its children. */
export function realStandardError(): number {
  return standardError.descriptor;
}

/** False where a child simply shares this process's terminal. */
export function keepsBootOutput(): boolean {
  return !isatty(realStandardError());
}

/** The parent's side. */
export class BootOutput {
  #kept = '';
  readonly #stream: Readable | undefined;

  /** @param passOn gets every piece at once; not needed where another reader passes the bytes on */
  constructor(stream: Readable | undefined, passOn: (text: string) => void = () => {}) {
    this.#stream = stream;
    const decoder = new StringDecoder('utf8'); // other readers of the stream need bytes
    stream?.on('data', (bytes: Buffer) => {
      const text = decoder.write(bytes);
      this.#kept = `${this.#kept}${text}`.slice(-2 * KEPT_CHARACTERS);
      passOn(text);
    });
    stream?.on('error', () => stream.destroy());
  }

  /** The end of the output, in whole lines if it was cut. */
  get text(): string {
    const text = this.#kept.trim();
    if (text.length <= KEPT_CHARACTERS) return text;
    const end = text.slice(-KEPT_CHARACTERS);
    return `…${end.slice(end.indexOf('\n') + 1)}`;
  }

  /** Calls back when the output has ended; at once where none is kept. */
  whenEnded(callback: () => void): void {
    if (this.#stream === undefined || this.#stream.closed) callback();
    else this.#stream.once('close', callback);
  }
}

/**
 * Passes bytes on to this process's final standard error. A full non-blocking pipe, for example of a slow reader, stops the
 * child (back-pressure): no output is lost, and none piles up here.
 */
export function passOnBytes(stream: Readable): void {
  // Node makes a pipe non-blocking when it opens its stream: else a reader that does not read would stop this process.
  void process.stderr;
  let left: Buffer | undefined;
  const pump = (): void => {
    try {
      while (left !== undefined && left.length > 0) left = left.subarray(writeSync(realStandardError(), left));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EAGAIN') {
        stream.pause();
        setTimeout(pump, TRY_AGAIN_MS);
        return;
      }
      // The reader has gone.
    }
    left = undefined;
    stream.resume();
  };
  stream.on('data', (bytes: Buffer) => {
    left = left === undefined ? bytes : Buffer.concat([left, bytes]);
    pump();
  });
}

let borrowed = false;
let isReady = false;
const whenReady: (() => void)[] = [];

/** Calls back when this process is ready: until then its parent reads its standard error. */
export function onceReady(callback: () => void): void {
  if (isReady) callback();
  else whenReady.push(callback);
}

/** The child's side: log lines bypass the parent. @param real the final standard error, used once it is ready */
export function borrowStandardError(real: number | undefined): void {
  if (real === undefined) return;
  borrowed = true;
  closeOnExec(real);
  standardError.moveTo(real);
}

/**
 * The process is ready: from now on it writes directly. Output that still waits for room in the pipe to the parent leaves
 * that way first; a slow parent does not delay this process.
 */
export async function returnStandardError(): Promise<void> {
  isReady = true;
  const returned = borrowed ? new Promise<void>((resolve) => giveBackWhenFree(resolve)) : undefined;
  borrowed = false;
  for (const callback of whenReady.splice(0)) callback();
  if (returned !== undefined) await within(returned, FLUSH_MS);
}

/** Output that waits for room in one pipe would not be woken by room in another. */
function giveBackWhenFree(given: () => void): void {
  if (process.stderr.writableLength > 0) {
    process.stderr.write('', () => giveBackWhenFree(given));
    return;
  }
  giveBack();
  given();
}

function giveBack(): void {
  const real = standardError.descriptor;
  duplicateTo(real, STANDARD_ERROR);
  standardError.moveTo(STANDARD_ERROR);
  closeSync(real);
  keepStandardFlags();
}
