/** How the newest state follows from an event of the stream. */
import type { State, Worker } from './types.ts';

/** Later events hold only the keys that have changed. */
export function mergeState(before: State | null, delta: Partial<State>): State {
  return { ...before, ...delta } as State;
}

/** Requests per second between two states; of a process whose count has fallen, 0. */
export function ratesOf(
  before: State | null,
  now: State,
  last: ReadonlyMap<number, number>,
): ReadonlyMap<number, number> {
  const seconds = before === null ? 0 : (now.at - before.at) / 1000;
  if (before === null || seconds <= 0) return last;
  const counts = new Map(before.workers.map((worker: Worker) => [worker.id, worker.requestCount]));
  return new Map(
    now.workers.map(({ id, requestCount }) => [
      id,
      Math.max(0, requestCount - (counts.get(id) ?? requestCount)) / seconds,
    ]),
  );
}
