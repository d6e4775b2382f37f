import type { DispatchStrategy } from './strategy.js';

/** Sticky: session id modulo the number of workers (Swoole: dispatch_mode 2). */
export const fdMod: DispatchStrategy = {
  sticky: true,
  keepsUnused: true,
  choose: ({ sessionId }, view) => sessionId % view.workerNum,
};
