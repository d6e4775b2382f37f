import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  ADDRESS_COUNTERS,
  CONNECTION_RECORD_BYTES,
  DATA_RECORD_BYTES,
  LOG_HEADER_BYTES,
  LOG_SLOT_BYTES,
  LONG_DATA_BYTES,
  layoutRegion,
  PROCESS_RECORD_BYTES,
  peerNum,
  peerOf,
  peerOfManager,
  peerOfMaster,
  processNum,
  REACTOR_RECORD_BYTES,
  type RegionShape,
  RING_HEADER_BYTES,
  SMALL_RING_BYTES,
  WORKER_RECORD_BYTES,
} from '../../src/memory/layout.js';
import { PEER_RECORD_BYTES, QUEUE_INTS, queueNum, SHORT_QUEUE, SLOT_BYTES } from '../../src/memory/messaging-layout.js';
import { PAGE_BYTES } from '../../src/os/memory.js';
import { testShape } from '../helpers/test-shape.js';

type Area = readonly [from: number, bytes: number, name: string];

/** Each area begins where the one before has ended, or behind that. @returns where the last one ends */
function expectApart(areas: readonly Area[]): number {
  const sorted = [...areas].filter(([, bytes]) => bytes > 0).sort(([a], [b]) => a - b);
  for (const [index, [from, , name]] of sorted.entries()) {
    const [before = 0, bytes = 0, other = ''] = sorted[index - 1] ?? [];
    expect(from, `${name} behind ${other}`).toBeGreaterThanOrEqual(before + bytes);
  }
  const [from = 0, bytes = 0] = sorted.at(-1) ?? [];
  return from + bytes;
}

const small = fc.integer({ min: 0, max: 5 });
const some = fc.integer({ min: 1, max: 5 });
const shapes = fc
  .record({
    ...{ reactorNum: some, workerNum: some, taskWorkerNum: small, userProcessNum: small },
    slots: fc.constantFrom(1, 64, 1024),
    tls: fc.constantFrom(0, 768, 4096),
    ringBytes: fc.constantFrom(65_536, 1 << 20),
    messageSlots: fc.constantFrom(1, 31, 32, 33, 1024),
    rooms: fc.constantFrom(0, 1, 1024),
    logSlots: fc.constantFrom(0, 1, 2000),
  })
  .map(({ tls, ...shape }): RegionShape => {
    const dataSlots = shape.rooms === 0 ? 0 : shape.slots;
    return { ...shape, tlsSlots: tls === 0 ? 0 : shape.slots, tlsRecordBytes: tls, dataSlots };
  });

