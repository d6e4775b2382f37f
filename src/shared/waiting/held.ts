/** What can be held: a lock, or some of a semaphore's permits. */
import { ServerError } from '../../errors/index.js';
import { checkSignal, milliseconds } from './check.js';
import { GRANTED, type Queue, TAKEN, WAITING } from './queue.js';
import { giveUpSurely, waitFor } from './wait-for.js';

/** What `acquire` gives. Release it when the work is done; `using` does so at the end of the block. */
export interface Held {
  /**
   * Passes it on to the next. Does nothing the second time. Where a process was stopped in the midst of changing the queue, it
   * goes on to the next as soon as that process goes on, or has ended.
   */
  release(): void;
  [Symbol.dispose](): void;
  /** A process died while it held this, and nobody has been told before: what it protects may be half done. Repair it first. */
  readonly ownerDied: boolean;
}

/** How a lock or permits are waited for. */
export interface AcquireOptions {
  /** Longest wait. Default: without end. */
  readonly timeoutMs?: number;
  /** Ends the wait; `acquire` rejects with the signal's reason. */
  readonly signal?: AbortSignal;
}

/** Their names. */
export const acquireOptions: readonly (keyof AcquireOptions)[] = ['timeoutMs', 'signal'];

/** @throws ServerError ERR_SHARED_TIMEOUT, ERR_SHARED_WAITERS, ERR_SHARED_STUCK; the reason of the signal */
export async function acquire(queue: Queue, want: number, options: AcquireOptions): Promise<Held> {
  const timeoutMs = milliseconds('timeoutMs', options.timeoutMs);
  checkSignal(options.signal);
  const index = queue.enterSurely(want);
  const held = take(queue, index);
  if (held !== undefined) return held;
  queue.countLockWait();
  return waitFor({
    queue,
    take: () => take(queue, index),
    giveUp: () => giveUp(queue, index),
    timeoutMs,
    signal: options.signal,
    timedOut: () => {
      const { kind, name } = queue.object;
      throw new ServerError('ERR_SHARED_TIMEOUT', { kind, name, timeoutMs: timeoutMs ?? 0 });
    },
  });
}

/** Does not wait. Takes over from a holder that died. @throws ServerError ERR_SHARED_WAITERS, ERR_SHARED_STUCK */
export function tryAcquire(queue: Queue, want: number): Held | undefined {
  let index = tryEnter(queue, want);
  if (index === NOT_NOW || index === FULL) {
    queue.settle(index === FULL ? 'all' : 'holders'); // those that have died make room
    index = tryEnter(queue, want);
  }
  if (index === FULL) throw queue.full();
  return index === NOT_NOW ? undefined : take(queue, index);
}

const FULL = -1;
const NOT_NOW = -2;

/** @returns the slot that has got it; `FULL`, `NOT_NOW` */
function tryEnter(queue: Queue, want: number): number {
  return queue.locked(() => {
    const entered = queue.enter(want);
    if (entered < 0) return FULL;
    if (queue.state(entered) === GRANTED) return entered;
    queue.leave(entered, false);
    return NOT_NOW;
  });
}

function take(queue: Queue, index: number): Held | undefined {
  const ownerDied = queue.isTold(index);
  return queue.take(index) ? new HeldSlot(queue, index, ownerDied) : undefined;
}

/** The news that a holder died goes on as well. */
function giveUp(queue: Queue, index: number): void {
  queue.locked(() => queue.leave(index, queue.state(index) === GRANTED && queue.isTold(index)));
}

class HeldSlot implements Held {
  readonly ownerDied: boolean;
  readonly #queue: Queue;
  readonly #index: number;
  readonly #ticket: number;
  #isReleased = false;

  constructor(queue: Queue, index: number, ownerDied: boolean) {
    this.ownerDied = ownerDied;
    this.#queue = queue;
    this.#index = index;
    this.#ticket = queue.ticket(index);
  }

  release(): void {
    if (this.#isReleased) return;
    this.#isReleased = true;
    const queue = this.#queue;
    const giveUp = (): void =>
      queue.locked(() => {
        if (this.#isOurs) queue.leave(this.#index, false);
      });
    giveUpSurely({ queue, giveUp });
  }

  [Symbol.dispose](): void {
    this.release();
  }

  get #isOurs(): boolean {
    const queue = this.#queue;
    const index = this.#index;
    return queue.state(index) === TAKEN && queue.ticket(index) === this.#ticket;
  }
}

/** The slot that has waited longest; −1: none. */
export function longestWaiting(queue: Queue, isMeant: (want: number) => boolean = () => true): number {
  let found = -1;
  for (let index = 0; index < queue.top; index++) {
    if (queue.state(index) !== WAITING || !isMeant(queue.want(index))) continue;
    if (found < 0 || queue.ticket(index) < queue.ticket(found)) found = index;
  }
  return found;
}
