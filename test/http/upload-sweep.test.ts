import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { OwnedFolder, ownerOf } from '../../src/http/owned-folder.js';
import { holdPlace, knowPlace } from '../../src/http/upload-sweep.js';

let place: string;
beforeEach(() => {
  place = mkdtempSync(join(tmpdir(), 'tswoole-sweep-'));
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(place, { recursive: true });
});

/** The scope in which this process has its pid. */
async function scopeHere(): Promise<string> {
  const folder = OwnedFolder.make(tmpdir());
  const owner = ownerOf(basename(folder.path));
  await folder.remove();
  if (owner === undefined) throw new Error('it has no owner');
  return owner.scope;
}

/** A folder as a process has left it. */
function left(scope: string, pid: number, { in: parent = place, age = 0 } = {}): string {
  const path = join(parent, `tswoole-form-${scope}-${pid}-1-abcdef`);
  mkdirSync(join(path, 'sub'), { recursive: true });
  const then = Date.now() / 1000 - age;
  utimesSync(path, then, then);
  return path;
}

const ELSEWHERE = '01234567';
const DEAD = 2 ** 22 + 1;

describe('a place of forms', () => {
  it('is freed of what processes have left that are gone, and of nothing else', async () => {
    const scope = await scopeHere();
    const gone = left(scope, DEAD);
    const recycled = left(scope, process.pid); // another start
    const oldElsewhere = left(ELSEWHERE, 1, { age: 61 });
    const youngElsewhere = left(ELSEWHERE, 2, { age: 50 });
    const other = join(place, 'tswoole-form-other');
    mkdirSync(other);
    const alive = OwnedFolder.make(place);
    const link = join(place, `tswoole-form-${scope}-${DEAD}-2-abcdef`);
    symlinkSync(other, link);
    knowPlace(place);
    await expect.poll(() => [gone, recycled, oldElsewhere].filter((path) => existsSync(path))).toEqual([]);
    expect([youngElsewhere, other, alive.path, link].map((path) => existsSync(path))).toEqual([true, true, true, true]);
    await alive.remove();
  });

  it('is left alone while a process of another machine holds its lock', async () => {
    const made = OwnedFolder.make(place);
    const path = join(place, `tswoole-form-${ELSEWHERE}-1-1-abcdef`);
    renameSync(made.path, path);
    utimesSync(path, 1, 1);
    const gone = left(ELSEWHERE, 2, { age: 61 });
    knowPlace(place);
    await expect.poll(() => existsSync(gone)).toBe(false);
    expect(existsSync(path)).toBe(true);
    await made.remove();
  });

  it('is looked into once by a process', async () => {
    const scope = await scopeHere();
    const first = left(scope, DEAD);
    knowPlace(place);
    await expect.poll(() => existsSync(first)).toBe(false);
    const second = left(scope, DEAD);
    knowPlace(place);
    knowPlace(join(place, '.'));
    await new Promise(setImmediate);
    expect(existsSync(second)).toBe(true);
  });

  it('may name others, which are freed too', async () => {
    const scope = await scopeHere();
    const elsewhere = mkdtempSync(join(tmpdir(), 'tswoole-sweep-other-'));
    const there = left(scope, DEAD, { in: elsewhere });
    const here = left(scope, DEAD);
    symlinkSync(elsewhere, join(here, '0'));
    symlinkSync(join(elsewhere, 'missing'), join(here, '1'));
    knowPlace(place);
    await expect.poll(() => existsSync(there)).toBe(false);
    expect(existsSync(here)).toBe(false);
    rmSync(elsewhere, { recursive: true });
  });

  it('that is missing is not missed', () => {
    expect(() => knowPlace(join(place, 'missing'))).not.toThrow();
  });
});

describe('a place in use', () => {
  const links = (): string[] =>
    readdirSync(place).flatMap((name) =>
      readdirSync(join(place, name)).map((link) => readlinkSync(join(place, name, link))),
    );

  it('is written down for the successor, as long as files of a form lie there', async () => {
    vi.stubEnv('TMPDIR', place);
    const releases = [holdPlace('/place/a'), holdPlace('/place/a/'), holdPlace('/place/b')];
    expect(links().sort()).toEqual(['/place/a', '/place/b']);
    releases[0]?.();
    releases[2]?.();
    expect(links()).toHaveLength(2);
    releases[1]?.();
    await expect.poll(() => readdirSync(place)).toEqual([]);
    holdPlace('/place/c')();
    await expect.poll(() => readdirSync(place)).toEqual([]);
  });

  it('needs no note where the successor looks anyway', () => {
    vi.stubEnv('TMPDIR', place);
    const release = holdPlace(place);
    expect(readdirSync(place)).toEqual([]);
    release();
  });

  it('goes without a note where none can be made', () => {
    vi.stubEnv('TMPDIR', join(place, 'missing'));
    const release = holdPlace('/place/d');
    expect(existsSync(join(place, 'missing'))).toBe(false);
    release();
  });
});
