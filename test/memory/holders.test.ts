import { beforeEach, describe, expect, it } from 'vitest';
import { MOST_HOLDERS } from '../../src/memory/connection-record.js';
import { Holders, NOWHERE } from '../../src/memory/holders.js';
import { Region } from '../../src/memory/region.js';
import { testShape } from '../helpers/test-shape.js';

const SLOTS = 64;
const SLOT = 5;
/** Its first connection. */
const FD = SLOTS + SLOT;
/** The next one of that slot. */
const NEXT = FD + SLOTS;
let region: Region;
let holders: Holders;

beforeEach(() => {
  region = Region.create(testShape({ slots: SLOTS, workerNum: 4 }));
  holders = new Holders(region);
  for (let fd = SLOTS; fd < 2 * SLOTS; fd++) holders.clear(fd);
});

const allBut =
  (...dead: number[]) =>
  (pid: number): boolean =>
    !dead.includes(pid);

/** @returns the place of each */
function addAll(fd: number): Map<number, number> {
  const pids = Array.from({ length: MOST_HOLDERS }, (_, index) => index + 1);
  return new Map(pids.map((pid) => [pid, holders.add(fd, pid)]));
}

describe('a process that has died', () => {
  it('is found where it held something, once', () => {
    for (const pid of [100, 200, 300]) holders.add(FD, pid);
    expect(holders.takeDead(SLOT, allBut())).toBe(false);
    expect(holders.takeDead(SLOT, allBut(200))).toBe(true);
    expect(holders.takeDead(SLOT, allBut(200))).toBe(false);
    expect(holders.takeDead(SLOT, allBut(100, 300))).toBe(true);
  });

  it('is not found in other connections, nor where it holds nothing any more', () => {
    const place = holders.add(FD, 100);
    expect(holders.add(FD, 100)).toBe(place);
    expect(holders.takeDead(SLOT - 1, allBut(100))).toBe(false);
    expect(holders.takeDead(SLOT + 1, allBut(100))).toBe(false);
    holders.remove(FD, place, 100);
    expect(holders.takeDead(SLOT, allBut(100))).toBe(false);
  });

  it('is not found in the next connection of the slot, also if it has not heard of that', () => {
    holders.add(FD, 100);
    holders.clear(NEXT);
    expect(holders.add(FD, 100)).toBe(NOWHERE);
    expect(holders.takeDead(SLOT, allBut(100))).toBe(false);
  });
});

it('one that leaves makes place', () => {
  const places = addAll(FD);
  holders.remove(FD, places.get(3) ?? NOWHERE, 3);
  holders.add(FD, 99);
  expect(holders.takeDead(SLOT, allBut())).toBe(false);
  expect(holders.takeDead(SLOT, allBut(99))).toBe(true);
});

it('one that leaves takes nothing from who has its place by now', () => {
  const place = holders.add(FD, 100);
  holders.takeDead(SLOT, allBut(100));
  expect(holders.add(FD, 200)).toBe(place);
  holders.remove(FD, place, 100);
  expect(holders.takeDead(SLOT, allBut(200))).toBe(true);
});

describe('processes that find no place', () => {
  const PEERS = [0, 2, 4] as const;
  const [FIRST, SECOND, IDLE] = PEERS;
  let peers: Record<number, Holders>;
  beforeEach(() => {
    peers = Object.fromEntries(PEERS.map((peer) => [peer, new Holders(region, peer)]));
    addAll(FD);
  });
  const add = (peer: number, fd = FD): number => peers[peer]?.add(fd, 1000 + peer) ?? NOWHERE;
  const remove = (peer: number, place: number, fd = FD): void => peers[peer]?.remove(fd, place, 1000 + peer);
  const isLost = (slot = SLOT): boolean => holders.takeDead(slot, allBut());

  it('are found where one of them held something and has died, once', () => {
    add(FIRST);
    add(SECOND);
    holders.reaped(FIRST);
    expect([isLost(), isLost(), isLost(SLOT + 1)]).toEqual([true, false, false]);
    holders.reaped(SECOND);
    expect([isLost(), isLost()]).toEqual([true, false]);
    holders.reaped(SECOND);
    expect(isLost()).toBe(false);
  });

  it('are not missed when another process ends that was not one of them', () => {
    add(FIRST);
    holders.reaped(IDLE);
    expect(isLost()).toBe(false);
  });

  it('are not missed when they end and held nothing any more, also while others do', () => {
    const [first, second] = [add(FIRST), add(SECOND)];
    remove(FIRST, first);
    holders.reaped(FIRST);
    expect(isLost()).toBe(false);
    remove(SECOND, second);
    holders.reaped(SECOND);
    expect(isLost()).toBe(false);
  });

  it('leave nothing behind for connections for which nobody of them holds anything any more', () => {
    const [first, second] = [add(FIRST), add(SECOND)];
    remove(FIRST, first);
    remove(SECOND, second);
    addAll(FD + 1);
    add(FIRST, FD + 1);
    holders.reaped(FIRST);
    expect([isLost(), isLost(SLOT + 1)]).toEqual([false, true]);
  });

  it('leave nothing behind for the next connection of the slot: neither who died nor who is late', () => {
    add(FIRST);
    const late = add(SECOND);
    holders.reaped(FIRST);
    holders.clear(NEXT);
    expect(isLost()).toBe(false);
    addAll(NEXT);
    add(IDLE, NEXT);
    remove(SECOND, late);
    holders.reaped(SECOND);
    expect(isLost()).toBe(false);
    holders.reaped(IDLE);
    expect(isLost()).toBe(true);
  });

  it('count for no connection that is another one by now', () => {
    holders.clear(NEXT);
    addAll(NEXT);
    expect(add(FIRST)).toBe(NOWHERE);
    add(SECOND, NEXT);
    holders.reaped(FIRST);
    expect(isLost()).toBe(false);
  });

  it('are known apart from those of an earlier use of the slot for all generations that a number can have', () => {
    const far = SLOT + SLOTS * 0x1ffff;
    holders.clear(far);
    addAll(far);
    const place = add(FIRST, far);
    holders.reaped(IDLE);
    expect(isLost()).toBe(false);
    holders.reaped(FIRST);
    expect(isLost()).toBe(true);
    remove(FIRST, place, far);
    expect(isLost()).toBe(false);
  });
});
