/** A limit for each key, the same in all processes: so many per second, and a burst. */
import { describe, ServerError, told } from '../errors/index.js';
import { integer, refuse } from '../options/check.js';
import { refuseUnknownNames } from '../options/known-names.js';
import { burstKind, checkRate, DEFAULT_KEYS, keysKind } from '../options/rate-limit.js';
import { monotonicMs } from '../util/clock.js';
import type { Arena, SharedObject } from './arena.js';
import { type LimiterAnswer, LimiterCells, type LimiterRule, limiterFiguresAt, limiterSpec } from './limiter-cells.js';
import { attach } from './objects.js';

interface LimiterPlace {
  /** Finds the limiter in each process. Default: its number among the limiters that the script declares. */
  readonly name?: string;
  /**
   * So many keys at least are known at once, for 40 bytes each; far beyond them the one that was idle for longest is forgotten,
   * and has its whole burst again. Default: `100_000`.
   */
  readonly keys?: number;
}

/** `perSecond` in the long run, and at most `burst` at once. */
export interface RateLimit extends LimiterPlace {
  /** What comes back each second, a fraction too. */
  readonly perSecond: number;
  /** The most at once. */
  readonly burst: number;
}

/** `limit` at once, and as many again over each `windowMs`: they come back one by one, not all at the end of a window. */
export interface WindowLimit extends LimiterPlace {
  /** The most at once, and in each window. */
  readonly limit: number;
  /** Unit: ms. */
  readonly windowMs: number;
}

/** What a `RateLimiter` is declared with: so many per second and a burst, or so many in a span of time. */
export type RateLimiterOptions = RateLimit | WindowLimit;

const PATIENCE_MS = 1000;
const MOST_COST = 1e9;
const windowKind = integer({ min: 1, max: 2 ** 40 }, 'ms');

/**
 * @example
 * const logins = new RateLimiter({ name: 'logins', limit: 5, windowMs: 60_000 });
 * if (!logins.take(address).allowed) …
 */
export class RateLimiter {
  readonly #cells: LimiterCells;

  /** @throws ServerError ERR_OPTION_*, ERR_SHARED_* */
  constructor(options: RateLimiterOptions) {
    const rule = ruleOf('options', options);
    const object = attach({ ...limiterSpec(rule, monotonicMs()), name: nameOf(options.name) });
    this.#cells = new LimiterCells(object, rule, monotonicMs, { patienceMs: PATIENCE_MS });
  }

  /**
   * Takes `cost` from what the key has left, or nothing where that is less. Takes less than 1 µs.
   * @param cost 0: only looks
   * @throws ServerError ERR_SHARED_ARGUMENT; ERR_LIMITER_BUSY: a process that was stopped holds the key
   */
  take(key: string, cost = 1): LimiterAnswer {
    if (typeof key !== 'string') throw wrong('key', 'a string', key);
    if (typeof cost !== 'number' || !(cost >= 0 && cost <= MOST_COST))
      throw wrong('cost', `a number from 0 to ${MOST_COST}`, cost);
    return this.#cells.take(key, cost);
  }
}

/** @throws ServerError ERR_OPTION_* */
export function ruleOf(name: string, given: unknown): LimiterRule {
  const expected = '{perSecond, burst} or {limit, windowMs}';
  if (typeof given !== 'object' || given === null) refuse('ERR_OPTION_TYPE', name, expected, given);
  refuseUnknownNames(name, given, ['name', 'keys', 'perSecond', 'burst', 'limit', 'windowMs']);
  const { perSecond, burst, limit, windowMs, keys = DEFAULT_KEYS } = given as Partial<RateLimit & WindowLimit>;
  const isWindow = limit !== undefined || windowMs !== undefined;
  if (isWindow === (perSecond !== undefined || burst !== undefined)) refuse('ERR_OPTION_VALUE', name, expected, given);
  const checked = keysKind.check('keys', keys);
  if (!isWindow) {
    return {
      periodMs: 1000 / checkRate('perSecond', perSecond),
      burst: burstKind.check('burst', burst),
      keys: checked,
    };
  }
  const most = burstKind.check('limit', limit);
  return { periodMs: windowKind.check('windowMs', windowMs) / most, burst: most, keys: checked };
}

/** The limiter of a server's own, in whichever process or thread. @param patienceMs how long a stopped process may block it */
export function limiterIn(arena: Arena, name: string, rule: LimiterRule, patienceMs: number): LimiterCells {
  const object = arena.attach({ ...limiterSpec(rule, monotonicMs()), name });
  return new LimiterCells(object, rule, monotonicMs, { patienceMs });
}

/** From the memory alone, in any process. */
export function limiterFigures(object: SharedObject) {
  return limiterFiguresAt(object, monotonicMs());
}

function nameOf(name: unknown): string | undefined {
  if (name !== undefined && typeof name !== 'string') refuse('ERR_OPTION_TYPE', 'name', 'a string', name);
  return name as string | undefined;
}

function wrong(what: string, expected: string, received: unknown): ServerError {
  return told(new ServerError('ERR_SHARED_ARGUMENT', { what, expected, received: describe(received) }));
}
