import { closeSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { endReasons, MAX_PORTS, Region } from '../../src/memory/region.js';
import { createSharedFile } from '../../src/os/memory.js';
import { logLevels } from '../../src/util/log.js';
import { testShape } from '../helpers/test-shape.js';

let region: Region;

beforeEach(() => {
  region = Region.create(testShape({ workerNum: 3 }));
});

afterEach(() => {
  region.accepting = false;
});

describe('a region', () => {
  it('is the same for whoever maps it', () => {
    const shape = { reactorNum: 2, workerNum: 3, taskWorkerNum: 4, userProcessNum: 5, slots: 128, tlsSlots: 128 };
    const made = Region.create({
      ...shape,
      tlsRecordBytes: 768,
      dataSlots: 128,
      rooms: 16,
      ringBytes: 131_072,
      messageSlots: 32,
      logSlots: 8,
    });
    const mapped = Region.open(made.descriptor);
    expect(mapped.shape).toEqual(made.shape);
    expect(mapped.layout.totalBytes).toBe(made.layout.totalBytes);
    made.managerPid = 4711;
    expect(mapped.managerPid).toBe(4711);
    mapped.generation = 12;
    expect(made.generation).toBe(12);
    expect(mapped.unixMs(1000)).toBe(made.unixMs(1000));
  });

  it('keeps its incarnation when the clock is set', () => {
    const { incarnation } = region;
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 60_000 });
    expect(region.startedAt).toBeGreaterThan(Date.now() - 30_000);
    expect(region.incarnation).toBe(incarnation);
    expect(Region.open(region.descriptor).incarnation).toBe(incarnation);
    vi.useRealTimers();
  });

  it('is refused where the descriptor is that of something else', () => {
    const other = createSharedFile('other', 4096);
    expect(() => Region.open(other)).toThrow(`descriptor ${other} holds no tswoole region`);
    closeSync(other);
  });

  it('knows who made it, when, and for how many workers', () => {
    expect(region.masterPid).toBe(process.pid);
    expect(Math.abs(region.startedAt - Date.now())).toBeLessThan(1000);
    expect(region.uptimeMs).toBeGreaterThanOrEqual(0);
    expect(region.uptimeMs).toBeLessThan(1000);
    expect([region.activeWorkerNum, region.seatNum]).toEqual([3, 3]);
  });

  it('has each figure in a place of its own', () => {
    const numbers = ['managerPid', 'reloads', 'reloadsFailed', 'generation', 'activeWorkerNum', 'seatNum'] as const;
    for (const [index, name] of numbers.entries()) region[name] = 100 + index;
    region.accepting = true;
    region.logLevel = 'error';
    region.ports = [9501, 9502, 9503];
    expect(numbers.map((name) => region[name])).toEqual([100, 101, 102, 103, 104, 105]);
    expect([region.accepting, region.logLevel, region.ports]).toEqual([true, 'error', [9501, 9502, 9503]]);
    expect(region.masterPid).toBe(process.pid);
    expect(new Set([region.managerSleepIndex, region.masterSleepIndex]).size).toBe(2);
    region.accepting = false;
    expect(region.accepting).toBe(false);
    region.isUp = true;
    expect([region.isUp, region.accepting, region.isReloading, region.deaths]).toEqual([true, false, false, 0]);
    region.isUp = false;
    expect(region.isUp).toBe(false);
  });

  it('has room for as many ports as there may be, beside everything else', () => {
    const ports = Array.from({ length: MAX_PORTS }, (_, index) => index + 1);
    region.ports = ports;
    expect(region.ports).toEqual(ports);
    expect(Region.open(region.descriptor).shape).toEqual(region.shape);
    region.ports = [7];
    expect(region.ports).toEqual([7]);
  });
});

describe('the log level', () => {
  it('is what the option says until it is changed', () => {
    expect(region.logLevel).toBeUndefined();
  });

  it.each(logLevels)('%s is read as it was set', (level) => {
    region.logLevel = level;
    expect(region.logLevel).toBe(level);
  });
});

describe('what is counted', () => {
  it('begins at 0, and grows by one', () => {
    expect([region.deaths, region.logEpoch, region.reloads]).toEqual([0, 0, 0]);
    for (let i = 0; i < 2; i++) region.countDeath();
    for (let i = 0; i < 3; i++) region.reopenLogs();
    expect([region.deaths, region.logEpoch]).toEqual([2, 3]);
    expect([region.nextRound(), region.nextRound(), region.nextRound()]).toEqual([0, 1, 2]);
  });

  it('of ends is kept by their reason', () => {
    for (const [index, reason] of endReasons.entries()) {
      for (let i = 0; i <= index; i++) region.countEnd(reason);
    }
    expect(endReasons.map((reason) => region.ends(reason))).toEqual(endReasons.map((_, index) => index + 1));
    expect([region.deaths, region.ports]).toEqual([0, []]);
  });
});

it('session affinity, once begun, is seen by all', () => {
  const other = Region.open(region.descriptor);
  expect(other.hasSessionAffinity).toBe(false);
  region.beginSessionAffinity();
  expect(other.hasSessionAffinity).toBe(true);
});

it('the time of day of something that has not happened is 0', () => {
  expect(region.unixMs(0)).toBe(0);
});
