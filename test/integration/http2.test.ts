/** Clients of HTTP/2 that do what no library does: they take no answers, open windows by the byte, flood, break off. */

import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect, type IncomingHttpHeaders } from 'node:http2';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { connect as connectTls } from 'node:tls';
import { afterEach, describe, expect, it } from 'vitest';
import { certificateFor } from '../helpers/certificates.js';
import { HttpClient } from '../helpers/http-client.js';
import { END_STREAM, Frame, PREFACE, RawHttp2Client } from '../helpers/http2-client.js';
import { endServers, poll, type ServerProcess, startServer } from '../helpers/server-process.js';
import { sharedServers } from '../helpers/shared-servers.js';
import { TcpClient } from '../helpers/tcp-client.js';

const CANCEL = 8;
const ENHANCE_YOUR_CALM = 11;
const WRITE_TIMEOUT_MS = 600;
const MIB = 2 ** 20;

afterEach(endServers);

const shared = sharedServers();
const given = (app: string, options: object = {}) => ({
  env: { APP: app },
  options: { writeTimeoutMs: WRITE_TIMEOUT_MS, ...options },
});

function start(app: string, options: object = {}): Promise<ServerProcess> {
  return startServer('answers-http2.js', given(app, options));
}

/** One for all tests that ask for nothing else, and look at nothing that others change. */
const startShared = (app: string): Promise<ServerProcess> => shared('answers-http2.js', given(app));

/** Lets the client do something several times a second until the promise has settled. */
async function meanwhile<T>(promise: Promise<T>, act: () => void): Promise<T> {
  const timer = setInterval(act, 50);
  try {
    return await promise;
  } finally {
    clearInterval(timer);
  }
}

async function statsOf(port: number): Promise<Record<string, number>> {
  const client = await HttpClient.connect(port);
  const { body } = await client.get('/stats');
  await client.close();
  return JSON.parse(body) as Record<string, number>;
}

it.each(['request', 'fetch', 'listener'])('static files are served beside an app by %s', async (app) => {
  const root = mkdtempSync(join(tmpdir(), 'http2-'));
  writeFileSync(join(root, 'a.txt'), 'a file');
  const server = await start(app, { staticFiles: { root, prefix: '/files' } });
  const session = connect(`http://127.0.0.1:${server.port}`);
  const get = async (path: string): Promise<unknown[]> => {
    const stream = session.request({ ':path': path });
    const [headers] = (await once(stream, 'response')) as [IncomingHttpHeaders & { ':status': number }];
    return [headers[':status'], await text(stream)];
  };
  expect(await get('/files/a.txt')).toEqual([200, 'a file']);
  expect(await get('/small')).toEqual([200, expect.not.stringContaining('a file')]);
  session.close();
  await once(session, 'close');
  rmSync(root, { recursive: true });
});

it('a handler that sends without end, and does not look whether its client is there, leaves its worker to others', async () => {
  const server = await start('request', { workerNum: 1, writeTimeoutMs: 0, maxWaitMs: 300 });
  const session = connect(`http://127.0.0.1:${server.port}`);
  const stream = session.request({ ':path': '/forever' });
  await once(stream, 'data');
  session.destroy();
  const client = await TcpClient.connect(server.port);
  await client.send('GET /forever HTTP/1.1\r\nhost: a\r\n\r\n').read(1000);
  await client.close();
  const other = await HttpClient.connect(server.port);
  for (let i = 0; i < 3; i++) expect((await other.get('/small')).status).toBe(200);
  await other.close();
});

