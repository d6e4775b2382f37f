import type { DispatchView } from './strategy.js';

/** What a worker without a process scores: it comes last. */
export const NOT_READY = 2 ** 32;

/** The worker with the lowest score; equals take turns. */
export function lowest(view: DispatchView, scoreOf: (worker: number, view: DispatchView) => number): number {
  const first = view.nextRound() % view.workerNum;
  let best = first;
  let bestScore = Number.POSITIVE_INFINITY;
  for (let i = 0; i < view.workerNum; i++) {
    const worker = (first + i) % view.workerNum;
    const score = scoreOf(worker, view);
    if (score >= bestScore) continue;
    best = worker;
    bestScore = score;
  }
  return best;
}
