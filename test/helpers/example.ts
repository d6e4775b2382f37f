/** An example run as its first line says, on a port of its own. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { expect } from 'vitest';

let end: (() => Promise<unknown>) | undefined;

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
  const exited = once(child, 'exit');
  end = async () => {
    child.kill('SIGTERM');
    expect(await exited).toEqual([0, null]);
  };
  const [line] = (await once(createInterface({ input: child.stdout }), 'line')) as [string];
  return Number(/:(\d+)$/.exec(line)?.[1]);
}
