import type { DispatchStrategy } from './strategy.js';

/**
 * Per packet: all connections bound to one uid go to one worker; before `bind` as fd-mod (Swoole: dispatch_mode
 * 5). Two workers may handle the packets before and after a connection's `bind`, one after the other.
 */
export const uidMod: DispatchStrategy = {
  sticky: false,
  keepsUnused: false,
  choose: ({ sessionId, slot }, view) => (view.uid(slot) || sessionId) % view.workerNum,
};
