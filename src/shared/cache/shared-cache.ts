/** What one process has computed, for all of them. */
import { describe, ServerError, told } from '../../errors/index.js';
import { integer, refuse, size } from '../../options/check.js';
import { MIB } from '../../options/size.js';
import { monotonicMs } from '../../util/clock.js';
import { pause } from '../../util/pause.js';
import type { SharedObject } from '../arena.js';
import type { SharedBetweenNodes } from '../between-nodes.js';
import { attach } from '../objects.js';
import { optionsObject } from '../waiting/check.js';
import { CacheCore, type CacheSettings, cacheFigures, cacheSpec } from './cache-core.js';
import { MOST_KEY_LENGTH } from './layout.js';

/** What a `SharedCache` is declared with, the same in every process: sizes in bytes, times in ms. */
export interface SharedCacheOptions {
  /** Finds the cache in each process. Default: its number among the caches that the script declares. */
  readonly name?: string;
  /** All of its memory; the oldest values make room for new ones. Unit: bytes, or a text such as `'64m'`. */
  readonly maxBytes: number | string;
  /** Larger values are not kept. Unit: as `maxBytes`. Default: a sixteenth of `maxBytes`, at most `'1m'`. */
  readonly maxValueBytes?: number | string;
  /** How long a value is fresh, unless `set` or `wrap` says otherwise. Default: for ever. */
  readonly ttlMs?: number;
}

/** How long `SharedCache.wrap` keeps, serves and waits for a value, in ms. */
export interface WrapOptions {
  /** How long the value is fresh. Default: `ttlMs` of the cache. */
  readonly ttlMs?: number;
  /** For so long afterwards the old value is returned while one process computes a new one. Default: `0`. */
  readonly staleMs?: number;
  /** So long others wait for the one that computes; then they compute too. Default: `30_000`. */
  readonly timeoutMs?: number;
}

/** Figures of a `SharedCache` over all processes: bytes, and counts since it was made. */
export interface CacheStats {
  /** Of address space; pages that were never written take no memory. */
  readonly bytes: number;
  /** Of the values that are there, and of those that have gone since the last of them was written. */
  readonly bytesUsed: number;
  /** Values that are there, fresh or not. */
  readonly keys: number;
  /** Values that were asked for and there. */
  readonly hits: number;
  /** Values that were asked for and not there, or no longer fresh. */
  readonly misses: number;
  /** Values that had to make room. */
  readonly evictions: number;
  /** Processes that died while they wrote. */
  readonly brokenLocks: number;
}

/** A cache does without a stripe that a stopped process holds: it misses. */
const PATIENCE_MS = 20;
const LEAST_BYTES = 262_144;
const MOST_BYTES = 2 ** 32;
const MOST_MS = 2 ** 40;
const PARTS_FOR_VALUE = 4;
const DEFAULT_TIMEOUT_MS = 30_000;
const bytesKind = size({ min: LEAST_BYTES, max: MOST_BYTES });
const milliseconds = integer({ min: 1, max: MOST_MS }, 'ms');
const stale = integer({ min: 0, max: MOST_MS }, 'ms');
const names = ['name', 'maxBytes', 'maxValueBytes', 'ttlMs'];
const wrapNames = ['ttlMs', 'staleMs', 'timeoutMs'];

/**
 * Values are copied in and out: strings and Buffers as they are, others by the structured clone algorithm (`node:v8`).
 *
 * @example
 * const pages = new SharedCache<string>({ maxBytes: '64m', ttlMs: 10_000 });
 * const page = await pages.wrap(path, () => render(path), { staleMs: 60_000 });
 */
export class SharedCache<V = unknown> {
  readonly #object: SharedObject;
  readonly #core: CacheCore;
  readonly #ttlMs: number;
  #toOtherNodes: ((key: Uint8Array) => void) | undefined;

  /** @throws ServerError ERR_OPTION_*, ERR_SHARED_* */
  constructor(options: SharedCacheOptions) {
    optionsObject(options, names);
    const { name } = options;
    if (name !== undefined && typeof name !== 'string') refuse('ERR_OPTION_TYPE', 'name', 'a string', name);
    const settings = settingsOf(options);
    this.#ttlMs = ttlOf('ttlMs', options.ttlMs, Number.POSITIVE_INFINITY);
    this.#object = attach({ ...cacheSpec(settings), name });
    this.#core = new CacheCore(this.#object, settings, { now: monotonicMs, patienceMs: PATIENCE_MS, sleep: pause });
  }

