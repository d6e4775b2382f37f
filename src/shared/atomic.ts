/** A number that all processes share, and can wait for. */
import { describe, ServerError, told } from '../errors/index.js';
import type { SharedObject } from './arena.js';
import type { Figures } from './figures.js';
import { attach } from './objects.js';
import { checkDeclaration, checkSignal, milliseconds, optionsObject, whole } from './waiting/check.js';
import { acquireOptions, longestWaiting } from './waiting/held.js';
import { GRANTED, type Queue, Queue as QueueOf, type QueueParts, queueBytes } from './waiting/queue.js';
import { giveUpSurely, waitFor } from './waiting/wait-for.js';

const VALUE_BYTES = 64;
const SLOTS = 256;
const MOST_SLOTS = 65_536;
const MOST_INT = 2 ** 31 - 1;
const MOST_BIG = 2n ** 63n - 1n;

/** What an `Atomic` is declared with, the same in every process. */
export interface AtomicOptions {
  /** The same in each process. Default: the order of declaration. */
  readonly name?: string;
  /** Calls of `wait` at a time, in all processes. Default 256; 32 bytes each. */
  readonly waiters?: number;
}

/** How long `Atomic.wait` waits. */
export interface AtomicWaitOptions {
  /** Longest wait. Default: without end. */
  readonly timeoutMs?: number;
  /** Ends the wait; `wait` rejects with the signal's reason. */
  readonly signal?: AbortSignal;
}

type Numbers<T> = T extends bigint ? BigInt64Array : Int32Array;

/** What both widths do. */
abstract class AnyAtomic<T extends number | bigint> {
  protected readonly values: Numbers<T>;
  readonly #queue: Queue;

  protected constructor(values: Numbers<T>, queue: Queue) {
    this.values = values;
    this.#queue = queue;
  }

  abstract get(): T;