describe.each(['request', 'fetch', 'listener'])('an answer by %s that its client does not take', (app) => {
  it('is reset after writeTimeoutMs, however busy PINGs and SETTINGS keep the connection, which stays', async () => {
    const server = await startShared(app);
    const client = await RawHttp2Client.connect(server.port, { window: 0 });
    const before = (await statsOf(server.port))['streamResetCount'] ?? 0;
    const began = performance.now();
    const streams = [client.request('/whole?n=1000000'), client.request('/pour?n=100'), client.request('/small')];
    const reset = Promise.all(streams.map((stream) => client.reset(stream)));
    expect(await meanwhile(reset, () => client.ping().send(Frame.settings, 0, 0))).toEqual([CANCEL, CANCEL, CANCEL]);
    expect(performance.now() - began).toBeGreaterThan(WRITE_TIMEOUT_MS - 20);
    expect(client.isClosed).toBe(false);
    const next = client.request('/small');
    client.grant(next, 100_000);
    await client.until('the answer', () => client.dataBytes(next) === 5);
    expect((await statsOf(server.port))['streamResetCount']).toBe(before + 3);
    await poll('nothing is held any more', async () => (await statsOf(server.port))['bufferedBytes'] === 0);
  });

  it('is reset while another stream of the connection goes on, which is not', async () => {
    const server = await startShared(app);
    const client = await RawHttp2Client.connect(server.port, { window: 0 });
    const stuck = client.request('/whole?n=1000000');
    const taken = client.request('/pour?n=1000000');
    const open = (): void => void client.grant(taken, 50_000).grant(0, 50_000);
    expect(await meanwhile(client.reset(stuck), open)).toBe(CANCEL);
    const before = client.dataBytes(taken);
    await meanwhile(
      client.until('more of the other', () => client.dataBytes(taken) > before + 200_000),
      open,
    );
    expect(client.resetCode(taken)).toBeUndefined();
  });

  it('is reset where its window is opened by single bytes, and is not where it is slow but goes on', async () => {
    const server = await start(app, { writeTimeoutMs: 2000 }); // beyond what this client may stand still on a busy machine
    const client = await RawHttp2Client.connect(server.port, { window: 0 });
    const trickle = client.request('/whole?n=1000000');
    const slow = client.request('/whole?n=300000');
    const open = (): void => void client.grant(trickle, 1).grant(slow, 3000).grant(0, 3001);
    expect(await meanwhile(client.reset(trickle), open)).toBe(CANCEL);
    const whole = client.until('all of the slow one', () => client.dataBytes(slow) === 300_000);
    await meanwhile(whole, () => client.grant(slow, 3000).grant(0, 3000));
    expect(client.dataBytes(trickle)).toBeLessThan(4096);
  });
});

it('an answer that waits for slow TCP is not reset, as the connection goes on', async () => {
  const server = await start('request', { writeTimeoutMs: 1500 });
  const client = await RawHttp2Client.connect(server.port, { window: 2 ** 31 - 1 });
  client.grant(0, 2 ** 30);
  const stream = client.request('/whole?n=30000000');
  const slowly = setInterval(() => client.socket.resume(), 50);
  client.socket.on('data', () => client.socket.pause());
  const began = performance.now();
  await client.until('a part, for long enough', () => performance.now() - began > 4500);
  expect([client.resetCode(stream), client.isClosed]).toEqual([undefined, false]);
  expect(client.dataBytes(stream)).toBeLessThan(30_000_000);
  clearInterval(slowly);
  client.socket
    .removeAllListeners('pause')
    .on('data', () => client.socket.resume())
    .resume();
  await client.until('all of it', () => client.dataBytes(stream) === 30_000_000);
});

it('a file is not read on while its client does not take it, and is reset like any other answer', async () => {
  const server = await startShared('request');
  const client = await RawHttp2Client.connect(server.port, { window: 0 });
  const stream = client.request('/file');
  const other = client.request('/file');
  const take = (): void => void client.grant(other, 100_000).grant(0, 100_000);
  expect(await meanwhile(client.reset(stream), take)).toBe(CANCEL);
  await meanwhile(
    client.until('the other file', () => client.dataBytes(other) === 4 * MIB),
    take,
  );
});

