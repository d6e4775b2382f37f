import type { RegionShape } from './layout.js';

/** A power of two with room for connections that have ended but whose `close` no worker has seen yet. */
export function slotCount(maxConnections: number, reactorNum: number): number {
  return 2 ** Math.ceil(Math.log2(maxConnections * 1.25 + reactorNum * 64));
}

export function slotsOfReactor(shape: RegionShape): number {
  return Math.floor(shape.slots / shape.reactorNum);
}
