import { appendFileSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { LogRotator } from '../../src/master/log-rotator.js';
import type { ResolvedLogRotation } from '../../src/options/index.js';
import { Log } from '../../src/util/log.js';

let folder: string;
let path: string;
let reopened: number;
let rotator: LogRotator | undefined;
let lines: string[];

beforeEach(() => {
  vi.useFakeTimers({ now: new Date(2026, 10, 24, 22, 59, 30) });
  folder = mkdtempSync(join(tmpdir(), 'rotator-'));
  path = join(folder, 'it.log');
  [reopened, lines] = [0, []];
});

afterEach(() => {
  rotator?.stop();
  vi.useRealTimers();
  rmSync(folder, { recursive: true });
});

function start(rotation: Partial<ResolvedLogRotation>): void {
  const log = new Log({ role: 'master', level: 'debug', write: (line) => lines.push(line) });
  rotator = new LogRotator(path, { every: 'never', sizeBytes: 0, keep: 7, ...rotation }, () => reopened++, log);
  rotator.start();
}

const minutes = (count: number): void => void vi.advanceTimersByTime(count * 60_000);
const files = (): string[] => readdirSync(folder).sort();

describe('a log file', () => {
  it.each([
    ['hourly', 1, 'it.log.20261124-22'],
    ['daily', 61, 'it.log.20261124'],
  ] as const)('is put aside %s, with the time it is of', (every, after, name) => {
    start({ every });
    writeFileSync(path, 'old\n');
    vi.advanceTimersByTime(10_000);
    expect(files()).toEqual(['it.log']);
    minutes(after);
    expect(files()).toEqual([name]);
    expect(readFileSync(join(folder, name), 'utf8')).toBe('old\n');
    expect(reopened).toBe(1);
    minutes(10);
    expect(reopened).toBe(1);
  });

  it('of which so many are kept, loses the oldest first, and nothing of another name', () => {
    writeFileSync(join(folder, 'it.log.gz'), '');
    start({ every: 'hourly', keep: 2 });
    for (let hour = 0; hour < 4; hour++) {
      writeFileSync(path, `${hour}\n`);
      minutes(60);
    }
    expect(files()).toEqual(['it.log.20261125-00', 'it.log.20261125-01', 'it.log.gz']);
  });

  it('is put aside when it has its size, twice in the same second under two names', () => {
    start({ sizeBytes: 100 });
    appendFileSync(path, 'x'.repeat(99));
    vi.advanceTimersByTime(1000);
    expect(reopened).toBe(0);
    appendFileSync(path, 'x');
    writeFileSync(`${path}.20261124-225932`, 'of somebody else');
    vi.advanceTimersByTime(1000);
    expect(files()).toEqual(['it.log.20261124-225932', 'it.log.20261124-225932.1']);
  });

  it('that cannot be put aside is told once', () => {
    start({ sizeBytes: 100 });
    vi.advanceTimersByTime(5000); // it is not there
    expect(lines.filter((line) => line.includes('could not be rotated'))).toHaveLength(1);
    expect(existsSync(path)).toBe(false);
  });
});
