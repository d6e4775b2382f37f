/**
 * Why a process does not get ready is often said on standard error only, by Node or by the script: before the package is
 * loaded, or on the way to `process.exit(3)`. So until it is ready the standard error of a process leads to its parent,
 * which passes everything on at once and keeps the end of it. From then on the process writes where its parent does,
 * without anybody in between. On a terminal a person reads it, and programs look whether it is one: it is left alone.
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
/** Of what it wrote, the parent keeps so much of the end. */
const KEPT_CHARACTERS = 4096;
/** A parent that does not read holds a process up no longer; what is left follows. */
const FLUSH_MS = 1000;
/** A full pipe is tried again after so long. */
const TRY_AGAIN_MS = 10;

/** Where this process, and those it starts, write in the end. */
export function realStandardError(): number {
  return standardError.descriptor;
}

/** False where a child simply shares this process' terminal. */
export function keepsBootOutput(): boolean {
  return !isatty(realStandardError());
}

/** The parent's side. */
export class BootOutput {
  #kept = '';
  readonly #stream: Readable | undefined;

  /** @param passOn gets every piece at once; not needed where somebody else passes the bytes on */
  constructor(stream: Readable | undefined, passOn: (text: string) => void = () => {}) {
    this.#stream = stream;
    const decoder = new StringDecoder('utf8'); // other readers of the stream want bytes
    stream?.on('data', (bytes: Buffer) => {
      const text = decoder.write(bytes);
      this.#kept = `${this.#kept}${text}`.slice(-2 * KEPT_CHARACTERS);
      passOn(text);
    });
    stream?.on('error', () => stream.destroy());
  }

  /** The end of what was written, in whole lines where it was cut. */
  get text(): string {
    const text = this.#kept.trim();
    if (text.length <= KEPT_CHARACTERS) return text;
    const end = text.slice(-KEPT_CHARACTERS);
    return `…${end.slice(end.indexOf('\n') + 1)}`;
  }

  /** Calls back when nothing more comes; at once where nothing is kept. */
  whenEnded(callback: () => void): void {
    if (this.#stream === undefined || this.#stream.closed) callback();
    else this.#stream.once('close', callback);
  }
}

/**
 * Passes bytes on to where this process' standard error leads in the end. A pipe that does not block and is full, as of
 * a reader that is slow, holds the child up: nothing is lost, and nothing piles up here.
 */
export function passOnBytes(stream: Readable): void {
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
      // There is no reader any more.
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

/** Calls back when this process is ready: until then its parent is to hear what it writes to standard error. */
export function onceReady(callback: () => void): void {
  if (isReady) callback();
  else whenReady.push(callback);
}

/** The child's side: log lines need not go the long way. @param real where standard error leads when it is ready */
export function borrowStandardError(real: number | undefined): void {
  if (real === undefined) return;
  borrowed = true;
  closeOnExec(real);
  standardError.moveTo(real);
}

/**
 * It is ready: from now on nobody is in between. What has not left yet goes the long way first, as it waits for room in
 * the pipe to the parent; a parent that takes its time does not hold this process up.
 */
export async function returnStandardError(): Promise<void> {
  isReady = true;
  const returned = borrowed ? new Promise<void>((resolve) => giveBackWhenFree(resolve)) : undefined;
  borrowed = false;
  for (const callback of whenReady.splice(0)) callback();
  if (returned !== undefined) await within(returned, FLUSH_MS);
}

/** What waits for room in one pipe would not hear of room in another. */
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
