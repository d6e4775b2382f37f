/** Permits that all processes share: how many may do something at a time. */
import { describe, ServerError, told } from '../errors/index.js';
import type { SharedObject } from './arena.js';
import type { Figures } from './figures.js';
import { attach } from './objects.js';
import { checkDeclaration, optionsObject, whole } from './waiting/check.js';
import { type AcquireOptions, acquire, acquireOptions, type Held, longestWaiting, tryAcquire } from './waiting/held.js';
import { GRANTED, type Queue, Queue as QueueOf, type QueueParts, queueBytes } from './waiting/queue.js';

const SLOTS = 1024;
const MOST_SLOTS = 65_536;
const MOST_PERMITS = 2 ** 31 - 1;

/** What a `Semaphore` is declared with, the same in every process. */
export interface SemaphoreOptions {
  /** The same in each process. Default: the order of declaration. */
  readonly name?: string;
  /** Acquisitions at a time, those that wait and those that hold permits. Default 1,024; 32 bytes each. */
  readonly waiters?: number;
}

/** Permits are given in the order of asking: who wants many is not overtaken by those who want few. */
export class Semaphore {
  /** How many there are. */
  readonly permits: number;
  readonly #queue: Queue;

  /**
   * @param permits how many there are, 1 or more
   * @throws ServerError ERR_OPTION_RANGE, ERR_OPTION_TYPE, ERR_SHARED_NAME, ERR_SHARED_SCHEMA, ERR_SHARED_LIMIT
   */
  constructor(permits: number, options: SemaphoreOptions = {}) {
    checkDeclaration(options, ['waiters']);
    this.permits = wholePermits('permits', permits, MOST_PERMITS);
    const slots = whole('waiters', options.waiters, [1, MOST_SLOTS], SLOTS);
    const schema = `a semaphore of ${this.permits} permits for ${slots} waiters`;
    this.#queue = semaphoreQueue(attach({ kind: 'semaphore', name: options.name, schema, bytes: queueBytes(slots) }));
  }

  /**
   * Resolves when this process has `n` permits.
   * @throws ServerError ERR_SHARED_TIMEOUT, ERR_SHARED_WAITERS, ERR_SHARED_STUCK; the reason of the signal
   */
  async acquire(n = 1, options: AcquireOptions = {}): Promise<Held> {
    optionsObject(options, acquireOptions);
    return acquire(this.#queue, wholePermits('n', n, this.permits), options);
  }

  /** Does not wait. @returns undefined: there are not enough, or others wait */
  tryAcquire(n = 1): Held | undefined {
    return tryAcquire(this.#queue, wholePermits('n', n, this.permits));
  }
}

/** A semaphore's view of its memory. */
export function semaphoreQueue(object: SharedObject, parts?: QueueParts): Queue {
  const [, permits, slots] = /of (\d+) permits for (\d+) waiters/.exec(object.schema) ?? [];
  const shape = { at: 0, slots: Number(slots), option: 'waiters' };
  return new QueueOf(object, shape, (queue) => grantPermits(queue, Number(permits)), parts);
}

/** From the shared memory alone. `held`: acquisitions, not permits. */
export function semaphoreFigures(object: SharedObject): Figures {
  return { bytes: object.memory.byteLength, ...semaphoreQueue(object).figures() };
}

/** Called in the manager once it has reaped a process. */
export function settleDeadSemaphore(object: SharedObject): void {
  const queue = semaphoreQueue(object);
  queue.settle('all');
  queue.ringGranted();
}

function grantPermits(queue: Queue, permits: number): void {
  let left = permits - inUse(queue);
  for (let next = longestWaiting(queue); next >= 0; next = longestWaiting(queue)) {
    left -= queue.want(next);
    if (left < 0) return;
    queue.grant(next);
    if (queue.isBroken) queue.clearBroken();
  }
}

function inUse(queue: Queue): number {
  let sum = 0;
  for (let index = 0; index < queue.top; index++) if (queue.state(index) >= GRANTED) sum += queue.want(index);
  return sum;
}

function wholePermits(name: string, value: unknown, most: number): number {
  if (Number.isSafeInteger(value) && (value as number) >= 1 && (value as number) <= most) return value as number;
  const expected = `a whole number from 1 to ${most}`;
  throw told(new ServerError('ERR_OPTION_RANGE', { name, expected, received: describe(value) }));
}