describe('what waits for slow clients', () => {
  const shared = sharedServers();
  const startPatient = (): Promise<ServerProcess> =>
    shared('answers-http2.js', given('request', { sendBufferSize: 8 * MIB, writeTimeoutMs: 60_000 }));

  it('is bounded: further requests of a client that holds much wait, others are served', async () => {
    const server = await startPatient();
    const client = await RawHttp2Client.connect(server.port, { window: 0 });
    for (let i = 0; i < 50; i++) client.request('/whole?n=500000');
    const other = await RawHttp2Client.connect(server.port);
    const small = other.request('/small');
    await other.until('the answer', () => other.dataBytes(small) === 5);
    const held = await poll('it is told', async () => (await statsOf(server.port))['bufferedBytes'] ?? 0);
    expect(held).toBeLessThan(2 * MIB);
    client.grant(0, 100 * MIB);
    for (let i = 0; i < 50; i++) client.grant(1 + 2 * i, 500_000);
    await client.until(
      'all answers',
      () => client.frames.reduce((n, f) => n + (f.type === 0 ? f.payload.length : 0), 0) === 25_000_000,
    );
  });

  it('is bounded over all clients', async () => {
    const server = await startPatient();
    const clients = await Promise.all(
      Array.from({ length: 20 }, () => RawHttp2Client.connect(server.port, { window: 0 })),
    );
    for (const client of clients) for (let i = 0; i < 20; i++) client.request('/whole?n=100000');
    const other = await RawHttp2Client.connect(server.port);
    for (let i = 0; i < 20; i++) {
      const stream = other.request('/whole?n=50000');
      await other.until('the answer', () => other.dataBytes(stream) === 50_000);
      other.grant(0, 50_000);
    }
    expect((await statsOf(server.port))['bufferedBytes']).toBeLessThan(8 * MIB);
    await Promise.all(clients.map((client) => client.close()));
    await poll('nothing is held any more', async () => (await statsOf(server.port))['bufferedBytes'] === 0);
  });

  it('is reset with a line in the log where answers come that cannot wait', async () => {
    const server = await start('request', { sendBufferSize: MIB, writeTimeoutMs: 60_000 });
    const client = await RawHttp2Client.connect(server.port, { window: 0 });
    const streams = Array.from({ length: 20 }, () => client.request('/wait?n=300'));
    await client.until('heads', () => streams.every((stream) => client.of(stream, Frame.headers).length > 0));
    const large = await RawHttp2Client.connect(server.port, { window: 0 });
    const late = Array.from({ length: 20 }, () => large.request('/late?n=100000'));
    await large.until('some are reset', () => late.some((stream) => large.resetCode(stream) === ENHANCE_YOUR_CALM));
    expect(server.stderr).toContain('sendBufferSize');
    expect((await statsOf(server.port))['streamResetCount']).toBeGreaterThan(0);
  });
});

describe('maxConcurrency', () => {
  it.each(['request', 'fetch', 'listener'])('counts streams of HTTP/2 with the requests of HTTP/1: %s', async (app) => {
    const server = await start(app, { maxConcurrency: 3, workerNum: 2 });
    const client = await RawHttp2Client.connect(server.port);
    const one = await HttpClient.connect(server.port);
    const streams = [client.request('/wait?n=1500'), client.request('/wait?n=1500')];
    one.send('GET /wait?n=1500 HTTP/1.1\r\nhost: a\r\n\r\n');
    await server.waitFor('three are under way', () => server.events('waiting').length === 3);
    expect(await client.status(client.request('/small'))).toBe(503);
    const other = await HttpClient.connect(server.port);
    const refused = await other.get('/small');
    expect([refused.status, refused.headers['retry-after']]).toEqual([503, '1']);
    for (const stream of streams) expect(await client.status(stream)).toBe(200);
    expect((await one.answer()).status).toBe(200);
    expect(await client.status(client.request('/small'))).toBe(200);
    expect(await statsOf(server.port)).toMatchObject({ underWayNum: 1, refusedCount: 2 });
  });
});

describe('a body that stalls', () => {
  it.each(['request', 'listener'])(
    'is answered 408, or its stream reset where the answer has begun: %s',
    async (app) => {
      const server = await start(app, { requestTimeoutMs: 600 });
      const client = await RawHttp2Client.connect(server.port);
      const fields = { 'content-length': '1000' };
      const silent = client.request('/body', 'POST', { ends: false, fields });
      const begun = client.request('/body?n=1', 'POST', { ends: false, fields });
      client.send(Frame.data, 0, silent, Buffer.alloc(10)).send(Frame.data, 0, begun, Buffer.alloc(10));
      expect(await meanwhile(client.status(silent), () => client.ping())).toBe(408);
      await client.reset(begun);
      const whole = client.request('/body', 'POST', { ends: false, fields: { 'content-length': '3' } });
      client.send(Frame.data, END_STREAM, whole, Buffer.from('abc'));
      expect(await client.status(whole)).toBe(200);
    },
  );
});

