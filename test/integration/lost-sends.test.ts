import { afterEach, describe, expect, it } from 'vitest';
import { endServers, IS_BASE, type ServerProcess, startServer } from '../helpers/server-process.js';
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
