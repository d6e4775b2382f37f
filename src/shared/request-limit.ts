/** The limiter behind the option `rateLimit`: one for the whole server, in reactors and workers. */
import { ServerError } from '../errors/index.js';
import type { Arena } from './arena.js';
import type { LimiterCells, LimiterRule } from './limiter-cells.js';
import { limiterIn } from './rate-limiter.js';

const NAME = 'option rateLimit';
/** Then the request goes on: one process that was stopped must not stop the reactors. */
const PATIENCE_MS = 5;

export class RequestLimit {
  readonly #cells: LimiterCells;

  /** @throws ServerError ERR_SHARED_* */
  constructor(arena: Arena, rule: LimiterRule) {
    this.#cells = limiterIn(arena, NAME, rule, PATIENCE_MS);
  }

  /** @returns 0: the request may go on; else when the client may come again, in ms */
  take(key: string): number {
    try {
      return this.#cells.take(key, 1).retryAfterMs;
    } catch (error) {
      if (error instanceof ServerError && error.is('ERR_LIMITER_BUSY')) return 0;
      throw error;
    }
  }
}

/** Addresses and values of headers are kept apart: nobody uses up another one's limit by naming its address. */
export const keyOfAddress = (address: string): string => `a${address}`;
export const keyOfHeader = (value: string): string => `h${value}`;