describe('a client that floods', () => {
  it.each([
    ['PING', (client: RawHttp2Client) => client.ping()],
    ['SETTINGS', (client: RawHttp2Client) => client.send(Frame.settings, 0, 0)],
  ])('with %s and takes nothing is disconnected, or waits', async (_name, flood) => {
    const server = await startShared('request');
    const client = await RawHttp2Client.connect(server.port);
    client.socket.pause();
    for (let i = 0; i < 300_000; i++) flood(client);
    const other = await RawHttp2Client.connect(server.port);
    await other.status(other.request('/small'));
    await poll('little is held', async () => ((await statsOf(server.port))['bufferedBytes'] ?? 0) < 4 * MIB);
    await client.close();
  });

  it('with streams that it resets at once is expelled', async () => {
    const server = await startShared('request');
    const client = await RawHttp2Client.connect(server.port);
    // What has come is lost to a client whose write fails: it writes on when the PING behind its last streams is answered.
    const heard = (type: number): number => client.frames.filter((frame) => frame.type === type).length;
    for (let batch = 1; heard(Frame.goaway) === 0 && !client.isClosed; batch++) {
      client.socket.cork();
      for (let i = 0; i < 50; i++)
        client.send(Frame.rstStream, 0, client.request('/wait?n=1000'), Buffer.from([0, 0, 0, 8]));
      client.ping().socket.uncork();
      await client.until('an answer, or the end', () => heard(Frame.ping) >= batch || client.isClosed);
    }
    await client.closed;
    expect(heard(Frame.goaway)).toBeGreaterThan(0);
  });
});

describe.each(['request', 'fetch', 'listener'])('a body by %s', (app) => {
  it.each([0, 1, 1000, 40_000])('of %d bytes that comes whole with its head, in one piece, is read', async (bytes) => {
    const server = await startShared(app);
    const client = await RawHttp2Client.connect(server.port);
    for (let i = 0; i < 10; i++) {
      client.socket.cork();
      const stream = client.request('/body', 'POST', { ends: false });
      for (let left = bytes; left > 16_384; left -= 16_384) client.send(Frame.data, 0, stream, Buffer.alloc(16_384));
      client.send(Frame.data, END_STREAM, stream, Buffer.alloc(bytes % 16_384));
      client.socket.uncork();
      expect(await client.status(stream)).toBe(200);
      client.grant(0, 65_535);
    }
  });
});

describe('the preface', () => {
  it.each(['/small', '/file', '/whole?n=100000'])(
    'is a 400 behind a request on the same connection: %s',
    async (path) => {
      const server = await startShared('request');
      const client = await HttpClient.connect(server.port);
      expect((await client.get(path)).status).toBe(200);
      client.send(PREFACE);
      expect((await client.answer()).status).toBe(400);
      await client.rest();
    },
  );

  it('is a 400 where it is pipelined behind a request, and in pieces', async () => {
    const server = await startShared('request');
    const piped = await HttpClient.connect(server.port);
    piped.send(`GET /small HTTP/1.1\r\nhost: a\r\n\r\n${PREFACE}`);
    expect([(await piped.answer()).status, (await piped.answer()).status]).toEqual([200, 400]);
    await piped.rest();
    const cut = await HttpClient.connect(server.port);
    await cut.get('/small');
    for (const letter of PREFACE) cut.send(letter);
    expect((await cut.answer()).status).toBe(400);
    await cut.rest();
  });

  it('is a 400 over TLS where ALPN has said http/1.1, and anything else is refused where it has said h2', async () => {
    const server = await start('request', { tls: certificateFor('server.test') });
    const dial = async (protocol: string) => {
      const given = { port: server.port, host: '127.0.0.1', rejectUnauthorized: false, ALPNProtocols: [protocol] };
      const socket = connectTls(given);
      await once(socket, 'secureConnect');
      let text = '';
      socket.on('data', (data) => (text += String(data))).on('error', () => {});
      return { socket, ended: once(socket, 'close').then(() => text) };
    };
    const old = await dial('http/1.1');
    old.socket.write(PREFACE);
    expect(await old.ended).toMatch(/^HTTP\/1.1 400 /);
    for (const wrong of ['GET / HTTP/1.1\r\nhost: a\r\n\r\n', PREFACE.replace('SM', 'XX')]) {
      const two = await dial('h2');
      two.socket.write(wrong);
      expect(await two.ended).not.toContain('HTTP/1.1 200');
    }
    const right = await RawHttp2Client.connect(server.port, { tls: true });
    expect(await right.status(right.request('/small'))).toBe(200);
  });

  it('opens HTTP/2 as the first bytes of a connection, in pieces too', async () => {
    const server = await startShared('request');
    const client = await TcpClient.connect(server.port);
    for (const letter of PREFACE) client.send(letter);
    client.send(Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]));
    expect((await client.read(9))[3]).toBe(Frame.settings);
  });
});

