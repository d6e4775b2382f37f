import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { LastingServers } from '../helpers/lasting-servers.js';
import { endServers, IS_BASE, type Line, poll, startServer, whereConnectionsStay } from '../helpers/server-process.js';
import { Since } from '../helpers/shared-servers.js';
import { TcpClient } from '../helpers/tcp-client.js';

const lasting = new LastingServers();
const clients: TcpClient[] = [];
afterEach(async () => {
  for (const client of clients.splice(0)) await client.close();
  await endServers();
});

const MIB = 1 << 20;
type Place = 'worker' | 'other' | 'task' | 'task2' | 'user' | 'manager' | 'master';
/** Where no callback of the connection runs. In BASE mode the manager is the master. */
const places: Place[] = ['other', 'task', 'user', 'master', ...(IS_BASE ? [] : (['manager'] as const))];

/** What the fixture calls `pattern`. */
function pattern(length: number, seed = 0): Buffer {
  const bytes = Buffer.alloc(65536);
  for (let at = 0; at < bytes.length; at++) bytes[at] = (at * 7 + (at >> 8) + seed) & 255;
  return Buffer.alloc(length, bytes);
}

/** The server of all tests, and what it says from now on. */
async function share(): Promise<Since> {
  return new Since(await lasting.share('all', () => startServer('senders.js')));
}

async function connect({ port }: { readonly port: number }): Promise<TcpClient> {
  const client = await TcpClient.connect(port);
  clients.push(client);
  return client;
}

function order(client: TcpClient, place: Place, code: string): void {
  client.send(`${JSON.stringify({ in: place, code })}\n`);
}

/** A client of the test before may end late. */
const closeOf = (fd: unknown, since: Since): Promise<Line> => since.waitForEvent('close', (line) => line['fd'] === fd);

/** How the orders of a test have ended. */
async function ran(since: Since, count = 1): Promise<Line[]> {
  const ended = (): Line[] => [...since.events('ran'), ...since.events('failed')];
  const lines = await since.server.waitFor('the code to end', () => ended().length >= count && ended(), 20_000);
  expect(lines.map(({ why }) => why)).toEqual(lines.map(() => undefined));
  return lines;
}

