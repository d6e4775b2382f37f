/**
 * Finds the value that the option `sticky` tells sessions apart by, in the bytes of a head, and the worker of such a value.
 * Pure; runs for each request in the reactor, so it makes no objects.
 */
import type { ResolvedSticky } from '../../options/sticky.js';
import { COLON, CR, isBlank, skipBlanks } from './chars.js';
import { markedWorker } from './session-worker.js';

const SEMICOLON = 0x3b;
const COOKIE = Buffer.from('cookie', 'latin1');
/** FNV-1a. */
const BASIS = 0x811c9dc5;
const PRIME = 0x01000193;

export const NO_WORKER = -1;

export class StickyValue {
  /** In lower case. */
  readonly #field: Buffer;
  /** Of the cookie, with its `=`; undefined: the whole field is the value. */
  readonly #cookie: Buffer | undefined;

  constructor({ by, name }: ResolvedSticky) {
    this.#field = by === 'cookie' ? COOKIE : Buffer.from(name, 'latin1');
    this.#cookie = by === 'cookie' ? Buffer.from(`${name}=`, 'latin1') : undefined;
  }

  /**
   * @param from of the first field line @param to behind the last one: of a valid head
   * @returns the worker of the first value that is not empty; NO_WORKER: there is none
   */
  workerOf(bytes: Buffer, from: number, to: number, workerNum: number): number {
    const length = this.#field.length;
    for (let at = from; at < to; ) {
      const found = bytes.indexOf(CR, at);
      const end = found < 0 || found > to ? to : found;
      if (bytes[at + length] === COLON && isNamed(bytes, at, this.#field)) {
        const worker = this.#inField(bytes, at + length + 1, end, workerNum);
        if (worker !== NO_WORKER) return worker;
      }
      at = end + 2;
    }
    return NO_WORKER;
  }

  #inField(bytes: Buffer, from: number, to: number, workerNum: number): number {
    if (this.#cookie === undefined) return workerOfValue(bytes, from, to, workerNum);
    for (let at = from; at < to; at++) {
      const start = skipBlanks(bytes, at, to);
      at = start;
      while (at < to && bytes[at] !== SEMICOLON) at++;
      const valueAt = start + this.#cookie.length;
      if (valueAt > at || bytes.compare(this.#cookie, 0, this.#cookie.length, start, valueAt) !== 0) continue;
      const worker = workerOfValue(bytes, valueAt, at, workerNum);
      if (worker !== NO_WORKER) return worker;
    }
    return NO_WORKER;
  }
}

/** @param name in lower case */
function isNamed(bytes: Buffer, from: number, name: Buffer): boolean {
  for (let i = 0; i < name.length; i++) {
    const byte = bytes[from + i]!;
    const isUpper = byte >= 0x41 && byte <= 0x5a;
    if ((isUpper ? byte | 0x20 : byte) !== name[i]) return false;
  }
  return true;
}

/** A value may name its worker, `….w3`: so a worker gives out values that come back to it. Blanks around it do not count. */
function workerOfValue(bytes: Buffer, from: number, to: number, workerNum: number): number {
  let start = from;
  let end = to;
  while (start < end && isBlank(bytes[start]!)) start++;
  while (end > start && isBlank(bytes[end - 1]!)) end--;
  if (start === end) return NO_WORKER;
  const marked = markedWorker(bytes, start, end);
  if (marked >= 0 && marked < workerNum) return marked;
  let hash = BASIS;
  for (let at = start; at < end; at++) hash = Math.imul(hash ^ bytes[at]!, PRIME);
  return workerOfHash(mix(hash), workerNum);
}

/** Each bit of the sum reaches each bit of the result (murmur3's finalizer). */
function mix(hash: number): number {
  let h = hash ^ (hash >>> 16);
  h = Math.imul(h, 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/**
 * The worker of a hash, by jump consistent hashing (Lamping and Veach, 2014): with one worker more, only those move
 * that go to the new one. @param hash 32 bits
 */
export function workerOfHash(hash: number, workerNum: number): number {
  let state = hash;
  let worker = 0;
  for (let next = 0; next < workerNum; ) {
    worker = next;
    state = mix(state + 0x9e3779b9);
    next = Math.floor((worker + 1) * (2 ** 32 / (state + 1)));
  }
  return worker;
}
