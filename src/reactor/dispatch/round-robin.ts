import type { DispatchStrategy } from './strategy.js';

/** Per packet: each worker in turn, over all reactors (Swoole: dispatch_mode 1). */
export const roundRobin: DispatchStrategy = {
  sticky: false,
  keepsUnused: true,
  anyWillDo: true,
  choose: (_subject, view) => view.nextRound() % view.workerNum,
};