  /**
   * Waits as long as the value is `whileEqual`, or until `wake()`. Each change wakes, and blocks no event loop; a value that
   * changes and changes back at once may be missed.
   * @returns false: the time has passed
   * @throws ServerError ERR_SHARED_WAITERS, ERR_SHARED_STUCK; the reason of the signal
   */
  async wait(whileEqual: T, options: AtomicWaitOptions = {}): Promise<boolean> {
    this.check('whileEqual', whileEqual);
    optionsObject(options, acquireOptions);
    const timeoutMs = milliseconds('timeoutMs', options.timeoutMs);
    checkSignal(options.signal);
    return waitWhile(this.#queue, () => this.get() === whileEqual, { timeoutMs, signal: options.signal });
  }

  /** Ends up to `n` waits, the longest first, whatever the value is. Default: all. @returns how many */
  wake(n: number = MOST_INT): number {
    const most = whole('n', n, [0, MOST_INT], MOST_INT);
    return wakeLongest(this.#queue, most);
  }

  protected abstract check(name: string, value: unknown): void;

  /** Costs one plain load while nobody waits. */
  protected changed(): void {
    ringWaiters(this.#queue);
  }
}

/** A whole number of 32 bits, from −2³¹ to 2³¹ − 1; sums wrap around. */
export class Atomic extends AnyAtomic<number> {
  /**
   * @param value what it is when no process has made it yet. Default 0
   * @throws ServerError ERR_OPTION_RANGE, ERR_OPTION_TYPE, ERR_SHARED_NAME, ERR_SHARED_SCHEMA, ERR_SHARED_LIMIT
   */
  constructor(value = 0, options: AtomicOptions = {}) {
    checkInt('value', value);
    const object = declare('an atomic of 32 bits', options, (memory) => new Int32Array(memory).fill(value, 0, 1));
    super(new Int32Array(object.memory, 0, 1), atomicQueue(object));
  }

  /** One of 64 bits, whose numbers are bigints. */
  static big(value = 0n, options: AtomicOptions = {}): BigAtomic {
    return new BigAtomic(value, options);
  }

  /** @returns the number, as the last process has left it */
  get(): number {
    return Atomics.load(this.values, 0);
  }

  /** Wakes those that wait. @throws ServerError where it is no integer of 32 bits */
  set(value: number): void {
    checkInt('value', value);
    Atomics.store(this.values, 0, value);
    this.changed();
  }

  /** @returns the sum */
  add(n = 1): number {
    checkInt('n', n);
    const sum = (Atomics.add(this.values, 0, n) + n) | 0;
    this.changed();
    return sum;
  }

  /** @returns the difference */
  sub(n = 1): number {
    checkInt('n', n);
    const difference = (Atomics.sub(this.values, 0, n) - n) | 0;
    this.changed();
    return difference;
  }

  /** Sets it if it is `expected`. @returns whether it was */
  compareAndSet(expected: number, value: number): boolean {
    checkInt('expected', expected);
    checkInt('value', value);
    if (Atomics.compareExchange(this.values, 0, expected, value) !== expected) return false;
    this.changed();
    return true;
  }

  protected check(name: string, value: unknown): void {
    checkInt(name, value);
  }
}

/** A whole number of 64 bits, from −2⁶³ to 2⁶³ − 1; sums wrap around. Made by `Atomic.big()`. */
export class BigAtomic extends AnyAtomic<bigint> {
  /** @throws ServerError ERR_OPTION_RANGE, ERR_OPTION_TYPE, ERR_SHARED_NAME, ERR_SHARED_SCHEMA, ERR_SHARED_LIMIT */
  constructor(value = 0n, options: AtomicOptions = {}) {
    checkBig('value', value);
    const object = declare('an atomic of 64 bits', options, (memory) => new BigInt64Array(memory).fill(value, 0, 1));
    super(new BigInt64Array(object.memory, 0, 1), atomicQueue(object));
  }

  /** @returns the number, as the last process has left it */
  get(): bigint {
    return Atomics.load(this.values, 0);
  }

  /** Wakes those that wait. @throws ServerError where it is no integer of 64 bits */
  set(value: bigint): void {
    checkBig('value', value);
    Atomics.store(this.values, 0, value);
    this.changed();
  }

  /** @returns the sum */
  add(n = 1n): bigint {
    checkBig('n', n);
    const sum = BigInt.asIntN(64, Atomics.add(this.values, 0, n) + n);
    this.changed();
    return sum;
  }

  /** @returns the difference */
  sub(n = 1n): bigint {
    checkBig('n', n);
    const difference = BigInt.asIntN(64, Atomics.sub(this.values, 0, n) - n);
    this.changed();
    return difference;
  }

  /** Sets it if it is `expected`. @returns whether it was */
  compareAndSet(expected: bigint, value: bigint): boolean {
    checkBig('expected', expected);
    checkBig('value', value);
    if (Atomics.compareExchange(this.values, 0, expected, value) !== expected) return false;
    this.changed();
    return true;
  }

  protected check(name: string, value: unknown): void {
    checkBig(name, value);
  }
}

/** How long, and what ends it earlier. */
export interface AtomicWait {
  readonly timeoutMs: number | undefined;
  readonly signal: AbortSignal | undefined;
}

/** @returns false: the time has passed */
export async function waitWhile(queue: Queue, isSame: () => boolean, wait: AtomicWait): Promise<boolean> {
  if (!isSame()) return true;
  const index = queue.enterSurely(0);
  const leave = () => queue.locked(() => queue.leave(index, false));
  const take = () => {
    if (queue.state(index) !== GRANTED && isSame()) return undefined;
    giveUpSurely({ queue, giveUp: leave });
    return true;
  };
  return take() ?? waitFor({ ...wait, queue, take, giveUp: leave, timedOut: () => false });
}

/** @returns how many have been woken */
export function wakeLongest(queue: Queue, most: number): number {
  return queue.locked(() => {
    let woken = 0;
    for (let next = longestWaiting(queue); next >= 0 && woken < most; next = longestWaiting(queue)) {
      queue.grant(next);
      woken++;
    }
    return woken;
  });
}

/** All look at the value again. */
export function ringWaiters(queue: Queue): void {
  if (queue.top === 0) return;
  for (let index = 0; index < queue.top; index++) queue.ringLater(index);
  queue.ring();
}

/** The waiters of an atomic, behind its value. */
export function atomicQueue(object: SharedObject, parts?: QueueParts): Queue {
  const slots = Number(/for (\d+) waiters/.exec(object.schema)?.[1]);
  return new QueueOf(object, { at: VALUE_BYTES, slots, option: 'waiters' }, () => {}, parts);
}

/** From the shared memory alone. */
export function atomicFigures(object: SharedObject): Figures {
  return { bytes: object.memory.byteLength, waiting: atomicQueue(object).figures().waiting };
}

/** Called in the manager once it has reaped a process. */
export function settleDeadAtomic(object: SharedObject): void {
  atomicQueue(object).settle('all');
}

function declare(what: string, options: AtomicOptions, initialise: (memory: ArrayBuffer) => void): SharedObject {
  checkDeclaration(options, ['waiters']);
  const slots = whole('waiters', options.waiters, [1, MOST_SLOTS], SLOTS);
  const bytes = VALUE_BYTES + queueBytes(slots);
  return attach({ kind: 'atomic', name: options.name, schema: `${what} for ${slots} waiters`, bytes, initialise });
}

function checkInt(name: string, value: unknown): void {
  if (Number.isInteger(value) && ((value as number) | 0) === value) return;
  const expected = `a whole number from ${-MOST_INT - 1} to ${MOST_INT}`;
  throw told(new ServerError('ERR_OPTION_RANGE', { name, expected, received: describe(value) }));
}

function checkBig(name: string, value: unknown): void {
  if (typeof value === 'bigint' && BigInt.asIntN(64, value) === value) return;
  const expected = `a bigint from ${-MOST_BIG - 1n} to ${MOST_BIG}`;
  throw told(new ServerError('ERR_OPTION_RANGE', { name, expected, received: describe(value) }));
}
