import { beforeEach, describe, expect, it } from 'vitest';
import { MOST_HOLDERS } from '../../src/memory/connection-record.js';
import { Holders } from '../../src/memory/holders.js';
import { Region } from '../../src/memory/region.js';
import { testShape } from '../helpers/test-shape.js';

const SLOT = 5;
let holders: Holders;

beforeEach(() => {
  holders = new Holders(Region.create(testShape({ slots: 64 })));
});

const allBut =
  (...dead: number[]) =>
  (pid: number): boolean =>
    !dead.includes(pid);

describe('a process that has died', () => {
  it('is found where it held something, once', () => {
    for (const pid of [100, 200, 300]) holders.add(SLOT, pid);
    expect(holders.takeDead(SLOT, allBut())).toBe(false);
    expect(holders.takeDead(SLOT, allBut(200))).toBe(true);
    expect(holders.takeDead(SLOT, allBut(200))).toBe(false);
    expect(holders.takeDead(SLOT, allBut(100, 300))).toBe(true);
  });

  it('is not found in other connections, nor where it holds nothing any more', () => {
    holders.add(SLOT, 100);
    holders.add(SLOT, 100);
    expect(holders.takeDead(SLOT - 1, allBut(100))).toBe(false);
    expect(holders.takeDead(SLOT + 1, allBut(100))).toBe(false);
    holders.remove(SLOT, 100);
    expect(holders.takeDead(SLOT, allBut(100))).toBe(false);
  });

  it('is not found in the next connection of the slot', () => {
    holders.add(SLOT, 100);
    holders.clear(SLOT);
    expect(holders.takeDead(SLOT, allBut(100))).toBe(false);
  });
});

it('one more than there is place for makes each death count', () => {
  for (let pid = 1; pid <= MOST_HOLDERS; pid++) holders.add(SLOT, pid);
  expect(holders.takeDead(SLOT, allBut(99))).toBe(false);
  holders.add(SLOT, 99);
  for (let pid = 1; pid <= 99; pid++) holders.remove(SLOT, pid);
  expect(holders.takeDead(SLOT, allBut())).toBe(true);
  holders.clear(SLOT);
  expect(holders.takeDead(SLOT, allBut())).toBe(false);
});

it('one that leaves makes place', () => {
  for (let pid = 1; pid <= MOST_HOLDERS; pid++) holders.add(SLOT, pid);
  holders.remove(SLOT, 3);
  holders.add(SLOT, 99);
  expect(holders.takeDead(SLOT, allBut())).toBe(false);
  expect(holders.takeDead(SLOT, allBut(99))).toBe(true);
});
