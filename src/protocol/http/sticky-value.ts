/**
 * Finds the value that the option `sticky` tells sessions apart by, in the bytes of a head, and the worker of such a value.
 * Pure; runs for each request in the reactor, so it makes no objects.
 */
import type { ResolvedSticky } from '../../options/sticky.js';
import { COLON, CR, isBlank, skipBlanks } from './chars.js';

const SEMICOLON = 0x3b;
const COOKIE = Buffer.from('cookie', 'latin1');
/** FNV-1a. */
const BASIS = 0x811c9dc5;
const PRIME = 0x01000193;

/** No request has such a hash: it has no value. */
export const NO_VALUE = -1;

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
   * @returns a number of 32 bits for the first value that is not empty; NO_VALUE: there is none
   */
  hash(bytes: Buffer, from: number, to: number): number {
    const length = this.#field.length;
    for (let at = from; at < to; ) {
      const found = bytes.indexOf(CR, at);
      const end = found < 0 || found > to ? to : found;
      if (bytes[at + length] === COLON && isNamed(bytes, at, this.#field)) {
        const hash = this.#hashOfField(bytes, at + length + 1, end);
        if (hash !== NO_VALUE) return hash;
      }
      at = end + 2;
    }
    return NO_VALUE;
  }

  #hashOfField(bytes: Buffer, from: number, to: number): number {
    if (this.#cookie === undefined) return hashOf(bytes, from, to);
    for (let at = from; at < to; at++) {
      const start = skipBlanks(bytes, at, to);
      at = start;
      while (at < to && bytes[at] !== SEMICOLON) at++;
      const valueAt = start + this.#cookie.length;
      if (valueAt > at || bytes.compare(this.#cookie, 0, this.#cookie.length, start, valueAt) !== 0) continue;
      const hash = hashOf(bytes, valueAt, at);
      if (hash !== NO_VALUE) return hash;
    }
    return NO_VALUE;
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

/** Of the bytes without blanks around them. */
function hashOf(bytes: Buffer, from: number, to: number): number {
  let at = from;
  let end = to;
  while (at < end && isBlank(bytes[at]!)) at++;
  while (end > at && isBlank(bytes[end - 1]!)) end--;
  if (at === end) return NO_VALUE;
  let hash = BASIS;
  for (; at < end; at++) hash = Math.imul(hash ^ bytes[at]!, PRIME);
  return mix(hash);
}

/** Each bit of the sum reaches each bit of the result (murmur3's finalizer). */
function mix(hash: number): number {
  let h = hash ^ (hash >>> 16);
  h = Math.imul(h, 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/**
 * The worker of a value, by jump consistent hashing (Lamping and Veach, 2014): with one worker more, only the values move
 * that go to the new one.
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
