import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { summaryOf } from '../../src/cli/profile-summary.js';

const folder = mkdtempSync(join(tmpdir(), 'profile-'));
afterAll(() => rmSync(folder, { recursive: true }));

type Frame = readonly [name: string, url: string, line: number];

/** Each frame with the µs of its samples. */
function profile(...frames: readonly (readonly [Frame, readonly number[]])[]): string {
  const path = join(folder, 'it.cpuprofile');
  const nodes = frames.map(([[functionName, url, lineNumber]], i) => ({
    ...{ id: i + 1, callFrame: { functionName, url, lineNumber } },
  }));
  const samples = frames.flatMap(([, times], i) => times.map(() => i + 1));
  writeFileSync(path, JSON.stringify({ nodes, samples, timeDeltas: frames.flatMap(([, times]) => times) }));
  return path;
}

describe('the summary of a CPU profile', () => {
  it('says how busy the process was, and with which functions, the longest first', () => {
    const path = profile(
      [
        ['(idle)', '', -1],
        [400_000, 100_000],
      ],
      [['(program)', '', -1], [60_000]],
      [
        ['render', `file://${folder}/views/page.js`, 11],
        [200_000, 100_000],
      ],
      [['', 'node:net', 8], [40_000]],
      [['(garbage collector)', '', -1], [100_000]],
    );
    expect(summaryOf(path, folder)).toEqual([
      '50.0 % of 1.0 s busy, with:',
      ' 30.0 %  render (views/page.js:12)',
      ' 10.0 %  collection of garbage',
      '  6.0 %  native code and system calls',
      '  4.0 %  (anonymous) (node:net:9)',
    ]);
  });

  it('adds up what stands in several places of the tree, and leaves out what is little', () => {
    const render: Frame = ['render', '/srv/views.js', 2];
    const path = profile([render, [300]], [render, [300]], [['rare', '/srv/views.js', 9], [2]]);
    expect(summaryOf(path, folder)).toEqual(['100.0 % of 0.0 s busy, with:', ' 99.7 %  render (/srv/views.js:3)']);
  });

  it('has at most eight functions', () => {
    const many = Array.from({ length: 20 }, (_, i): [Frame, number[]] => [[`f${i}`, '/a.js', i], [1000 + i]]);
    const lines = summaryOf(profile(...many), folder);
    expect(lines).toHaveLength(9);
    expect(lines[1]).toContain('f19 ');
  });

  it('of one that did nothing is a line', () => {
    expect(summaryOf(profile([['(idle)', '', -1], [1_000_000]]), folder)).toEqual(['0.0 % of 1.0 s busy']);
  });

  it('is empty where the file cannot be read, or is none', () => {
    expect(summaryOf(join(folder, 'nothing'))).toEqual([]);
    const path = join(folder, 'other');
    for (const text of ['no JSON', '{}', '{"nodes":[],"samples":[],"timeDeltas":[]}']) {
      writeFileSync(path, text);
      expect(summaryOf(path)).toEqual([]);
    }
  });
});
