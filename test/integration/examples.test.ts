import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { afterEach, expect, it } from 'vitest';
import { TcpClient } from '../helpers/tcp-client.js';

let end: (() => Promise<unknown>) | undefined;
afterEach(() => end?.());

/** @returns the port it says it listens on */
async function startExample(name: string): Promise<number> {
  const child = spawn(process.execPath, [`examples/${name}/server.js`], {
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

it('examples/passwords hashes and verifies in task workers', async () => {
  const client = await TcpClient.connect(await startExample('passwords'));
  const hash = await client.ask('hash secret');
  expect(hash).toMatch(/^[\w-]+\.[\w-]+$/);
  expect(await client.ask(`verify ${hash} secret`)).toBe('true');
  expect(await client.ask(`verify ${hash} wrong`)).toBe('false');
  expect(await client.ask('verify nonsense secret')).toBe('false');
  expect(await client.ask('nonsense')).toContain('hash PASSWORD');
  expect(JSON.parse(await client.ask('stats'))).toMatchObject({ submitted: 4, done: 4 });
});

it('examples/echo gives back what it gets', async () => {
  const client = await TcpClient.connect(await startExample('echo'));
  await client.echo('hello');
});
