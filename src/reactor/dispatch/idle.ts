import type { DispatchStrategy } from './strategy.js';

/** A worker that has been busy for long is likely to stay busy: each millisecond weighs as much as N queued bytes. */
const BYTES_PER_MS = 64;

/** Per packet: an idle worker; when all are busy, the one with the least to do (Swoole: mode 3). */
export const idle: DispatchStrategy = {
  sticky: false,
  keepsUnused: false,
  anyWillDo: true,
  choose(_subject, view) {
    const first = view.nextRound() % view.workerNum;
    let best = first;
    let bestScore = Number.POSITIVE_INFINITY;
    for (let i = 0; i < view.workerNum; i++) {
      const worker = (first + i) % view.workerNum;
      const ready = view.isReady(worker);
      if (ready && !view.isBusy(worker)) return worker;
      const score = ready ? view.queuedBytes(worker) + view.busyForMs(worker) * BYTES_PER_MS : Number.MAX_VALUE;
      if (score < bestScore) {
        best = worker;
        bestScore = score;
      }
    }
    return best;
  },
};
