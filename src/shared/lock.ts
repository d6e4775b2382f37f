/** A lock that all processes share. Waiting for it blocks no event loop, and it outlives whoever holds it. */
import type { SharedObject } from './arena.js';
import type { Figures } from './figures.js';
import { attach } from './objects.js';
import { callable, checkDeclaration, optionsObject, whole } from './waiting/check.js';
import { type AcquireOptions, acquire, acquireOptions, type Held, longestWaiting, tryAcquire } from './waiting/held.js';
import { GRANTED, type Queue, Queue as QueueOf, type QueueParts, queueBytes, WAITING } from './waiting/queue.js';

const EXCLUSIVE = 1;
const SHARED = 2;
const SLOTS = 1024;
const MOST_SLOTS = 65_536;

/** What a `Lock` is declared with, the same in every process. */
export interface LockOptions {
  /** The same in each process. Default: the order of declaration. */
  readonly name?: string;
  /** Acquisitions at a time, those that wait and those that hold it. Default 1,024; 32 bytes each. */
  readonly waiters?: number;
}

/** How `Lock.acquire` waits, and whether others may share the lock. */
export interface LockAcquireOptions extends AcquireOptions {
  /** Together with others that ask for it shared. Default false: alone. */
  readonly shared?: boolean;
}

/**
 * Held by one at a time, or by any number that share it. Whoever waits to have it alone goes first. A lock whose holder died goes
 * to the next, who is told by `ownerDied`. A second `acquire` of the same process waits like any other, also inside of `with`.
 */
export class Lock {
  readonly #queue: Queue;

  /** @throws ServerError ERR_OPTION_RANGE, ERR_OPTION_TYPE, ERR_SHARED_NAME, ERR_SHARED_SCHEMA, ERR_SHARED_LIMIT */
  constructor(options: LockOptions = {}) {
    checkDeclaration(options, ['waiters']);
    const slots = whole('waiters', options.waiters, [1, MOST_SLOTS], SLOTS);
    const schema = `a lock for ${slots} waiters`;
    this.#queue = lockQueue(attach({ kind: 'lock', name: options.name, schema, bytes: queueBytes(slots) }));
  }

  /**
   * Resolves when this process has it.
   * @throws ServerError ERR_SHARED_TIMEOUT, ERR_SHARED_WAITERS, ERR_SHARED_STUCK; the reason of the signal
   */
  async acquire(options: LockAcquireOptions = {}): Promise<Held> {
    optionsObject(options, ['shared', ...acquireOptions]);
    return acquire(this.#queue, options.shared === true ? SHARED : EXCLUSIVE, options);
  }

  /** Does not wait. @returns undefined: another one has it, or waits to have it alone */
  tryAcquire(options: { readonly shared?: boolean } = {}): Held | undefined {
    optionsObject(options, ['shared']);
    return tryAcquire(this.#queue, options.shared === true ? SHARED : EXCLUSIVE);
  }

  /** Acquires, calls, and releases whatever the result is. `fn` gets what is held, for `ownerDied`. */
  async with<T>(fn: (held: Held) => T | PromiseLike<T>, options: LockAcquireOptions = {}): Promise<T> {
    callable('fn', fn);
    const held = await this.acquire(options);
    try {
      return await fn(held);
    } finally {
      held.release();
    }
  }
}

/** A lock's view of its memory. */
export function lockQueue(object: SharedObject, parts?: QueueParts): Queue {
  const slots = Number(/for (\d+) waiters/.exec(object.schema)?.[1]);
  return new QueueOf(object, { at: 0, slots, option: 'waiters' }, grantLock, parts);
}

/** From the shared memory alone. */
export function lockFigures(object: SharedObject): Figures {
  return { bytes: object.memory.byteLength, ...lockQueue(object).figures() };
}

/** Called in the manager once it has reaped a process. */
export function settleDeadLock(object: SharedObject): void {
  const queue = lockQueue(object);
  queue.settle('all');
  queue.ringGranted();
}

function grantLock(queue: Queue): void {
  const { alone, together } = holders(queue);
  if (alone > 0) return;
  const next = longestWaiting(queue, (want) => want === EXCLUSIVE);
  if (next < 0) grantShared(queue);
  else if (together === 0) grantTold(queue, [next]);
}

function holders(queue: Queue): { readonly alone: number; readonly together: number } {
  let alone = 0;
  let together = 0;
  for (let index = 0; index < queue.top; index++) {
    if (queue.state(index) < GRANTED) continue;
    if (queue.want(index) === EXCLUSIVE) alone++;
    else together++;
  }
  return { alone, together };
}

function grantShared(queue: Queue): void {
  const waiting: number[] = [];
  for (let index = 0; index < queue.top; index++) if (queue.state(index) === WAITING) waiting.push(index);
  grantTold(queue, waiting);
}

/** All of them are told of a holder that died. A death in the midst tells one more than needed, never one less. */
function grantTold(queue: Queue, slots: readonly number[]): void {
  for (const index of slots) queue.grant(index);
  if (slots.length > 0 && queue.isBroken) queue.clearBroken();
}
