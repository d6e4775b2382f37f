/** An example run as its first line says, on a port of its own. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { expect } from 'vitest';

const ends: (() => Promise<unknown>)[] = [];
let master = 0;

/** For `afterEach`: an example ends in order. */
export async function endExample(): Promise<void> {
  await Promise.all(ends.splice(0).map((end) => end()));
}

/** @returns the port it says it listens on */
export function startExample(name: string, ...words: string[]): Promise<number> {
  return start(words.length > 0 ? words : [`examples/${name}/server.js`], {});
}

/** One of several at once, each with its own environment. @returns as `startExample` */
export function startExampleWith(env: Readonly<Record<string, string>>, name: string): Promise<number> {
  return start([`examples/${name}/server.js`], env);
}

async function start(command: readonly string[], env: Readonly<Record<string, string>>): Promise<number> {
  const child = spawn(process.execPath, command, {
    env: { ...process.env, PORT: '0', ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  master = child.pid ?? 0;
  const exited = once(child, 'exit');
  ends.push(async () => {
    child.kill('SIGTERM');
    expect(await exited).toEqual([0, null]);
  });
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
