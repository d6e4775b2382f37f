import { describe, expect, it, vi } from 'vitest';
import { AddressCounters } from '../../src/memory/address-counters.js';
import { ReactorBoard, ReactorCounter, WorkerBoard, WorkerField } from '../../src/memory/boards.js';
import { ConnectionTable, SlotFlag, SlotState } from '../../src/memory/connection-table.js';
import { DeadConnections } from '../../src/memory/dead-connections.js';
import { Region } from '../../src/memory/region.js';
import { RoomBoard } from '../../src/memory/room-board.js';
import { AF_INET, AF_UNIX } from '../../src/os/constants.js';
import { testShape } from '../helpers/test-shape.js';

/** 256 × 256 addresses, at some place of a longer buffer. */
function addressOf(index: number, at = 0): Buffer {
  const bytes = Buffer.alloc(at + 20, 0xee);
  bytes.fill(0, at, at + 16);
  bytes.writeUInt32BE(0x0a000000 + index, at);
  return bytes;
}

describe('connections of an address', () => {
  it('are counted up and down, by its 16 bytes wherever they lie', () => {
    const counters = new AddressCounters(Region.create(testShape()));
    expect([counters.add(addressOf(1), 0, 1), counters.add(addressOf(1, 7), 7, 1)]).toEqual([1, 2]);
    expect(counters.add(addressOf(1), 0, -2)).toBe(0);
  });

  it('are those of one address alone, also where only its last byte differs', () => {
    const counters = new AddressCounters(Region.create(testShape()));
    const one = Buffer.alloc(16);
    const other = Buffer.alloc(16);
    other[15] = 1;
    counters.add(one, 0, 5);
    expect(counters.add(other, 0, 1)).toBe(1);
  });

  it('are seldom told too many while thousands are connected, and never too few', () => {
    const counters = new AddressCounters(Region.create(testShape()));
    const told = Array.from({ length: 3000 }, (_, index) => counters.add(addressOf(index), 0, 1));
    expect(Math.min(...told)).toBe(1);
    // Two tables of 65,536 places: one address in some 500 shares a place in both.
    expect(told.filter((count) => count > 1).length).toBeLessThan(30);
  });

  it('do not lie on anything else', () => {
    const region = Region.create(testShape({ slots: 64, tlsSlots: 64, tlsRecordBytes: 768 }));
    const counters = new AddressCounters(region);
    for (let index = 0; index < 20_000; index++) counters.add(addressOf(index), 0, 1);
    const { addressesAt, tlsAt } = region.layout;
    expect(region.bytes.subarray(tlsAt).every((byte) => byte === 0)).toBe(true);
    expect(region.bytes.subarray(addressesAt - 1024, addressesAt).every((byte) => byte === 0)).toBe(true);
  });
});

describe('connections whose process has died', () => {
  const ADDRESS = addressOf(7).subarray(0, 16);

  function world(maxConnectionsPerIp: number) {
    const region = Region.create(testShape({ reactorNum: 2, workerNum: 2, rooms: 4 }));
    const parts = { table: new ConnectionTable(region), reactors: new ReactorBoard(region) };
    const workers = new WorkerBoard(region);
    const addresses = new AddressCounters(region);
    const open = (slot: number, state: SlotState, family = AF_INET): void => {
      const usual = { portIndex: 0, descriptor: 9, address: ADDRESS, remotePort: 1, now: 1 };
      parts.table.open(slot, { ...usual, family, worker: slot % 2, sessionId: parts.table.nextSessionId(slot) });
      parts.table.setState(slot, state);
      workers.addField(slot % 2, WorkerField.connections, 1);
    };
    const rooms = new RoomBoard(region);
    return { ...parts, workers, addresses, rooms, open, dead: new DeadConnections(region, { maxConnectionsPerIp }) };
  }

  it('are counted no more when others see them closed', () => {
    const { table, reactors, workers, addresses, open, dead } = world(10);
    open(1, SlotState.open);
    addresses.add(ADDRESS, 0, 1);
    reactors.addConnections(1, 1);
    const counted: unknown[] = [];
    const closing = vi.spyOn(ConnectionTable.prototype, 'setState').mockImplementation(() => {
      const ofWorker = workers.field(1, WorkerField.connections);
      counted.push([reactors.connections(1), ofWorker, addresses.add(ADDRESS, 0, 0)]);
    });
    dead.reap(1);
    closing.mockRestore();
    expect([table.state(1), counted]).toEqual([SlotState.open, [[0, 0, 0]]]);
  });

  it('are closed, once each, and counted no more; those of other reactors stay', () => {
    const { table, reactors, workers, addresses, open, dead } = world(10);
    open(1, SlotState.open);
    open(3, SlotState.closing);
    open(5, SlotState.closed);
    open(2, SlotState.open);
    addresses.add(ADDRESS, 0, 3);
    reactors.addConnections(1, 2);
    reactors.addConnections(0, 1);
    reactors.setUnderWay(1, 4);
    reactors.set(1, ReactorCounter.buffered, 500);
    dead.reap(1);
    expect([1, 3, 5, 2, 7].map((slot) => table.state(slot))).toEqual([3, 3, 3, SlotState.open, SlotState.free]);
    expect([reactors.connections(1), reactors.underWay(1), reactors.connections(0)]).toEqual([0, 0, 1]);
    expect([ReactorCounter.buffered, ReactorCounter.closed].map((counter) => reactors.read(1, counter))).toEqual([
      0, 2,
    ]);
    expect([0, 1].map((worker) => workers.field(worker, WorkerField.connections))).toEqual([1, 1]);
    expect(addresses.add(ADDRESS, 0, 0)).toBe(1);
    expect([dead.close(1, 1), dead.close(1, 7), dead.close(0, 2)]).toEqual([false, false, true]);
    expect(reactors.read(1, ReactorCounter.closed)).toBe(2);
  });

  it('that were WebSockets have ended without a Close frame, and are in no room', () => {
    const { table, reactors, rooms, open, dead } = world(0);
    for (const slot of [0, 1, 3, 5, 7]) {
      open(slot, SlotState.open);
      if (slot !== 7) table.setFlag(slot, SlotFlag.webSocket, true);
      if (slot !== 7) reactors.add(slot % 2, ReactorCounter.webSockets, 1);
      rooms.join('a', slot % 2);
    }
    const closes = (reactor: number) => reactors.closes(reactor).filter(({ count }) => count > 0);
    dead.close(1, 5);
    expect([reactors.read(1, ReactorCounter.webSockets), closes(1)]).toEqual([2, [{ code: 1006, count: 1 }]]);
    dead.reap(1);
    expect([reactors.read(1, ReactorCounter.webSockets), closes(1)]).toEqual([0, [{ code: 1006, count: 3 }]]);
    expect([reactors.read(0, ReactorCounter.webSockets), closes(0), rooms.size('a')]).toEqual([1, [], 1]);
  });

  it('are not taken from counts that nobody keeps', () => {
    const { addresses, open, dead } = world(0);
    open(1, SlotState.open);
    dead.reap(1);
    expect(addresses.add(ADDRESS, 0, 0)).toBe(0);
  });

  it('have no address where they came by a unix socket', () => {
    const { addresses, open, dead } = world(1);
    open(1, SlotState.open, AF_UNIX);
    dead.reap(1);
    expect(addresses.add(ADDRESS, 0, 0)).toBe(0);
    open(3, SlotState.open);
    dead.reap(1);
    expect(addresses.add(ADDRESS, 0, 0)).toBe(-1);
  });
});
