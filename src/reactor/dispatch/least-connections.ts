import { lowest, NOT_READY } from './lowest.js';
import type { DispatchStrategy, DispatchView } from './strategy.js';

/** Sticky: the worker with the fewest connections; equals take turns. A worker without a process comes last. */
export const leastConnections: DispatchStrategy = {
  sticky: true,
  keepsUnused: true,
  choose: (_subject, view) => lowest(view, scoreOf),
};

function scoreOf(worker: number, view: DispatchView): number {
  return view.connections(worker) + (view.isReady(worker) ? 0 : NOT_READY);
}
