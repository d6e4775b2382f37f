import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { reapAdopted } from '../../src/master/adopted.js';
import { isLinux } from '../../src/os/libc.js';
import { becomeSubreaper } from '../../src/os/process.js';
import { eventually } from '../helpers/eventually.js';

const before = process.listeners('SIGCHLD');
beforeEach(() => {
  becomeSubreaper();
  reapAdopted();
});
afterEach(() => {
  for (const listener of process.listeners('SIGCHLD')) {
    if (!before.includes(listener)) process.removeListener('SIGCHLD', listener);
  }
});

describe.runIf(isLinux)('a process whose parent has died', () => {
  /** @returns its pid; its parent, a shell, is gone */
  const orphan = async (seconds: number): Promise<number> => {
    const shell = spawn('sh', ['-c', `sleep ${seconds} >/dev/null 2>&1 & echo $!`]);
    const [pid] = (await once(shell.stdout, 'data')) as [Buffer];
    await once(shell, 'close');
    return Number(pid);
  };

  it('does not stay as a zombie when it ends', async () => {
    const pid = await orphan(0.2);
    expect(existsSync(`/proc/${pid}`)).toBe(true);
    await eventually(() => expect(existsSync(`/proc/${pid}`)).toBe(false));
  });

  it('takes nothing from the children that Node has started: their exit codes come', async () => {
    const pids = await Promise.all([orphan(0.05), orphan(0.1)]);
    const codes = await Promise.all(
      [3, 0, 7].map((code) => once(spawn('sh', ['-c', `sleep 0.1; exit ${code}`]), 'exit')),
    );
    expect(codes.map(([code]) => code as number)).toEqual([3, 0, 7]);
    await eventually(() => expect(pids.some((pid) => existsSync(`/proc/${pid}`))).toBe(false));
  });
});
