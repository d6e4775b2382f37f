// The option trustProxy through the whole server, in both modes: the client of a request is the one that a proxy names.
import { mkdtempSync, rmSync } from 'node:fs';
import { request as ask } from 'node:http';
import { connect } from 'node:http2';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { HttpClient } from '../helpers/http-client.js';
import { endServers, type ServerProcess, startServer } from '../helpers/server-process.js';
import { sharedServers } from '../helpers/shared-servers.js';
import { HandClient } from '../helpers/websocket-client.js';

afterEach(endServers);

type Seen = Readonly<Record<string, unknown>>;
type Fields = Readonly<Record<string, string>>;

const CHAIN = 'x-forwarded-for: 6.6.6.6, 203.0.113.7, 127.0.0.2';

async function see(server: ServerProcess, ...lines: string[]): Promise<Seen> {
  const client = await HttpClient.connect(server.port);
  const { body } = await client.get('/a?b=c', ...lines);
  await client.close();
  return JSON.parse(body) as Seen;
}

/** Each request on a stream of one connection. */
async function seeByHttp2(server: ServerProcess, ...requests: Fields[]): Promise<Seen[]> {
  const session = connect(`http://127.0.0.1:${server.port}`);
  const answers = requests.map(
    (fields) =>
      new Promise<Seen>((resolve, reject) => {
        const stream = session.request({ ':path': '/a?b=c', ...fields });
        let text = '';
        stream.setEncoding('utf8').on('data', (piece: string) => {
          text += piece;
        });
        stream.on('end', () => resolve(JSON.parse(text) as Seen)).on('error', reject);
      }),
  );
  try {
    return await Promise.all(answers);
  } finally {
    session.close();
  }
}

