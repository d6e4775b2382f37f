import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, expect, it } from 'vitest';
import { ownerWord, SharedLock } from '../../src/memory/shared-lock.js';

const lockOf = (int32: Int32Array, thread: number): SharedLock =>
  new SharedLock(int32, { patienceMs: 2, owner: ownerWord(process.pid, thread) });

describe('a lock in shared memory', () => {
  it('has one owner at a time', () => {
    const int32 = new Int32Array(2);
    const [one, two] = [lockOf(int32, 1), lockOf(int32, 2)];
    expect(one.acquire(1)).toBe(true);
    expect([two.acquire(1), two.acquire(0)]).toEqual([false, true]);
    one.release(1);
    expect(two.acquire(1)).toBe(true);
  });

  it('that was seized is not released by its former owner', () => {
    const int32 = new Int32Array(1);
    const [one, two] = [lockOf(int32, 1), lockOf(int32, 2)];
    one.acquire(0);
    two.seize(0);
    one.release(0);
    expect(one.acquire(0)).toBe(false);
    two.release(0);
    expect(one.acquire(0)).toBe(true);
  });

  it('is taken from a process that was killed, not from one that lives', async () => {
    const int32 = new Int32Array(1);
    const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)']);
    await once(child, 'spawn');
    int32[0] = ownerWord(child.pid ?? 0, 0);
    expect(lockOf(int32, 1).acquire(0)).toBe(false);
    child.kill('SIGKILL');
    await once(child, 'exit');
    expect(lockOf(int32, 1).acquire(0)).toBe(true);
  });

  it('names pids as large as Linux has them', () => {
    const word = ownerWord(2 ** 22 - 1, 3);
    expect(word).toBe((2 ** 22 - 1) * 256 + 3);
    expect(ownerWord(1, 256 + 3)).toBe(ownerWord(1, 3));
  });
});
