import type { DispatchStrategy } from './strategy.js';

/** Per packet: a worker that does nothing; when all are busy, the one with the fewest bytes waiting (Swoole: mode 3). */
export const idle: DispatchStrategy = {
  sticky: false,
  keepsUnused: false,
  choose(_subject, view) {
    const first = view.nextRound() % view.workerNum;
    let best = first;
    let bestScore = Number.POSITIVE_INFINITY;
    for (let i = 0; i < view.workerNum; i++) {
      const worker = (first + i) % view.workerNum;
      const ready = view.isReady(worker);
      if (ready && !view.isBusy(worker)) return worker;
      const score = ready ? view.queuedBytes(worker) : Number.MAX_VALUE;
      if (score < bestScore) {
        best = worker;
        bestScore = score;
      }
    }
    return best;
  },
};
