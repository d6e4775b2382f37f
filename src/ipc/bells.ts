/**
 * The doorbells of one server, in an order common to all processes: first one per reactor, then one per peer (each lane of
 * each process id, the manager, the master). Every process holds all of them, because any may have a message for any other.
 */
import { peerNum, peerOf, type RegionShape } from '../memory/layout.js';
import { createDoorbell, type DoorbellDescriptors } from '../os/doorbell.js';

export function createBells(shape: RegionShape): DoorbellDescriptors[] {
  return Array.from({ length: shape.reactorNum + peerNum(shape) }, createDoorbell);
}

export function reactorBell(bells: readonly DoorbellDescriptors[], reactor: number): DoorbellDescriptors {
  return at(bells, reactor);
}

export function workerBell(
  bells: readonly DoorbellDescriptors[],
  shape: RegionShape,
  worker: number,
  lane: number,
): DoorbellDescriptors {
  return peerBell(bells, shape, peerOf(worker, lane));
}

export function peerBell(bells: readonly DoorbellDescriptors[], shape: RegionShape, peer: number): DoorbellDescriptors {
  return at(bells, shape.reactorNum + peer);
}

function at(bells: readonly DoorbellDescriptors[], index: number): DoorbellDescriptors {
  const bell = bells[index];
  if (bell === undefined) throw new RangeError(`there is no doorbell ${index} of ${bells.length}`);
  return bell;
}
