import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { addHistograms, BUCKETS, bucketBounds, ProcessRecord, quantile } from '../../src/memory/process-board.js';
import { Region } from '../../src/memory/region.js';
import { monotonicMs } from '../../src/util/clock.js';
import { testShape } from '../helpers/test-shape.js';

const region = Region.create(testShape({ workerNum: 2, ringBytes: 65536 }));

describe('a histogram', () => {
  it('has each duration in the first bucket whose bound it does not exceed', () => {
    const record = ProcessRecord.ofPeer(region, 0);
    fc.assert(
      fc.property(fc.double({ min: 0, max: 200, noNaN: true }), (seconds) => {
        const before = record.callbacks.counts;
        record.callbackTook(seconds * 1000);
        const bucket = record.callbacks.counts.findIndex((count, index) => count !== before[index]);
        const microseconds = Math.ceil(seconds * 1e6);
        const expected = bucketBounds.findIndex((bound) => microseconds <= Math.round(bound * 1e6));
        expect(bucket).toBe(expected < 0 ? BUCKETS - 1 : expected);
      }),
    );
  });

  it('adds up, and tells quantiles by their bound', () => {
    const record = ProcessRecord.ofPeer(region, 1);
    for (let i = 0; i < 98; i++) record.callbackTook(0.01);
    record.callbackTook(3);
    record.callbackTook(900);
    expect(record.callbacks.seconds).toBeCloseTo(0.90398);
    expect(quantile(record.callbacks, 0.5)).toBe(0.000016);
    expect(quantile(record.callbacks, 0.99)).toBe(0.004096);
    expect(quantile(addHistograms([record.callbacks, record.callbacks]), 1)).toBe(1.048576);
    expect(quantile(ProcessRecord.ofPeer(region, 2).callbacks, 0.99)).toBe(0);
  });
});

describe('a record', () => {
  it('has a place of its own for each peer and each reactor', () => {
    const all = [0, 1, 2, 3, 4, 5].map((peer) => ProcessRecord.ofPeer(region, peer));
    all.push(ProcessRecord.ofReactor(region, 0));
    all.forEach((record, index) => {
      record.seenAt = index + 1;
      record.stack = `stack ${index}`;
      record.loopRan(30, 10);
    });
    expect(all.map(({ seenAt }) => seenAt)).toEqual([1, 2, 3, 4, 5, 6, 7]);
    expect(all.map(({ stack }) => stack)).toEqual([0, 1, 2, 3, 4, 5, 6].map((index) => `stack ${index}`));
    (all[3] as ProcessRecord).seenAt = monotonicMs();
    expect(all[3]?.loopUtilisation).toBe(0.75);
    (all[3] as ProcessRecord).seenAt = monotonicMs() - 3000;
    expect(all[3]?.loopUtilisation).toBe(1);
  });

  it('cuts a stack that is too long', () => {
    const record = ProcessRecord.ofPeer(region, 0);
    record.stack = 'é'.repeat(10_000);
    expect(record.stack.length).toBeGreaterThan(1000);
    expect(record.stack).toMatch(/^é+$/);
    expect(ProcessRecord.ofPeer(region, 1).stack).toBe('stack 1');
  });
});