describe.each(places)('from the %s process, which owns no connection', (place) => {
  it('several MiB arrive as they were sent, in one piece or in many, again and again', async () => {
    const code = `
      server.send(fd, pattern(3 * ${MIB}, 1));
      await server.drain(fd);
      for (let i = 0; i < 40; i++) if (!server.send(fd, pattern(65536, i))) await server.drain(fd);
      await server.drain(fd);
      server.send(fd, pattern(2 * ${MIB}, 2));
      server.send(fd, 'the end');`;
    const server = await share();
    const client = await connect(server);
    order(client, place, code);
    expect((await client.read(3 * MIB)).equals(pattern(3 * MIB, 1))).toBe(true);
    for (let i = 0; i < 40; i++) expect((await client.read(65536)).equals(pattern(65536, i))).toBe(true);
    expect((await client.read(2 * MIB)).equals(pattern(2 * MIB, 2))).toBe(true);
    expect((await client.read(7)).toString()).toBe('the end');
    await ran(server);
  });

  it('hears that a client does not keep up, waits for it, and loses nothing', async () => {
    const code = `
      let sent = 0;
      while (sent < 24) {
        if (server.send(fd, pattern(${MIB}, sent++))) continue;
        say('full', { sent, code: server.lastError.code });
        await server.drain(fd);
      }`;
    const server = await share();
    const client = await connect(server);
    client.socket.pause();
    order(client, place, code);
    const full = await server.waitForEvent('full');
    expect(full).toMatchObject({ code: 'ERR_SEND_BUFFER_FULL' });
    expect(full['sent']).toBeLessThan(24);
    client.socket.resume();
    for (let i = 0; i < 24; i++) expect((await client.read(MIB)).equals(pattern(MIB, i))).toBe(true);
    await ran(server);
  });

  it('closes a client that does not read beyond sendBufferSize, and says so', async () => {
    const code = `
      const codes = [];
      for (let i = 0; i < 40; i++) codes.push(server.send(fd, pattern(${MIB})) || server.lastError.code);
      await server.drain(fd);
      return { codes: [...new Set(codes)], exists: server.exists(fd), later: server.send(fd, 'x') || server.lastError.code };`;
    const server = await share();
    const [, port = 0] = (await server.server.waitForEvent('up'))['ports'] as number[];
    const client = await connect({ port });
    client.socket.pause();
    order(client, place, code);
    const line = (await ran(server))[0] as Line;
    const { codes, exists, later } = line['value'] as Record<string, unknown>;
    expect(codes).toContain('ERR_SESSION_CLOSED');
    expect(codes).not.toContain('ERR_CHANNEL_BROKEN');
    expect(exists).toBe(false);
    expect(later).toMatch(/^ERR_SESSION_/);
    expect(await closeOf(line['fd'], server)).toMatchObject({ code: 'SEND_QUEUE_LIMIT' });
    await client.close();
  });

  it('sends files, binds, protects, pauses and closes in the order in which it was asked', async () => {
    const file = pattern(300_000, 9);
    const code = `
      const did = [server.protect(fd), server.pause(fd), server.resume(fd), server.send(fd, pattern(2 * ${MIB}, 3))];
      did.push(server.sendFile(fd, 'a-file'), server.send(fd, 'behind'));
      const info = server.getClientInfo(fd);
      did.push(server.close(fd), server.exists(fd), server.send(fd, 'x'), server.lastError.code, info.protected);
      return did;`;
    const server = await share();
    writeFileSync(join(server.server.folder, 'a-file'), file);
    const client = await connect(server);
    order(client, place, code);
    expect((await client.read(2 * MIB)).equals(pattern(2 * MIB, 3))).toBe(true);
    expect((await client.read(file.length)).equals(file)).toBe(true);
    expect((await client.read(6)).toString()).toBe('behind');
    await client.closed;
    const line = (await ran(server))[0] as Line;
    const value = line['value'] as unknown[];
    expect(value.slice(0, 3)).toEqual([true, true, true]);
    expect(value.slice(4)).toEqual([true, expect.anything(), true, false, false, 'ERR_SESSION_CLOSED', true]);
    expect(await closeOf(line['fd'], server)).toMatchObject({ code: 'SERVER_CLOSED' });
  });
});

describe('several processes that send to one connection at once', () => {
  it('do not tear each other apart: each send arrives as one piece', async () => {
    const letters: [Place, string][] = [
      ['worker', 'w'],
      ['other', 'o'],
      ['task', 't'],
      ['task2', 'T'],
      ['user', 'u'],
    ];
    const server = await share();
    const client = await connect(server);
    client.socket.pause();
    for (const [place, letter] of letters) {
      const code = `for (let i = 0; i < 4; i++) {
          const ok = server.send(fd, Buffer.alloc(${MIB / 4}, '${letter}'));
          server.send(fd, '${letter.repeat(1000)}');
          if (!ok) await server.drain(fd);
        }`;
      order(client, place, code);
    }
    client.socket.resume();
    const all = (await client.read(5 * 4 * (MIB / 4 + 1000), 25_000)).toString('latin1');
    const pieces = all.match(/(.)\1*/g) ?? [];
    const sizes = new Set(pieces.map((piece) => piece.length % (MIB / 4 + 1000)));
    for (const size of sizes) expect([0, 1000, MIB / 4]).toContain(size);
    for (const [, letter] of letters) expect(all.split(letter).length - 1).toBe(4 * (MIB / 4 + 1000));
    await ran(server, letters.length);
  });

  it('close() of another one waits until a send that has begun is whole', async () => {
    const server = await share();
    const client = await connect(server);
    const code = `server.send(fd, pattern(8 * ${MIB})); server.sendMessage({ code: 'server.close(fd)', fd }, 1);`;
    order(client, 'task', code);
    expect((await client.read(8 * MIB)).equals(pattern(8 * MIB))).toBe(true);
    await client.closed;
    await ran(server, 2);
  });
});

