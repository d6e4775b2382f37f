import {
  appendFileSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
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

  it('that was last written in an earlier hour is put aside at once, an empty one is not', () => {
    writeFileSync(path, 'of yesterday');
    const at = new Date(2026, 10, 23, 7, 5, 9);
    utimesSync(path, at, at);
    start({ every: 'hourly' });
    vi.advanceTimersByTime(1000);
    expect([files(), reopened]).toEqual([['it.log.20261123-07'], 1]);
    rotator?.stop();
    writeFileSync(path, '');
    utimesSync(path, at, at);
    start({ every: 'hourly' });
    vi.advanceTimersByTime(1000);
    expect([files(), reopened]).toEqual([['it.log', 'it.log.20261123-07'], 1]);
  });

  it('that is not there when its hour is over leaves none', () => {
    start({ every: 'hourly' });
    minutes(60);
    expect([files(), reopened]).toEqual([[], 1]);
  });

  it('keeps the later names where files are of the same time, and those of every kind of name', () => {
    const at = new Date(2026, 10, 1);
    const names = ['20261101', '20261101-05', '20261101-050607', '20261101-050607.1', '20261102'];
    for (const name of names) {
      writeFileSync(`${path}.${name}`, '');
      utimesSync(`${path}.${name}`, at, at);
    }
    for (const name of ['2026', '20261101-5', '20261101-050', '20261101.x', 'gz']) writeFileSync(`${path}.${name}`, '');
    start({ every: 'hourly', keep: 3 });
    writeFileSync(path, 'new');
    minutes(60);
    expect(files().filter((file) => /\.2026\d{4}(-\d{2}(\d{4})?)?(\.\d)?$/.test(file))).toEqual([
      ...['it.log.20261101-050607.1', 'it.log.20261102', 'it.log.20261124-22'],
    ]);
    expect(files()).toEqual(expect.arrayContaining(['it.log.2026', 'it.log.20261101-5', 'it.log.gz']));
  });

  it('that is put aside leaves a line in the new one, and no timer when it is stopped', () => {
    start({ every: 'hourly' });
    writeFileSync(path, 'old');
    minutes(60);
    expect(lines).toEqual([expect.stringContaining('the log file was rotated')]);
    rotator?.stop();
    expect(vi.getTimerCount()).toBe(0);
  });

  it('that cannot be put aside is told again when it was possible in between', () => {
    start({ sizeBytes: 100 });
    vi.advanceTimersByTime(2000); // it is not there
    writeFileSync(path, 'x');
    vi.advanceTimersByTime(1000);
    rmSync(path);
    vi.advanceTimersByTime(2000);
    expect(lines.filter((line) => line.includes('could not be rotated'))).toHaveLength(2);
  });

  it('that cannot be put aside is told once', () => {
    start({ sizeBytes: 100 });
    vi.advanceTimersByTime(5000); // it is not there
    expect(lines.filter((line) => line.includes('could not be rotated'))).toHaveLength(1);
    expect(existsSync(path)).toBe(false);
  });
});
