import { lowest, NOT_READY } from './lowest.js';
import type { DispatchStrategy, DispatchView } from './strategy.js';

/** Per packet: the worker with the least to do, by pending callbacks and queued packets (Swoole: mode 9). */
export const leastBusy: DispatchStrategy = {
  sticky: false,
  keepsUnused: false,
  anyWillDo: true,
  choose: (_subject, view) => lowest(view, scoreOf),
};

/** N queued bytes weigh as much as one pending callback. */
const BYTES_PER_PACKET = 1024;
/** So do N ms without a break. */
const MS_PER_PACKET = 10;

function scoreOf(worker: number, view: DispatchView): number {
  if (!view.isReady(worker)) return NOT_READY;
  const waits = view.queuedBytes(worker) / BYTES_PER_PACKET;
  return view.pending(worker) + (view.isBusy(worker) ? 1 : 0) + waits + view.busyForMs(worker) / MS_PER_PACKET;
}
