import type { DispatchStrategy, DispatchView } from './strategy.js';

/** Sticky: the worker with the fewest connections; equals take turns. A worker without a process comes last. */
export const leastConnections: DispatchStrategy = {
  sticky: true,
  keepsUnused: true,
  choose(_subject, view) {
    const first = view.nextRound() % view.workerNum;
    let best = first;
    let bestScore = Number.POSITIVE_INFINITY;
    for (let i = 0; i < view.workerNum; i++) {
      const worker = (first + i) % view.workerNum;
      const score = scoreOf(worker, view);
      if (score < bestScore) {
        best = worker;
        bestScore = score;
      }
    }
    return best;
  },
};

const NOT_READY = 2 ** 32;

function scoreOf(worker: number, view: DispatchView): number {
  return view.connections(worker) + (view.isReady(worker) ? 0 : NOT_READY);
}
