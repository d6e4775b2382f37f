/** A promise for what another process gives. */
import { ServerError } from '../../errors/index.js';
import type { Queue } from './queue.js';
import type { Waiter } from './waiting.js';

export interface Wait<T> {
  readonly queue: Queue;
  /** @returns undefined: not yet */
  readonly take: () => T | undefined;
  /** Leaves the queue. What has just been given to it goes on to the next. */
  readonly giveUp: () => void;
  readonly timeoutMs: number | undefined;
  readonly signal: AbortSignal | undefined;
  /** The result after that time, or throws. */
  readonly timedOut: () => T;
}

/** @throws what `timedOut` throws, or the reason of the signal */
export function waitFor<T>(wait: Wait<T>): Promise<T> {
  const { queue, timeoutMs, signal } = wait;
  const { clock } = queue.waiting;
  return new Promise((resolve, reject) => {
    const waiter: Waiter = {
      isAwaited: true,
      look: () => attempt(() => wait.take()),
      lookForDead: () => {
        trySettle(queue);
        waiter.look();
      },
    };
    const timer = timeoutMs === undefined ? undefined : clock.setTimeout(onTimeout, timeoutMs);
    const end = () => {
      queue.waiting.remove(waiter);
      if (timer !== undefined) clock.clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
    };
    function attempt(take: () => T | undefined): void {
      try {
        const taken = take();
        if (taken === undefined) return;
        end();
        resolve(taken);
      } catch (error) {
        end();
        reject(error);
      }
    }
    function onTimeout(): void {
      attempt(() => {
        const taken = wait.take();
        if (taken !== undefined) return taken;
        giveUpSurely(wait);
        return wait.timedOut();
      });
    }
    function onAbort(): void {
      attempt(() => {
        giveUpSurely(wait);
        throw signal?.reason;
      });
    }
    queue.waiting.add(waiter, queue.object.owners);
    signal?.addEventListener('abort', onAbort);
  });
}

/** A guard that a stopped process holds is no reason to end the wait. */
function trySettle(queue: Queue): void {
  try {
    queue.settle('holders');
  } catch {
    // The timer tries again.
  }
}

/** Tried until the guard is free: a slot left behind would be granted, and never released. */
export function giveUpSurely({ queue, giveUp }: Pick<Wait<unknown>, 'queue' | 'giveUp'>): void {
  const waiter: Waiter = {
    isAwaited: false,
    look: () => {
      try {
        giveUp();
        queue.waiting.remove(waiter);
      } catch (error) {
        if (!(error instanceof ServerError)) throw error;
        queue.waiting.add(waiter, queue.object.owners);
      }
    },
    lookForDead: () => {},
  };
  waiter.look();
}
