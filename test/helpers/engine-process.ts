/** A server such as Redis in a temporary folder, on a port of loopback that stays the same over restarts. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { DEADLINE_MS } from './deadline.js';
import { engineFolder } from './global-setup.js';

export interface EngineProcess {
  readonly port: number;
  readonly url: string;
  /** Resolves when it is gone (SIGKILL) or stands still (SIGSTOP); after SIGCONT at once. */
  kill(signal: NodeJS.Signals): Promise<void>;
  /** On the same port and folder; resolves when it answers. */
  restart(): Promise<void>;
  /** Ends it and removes its folder. */
  stop(): Promise<void>;
}

export interface EngineProgram {
  readonly program: string;
  readonly scheme: string;
  args(port: number, folder: string): readonly string[];
  /** Sent after connecting; empty: it speaks first. */
  readonly ping: string;
  readonly pong: RegExp;
  /** Where it listens. Default: 127.0.0.1. */
  readonly host?: string;
}

export async function startEngine(engine: EngineProgram): Promise<EngineProcess> {
  const port = await freePort();
  const folder = mkdtempSync(join(tmpdir(), engineFolder()));
  let child = await launch(engine, port, folder);
  const kill = async (signal: NodeJS.Signals) => {
    const ended = isOver(child) ? undefined : once(child, 'exit');
    child.kill(signal);
    if (signal === 'SIGSTOP') await untilStopped(child);
    else if (signal !== 'SIGCONT') await ended;
  };
  return {
    port,
    url: `${engine.scheme}//${engine.host ?? '127.0.0.1'}:${port}`,
    kill,
    restart: async () => {
      await kill('SIGKILL');
      child = await launch(engine, port, folder);
    },
    stop: async () => {
      await kill('SIGKILL');
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function launch(engine: EngineProgram, port: number, folder: string): Promise<ChildProcess> {
  const child = spawn(engine.program, engine.args(port, folder), { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text) => (output += text));
  const begin = performance.now();
  while (!(await answers(engine, port))) {
    if (isOver(child)) throw new Error(`${engine.program} ended:\n${output}`);
    if (performance.now() - begin > DEADLINE_MS) throw new Error(`${engine.program} does not answer:\n${output}`);
    await sleep(10);
  }
  return child;
}

/** The signal stops one thread first, and that one the others: on a busy machine they go on for a while. */
async function untilStopped({ pid }: ChildProcess): Promise<void> {
  const tasks = `/proc/${pid}/task`;
  const isStopped = (task: string) => /\) [Tt] /.test(readFileSync(`${tasks}/${task}/stat`, 'latin1'));
  while (existsSync(tasks) && !readdirSync(tasks).every(isStopped)) await sleep(5);
}

function isOver(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}

function answers({ ping, pong, host = '127.0.0.1' }: EngineProgram, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, host, () => socket.write(ping));
    let received = '';
    socket.setTimeout(1000, () => socket.destroy());
    socket.on('error', () => {});
    socket.on('data', (data) => {
      received += data.toString('latin1');
      if (received.includes('\n')) socket.destroy();
    });
    socket.once('close', () => resolve(pong.test(received)));
  });
}

/** Below the ports that the kernel gives out itself, so that no connection of a test takes it while the engine is away. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 10_000);
    const server = createServer();
    const isFree = await new Promise<boolean>((resolve) => {
      server.once('error', () => resolve(false));
      server.listen(port, '127.0.0.1', () => resolve(true));
    });
    if (!isFree) continue;
    await new Promise((resolve) => server.close(resolve));
    return port;
  }
}
