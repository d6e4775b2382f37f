import type { DispatchStrategy } from './strategy.js';

/**
 * Per packet: all connections bound to one uid go to one worker; before `bind` as fd-mod (Swoole: dispatch_mode 5). Packets
 * of a connection before and after its `bind` may be handled by two workers.
 */
export const uidMod: DispatchStrategy = {
  sticky: false,
  keepsUnused: false,
  choose: ({ sessionId, slot }, view) => (view.uid(slot) || sessionId) % view.workerNum,
};