it.each(['itself', 'behind', 'awaited'])('Express, %s, is served over HTTP/2 as over HTTP/1', async (how) => {
  const server = await startServer('express.js', { env: { HOW: how }, options: { workerNum: 1 } });
  const one = await HttpClient.connect(server.port);
  const { body } = await one.get('/who');
  const client = await RawHttp2Client.connect(server.port);
  for (let i = 0; i < 3; i++) {
    const stream = client.request('/who');
    expect(await client.status(stream)).toBe(200);
    await client.until('its body', () => bodyOf(client, stream) === body);
  }
  expect((await one.get('/who')).body).toBe(body);
  expect(server.stderr).not.toMatch(/ (warn|error) /);
  await one.close();
});

function bodyOf(client: RawHttp2Client, stream: number): string {
  return Buffer.concat(client.of(stream, Frame.data).map(({ payload }) => payload)).toString();
}

/** Over HTTP/2 a client may not be what ends a worker: what such an app says is left out, or ends its stream. */
it('an app that says what only HTTP/1 has, once a timer has fired, does so over HTTP/2 too, and its worker goes on', async () => {
  const server = await startServer('express.js', { options: { workerNum: 1 } });
  const client = await RawHttp2Client.connect(server.port);
  for (const path of ['/hop', '/list', '/proxy', '/aborted']) {
    expect([path, await client.status(client.request(path))]).toEqual([path, 200]);
  }
  for (const path of ['/999', '/101']) expect([path, await client.reset(client.request(path))]).toEqual([path, 2]);
  const upload = client.request('/aborted', 'POST', { ends: false });
  client.send(Frame.data, 0, upload, Buffer.from('half'));
  await server.waitForEvent('uploading');
  client.send(Frame.rstStream, 0, upload, Buffer.from([0, 0, 0, CANCEL]));
  await server.waitForEvent('aborted');
  const { pid } = server.workers[0] ?? {};
  expect(await client.status(client.request('/who'))).toBe(200);
  expect(server.workers.map((worker) => worker.pid)).toEqual([pid]);
  expect(server.stderr).not.toMatch(/ (warn|error) /);
});

it('an idle connection ends after keepAliveTimeoutMs, whatever PINGs it sends', async () => {
  const server = await start('request', { keepAliveTimeoutMs: 600 });
  const client = await RawHttp2Client.connect(server.port);
  await client.status(client.request('/small'));
  await meanwhile(client.closed, () => client.ping());
  expect(client.frames.some(({ type }) => type === Frame.goaway)).toBe(true);
});

it('a reload says GOAWAY, and answers that are not taken do not hold it up for longer than writeTimeoutMs', async () => {
  const server = await start('request');
  const client = await RawHttp2Client.connect(server.port, { window: 0 });
  const stream = client.request('/whole?n=1000000');
  await client.until('its head', () => client.of(stream, Frame.headers)[0]);
  process.kill(server.masterPid, 'SIGUSR1');
  await client.until('GOAWAY', () => client.frames.some(({ type }) => type === Frame.goaway));
  expect(await client.reset(stream)).toBe(CANCEL);
  await client.closed;
  await server.waitForEvent('afterReload');
});