describe('the shared region', () => {
  it('has a place of its own for everything, on whole pages where it is mapped', () => {
    fc.assert(
      fc.property(shapes, (shape) => {
        const layout = layoutRegion(shape);
        const { reactorNum, workerNum } = shape;
        const peers = peerNum(shape);
        const rings = Array.from({ length: reactorNum }, (_, reactor) => [
          ...Array.from({ length: workerNum }, (__, worker) => layout.inbound(reactor, worker)),
          ...Array.from({ length: peers }, (__, peer) => layout.outbound(reactor, peer)),
        ]).flat();
        const plain = expectApart([
          [0, 4096, 'header'],
          [layout.reactorsAt, reactorNum * REACTOR_RECORD_BYTES, 'reactors'],
          [layout.workersAt, processNum(shape) * WORKER_RECORD_BYTES, 'workers'],
          [layout.processesAt, (peers + reactorNum) * PROCESS_RECORD_BYTES, 'processes'],
          [layout.connectionsAt, shape.slots * CONNECTION_RECORD_BYTES, 'connections'],
          [layout.addressesAt, 2 * ADDRESS_COUNTERS * 4, 'addresses'],
          [layout.tlsAt, shape.tlsSlots * shape.tlsRecordBytes, 'TLS'],
          ...rings.map(({ headerAt }, index): Area => [headerAt, RING_HEADER_BYTES, `header of ring ${index}`]),
        ]);
        expect(layout.plainBytes).toBeGreaterThanOrEqual(plain);
        expect(layout.plainBytes - plain).toBeLessThan(PAGE_BYTES);
        const data = expectApart([
          [0, layout.plainBytes, 'all before'],
          ...rings.map(({ dataAt, bytes }, index): Area => [dataAt, bytes, `ring ${index}`]),
        ]);
        expect(layout.messaging.at).toBe(data);
        for (const at of [layout.plainBytes, layout.messaging.at, ...rings.map(({ dataAt }) => dataAt)]) {
          expect(at % PAGE_BYTES).toBe(0);
        }
        const { messaging, rooms, roomCounters, data: records, longData, log } = layout;
        const end = expectApart([
          [0, messaging.endsAt, 'all before'],
          [rooms.at, rooms.bytes, 'rooms'],
          [roomCounters.at, shape.rooms * reactorNum * 4, 'members of rooms'],
          [records.at, shape.dataSlots * DATA_RECORD_BYTES, 'data'],
          [longData.at, shape.dataSlots * 2 * LONG_DATA_BYTES, 'long data'],
          [log.at, shape.logSlots === 0 ? 0 : LOG_HEADER_BYTES + shape.logSlots * LOG_SLOT_BYTES, 'log'],
        ]);
        for (const { at } of [rooms, roomCounters, records, longData, log]) expect(at % PAGE_BYTES).toBe(0);
        expect(layout.totalBytes).toBe(Math.ceil(end / PAGE_BYTES) * PAGE_BYTES);
      }),
    );
  });

  it('has small rings for the manager and the master, and others as they were wished', () => {
    const shape = testShape({ workerNum: 2, taskWorkerNum: 1, ringBytes: 1 << 20 });
    const { inbound, outbound } = layoutRegion(shape);
    expect([inbound(0, 0).bytes, inbound(0, 1).bytes, outbound(0, peerOf(2, 1)).bytes]).toEqual(Array(3).fill(1 << 20));
    expect([peerOfManager(shape), peerOfMaster(shape)].map((peer) => outbound(0, peer).bytes)).toEqual(
      Array(2).fill(SMALL_RING_BYTES),
    );
  });
});

it('peers are one for each lane of each process, then the manager, then the master', () => {
  const shape = testShape({ workerNum: 2, taskWorkerNum: 1, userProcessNum: 1 });
  const all = [0, 1, 2, 3].flatMap((id) => [peerOf(id, 0), peerOf(id, 1)]);
  expect([...all, peerOfManager(shape), peerOfMaster(shape)]).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  expect([processNum(shape), peerNum(shape)]).toEqual([4, 10]);
});

describe('what messages and tasks lie in', () => {
  it('has a place of its own for each peer, queue and slot', () => {
    fc.assert(
      fc.property(shapes, (shape) => {
        const { messaging } = layoutRegion(shape);
        const { peers, slots } = messaging.shape;
        const queues = queueNum(messaging.shape);
        const used = expectApart([
          [0, messaging.peersAt * 4, 'header'],
          [messaging.peersAt * 4, peers * PEER_RECORD_BYTES, 'peers'],
          [messaging.endsAtIndex * 4, queues * peers * QUEUE_INTS * 4, 'queues'],
          [messaging.wordsAt * 4, peers * slots * 4, 'words'],
          [messaging.ticketsAt * 4, peers * slots * 4, 'tickets'],
          [messaging.bitsAt * 4, peers * Math.ceil(slots / 32) * 4, 'bits'],
        ]);
        expect(messaging.entriesAt * 4).toBeGreaterThanOrEqual(used);
        // Entries of tasks that were given up stay until their turn comes.
        expect(messaging.longQueue).toBeGreaterThanOrEqual(slots * 2);
        expect(Math.log2(messaging.longQueue) % 1).toBe(0);
        const entries = peers * messaging.longQueue + (queues - 1) * peers * SHORT_QUEUE;
        expect(messaging.sharedBytes).toBeGreaterThanOrEqual((messaging.entriesAt + entries) * 4);
        expect(messaging.slotBytesPerPeer).toBeGreaterThanOrEqual(slots * SLOT_BYTES);
        expect(messaging.slotsAt).toBe(messaging.at + messaging.sharedBytes);
        expect(messaging.endsAt).toBe(messaging.slotsAt + peers * messaging.slotBytesPerPeer);
      }),
    );
  });
});
