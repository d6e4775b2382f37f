import type { DispatchStrategy } from './strategy.js';

/** Sticky: all connections from one address go to one worker (Swoole: dispatch_mode 4). */
export const ipMod: DispatchStrategy = {
  sticky: true,
  keepsUnused: true,
  choose: ({ address }, view) => hash(address) % view.workerNum,
};

/** FNV-1a: spreads neighbouring addresses. */
function hash(bytes: Buffer): number {
  let value = 0x811c9dc5;
  for (const byte of bytes) value = Math.imul(value ^ byte, 0x01000193);
  return (value ^ (value >>> 15)) >>> 0;
}
