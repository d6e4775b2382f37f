/** An example run as its first line says, on a port of its own. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { expect } from 'vitest';

let end: (() => Promise<unknown>) | undefined;
let master = 0;

/** For `afterEach`: an example ends in order. */
export async function endExample(): Promise<void> {
  await end?.();
  end = undefined;
}

/** @returns the port it says it listens on */
export async function startExample(name: string, ...words: string[]): Promise<number> {
  const command = words.length > 0 ? words : [`examples/${name}/server.js`];
  const child = spawn(process.execPath, command, {
    env: { ...process.env, PORT: '0' },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  master = child.pid ?? 0;
  const exited = once(child, 'exit');
  end = async () => {
    child.kill('SIGTERM');
    expect(await exited).toEqual([0, null]);
  };
  const [line] = (await once(createInterface({ input: child.stdout }), 'line')) as [string];
  return Number(/:(\d+)$/.exec(line)?.[1]);
}

/** Reloads the workers of the example. */
export function reloadExample(): void {
  process.kill(master, 'SIGUSR1');
}

/** Pids of the example's processes whose title has this text: `worker`, `process game`. */
export function pidsOfExample(title: string): number[] {
  const { stdout } = spawnSync('ps', ['-eo', 'pid=,ppid=,args='], { encoding: 'utf8' });
  const rows = [...stdout.matchAll(/^ *(\d+) +(\d+) +(.*)$/gm)].map(([, pid, parent, args = '']) => {
    return { pid: Number(pid), parent: Number(parent), args };
  });
  const below = new Set([master]);
  for (const { pid, parent } of rows) if (below.has(parent)) below.add(pid);
  return rows.filter(({ pid, args }) => below.has(pid) && args.includes(`: ${title}`)).map(({ pid }) => pid);
}
