/** `tick`, `after` and `clearTimer`: timers by number, of the process they are made in; they end with it. */
import { describe, ServerError, told } from '../errors/index.js';

/** Called in the process that made the timer. An error it throws goes to the log; the timer continues. */
export type TimerCallback = (timerId: number) => unknown;

const LONGEST_MS = 0x7fffffff;

export class Timers {
  readonly #timers = new Map<number, NodeJS.Timeout>();
  readonly #failed: (error: unknown) => void;
  #next = 1;

  /** @param failed gets the error of a callback; the timer continues */
  constructor(failed: (error: unknown) => void) {
    this.#failed = failed;
  }

  tick(ms: number, callback: TimerCallback): number {
    check(ms, callback);
    const id = this.#next++;
    this.#timers.set(
      id,
      setInterval(() => this.#call(id, callback), ms),
    );
    return id;
  }

  after(ms: number, callback: TimerCallback): number {
    check(ms, callback);
    const id = this.#next++;
    const timer = setTimeout(() => {
      this.#timers.delete(id);
      this.#call(id, callback);
    }, ms);
    this.#timers.set(id, timer);
    return id;
  }

  clear(id: number): boolean {
    clearTimeout(this.#timers.get(id));
    return this.#timers.delete(id);
  }

  #call(id: number, callback: TimerCallback): void {
    try {
      const result = callback(id);
      if (result instanceof Promise) result.catch(this.#failed);
    } catch (error) {
      this.#failed(error);
    }
  }
}

function check(ms: unknown, callback: unknown): void {
  if (typeof ms !== 'number' || !(ms >= 1 && ms <= LONGEST_MS)) {
    throw told(
      new ServerError('ERR_TIMER', { expected: `milliseconds from 1 to ${LONGEST_MS}`, received: describe(ms) }),
    );
  }
  if (typeof callback !== 'function') {
    throw told(new ServerError('ERR_TIMER', { expected: 'a function to call', received: describe(callback) }));
  }
}
