import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DEADLINE_MS } from './deadline.js';

const BINARY = '/usr/bin/redis-server';

/** Why tests that need it are skipped, if they are. */
export const noRedis = existsSync(BINARY) ? undefined : `${BINARY} is not there: apt install redis-server`;

export interface RedisProcess {
  readonly port: number;
  readonly url: string;
  /** Resolves once the process has ended, or at once for a signal that ends nothing. */
  kill(signal: NodeJS.Signals): Promise<void>;
  /** Same port, same folder. Resolves when it answers, all of its data loaded. */
  restart(): Promise<void>;
  stop(): Promise<void>;
}

/** A Redis of its own, with nothing saved but, with `appendOnly`, its log: synced each second, as Redis does by default. */
export async function startRedis({
  appendOnly = false,
  args = [],
}: {
  appendOnly?: boolean;
  args?: readonly string[];
} = {}): Promise<RedisProcess> {
  const folder = mkdtempSync(join(tmpdir(), 'tswoole-redis-'));
  const port = await freePort();
  const log = ['--appendonly', appendOnly ? 'yes' : 'no', '--appendfsync', 'everysec'];
  const all = ['--port', `${port}`, '--bind', '127.0.0.1', '--save', '', '--dir', folder, ...log, ...args];
  let server = await spawnRedis(port, all);
  return {
    port,
    url: `redis://127.0.0.1:${port}`,
    kill: (signal) => end(server, signal),
    restart: async () => {
      await end(server, 'SIGKILL');
      server = await spawnRedis(port, all);
    },
    stop: async () => {
      await end(server, 'SIGKILL');
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function spawnRedis(port: number, args: readonly string[]): Promise<ChildProcess> {
  const server = spawn(BINARY, args, { stdio: 'ignore' });
  const until = Date.now() + DEADLINE_MS;
  while (!(await answers(port))) {
    if (server.exitCode !== null || Date.now() > until) throw new Error(`redis-server on port ${port} did not start`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  return server;
}

/** Whoever gets PONG, or is asked for a password, has a server that has loaded its data. */
function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket: Socket = connect(port, '127.0.0.1');
    const settle = (is: boolean) => {
      socket.destroy();
      resolve(is);
    };
    socket.on('error', () => settle(false));
    socket.on('data', (data) => settle(/^(\+PONG|-NOAUTH)/.test(`${data}`)));
    socket.write('PING\r\n');
  });
}

async function end(server: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (server.exitCode !== null || server.signalCode !== null) return;
  const ended = new Promise((resolve) => server.once('exit', resolve));
  server.kill(signal);
  if (signal === 'SIGSTOP' || signal === 'SIGCONT') return;
  await ended;
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}