  /** @returns undefined: it is not there, or not fresh @throws ServerError ERR_SHARED_ARGUMENT */
  get(key: string): V | undefined {
    return this.#core.get(checkKey(key)) as V | undefined;
  }

  /**
   * @returns false: the value was not kept: it has more than `maxValueBytes`, or a process that was stopped is in the way
   * @throws ServerError ERR_SHARED_ARGUMENT, ERR_DATA_NOT_CLONEABLE, ERR_OPTION_*
   */
  set(key: string, value: V, options?: { readonly ttlMs?: number }): boolean {
    if (value === undefined) throw wrong('value', 'something other than undefined', value);
    if (options !== undefined) optionsObject(options, ['ttlMs']);
    const isKept = this.#core.set(checkKey(key), value, ttlOf('ttlMs', options?.ttlMs, this.#ttlMs));
    this.#toOtherNodes?.(Buffer.from(key));
    return isKept;
  }

  /** @returns whether it was there @throws ServerError ERR_SHARED_ARGUMENT */
  delete(key: string): boolean {
    const wasThere = this.#core.delete(checkKey(key));
    this.#toOtherNodes?.(Buffer.from(key));
    return wasThere;
  }

  /** @internal For `cluster.share`. @param send called with a key that other nodes are to forget */
  shareBetweenNodes(send: (key: Uint8Array) => void): SharedBetweenNodes {
    this.#toOtherNodes = send;
    const take = (key: Uint8Array): void => void this.#core.delete(Buffer.from(key).toString());
    return { kind: 'cache', name: this.#object.name, take };
  }

  /**
   * The value, or what `make` returns, which is kept. All processes that ask meanwhile wait for the one that computes; where it
   * dies, another one computes at once. An error goes to the callers of this process and is not kept. Callers of one process
   * that waited together get the same object, others a copy.
   * @throws ServerError ERR_SHARED_ARGUMENT, ERR_DATA_NOT_CLONEABLE, ERR_OPTION_*
   */
  async wrap(key: string, make: () => V | Promise<V>, options: WrapOptions = {}): Promise<V> {
    if (typeof make !== 'function') throw wrong('make', 'a function', make);
    optionsObject(options, wrapNames);
    const times = {
      ttlMs: ttlOf('ttlMs', options.ttlMs, this.#ttlMs),
      staleMs: stale.check('staleMs', options.staleMs ?? 0),
      timeoutMs: milliseconds.check('timeoutMs', options.timeoutMs ?? DEFAULT_TIMEOUT_MS),
    };
    return (await this.#core.wrap(checkKey(key), make, times)) as V;
  }

  /** Of all processes. */
  stats(): CacheStats {
    return cacheFigures(this.#object);
  }
}

function settingsOf(options: SharedCacheOptions): CacheSettings {
  const maxBytes = bytesKind.check('maxBytes', options.maxBytes);
  const most = Math.floor(maxBytes / PARTS_FOR_VALUE / 2);
  const valueKind = size({ min: 1, max: most });
  const usual = Math.min(MIB, Math.floor(maxBytes / 16));
  return { maxBytes, maxValueBytes: valueKind.check('maxValueBytes', options.maxValueBytes ?? usual) };
}

function ttlOf(name: string, given: unknown, otherwise: number): number {
  return given === undefined || given === Number.POSITIVE_INFINITY
    ? (given ?? otherwise)
    : milliseconds.check(name, given);
}

function checkKey(key: unknown): string {
  const isKey = typeof key === 'string' && key.length <= MOST_KEY_LENGTH;
  if (!isKey) throw wrong('key', `a string of at most ${MOST_KEY_LENGTH} characters`, key);
  return key;
}

function wrong(what: string, expected: string, received: unknown): ServerError {
  return told(new ServerError('ERR_SHARED_ARGUMENT', { what, expected, received: describe(received) }));
}
