import type { RegionShape } from '../../src/memory/layout.js';

/** The smallest shared region that makes sense, with what the test wants otherwise. */
export function testShape(wanted: Partial<RegionShape> = {}): RegionShape {
  return {
    reactorNum: 1,
    workerNum: 1,
    taskWorkerNum: 0,
    userProcessNum: 0,
    tlsSlots: 0,
    tlsRecordBytes: 0,
    dataSlots: 0,
    rooms: 0,
    slots: 64,
    ringBytes: 65536,
    messageSlots: 64,
    logSlots: 0,
    ...wanted,
  };
}
