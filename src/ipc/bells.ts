/**
 * The doorbells of one server, in the order every process knows them by: first one per reactor, then one per lane of
 * each worker. A worker holds its own and the reactors'; the others are no concern of it.
 */
import { LANES_PER_WORKER, type RegionShape } from '../memory/layout.js';
import { createDoorbell, type DoorbellDescriptors } from '../os/doorbell.js';

export function createBells(shape: RegionShape): DoorbellDescriptors[] {
  const count = shape.reactorNum + shape.workerNum * LANES_PER_WORKER;
  return Array.from({ length: count }, createDoorbell);
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
  return at(bells, shape.reactorNum + worker * LANES_PER_WORKER + lane);
}

function at(bells: readonly DoorbellDescriptors[], index: number): DoorbellDescriptors {
  const bell = bells[index];
  if (bell === undefined) throw new RangeError(`there is no doorbell ${index} of ${bells.length}`);
  return bell;
}
