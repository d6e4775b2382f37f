import { afterEach, describe, expect, it } from 'vitest';
import { endServers, type Line, type ServerProcess, startServer } from '../helpers/server-process.js';
import { TcpClient } from '../helpers/tcp-client.js';

afterEach(endServers);

const MIB = 1 << 20;
const places = ['other', 'task', 'user', 'manager', 'master'] as const;
type Place = (typeof places)[number];
type Where = Place | 'worker' | 'task2';

const role = { worker: 'worker', other: 'worker', task: 'task', task2: 'task', user: 'user' } as const;

/** What the fixture calls `pattern`. */
function pattern(length: number, seed = 0): Buffer {
  const bytes = Buffer.alloc(length);
  for (let at = 0; at < length; at++) bytes[at] = (at * 7 + (at >> 8) + seed) & 255;
  return bytes;
}

function start(code = '', options: Record<string, unknown> = {}): Promise<ServerProcess> {
  return startServer('senders.js', { options, env: { MANAGER: code, MASTER: code } });
}

/** Manager and master run the code that the server was started with. */
function order(client: TcpClient, place: Where, code: string): void {
  client.send(`${JSON.stringify({ in: place, code })}\n`);
}

async function ran(server: ServerProcess, place: Where): Promise<Line> {
  const isIt = (line: Line): boolean =>
    (line.event === 'ran' || line.event === 'failed') &&
    (line['role'] === (role as Record<string, string>)[place] || line['role'] === place);
  const line = await server.waitFor('the code to end', () => server.lines.find(isIt));
  expect(line['why']).toBeUndefined();
  return line;
}

describe.each(places)('from the %s process (a worker that does not own it; task worker; …)', (place) => {
  it('several MiB arrive as they were sent, in one piece or in many, again and again', async () => {
    const code = `
      server.send(fd, pattern(3 * ${MIB}, 1));
      await server.drain(fd);
      for (let i = 0; i < 40; i++) if (!server.send(fd, pattern(65536, i))) await server.drain(fd);
      await server.drain(fd);
      server.send(fd, pattern(${2 * MIB}, 2));
      server.send(fd, 'the end');
      return server.send(fd, '') && server.lastError?.code;`;
    const server = await start(code);
    const client = await TcpClient.connect(server.port);
    order(client, place, code);
    expect((await client.read(3 * MIB)).equals(pattern(3 * MIB, 1))).toBe(true);
    for (let i = 0; i < 40; i++) expect((await client.read(65536)).equals(pattern(65536, i))).toBe(true);
    expect((await client.read(2 * MIB)).equals(pattern(2 * MIB, 2))).toBe(true);
    expect((await client.read(7)).toString()).toBe('the end');
    await ran(server, place);
  });

  it('the sender hears that a client does not keep up, waits for it, and loses nothing', async () => {
    const code = `
      const answers = [];
      for (let i = 0; i < 24; i++) {
        const ok = server.send(fd, pattern(${MIB}, i));
        answers.push(ok || server.lastError.code);
        if (i === 15) say('full', { answers });
        if (!ok) await server.drain(fd);
      }
      return answers;`;
    const server = await start(code);
    const client = await TcpClient.connect(server.port);
    client.socket.pause();
    order(client, place, code.replace('if (i === 15)', 'if (i === 0)'));
    await server.waitFor('bytes to wait', () => server.events('full').length > 0 || server.events('up').length > 0);
    client.socket.resume();
    for (let i = 0; i < 24; i++) expect((await client.read(MIB)).equals(pattern(MIB, i))).toBe(true);
    const { value } = await ran(server, place);
    expect(value).toContain('ERR_SEND_BUFFER_FULL');
    expect(new Set(value as unknown[])).toEqual(
      new Set([true, 'ERR_SEND_BUFFER_FULL'].filter((one) => (value as unknown[]).includes(one))),
    );
  });
});
