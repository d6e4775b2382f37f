import { chmodSync, mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import {
  listEntries,
  makeRunDir,
  type RunEntry,
  removeEntry,
  runDirFor,
  writeEntry,
} from '../../src/control/run-dir.js';
import { processStartTime } from '../../src/os/other-process.js';

let folder: string;
let runDir: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'run-dir-'));
  runDir = join(folder, 'run');
});
afterEach(() => rmSync(folder, { recursive: true }));

const entry = (pid: number, processStart = processStartTime(pid) ?? ''): RunEntry => ({
  ...{
    pid,
    processStart,
    name: 'it',
    version: '0',
    mode: 'process',
    startedAt: 1,
    startedAtMonotonic: 1,
    socket: join(runDir, `${pid}.sock`),
  },
  ...{ pidFile: '', logFile: '', isDaemon: false, cwd: '/', command: [], flags: {} },
});

describe('the run directory', () => {
  it('is for this user alone', () => {
    makeRunDir(runDir);
    expect(statSync(runDir).mode & 0o777).toBe(0o700);
    makeRunDir(runDir);
  });

  it.each([
    ['others may write to', () => mkdirSync(runDir, { mode: 0o700 }), () => chmodSync(runDir, 0o777)],
    ['is a file', () => writeFileSync(runDir, ''), () => {}],
    ['is a link to elsewhere', () => symlinkSync('/tmp', runDir), () => {}],
  ])('that %s is refused', (_title, make, change) => {
    make();
    change();
    const refused = expect.objectContaining({ code: 'ERR_RUN_DIR' });
    expect(() => makeRunDir(runDir)).toThrow(refused);
    expect(() => listEntries(runDir)).toThrow(refused);
  });

  it('lists who runs, and forgets who was killed, also when the pid belongs to another process by now', () => {
    makeRunDir(runDir);
    writeEntry(runDir, entry(process.pid));
    writeEntry(runDir, entry(process.ppid, '1'));
    writeEntry(runDir, entry(4_000_000, '5'));
    writeFileSync(join(runDir, '77.json'), '{"half');
    writeFileSync(join(runDir, '78.json'), JSON.stringify({ ...entry(process.pid), socket: undefined }));
    writeFileSync(join(runDir, '79.json'), JSON.stringify({ ...entry(process.pid), pid: String(process.pid) }));
    writeFileSync(join(runDir, 'other.txt'), '');
    expect(listEntries(runDir).map(({ pid }) => pid)).toEqual([process.pid]);
    expect(() => statSync(join(runDir, `${process.ppid}.json`))).toThrow('ENOENT');
    removeEntry(runDir, process.pid);
    expect(listEntries(runDir)).toEqual([]);
    expect(listEntries(join(folder, 'nowhere'))).toEqual([]);
  });

  it('is made with the folders above it', () => {
    makeRunDir(join(runDir, 'a', 'b'));
    expect(statSync(join(runDir, 'a', 'b')).mode & 0o777).toBe(0o700);
  });

  it.each([
    [{ XDG_RUNTIME_DIR: '/run/user/7' }, '/run/user/7/tswoole'],
    [{ XDG_RUNTIME_DIR: '' }, join(tmpdir(), 'tswoole-7')],
    [{}, join(tmpdir(), 'tswoole-7')],
  ])('of a user who is not root is, with %j, %s', (environment, path) => {
    const getuid = vi.spyOn(process, 'getuid').mockReturnValue(7);
    expect([runDirFor('', environment), runDirFor('/chosen', environment)]).toEqual([path, '/chosen']);
    getuid.mockRestore();
  });

  it('is where the user may have one', () => {
    expect(runDirFor('/chosen')).toBe('/chosen');
    if (process.getuid?.() === 0) expect(runDirFor('', {})).toBe('/run/tswoole');
    else expect(runDirFor('', { XDG_RUNTIME_DIR: '/run/user/7' })).toBe('/run/user/7/tswoole');
  });
});