describe.each(['process', 'base'])('trustProxy in %s mode', (mode) => {
  const shared = sharedServers();
  const shape = mode === 'base' ? { workerNum: 2 } : { workerNum: 2, reactorNum: 2 };
  const given = (APP: string, options: object) => ({
    env: { APP },
    options: { mode, ...shape, trustProxy: 'loopback', ...options },
  });

  const start = (APP: string, options: object = {}): Promise<ServerProcess> =>
    shared('clients.js', given(APP, options));

  /** One that ends when it was used. */
  async function withServer<T>(APP: string, options: object, use: (server: ServerProcess) => Promise<T>): Promise<T> {
    const server = await startServer('clients.js', given(APP, options));
    const result = await use(server);
    await server.stop();
    return result;
  }

  describe.each(['request', 'fetch'])('for a %s handler', (app) => {
    it('names the client of a trusted peer, its protocol and host', async () => {
      const server = await start(app);
      const told = ['x-forwarded-proto: https', 'x-forwarded-host: example.com'];
      expect(await see(server, CHAIN, ...told)).toMatchObject({
        ...{ remoteAddress: '203.0.113.7', remotePort: 0, url: 'https://example.com/a?b=c' },
        ...(app === 'request' ? { isEncrypted: true } : { socket: '203.0.113.7' }),
      });
      expect(await see(server, 'forwarded: for="[2001:db8::7]:4711";proto=https;host=example.com')).toMatchObject({
        ...{ remoteAddress: '2001:db8::7', remotePort: 4711, url: 'https://example.com/a?b=c' },
      });
      expect(await see(server)).toMatchObject({ remoteAddress: '127.0.0.1', url: 'http://test/a?b=c' });
      expect(await see(server, 'x-forwarded-for: 203.0.113.7, garbage')).toMatchObject({ remoteAddress: '127.0.0.1' });
      expect(await see(server, `x-forwarded-for: 203.0.113.7${','.repeat(10_000)}`)).toMatchObject({
        remoteAddress: '127.0.0.1',
      });
    });

    it('believes no peer that is not trusted', async () => {
      // The list is read in one place for all handlers: its forms are tried with one of them.
      const lists = app === 'request' ? [['192.0.2.1'], ['private', 'unix'], false] : [['192.0.2.1']];
      for (const trustProxy of lists) {
        const told = ['x-forwarded-proto: https', 'x-forwarded-host: evil.com', 'forwarded: for=6.6.6.6'];
        const seen = await withServer(app, { trustProxy }, (server) => see(server, CHAIN, ...told));
        expect(seen).toMatchObject({ remoteAddress: '127.0.0.1', url: 'http://test/a?b=c' });
      }
    });

    it('belongs to the request, not to the connection', async () => {
      const server = await start(app);
      const client = await HttpClient.connect(server.port);
      const seen: Seen[] = [];
      for (const line of ['x-forwarded-for: 203.0.113.1', 'x-forwarded-for: 203.0.113.2', 'x-other: 1']) {
        seen.push(JSON.parse((await client.get('/', line)).body) as Seen);
      }
      expect(seen.map(({ remoteAddress }) => remoteAddress)).toEqual(['203.0.113.1', '203.0.113.2', '127.0.0.1']);
      expect(new Set(seen.map(({ fd }) => fd)).size).toBe(1);
      await client.close();
    });

    it('holds for each stream of HTTP/2', async () => {
      const server = await start(app);
      const seen = await seeByHttp2(
        server,
        { 'x-forwarded-for': '6.6.6.6, 203.0.113.1', 'x-forwarded-proto': 'https', 'x-forwarded-host': 'example.com' },
        { forwarded: 'for=203.0.113.2' },
        {},
      );
      expect(seen).toMatchObject([
        { remoteAddress: '203.0.113.1', url: 'https://example.com/a?b=c' },
        { remoteAddress: '203.0.113.2' },
        { remoteAddress: '127.0.0.1', url: `http://127.0.0.1:${server.port}/a?b=c` },
      ]);
    });
  });

  it('counts proxies, where it is a number', async () => {
    const line = 'x-forwarded-for: 6.6.6.6, 203.0.113.7, 198.51.100.1';
    const seen = await withServer('request', { trustProxy: 2 }, (server) => see(server, line));
    expect(seen).toMatchObject({ remoteAddress: '203.0.113.7' });
  });

  it('believes a proxy on a unix socket only where that is named', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'proxy-'));
    const path = join(folder, 'http.sock');
    const seen: unknown[] = [];
    for (const trustProxy of [['loopback', 'private'], ['unix']]) {
      const answered = (): Promise<unknown> =>
        new Promise((resolve, reject) => {
          const sent = ask({ socketPath: path, headers: { 'x-forwarded-for': '203.0.113.7' } }, (answer) => {
            answer.setEncoding('utf8').once('data', (text: string) => resolve(JSON.parse(text).remoteAddress));
          });
          sent.on('error', reject).end();
        });
      seen.push(await withServer('request', { path, trustProxy }, answered));
    }
    rmSync(folder, { recursive: true });
    expect(seen).toEqual(['', '203.0.113.7']);
  });

  it('names the client of a WebSocket in its handshake and in open', async () => {
    const server = await start('websocket', { allowedOrigins: 'same' });
    const fields = {
      'x-forwarded-for': '203.0.113.7',
      'x-forwarded-host': 'example.com',
      origin: 'http://example.com',
    };
    const client = await HandClient.connect(server.port);
    expect((await client.ask({ fields })).headers['x-client']).toBe('203.0.113.7');
    expect(JSON.parse((await client.message()).slice(1))).toMatchObject({ remoteAddress: '203.0.113.7' });
    const other = await HandClient.connect(server.port);
    expect((await other.ask({ fields: { ...fields, 'x-forwarded-host': undefined } })).status).toBe(403);
  });

  it('leaves the socket of a Node app alone, whose framework has its own trust in proxies', async () => {
    const plain = await start('listener');
    expect(await see(plain, CHAIN)).toMatchObject({ remoteAddress: '127.0.0.1' });
    const express = await start('express');
    const told = ['x-forwarded-proto: https', 'x-forwarded-host: example.com'];
    expect(await see(express, CHAIN, ...told)).toMatchObject({
      ...{ remoteAddress: '203.0.113.7', protocol: 'https', host: 'example.com' },
    });
  });

  describe('rateLimit', () => {
    /** Nothing comes back while a test runs. */
    const rateLimit = { perSecond: 0.05, burst: 2 };

    async function statuses(server: ServerProcess, lines: readonly string[]): Promise<number[]> {
      const client = await HttpClient.connect(server.port);
      const found: number[] = [];
      for (const line of lines) found.push((await client.get('/', line)).status);
      await client.close();
      return found;
    }

    const from = (address: string): string => `x-forwarded-for: ${address}`;

    it('counts the clients that a proxy names', async () => {
      const server = await start('request', { rateLimit });
      const one = from('203.0.113.1');
      const two = from('203.0.113.2');
      expect(await statuses(server, [one, two, one, two, one, two])).toEqual([200, 200, 200, 200, 429, 429]);
      expect(await statuses(server, ['x: 1', 'x: 1', 'x: 1'])).toEqual([200, 200, 429]);
    });

    it('is not deceived by what a client invents, trusted or not', async () => {
      const behind = await start('request', { rateLimit });
      const invented = [1, 2, 3, 4].map((i) => from(`6.6.6.${i}, 203.0.113.3`));
      expect(await statuses(behind, invented)).toEqual([200, 200, 429, 429]);
      const direct = { rateLimit, trustProxy: ['192.0.2.1'] };
      const alone = [1, 2, 3, 4].map((i) => from(`6.6.6.${i}`));
      const found = await withServer('request', direct, (server) => statuses(server, alone));
      expect(found).toEqual([200, 200, 429, 429]);
    });

    it.each(['fetch', 'listener'])('counts them in HTTP/2 too, together with those of HTTP/1: %s', async (app) => {
      const server = await start(app, { rateLimit });
      expect(await statuses(server, [from('203.0.113.1')])).toEqual([200]);
      const session = connect(`http://127.0.0.1:${server.port}`);
      const found: unknown[] = [];
      for (const address of ['203.0.113.1', '203.0.113.1', '203.0.113.2', '6.6.6.6, 203.0.113.1']) {
        const stream = session.request({ 'x-forwarded-for': address }).resume();
        found.push(await new Promise((resolve) => stream.on('response', (fields) => resolve(fields[':status']))));
      }
      session.close();
      expect(found).toEqual([200, 429, 200, 429]);
    });
  });
});
