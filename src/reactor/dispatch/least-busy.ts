import type { DispatchStrategy, DispatchView } from './strategy.js';

/** Per packet: the worker with the least to do, by callbacks that are pending and packets that wait (Swoole: mode 9). */
export const leastBusy: DispatchStrategy = {
  sticky: false,
  keepsUnused: false,
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
/** So many bytes that wait weigh as much as one pending callback. */
const BYTES_PER_PACKET = 1024;

function scoreOf(worker: number, view: DispatchView): number {
  if (!view.isReady(worker)) return NOT_READY;
  const waits = view.queuedBytes(worker) / BYTES_PER_PACKET;
  return view.pending(worker) + (view.isBusy(worker) ? 1 : 0) + waits;
}
