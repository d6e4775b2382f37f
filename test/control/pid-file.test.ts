import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, linkSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { PidFile, pidOfHolder } from '../../src/control/pid-file.js';

let folder: string;
let path: string;
let holders: ChildProcess[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'pid-file-'));
  path = join(folder, 'it.pid');
});

afterEach(async () => {
  for (const child of holders) {
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    await ended;
  }
  holders = [];
  rmSync(folder, { recursive: true });
});

/** Another process that has the lock, and writes its pid so much later. */
async function holder(writesAfterMs: number): Promise<number> {
  const script = `
    import { openSync, writeFileSync } from 'node:fs';
    import { tryLock } from '${new URL('../../build/os/lock.js', import.meta.url).href}';
    if (!tryLock(openSync(${JSON.stringify(path)}, 'a+'))) process.exit(1);
    setTimeout(() => writeFileSync(${JSON.stringify(path)}, process.pid + '\\n'), ${writesAfterMs});
    setInterval(() => {}, 1e6);
    process.stdout.write('locked');`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  holders.push(child);
  await once(child.stdout as NonNullable<typeof child.stdout>, 'data');
  return child.pid as number;
}

describe('a pid file', () => {
  it('that another process has locked a moment ago, and not written to yet, is refused with the pid of that process', async () => {
    const pid = await holder(200);
    expect(() => PidFile.acquire(path)).toThrowError(
      expect.objectContaining({ code: 'ERR_PID_FILE_LOCKED', detail: { path, pid } }),
    );
    expect(pidOfHolder(path)).toBe(pid);
  });

  it('that tells of a server before is not believed until its holder has written', async () => {
    writeFileSync(path, `${await endedPid()}\n`);
    const pid = await holder(200);
    expect(pidOfHolder(path)).toBe(pid);
  });

  it('whose holder never says who it is, is refused all the same', async () => {
    await holder(60_000);
    expect(pidOfHolder(path)).toBe(0);
    expect(() => PidFile.acquire(path)).toThrow(/another process holds it already/);
  });

  it('that is a pipe is not waited for by who asks', () => {
    spawnSync('mkfifo', [path]);
    expect(() => pidOfHolder(path)).toThrow('it is no regular file');
  });

  it('that a killed server has left is taken over, and tells of it', async () => {
    const before = await endedPid();
    writeFileSync(path, `${before}\n`);
    expect(pidOfHolder(path)).toBe(0);
    const file = PidFile.acquire(path);
    expect(file.leftover).toBe(before);
    expect(readFileSync(path, 'utf8')).toBe(`${process.pid}\n`);
    file.remove();
    expect(pidOfHolder(path)).toBe(0);
  });
});

describe('what lies under the name of a pid file', () => {
  const refused = (why: string) => expect.objectContaining({ code: 'ERR_PID_FILE', detail: { path, why } });

  it('is refused where it is another file too, and keeps its content', () => {
    const other = join(folder, 'precious');
    writeFileSync(other, 'content');
    linkSync(other, path);
    expect(() => PidFile.acquire(path)).toThrowError(refused('it has another name too (a hard link)'));
    expect(readFileSync(other, 'utf8')).toBe('content');
  });

  it('is refused where it is no file', () => {
    spawnSync('mkfifo', [path]);
    expect(() => PidFile.acquire(path)).toThrowError(refused('it is no regular file'));
  });

  it('is refused where it cannot be opened, with the reason', () => {
    const inside = join(folder, 'missing', 'it.pid');
    expect(() => PidFile.acquire(inside)).toThrowError(
      expect.objectContaining({
        code: 'ERR_PID_FILE',
        detail: { path: inside, why: expect.stringContaining('ENOENT') },
      }),
    );
  });

  it.each(['', 'x', '-5', '0x10', '1234567890', '12 34', '1'.repeat(40)])('is no pid where it says "%s"', (text) => {
    writeFileSync(path, text);
    expect(PidFile.acquire(path).leftover).toBe(0);
  });

  it.each([
    ['7\n', 7],
    [' 123456789 ', 123_456_789],
  ])('is a pid where it says %j', (text, pid) => {
    writeFileSync(path, text);
    expect(PidFile.acquire(path).leftover).toBe(pid);
  });

  it('stays where it is not ours any more', () => {
    const file = PidFile.acquire(path);
    renameSync(path, join(folder, 'moved'));
    writeFileSync(path, 'of another server');
    file.remove();
    expect(readFileSync(path, 'utf8')).toBe('of another server');
    rmSync(path);
    file.remove();
    const again = PidFile.acquire(path);
    again.remove();
    expect(existsSync(path)).toBe(false);
  });

  it('is readable for all, and long content before is gone', () => {
    writeFileSync(path, 'x'.repeat(1000));
    PidFile.acquire(path);
    expect(readFileSync(path, 'utf8')).toBe(`${process.pid}\n`);
  });
});

async function endedPid(): Promise<number> {
  const child = spawn(process.execPath, ['-e', '']);
  await once(child, 'exit');
  return child.pid as number;
}
