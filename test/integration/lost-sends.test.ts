import { existsSync } from 'node:fs';
import { afterEach, describe, expect, it } from 'vitest';
import { endServers, IS_BASE, poll, type ServerProcess, startServer } from '../helpers/server-process.js';
import { TcpClient } from '../helpers/tcp-client.js';

afterEach(endServers);

type Place = 'worker' | 'other' | 'task' | 'user';
/** In BASE mode a connection ends with its own worker. */
const places: Place[] = [...(IS_BASE ? [] : (['worker'] as const)), 'other', 'task', 'user'];
/** More than the sockets, the reactor's queue and the rings take. */
const LINES = 24_000;
const LINE_BYTES = 1024;

const lineOf = (number: number): string => `${String(number).padStart(8, '0')}${'.'.repeat(LINE_BYTES - 9)}\n`;

function order(client: TcpClient, place: Place, code: string): void {
  client.send(`${JSON.stringify({ in: place, code })}\n`);
}

/** @returns the process that has sent all lines, of which most wait in its memory */
async function pour(server: ServerProcess, client: TcpClient, place: Place): Promise<number> {
  const code = `
    for (let i = 0; i < ${LINES}; i++) {
      server.send(fd, String(i).padStart(8, '0') + '.'.repeat(${LINE_BYTES - 9}) + '\\n');
    }
    say('poured', { sender: process.pid, code: server.lastError.code });`;
  order(client, place, code);
  const { sender, code: error } = await server.waitForEvent('poured', undefined, 20_000);
  expect(error).toBe('ERR_SEND_BUFFER_FULL');
  return sender as number;
}

describe.each(places)('a client for which the %s process holds bytes when it is killed', (place) => {
  it('gets a part of them in order, and then the end: nothing that comes later is taken for the rest', async () => {
    const server = await startServer('senders.js');
    const client = await TcpClient.connect(server.port);
    client.socket.pause();
    const sender = await pour(server, client, place);
    server.signal('SIGKILL', sender);
    const { code } = await server.waitForEvent('close');
    expect(code).toBe('WORKER_DIED');
    client.socket.resume();
    // It is a reset, but libuv shows one as a plain end to who has not been reading.
    await client.closed;
    const whole = Math.floor(client.receivedBytes / LINE_BYTES);
    expect(whole).toBeLessThan(LINES);
    const lines = Array.from({ length: whole }, (_, number) => lineOf(number)).join('');
    expect(client.received.startsWith(lines)).toBe(true);
  });
});

it('a client that has taken everything stands when its sender is killed', async () => {
  const server = await startServer('senders.js');
  const client = await TcpClient.connect(server.port);
  const sender = await pour(server, client, 'task');
  await client.read(LINES * LINE_BYTES);
  server.signal('SIGKILL', sender);
  await server.waitForEvent('workerError');
  order(client, 'other', `server.send(fd, 'still there\\n');`);
  expect((await client.read(12)).toString()).toBe('still there\n');
  await client.close();
});

it('a client for which a worker holds bytes that dies while it hands over to the next one is told so', async () => {
  const server = await startServer('senders.js');
  const client = await TcpClient.connect(server.port);
  client.socket.pause();
  await pour(server, client, 'worker');
  const dies = `
    const { Socket } = process.getBuiltinModule('node:net');
    const { write } = Socket.prototype;
    Socket.prototype.write = function (data, ...rest) {
      if (String(data).includes('"released"')) process.kill(process.pid, 'SIGKILL');
      return write.call(this, data, ...rest);
    };
    say('dies', { pid: process.pid });`;
  order(client, 'worker', dies);
  const { pid } = await server.waitForEvent('dies');
  server.signal('SIGUSR1');
  const { code } = await server.waitForEvent('close');
  expect([code, existsSync(`/proc/${pid}`)]).toEqual(['WORKER_DIED', false]);
  client.socket.resume();
  await client.closed;
  expect(client.receivedBytes).toBeLessThan(LINES * LINE_BYTES);
});

describe('a client for which more processes hold bytes than its record has places', () => {
  const TASK_WORKERS = 10;
  const FIRST_TASK_WORKER = 2;
  const EACH_BYTES = 6_000_000;

  async function start(): Promise<{ server: ServerProcess; client: TcpClient; pids: number[] }> {
    const server = await startServer('senders.js', { options: { taskWorkerNum: TASK_WORKERS, maxWaitMs: 20_000 } });
    const client = await TcpClient.connect(server.port);
    client.socket.pause();
    const code = `
      for (let i = 0; i < 60; i++) server.send(fd, Buffer.alloc(${EACH_BYTES / 60}, 97));
      say('poured', { pid: process.pid, code: server.lastError?.code });`;
    const toAll = `
      for (let i = 0; i < ${TASK_WORKERS}; i++) {
        await server.sendMessage({ code: ${JSON.stringify(code)}, fd }, ${FIRST_TASK_WORKER} + i);
      }`;
    order(client, 'worker', toAll);
    await poll('all hold something', () => server.events('poured').length === TASK_WORKERS, 20_000);
    const poured = server.events('poured');
    expect(poured.map(({ code }) => code)).toEqual(Array(TASK_WORKERS).fill('ERR_SEND_BUFFER_FULL'));
    return { server, client, pids: poured.map(({ pid }) => pid as number) };
  }

  const areGone = (pids: readonly number[]): Promise<unknown> =>
    poll('they have ended', () => pids.every((pid) => !existsSync(`/proc/${pid}`)), 20_000);

  async function goesOn(client: TcpClient): Promise<void> {
    client.socket.resume();
    await client.read(TASK_WORKERS * EACH_BYTES);
    await stands(client);
    await client.close();
  }

  async function stands(client: TcpClient): Promise<void> {
    order(client, 'other', `server.send(fd, 'still there\\n');`);
    expect((await client.read(12)).toString()).toBe('still there\n');
  }

  it('stands when it has taken everything and they end at a reload', async () => {
    const { server, client, pids } = await start();
    client.socket.resume();
    await client.read(TASK_WORKERS * EACH_BYTES);
    server.signal('SIGUSR1');
    await areGone(pids);
    await stands(client);
    await client.close();
  });

  it('stands when they end at a reload that has begun before it has taken everything', async () => {
    const { server, client, pids } = await start();
    server.signal('SIGUSR2');
    await poll('the next ones are there', () => server.events('ready').length >= 2 * TASK_WORKERS, 20_000);
    client.socket.resume();
    await client.read(TASK_WORKERS * EACH_BYTES);
    await areGone(pids);
    await stands(client);
    await client.close();
  });

  it('stands when a process ends meanwhile that holds nothing', async () => {
    const { server, client } = await start();
    order(client, 'other', `say('leaves', { pid: process.pid }); server.stop(server.workerId);`);
    const { pid } = await server.waitForEvent('leaves');
    await areGone([pid as number]);
    await goesOn(client);
  });

  it('ends when one of them is killed', async () => {
    const { server, client, pids } = await start();
    server.signal('SIGKILL', pids.at(-1));
    const { code } = await server.waitForEvent('close');
    expect(code).toBe('WORKER_DIED');
    client.socket.resume();
    await client.closed;
  });
});
