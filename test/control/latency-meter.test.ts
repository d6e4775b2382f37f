import { beforeEach, expect, it } from 'vitest';
import { LatencyMeter } from '../../src/control/latency-meter.js';
import { readWorkers } from '../../src/control/stats.js';
import { peerOf } from '../../src/memory/layout.js';
import { ProcessRecord } from '../../src/memory/process-board.js';
import { Region } from '../../src/memory/region.js';
import { monotonicMs } from '../../src/util/clock.js';
import { testShape } from '../helpers/test-shape.js';

let region: Region;
let meter: LatencyMeter;
const NONE = { latencyP50: 0, latencyP99: 0, latencyMax: 0 };

/** Two workers, the task worker 2. */
beforeEach(() => {
  region = Region.create(testShape({ workerNum: 2, taskWorkerNum: 1 }));
  region.activeWorkerNum = region.seatNum = 2;
  meter = new LatencyMeter(region);
});

function took(id: number, ms: number, lane = 0): void {
  for (let i = 0; i < 99; i++) ProcessRecord.ofPeer(region, peerOf(id, lane)).callbackTook(ms);
}

it('tells of a worker that has become slow, whatever was before', () => {
  took(0, 0.01);
  took(0, 0.01);
  for (let second = 0; second < 11; second++) meter.sample();
  took(0, 1000);
  expect(meter.of(0).latencyP50).toBeGreaterThan(0.5);
  expect(readWorkers(region)[0]?.latencyP50).toBeLessThan(0.001); // since the start
});

it('forgets after ten samples', () => {
  meter.sample();
  took(0, 1000);
  for (let second = 1; second < 10; second++) meter.sample();
  expect(meter.of(0).latencyP99).toBeGreaterThan(0.5);
  meter.sample();
  expect(meter.of(0)).toEqual(NONE);
});

it('counts both processes of an id', () => {
  meter.sample();
  took(0, 0.01);
  took(0, 1000, 1);
  expect(meter.of(0).latencyP50).toBeLessThan(0.001);
  expect(meter.of(0).latencyP99).toBeGreaterThan(0.5);
});

it('tells of all workers together, without task workers', () => {
  meter.sample();
  took(0, 0.01);
  took(2, 10_000);
  expect(meter.ofWorkers().latencyP99).toBeLessThan(0.001);
  took(1, 1000);
  expect(meter.ofWorkers().latencyP99).toBeGreaterThan(0.5);
  expect(meter.of(2).latencyP50).toBeGreaterThan(5);
});

it('tells of one that was slow among many', () => {
  meter.sample();
  for (let i = 0; i < 10; i++) took(0, 0.01);
  ProcessRecord.ofPeer(region, peerOf(0, 0)).callbackTook(300);
  const { latencyP99, latencyMax } = meter.of(0);
  expect(latencyP99).toBeLessThan(0.001);
  expect(latencyMax).toBeGreaterThanOrEqual(0.3);
  expect(latencyMax).toBeLessThan(0.6);
  expect(readWorkers(region)[0]?.latencyMax).toBe(latencyMax);
});

it('tells the longest exactly where its second is known', () => {
  meter.sample();
  const record = ProcessRecord.ofPeer(region, peerOf(0, 0));
  const other = ProcessRecord.ofPeer(region, peerOf(1, 1));
  record.seenAt = other.seenAt = monotonicMs();
  for (const ms of [3, 300, 12]) record.callbackTook(ms);
  other.callbackTook(70);
  expect([meter.of(0).latencyMax, meter.of(1).latencyMax, meter.ofWorkers().latencyMax]).toEqual([0.3, 0.07, 0.3]);
  expect(meter.of(1)).toEqual({ latencyP50: 0.07, latencyP99: 0.07, latencyMax: 0.07 }); // not above the longest
  for (let second = 0; second < 10; second++) meter.sample();
  record.callbackTook(5); // that of 300 ms is no more among the samples
  expect(meter.of(0).latencyMax).toBeLessThan(0.009);
});

it('takes what there is before the first sample', () => {
  expect(meter.ofWorkers()).toEqual(NONE);
  took(0, 1000);
  expect(meter.of(0).latencyP50).toBeGreaterThan(0.5);
});
