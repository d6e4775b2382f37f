/** Threads and processes of an app, in workers that cannot read the package any more. */
import { chmodSync, cpSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it, onTestFinished } from 'vitest';
import { Client } from '../helpers/client.js';
import { endServers, IS_BASE, type ServerProcess, startServer } from '../helpers/server-process.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const isRoot = process.geteuid?.() === 0;
/** Answers with what came of its order. */
const APP = `import { spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';
import { Worker } from 'node:worker_threads';
import { Server } from './dist/index.js';
import { say, options } from './say.js';

const code = 'process.send?.("runs"); require("node:worker_threads").parentPort?.postMessage("runs"); console.log("runs")';
const orders = {
  thread: () => new Promise((resolve) => {
    const thread = new Worker(code, { eval: true, stdout: true });
    thread.once('message', resolve).once('error', ({ message }) => resolve(message.split('\\n')[0]));
  }),
  process: () => text(spawn(process.execPath, [...process.execArgv, '-e', code], { stdio: ['ignore', 'pipe', 'inherit'] }).stdout),
  words: () => JSON.stringify([process.execArgv, process.argv.slice(1), process.mainModule === undefined]),
};
const server = new Server({ port: 0, host: '127.0.0.1', workerNum: 1, reactorNum: 1, ...options });
server.on('receive', async (conn, data) => {
  const answer = await orders[String(data).trim()]();
  conn.send(answer.trim() + '\\n');
});
server.on('start', () => say('up', { port: server.ports[0].port }));
if (server.role === 'manager') process.on('SIGCONT', async () => say('thread', { answer: await orders.thread() }));
await server.start();
`;

/** @returns the folder of a copy of the package, with the app in it */
function copyPackage(): string {
  const folder = mkdtempSync(join(tmpdir(), 'user-threads-'));
  onTestFinished(() => {
    chmodSync(folder, 0o755);
    rmSync(folder, { recursive: true });
  });
  cpSync(join(ROOT, 'dist'), join(folder, 'dist'), { recursive: true });
  cpSync(join(ROOT, 'package.json'), join(folder, 'package.json'));
  cpSync(join(ROOT, 'test/fixtures/say.js'), join(folder, 'say.js'));
  symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
  writeFileSync(join(folder, 'app.js'), APP);
  return folder;
}

async function start(folder: string, options: Record<string, unknown> = {}): Promise<ServerProcess> {
  return startServer('', { args: [join(folder, 'app.js')], options });
}

async function ask({ port }: ServerProcess, order: string): Promise<string> {
  const client = await Client.open(port);
  return client.ask(order);
}

afterEach(endServers);

describe('threads and processes of an app run', () => {
  it('while the package is being replaced', async () => {
    const folder = copyPackage();
    const server = await start(folder);
    renameSync(join(folder, 'dist'), join(folder, 'old'));
    expect(await ask(server, 'thread')).toBe('runs');
    expect(await ask(server, 'process')).toBe('runs');
    if (!IS_BASE) {
      server.signal('SIGCONT', server.manager?.pid);
      expect(await server.waitForEvent('thread')).toMatchObject({ answer: 'runs' });
    }
    renameSync(join(folder, 'old'), join(folder, 'dist'));
  });

  it.skipIf(!isRoot)('in another root', async () => {
    const folder = copyPackage();
    const jail = join(folder, 'dist/dashboard');
    expect(await ask(await start(folder, { chroot: jail }), 'thread')).toBe('runs');
  });

  it.skipIf(!isRoot)('as a user who cannot read the package', async () => {
    const folder = copyPackage();
    chmodSync(folder, 0o700);
    const server = await start(folder, { user: 'nobody' });
    expect(await ask(server, 'thread')).toBe('runs');
    expect(await ask(server, 'process')).toBe('runs');
  });
});

it('an app sees no argument but its own', async () => {
  const folder = copyPackage();
  expect(JSON.parse(await ask(await start(folder), 'words'))).toEqual([[], [join(folder, 'app.js')], true]);
});
