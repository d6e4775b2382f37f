/** Which process a peer is at the moment: peers outlive their processes. Runs in the reactor. */
import { type WorkerBoard, WorkerField } from '../memory/boards.js';
import { LANES_PER_WORKER, peerOfManager, peerOfMaster } from '../memory/layout.js';
import type { Region } from '../memory/region.js';

/** @returns its pid; 0: none */
export function processOfPeer(region: Region, workers: WorkerBoard, peer: number): number {
  if (peer === peerOfManager(region.shape)) return region.managerPid;
  if (peer === peerOfMaster(region.shape)) return region.masterPid;
  const field = peer % LANES_PER_WORKER === 0 ? WorkerField.processOfLane0 : WorkerField.processOfLane1;
  return workers.field(Math.floor(peer / LANES_PER_WORKER), field);
}
