import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { afterEach, expect, it } from 'vitest';
import { isRunning } from '../../src/os/other-process.js';
import { hasServerDied } from '../../src/server/cluster-end.js';
import { eventually } from '../helpers/eventually.js';

const children: ChildProcess[] = [];
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
});

function start(program: string, ...args: string[]): ChildProcess {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  children.push(child);
  return child;
}

it('a server whose master and parent live has not died', async () => {
  const { pid = 0 } = start('sleep', '60');
  expect([isRunning(pid), await hasServerDied(pid, process.ppid)]).toEqual([true, false]);
});

it('a server has died whose master has, or whose parent is another one by now', async () => {
  const child = start('sleep', '60');
  child.kill('SIGKILL');
  await once(child, 'exit');
  expect([isRunning(child.pid ?? 0), await hasServerDied(child.pid ?? 0, process.ppid)]).toEqual([false, true]);
  expect(await hasServerDied(process.pid, process.ppid + 1)).toBe(true);
});

it.skipIf(process.platform !== 'linux')(
  'a process that has died counts as dead before its parent reaps it',
  async () => {
    const parent = start('sh', '-c', 'sleep 0 & echo $!; exec sleep 60');
    const [line] = (await once(parent.stdout!, 'data')) as [Buffer];
    await eventually(() => expect(isRunning(Number(line))).toBe(false));
    expect(() => process.kill(Number(line), 0)).not.toThrow();
    expect(await hasServerDied(Number(line), process.ppid)).toBe(true);
  },
);
