/** The callbacks of a server, and of a listen port. */
import { describe, ServerError, told } from '../errors/index.js';
import { nearest } from '../options/index.js';

type Callback = (...args: unknown[]) => unknown;

/**
 * At its second event a `once` callback is replaced by these: a caller that waits for a reply is answered that
 * there is none.
 */
const without: Readonly<Record<string, Callback>> = {
  request: (_request, response) => {
    const answer = response as { statusCode: number; end(): void };
    answer.statusCode = 404;
    answer.end();
  },
  task: () => {
    throw new ServerError('ERR_CALLBACK_MISSING', {
      event: 'task',
      where: 'each task after the first, as it was registered by once()',
    });
  },
};

function onlyOnce(event: string, callback: Callback): Callback {
  let isCalled = false;
  return (...args) => {
    if (isCalled) return without[event]?.(...args);
    isCalled = true;
    return callback(...args);
  };
}

/** One callback per event; a later one replaces the earlier. */
export class CallbackTable<E extends object> {
  readonly #names: readonly string[];
  readonly #replaced: (event: string) => void;
  readonly callbacks: Partial<E> = {};

  /** @param replaced called when an event that has a callback is given another one */
  constructor(names: readonly (keyof E & string)[], replaced: (event: string) => void) {
    this.#names = names;
    this.#replaced = replaced;
  }

  /** @throws ServerError ERR_EVENT_UNKNOWN, ERR_CALLBACK_TYPE */
  on<K extends keyof E & string>(event: K, callback: E[K]): void {
    this.#check(event);
    if (typeof callback !== 'function')
      throw told(new ServerError('ERR_CALLBACK_TYPE', { event, received: describe(callback) }));
    const before = this.callbacks[event];
    if (before !== undefined && before !== callback) this.#replaced(event);
    this.callbacks[event] = callback;
  }

  /** @throws ServerError ERR_EVENT_UNKNOWN, ERR_CALLBACK_TYPE */
  once<K extends keyof E & string>(event: K, callback: E[K]): void {
    this.on(event, typeof callback === 'function' ? (onlyOnce(event, callback as Callback) as E[K]) : callback);
  }

  off(event: keyof E & string): void {
    this.#check(event);
    delete this.callbacks[event];
  }

  #check(event: unknown): void {
    if (this.#names.includes(event as string)) return;
    const name = typeof event === 'string' ? event : describe(event);
    const near = nearest(name, this.#names);
    throw told(
      new ServerError('ERR_EVENT_UNKNOWN', {
        name,
        ...(near === undefined ? {} : { nearest: near }),
      }),
    );
  }
}
