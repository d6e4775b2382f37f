import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { clientOfEach } from '../helpers/client-of-each.js';
import { endServers, whereConnectionsStay } from '../helpers/server-process.js';
import { Since, sharedServers } from '../helpers/shared-servers.js';
import { TcpClient } from '../helpers/tcp-client.js';

const MIB = 2 ** 20;
/** Of some megabytes, which only reading tells. */
const LONG = '/proc/kallsyms';
let folder: string;
let large: string;
let small: string;
const content = randomBytes(40 * MIB);

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'tswoole-files-'));
  large = join(folder, 'large');
  small = join(folder, 'small');
  writeFileSync(large, content);
  writeFileSync(small, content.subarray(0, 1000));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));
afterEach(endServers);

const shared = sharedServers();
/** One for each backend. Each test waits for the last close of its clients. */
const start = async (options: object = {}): Promise<Since> =>
  new Since(await shared('files.js', { options: { workerNum: 2, reactorNum: 1, maxWaitMs: 10_000, ...options } }));

async function closeAll(server: Since, ...clients: TcpClient[]): Promise<void> {
  await Promise.all(clients.map((client) => client.close()));
  await server.waitForEvents('close', clients.length);
}

describe.each(['auto', 'poll'])('sendFile with the %s backend', (reactorBackend) => {
  it('sends whole files and parts of them, in order with what else is sent', async () => {
    const server = await start(reactorBackend === 'auto' ? {} : { reactorBackend });
    const client = await TcpClient.connect(server.port);
    client.send(`file ${large}\n`);
    expect((await client.read(content.length, 20_000)).equals(content)).toBe(true);
    client.send(`file ${large} 12345678 3000001\n`);
    expect((await client.read(3_000_001)).equals(content.subarray(12_345_678, 15_345_679))).toBe(true);
    client.send(`file ${large} ${content.length - 5}\n`);
    expect((await client.read(5)).equals(content.subarray(-5))).toBe(true);
    client.send(`twice ${small}\n`);
    const piece = content.subarray(0, 1000);
    const all = Buffer.concat([Buffer.from('head\n'), piece, Buffer.from('middle\n'), piece, Buffer.from('tail\n')]);
    expect((await client.read(all.length)).equals(all)).toBe(true);
    client.send(`close ${large}\n`);
    expect((await client.read(content.length, 20_000)).equals(content)).toBe(true);
    await client.closed;
    expect(await server.waitForEvent('close')).toMatchObject({ reason: { code: 'SERVER_CLOSED' } });
  });

  it('serves others while a client that reads slowly gets a large one', async () => {
    const server = await start(reactorBackend === 'auto' ? {} : { reactorBackend });
    const [slow, other] = (await TcpClient.connectMany(server.port, 2)) as [TcpClient, TcpClient];
    slow.socket.pause();
    slow.send(`file ${large}\n`);
    for (let i = 0; i < 20; i++) expect(await other.ask(`text ${i}`)).toBe(String(i));
    slow.socket.resume();
    expect((await slow.read(content.length, 20_000)).equals(content)).toBe(true);
    await closeAll(server, slow, other);
  });
});

describe('sendFile', () => {
  it('works for a connection of another worker', async () => {
    const server = await start();
    let opened = 0;
    const clients = await clientOfEach(2, () => {
      opened++;
      return TcpClient.connect(server.port);
    });
    const [one, other] = clients as [TcpClient, TcpClient];
    expect(await other.ask(`of ${await one.ask('fd')} ${small}`)).toBe('true');
    expect((await one.read(1000)).equals(content.subarray(0, 1000))).toBe(true);
    await Promise.all(clients.map((client) => client.close()));
    await server.waitForEvents('close', opened);
  });

  it.each([
    ['that is not there', '/nonexistent', 'ERR_FILE'],
    ['that is a folder', '/tmp', 'ERR_FILE'],
    ['with an offset behind its end', '{small} 1001', 'ERR_FILE_RANGE'],
    ['with a length beyond its end', '{small} 900 101', 'ERR_FILE_RANGE'],
    ['with a negative offset', '{small} -1', 'ERR_FILE_RANGE'],
    ['with a length that is no number', '{small} 0 x', 'ERR_FILE_RANGE'],
  ])('refuses a file %s and says why; the connection stays', async (_, words, code) => {
    const server = await start();
    const client = await TcpClient.connect(server.port);
    expect(await client.ask(`file ${words.replace('{small}', small)}`)).toBe(code);
    expect(await client.ask('text on')).toBe('on');
    await closeAll(server, client);
  });

  it.skipIf(process.platform !== 'linux')('sends what a file has that stat calls empty', async () => {
    const server = await start();
    const client = await TcpClient.connect(server.port);
    expect(await client.ask('file /proc/version')).toBe(readFileSync('/proc/version', 'utf8').trimEnd());
    expect((await client.send('file /proc/version 6 7\n').read(7)).toString()).toBe('version');
    expect(await client.ask('file /proc/version 0 100000')).toBe('ERR_FILE_RANGE');
    if (existsSync(LONG)) expect(await client.ask(`file ${LONG}`)).toBe('ERR_FILE');
    expect(await client.ask('text on')).toBe('on');
    await closeAll(server, client);
  });

  it('refuses a pipe and a device at once', async () => {
    const server = await start();
    const pipe = join(folder, 'pipe');
    execFileSync('mkfifo', [pipe]);
    const client = await TcpClient.connect(server.port);
    for (const path of [pipe, '/dev/null', '/dev/zero']) expect(await client.ask(`file ${path}`)).toBe('ERR_FILE');
    await closeAll(server, client);
  });

  it('ends the connection with the reason when the file becomes shorter meanwhile', async () => {
    const server = await start();
    const shrinking = join(folder, 'shrinking');
    writeFileSync(shrinking, content);
    const client = await TcpClient.connect(server.port);
    client.socket.on('error', () => {});
    client.send(`file ${shrinking}\n`);
    await client.read(1);
    client.socket.pause();
    truncateSync(shrinking, 20 * MIB);
    const other = await TcpClient.connect(server.port);
    client.socket.resume();
    await client.closed;
    expect(await server.waitForEvent('close')).toMatchObject({ reason: { code: 'FILE_FAILED', initiator: 'error' } });
    expect(client.receivedBytes).toBeLessThanOrEqual(20 * MIB);
    expect(await other.ask('text b')).toBe('b');
    await other.close();
    await server.waitForEvents('close', 2);
  });

  whereConnectionsStay('goes on over a reload', async () => {
    const server = await start();
    const client = await TcpClient.connect(server.port);
    client.socket.pause();
    client.send(`twice ${large}\n`);
    const other = await TcpClient.connect(server.port);
    expect(await other.ask('text a')).toBe('a');
    server.server.signal('SIGUSR1');
    await server.waitForEvent('afterReload');
    client.socket.resume();
    const all = Buffer.concat([
      Buffer.from('head\n'),
      content,
      Buffer.from('middle\n'),
      content,
      Buffer.from('tail\n'),
    ]);
    expect((await client.read(all.length, 20_000)).equals(all)).toBe(true);
    await closeAll(server, client, other);
  });
});
