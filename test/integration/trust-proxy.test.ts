// The option trustProxy through the whole server, in both modes: the client of a request is the one that a proxy names.
import { mkdtempSync, rmSync } from 'node:fs';
import { request as ask } from 'node:http';
import { connect } from 'node:http2';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { HttpClient } from '../helpers/http-client.js';
import { endServers, type ServerProcess } from '../helpers/server-process.js';
import { sharedServers } from '../helpers/shared-servers.js';
import { HandClient } from '../helpers/websocket-client.js';

afterEach(endServers);

type Seen = Readonly<Record<string, unknown>>;
type Fields = Readonly<Record<string, string>>;

const CHAIN = 'x-forwarded-for: 6.6.6.6, 203.0.113.7, 127.0.0.2';

async function see({ port }: { port: number }, ...lines: string[]): Promise<Seen> {
  const client = await HttpClient.connect(port);
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
  const folder = mkdtempSync(join(tmpdir(), 'proxy-'));
  afterAll(() => rmSync(folder, { recursive: true }));
  const shared = sharedServers();
  /** What further ports of a server have, each with its own list. */
  const others = {
    stranger: { trustProxy: ['192.0.2.1'] },
    private: { trustProxy: ['private', 'unix'] },
    nobody: { trustProxy: false },
    two: { trustProxy: 2 },
    pathOfOthers: { trustProxy: ['loopback', 'private'], path: join(folder, 'others.sock') },
    pathOfUnix: { trustProxy: ['unix'], path: join(folder, 'unix.sock') },
  };
  /** Nothing comes back while a test runs. */
  const rateLimit = { perSecond: 0.05, burst: 2 };
  // A path is of one server alone.
  const listens = (APP: string, options: object): object[] =>
    APP === 'request' && Object.keys(options).length === 0 ? Object.values(others) : [others.stranger];

  const start = (APP: string, options: object = {}): Promise<ServerProcess> =>
    shared('clients.js', {
      env: { APP, LISTEN: JSON.stringify(listens(APP, options)) },
      options: { mode, workerNum: 1, reactorNum: 1, trustProxy: 'loopback', ...options },
    });

  function portOf(server: ServerProcess, name: keyof typeof others): { port: number } {
    const ports = server.events('up')[0]?.['ports'] as number[];
    return { port: ports[1 + Object.keys(others).indexOf(name)] ?? 0 };
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
      const names = app === 'request' ? (['stranger', 'private', 'nobody'] as const) : (['stranger'] as const);
      const server = await start(app);
      for (const name of names) {
        const told = ['x-forwarded-proto: https', 'x-forwarded-host: evil.com', 'forwarded: for=6.6.6.6'];
        expect(await see(portOf(server, name), CHAIN, ...told)).toMatchObject({
          remoteAddress: '127.0.0.1',
          url: 'http://test/a?b=c',
        });
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
    expect(await see(portOf(await start('request'), 'two'), line)).toMatchObject({ remoteAddress: '203.0.113.7' });
  });

  it('believes a proxy on a unix socket only where that is named', async () => {
    await start('request');
    const answered = (socketPath: string): Promise<unknown> =>
      new Promise((resolve, reject) => {
        const sent = ask({ socketPath, headers: { 'x-forwarded-for': '203.0.113.7' } }, (answer) => {
          answer.setEncoding('utf8').once('data', (text: string) => resolve(JSON.parse(text).remoteAddress));
        });
        sent.on('error', reject).end();
      });
    expect(await answered(others.pathOfOthers.path)).toBe('');
    expect(await answered(others.pathOfUnix.path)).toBe('203.0.113.7');
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
    const plain = await start('listener', { rateLimit });
    expect(await see(plain, CHAIN)).toMatchObject({ remoteAddress: '127.0.0.1' });
    const express = await start('express');
    const told = ['x-forwarded-proto: https', 'x-forwarded-host: example.com'];
    expect(await see(express, CHAIN, ...told)).toMatchObject({
      ...{ remoteAddress: '203.0.113.7', protocol: 'https', host: 'example.com' },
    });
  });

  describe('rateLimit', () => {
    async function statuses({ port }: { port: number }, lines: readonly string[], address?: string): Promise<number[]> {
      const client = await HttpClient.connect(port, address);
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
      const alone = [1, 2, 3, 4].map((i) => from(`6.6.6.${i}`));
      const found = await statuses(portOf(behind, 'stranger'), alone, '127.0.0.2');
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