describe('a process that dies in the middle of a send', () => {
  it.each(['task', 'user', 'other'] as const)(
    '(%s) costs that connection, and its successor can send',
    async (place) => {
      const server = await share();
      const torn = await connect(server);
      torn.socket.pause();
      order(
        torn,
        place,
        `say('begins', { fd }); server.send(fd, pattern(64 * ${MIB})); await sleep(100); process.kill(process.pid, 'SIGKILL')`,
      );
      const { fd } = await server.waitForEvent('begins');
      expect(await closeOf(fd, server)).toMatchObject({ code: 'WORKER_DIED' });
      torn.socket.resume();
      await torn.closed;
      const dead = (await server.waitForEvent('workerError'))['info'] as { workerId: number };
      await server.waitForEvent('ready', ({ id }) => id === dead.workerId);
      const whole = await connect(server);
      for (let i = 0; i < 3; i++) {
        order(whole, place, `server.send(fd, pattern(${2 * MIB}, ${i})); await server.drain(fd);`);
        expect((await whole.read(2 * MIB, 20_000)).equals(pattern(2 * MIB, i))).toBe(true);
      }
      await ran(server, 3);
    },
  );

  it('one that dies between two sends costs nothing', async () => {
    const server = await share();
    const client = await connect(server);
    const code = `server.send(fd, pattern(${MIB})); await server.drain(fd); process.kill(process.pid, 'SIGKILL')`;
    for (let deaths = 1; deaths <= 2; deaths++) {
      order(client, 'task', code);
      expect((await client.read(MIB)).equals(pattern(MIB))).toBe(true);
      await server.server.waitFor(
        'its successor',
        () => server.events('ready').filter(({ id }) => id === 2).length >= deaths,
      );
    }
    order(client, 'task', `server.send(fd, 'still here')`);
    expect((await client.read(10)).toString()).toBe('still here');
    await ran(server);
  });
});

describe('the owner of the connection', () => {
  whereConnectionsStay('may be replaced while others send to it', async () => {
    const server = await share();
    const client = await connect(server);
    client.socket.pause();
    const code = `for (let i = 0; i < 16; i++) if (!server.send(fd, pattern(${MIB}, i))) await server.drain(fd);`;
    order(client, 'user', 'server.reload({ tasksOnly: false })');
    order(client, 'task', code);
    client.socket.resume();
    for (let i = 0; i < 16; i++) expect((await client.read(MIB, 20_000)).equals(pattern(MIB, i))).toBe(true);
    await server.waitForEvent('afterReload');
  });

  it.runIf(IS_BASE)('has died: senders hear it by a code of its own, and its connections count no more', async () => {
    const code = `
      const owner = server.workers[server.getClientInfo(fd).workerId];
      const before = server.connections.size;
      process.kill(owner.pid, 'SIGKILL');
      while (server.exists(fd)) await sleep(1);
      const sent = server.send(fd, 'x') || server.lastError.code;
      const { connectionNum } = server.stats();
      return { sent, before, after: server.connections.size, listed: [...server.connections].length, connectionNum };`;
    const server = new Since(await startServer('senders.js', { env: { SLOW_RESTART: '1500' } }));
    const client = await connect(server);
    order(client, 'user', code);
    const line = (await ran(server))[0] as Line;
    expect(line['value']).toEqual({ sent: 'ERR_CHANNEL_BROKEN', before: 1, after: 0, listed: 0, connectionNum: 0 });
    expect(await server.waitForEvent('close')).toMatchObject({ code: 'WORKER_DIED' });
    await poll('the client to see it', () => client.end !== undefined);
    expect(server.events('close')).toHaveLength(1);
  });
});
