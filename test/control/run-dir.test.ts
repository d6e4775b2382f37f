import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
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

  it('may hold what is no note: nothing of it is taken, and nobody waits for it', () => {
    makeRunDir(runDir);
    writeEntry(runDir, entry(process.pid));
    const put = (pid: number, text: string): void => writeFileSync(join(runDir, `${pid}.json`), text);
    for (const name of ['61.json', '62.sock']) spawnSync('mkfifo', [join(runDir, name)]);
    mkdirSync(join(runDir, '63.json'));
    writeFileSync(join(folder, 'note'), JSON.stringify(entry(process.ppid)));
    symlinkSync(join(folder, 'note'), join(runDir, `${process.ppid}.json`));
    symlinkSync('/dev/zero', join(runDir, '64.json'));
    symlinkSync(join(folder, 'nowhere'), join(runDir, '65.json'));
    writeFileSync(join(runDir, '66.json'), '');
    truncateSync(join(runDir, '66.json'), 2 ** 34); // larger than a string may be
    put(67, 'null');
    put(68, '[]');
    expect(listEntries(runDir).map(({ pid }) => pid)).toEqual([process.pid]);
  });

  it.each<[what: string, more: object]>([
    ['the pid of another one', { pid: process.pid }],
    ['no start of its process, which none has that is gone', { processStart: undefined }],
    ['a port in the place of its socket', { socket: '80' }],
    ['the socket of another server', { socket: join('/run', `${process.pid}.sock`) }],
    ['no command', { command: undefined }],
    ['a command that is no list of words', { command: [1] }],
    ['no flags', { flags: null }],
    ['flags that are no texts', { flags: { port: 80 } }],
    ['a name that is none', { name: {} }],
    ['a time that is none', { startedAtMonotonic: '1' }],
  ])('takes no note with %s, and lets the others be', (_, more) => {
    makeRunDir(runDir);
    writeEntry(runDir, entry(process.pid));
    writeFileSync(join(runDir, `${process.ppid}.json`), JSON.stringify({ ...entry(process.ppid), ...more }));
    expect(listEntries(runDir).map(({ pid }) => pid)).toEqual([process.pid]);
  });

  it('keeps the note of a server that a stale one of another name is about', () => {
    makeRunDir(runDir);
    writeEntry(runDir, entry(process.pid));
    writeFileSync(join(runDir, '61.json'), JSON.stringify(entry(process.pid, '1')));
    expect(listEntries(runDir).map(({ pid }) => pid)).toEqual([process.pid]);
    expect(listEntries(runDir)).toHaveLength(1);
  });

  it.skipIf(process.geteuid?.() === 0)('that may not be read is a reason', () => {
    makeRunDir(runDir);
    chmodSync(runDir, 0o300);
    expect(() => listEntries(runDir)).toThrow(
      expect.objectContaining({
        code: 'ERR_RUN_DIR',
        detail: { path: runDir, why: expect.stringContaining('EACCES') },
      }),
    );
    chmodSync(runDir, 0o700);
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
