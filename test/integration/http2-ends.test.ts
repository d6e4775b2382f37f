/** Streams of HTTP/2 that end in good order: answered before their body has come, or while their worker leaves. */

import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, describe, expect, it } from 'vitest';
import { END_STREAM, Frame, RawHttp2Client } from '../helpers/http2-client.js';
import { endServers, type ServerProcess, startServer } from '../helpers/server-process.js';
import { sharedServers } from '../helpers/shared-servers.js';

const MIB = 2 ** 20;

afterEach(endServers);

const shared = sharedServers();
const startShared = (app: string): Promise<ServerProcess> => shared('answers-http2.js', { env: { APP: app } });
const start = (app: string, options: Record<string, unknown> = {}): Promise<ServerProcess> =>
  startServer('answers-http2.js', { env: { APP: app }, options });

describe('an answer that comes before the body', () => {
  const KIB64 = 65_535;
  const upload = (client: RawHttp2Client, length: number): number =>
    client.request('/', 'PUT', { ends: false, fields: { 'content-length': String(length) } });
  const sendData = (client: RawHttp2Client, stream: number, bytes: number): void => {
    for (let left = bytes; left > 0; left -= 16_384)
      client.send(Frame.data, 0, stream, Buffer.alloc(Math.min(left, 16_384)));
  };
  const granted = (client: RawHttp2Client, stream: number): number =>
    client.of(stream, Frame.windowUpdate).reduce((sum, { payload }) => sum + payload.readUInt32BE(), 0);
  const hasEnded = (client: RawHttp2Client, stream: number): boolean =>
    client.of(stream, Frame.data).some(({ flags }) => (flags & END_STREAM) !== 0);

  it.each(['request', 'fetch', 'listener'])(
    'by %s: the body is taken, and the last byte of a success waits for it',
    async (app) => {
      const client = await RawHttp2Client.connect((await startShared(app)).port);
      const stream = upload(client, KIB64 + 1);
      expect(await client.status(stream)).toBe(200);
      sendData(client, stream, KIB64);
      await client.until('room for the rest', () => granted(client, stream) > 0 && granted(client, 0) > 0);
      expect([hasEnded(client, stream), client.dataBytes(stream), client.resetCode(stream)]).toEqual([
        false,
        0,
        undefined,
      ]);
      client.send(Frame.data, END_STREAM, stream, Buffer.alloc(1));
      await client.until('the end of the answer', () => hasEnded(client, stream));
      expect([client.dataBytes(stream) > 0, client.resetCode(stream)]).toEqual([true, undefined]);
      await client.close();
    },
  );

  it('is whole before RST_STREAM with NO_ERROR, and the window of the connection is given back for what comes behind', async () => {
    const client = await RawHttp2Client.connect((await startShared('request')).port);
    const streams = [upload(client, MIB), upload(client, MIB), upload(client, MIB)];
    for (const stream of streams) {
      const before = granted(client, 0);
      const begun = performance.now();
      expect(await client.reset(stream)).toBe(0);
      expect(performance.now() - begun).toBeLessThan(10_000);
      const kinds = client.frames.filter((frame) => frame.stream === stream).map(({ type }) => type);
      expect([hasEnded(client, stream), kinds.at(-1)]).toEqual([true, Frame.rstStream]);
      sendData(client, stream, KIB64 - 1024); // it has not seen the end yet
      await client.until('the window', () => granted(client, 0) > before);
    }
    const next = client.request('/');
    expect(await client.status(next)).toBe(200);
    await client.close();
  });

  it('reaches curl, with what it refuses too', async () => {
    const server = await start('request', { bodyLimit: '1m' });
    const file = join(mkdtempSync(join(tmpdir(), 'http2-')), 'body');
    const put = async (bytes: number): Promise<string> => {
      writeFileSync(file, Buffer.alloc(bytes));
      const url = `http://127.0.0.1:${server.port}/small`;
      const asked = ['-sS', '--http2-prior-knowledge', '--max-time', '30', '-w', ' %{http_code}', '-T', file, url];
      const { stdout } = await promisify(execFile)('curl', asked);
      return stdout;
    };
    for (let i = 0; i < 3; i++) {
      expect(await put(500_000)).toBe('small 200');
      expect(await put(3_000_000)).toMatch(/bodyLimit.*413$/s);
    }
    rmSync(dirname(file), { recursive: true });
  });
});

it('a reload serves requests that a client has sent before it was told to go elsewhere', async () => {
  const server = await start('request');
  const client = await RawHttp2Client.connect(server.port);
  expect(await client.status(client.request('/small'))).toBe(200);
  process.kill(server.masterPid, 'SIGUSR1');
  const ping = await client.pinged();
  expect(client.lastStreams).toEqual([0x7fffffff]);
  const streams = [client.request('/small'), client.request('/wait?n=50')];
  client.pong(ping);
  for (const stream of streams) expect(await client.status(stream)).toBe(200);
  await client.closed;
  expect([...new Set(client.lastStreams)]).toEqual([0x7fffffff, streams[1]]);
  await server.waitForEvent('afterReload');
});
