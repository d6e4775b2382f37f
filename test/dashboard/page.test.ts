// What the page of the dashboard computes, without a browser.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { type CpuProfile, layOut, neighbour } from '../../dashboard/src/flame.js';
import { age, bytes, count, duration, percent } from '../../dashboard/src/format.js';
import { mergeState, ratesOf } from '../../dashboard/src/merge.js';
import type { State } from '../../dashboard/src/types.js';

const BUILT = fileURLToPath(new URL('../../dist/dashboard/', import.meta.url));

it('the page is at most 80 KiB, compressed', () => {
  const files = readdirSync(BUILT, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  const sizes = files.map(({ parentPath, name }) => gzipSync(readFileSync(join(parentPath, name))).length);
  const sum = sizes.reduce((a, b) => a + b, 0);
  expect(sum).toBeGreaterThan(10_000);
  expect(sum).toBeLessThanOrEqual(80 * 1024);
});

describe('figures', () => {
  it.each([
    [bytes(0), '0 B'],
    [bytes(1023), '1023 B'],
    [bytes(1536), '1.5 KiB'],
    [bytes(300 * 1024 * 1024), '300 MiB'],
    [count(9999), '9999'],
    [count(12_345), '12.3k'],
    [count(4_560_000), '4.56M'],
    [count(1.25), '1.3'],
    [duration(0), '0'],
    [duration(0.016), '16 µs'],
    [duration(2), '2.0 ms'],
    [duration(450.4), '450 ms'],
    [duration(3200), '3.2 s'],
    [duration(90_000), '1m 30s'],
    [age(45_999), '45s'],
    [age(7_500_000), '2h 5m'],
    [age(4 * 86_400_000 + 3_600_000), '4d 1h'],
    [percent(0.994), '99%'],
  ])('are shown as people read them: %s', (shown, expected) => {
    expect(shown).toBe(expected);
  });
});

describe('the state', () => {
  const of = (at: number, requestCount: number): State =>
    ({ at, workers: [{ id: 0, requestCount }] }) as unknown as State;

  it('keeps what an event does not mention', () => {
    const before = mergeState(null, { at: 1, log: 7, ends: 2 });
    expect(mergeState(before, { at: 2, ends: 3 })).toEqual({ at: 2, log: 7, ends: 3 });
  });

  it('has requests per second of each process, none where a count has fallen', () => {
    expect([...ratesOf(of(1000, 10), of(3000, 50), new Map())]).toEqual([[0, 20]]);
    expect([...ratesOf(of(1000, 50), of(2000, 10), new Map())]).toEqual([[0, 0]]);
    const last = new Map([[0, 9]]);
    expect(ratesOf(null, of(1, 1), last)).toBe(last);
    expect(ratesOf(of(5, 1), of(5, 2), last)).toBe(last);
  });
});

describe('a flame graph', () => {
  const frame = (functionName: string, url = 'file:///app.js') => ({ functionName, url, lineNumber: 4 });
  const profile: CpuProfile = {
    nodes: [
      { id: 1, callFrame: frame('(root)', ''), children: [2, 3, 6] },
      { id: 2, callFrame: frame('(idle)', '') },
      { id: 3, callFrame: frame('serve'), children: [4, 5] },
      { id: 4, callFrame: frame('parse') },
      { id: 5, callFrame: frame('') },
      { id: 6, callFrame: frame('serve'), children: [] },
    ],
    samples: [2, 3, 4, 4, 5, 6],
    timeDeltas: [5000, 100, 300, 300, 200, 100],
  };

  it('has the widest first on each level, below what they were called by, without idle time', () => {
    const frames = layOut(profile);
    expect(frames.map(({ name, depth, from, width }) => [name, depth, from, width])).toEqual([
      ['all', 0, 0, 1],
      ['serve', 1, 0, 1],
      ['parse', 2, 0, 0.6],
      ['(anonymous)', 2, 0.6, 0.2],
    ]);
    expect(frames[1]).toMatchObject({ place: '/app.js:5', totalUs: 1000, selfUs: 200 });
  });

  it('leads from frame to frame by the arrow keys, and stays where there is no other', () => {
    const frames = layOut(profile);
    const walk = (...keys: string[]): string => {
      let at = frames[0];
      for (const key of keys) at = at && neighbour(frames, at, `Arrow${key}`);
      return at?.name ?? '';
    };
    expect(walk('Up')).toBe('all');
    expect(walk('Down')).toBe('serve');
    expect(walk('Down', 'Down')).toBe('parse');
    expect(walk('Down', 'Down', 'Right')).toBe('(anonymous)');
    expect(walk('Down', 'Down', 'Right', 'Right', 'Down')).toBe('(anonymous)');
    expect(walk('Down', 'Down', 'Right', 'Left')).toBe('parse');
    expect(walk('Down', 'Down', 'Right', 'Up', 'Up')).toBe('all');
  });

  it('of a process that did nothing has no frames', () => {
    expect(layOut({ ...profile, samples: [2], timeDeltas: [1000] })).toEqual([]);
    expect(layOut({ nodes: [] })).toEqual([]);
  });
});
