// What handlers say about the framing of their answers, true or not: no client may be put out of step by it. Holds in both
// modes.
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { type ClientHttp2Session, connect, type IncomingHttpHeaders } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { brotliCompressSync, brotliDecompressSync, deflateSync, gunzipSync, gzipSync, inflateSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Answer, HttpClient, request } from '../helpers/http-client.js';
import { endServers, poll, type ServerProcess, startServer } from '../helpers/server-process.js';

const APPS = ['request', 'fetch', 'listener'] as const;
type App = (typeof APPS)[number];
const servers = {} as Record<App, ServerProcess>;
const sessions: ClientHttp2Session[] = [];

beforeAll(async () => {
  const start = (app: App): Promise<ServerProcess> =>
    startServer('answers.js', { env: { APP: app }, options: { workerNum: 2, compression: { minLength: 1000 } } });
  await Promise.all(
    APPS.map(async (app) => {
      servers[app] = await start(app);
    }),
  );
});
afterAll(async () => {
  for (const session of sessions) session.destroy();
  await endServers();
});

interface Made {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string | readonly string[]>>;
  readonly body?: string;
  readonly pieces?: readonly string[];
  readonly file?: string;
  readonly inform?: Readonly<Record<string, string>>;
}

const pathOf = (made: Made): string => `/made?what=${encodeURIComponent(JSON.stringify(made))}`;

/** The answer to what is made, and then to a plain request; undefined: the connection ended before it was whole. */
async function inStep(app: App, made: Made, method = 'GET', ...lines: string[]): Promise<Answer | undefined> {
  const client = await HttpClient.connect(servers[app].port);
  try {
    client.send(request(pathOf(made), ...lines).replace('GET', method));
    let answer: Answer;
    try {
      answer = await client.answer(method === 'HEAD');
      if (answer.status === 103) answer = await client.answer();
    } catch {
      await client.rest();
      return undefined;
    }
    const isOpenEnded =
      answer.body !== '' && !('content-length' in answer.headers || 'transfer-encoding' in answer.headers);
    if (isOpenEnded) await client.rest();
    else if (answer.headers['connection']?.includes('close')) expect(await client.rest()).toBe('');
    else expect((await client.get('/')).body).toBe('hello\n');
    return answer;
  } finally {
    await client.close();
  }
}

const logOf = (app: App): string => servers[app].stderr;

/** A log line that names the length which was declared. */
async function logged(app: App, before: string): Promise<void> {
  await poll('the fault is in the log', () => logOf(app).slice(before.length).includes('says content-length'));
}

const FORGED = 'HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nforged';

describe.each(APPS)('an answer of %s', (app) => {
  it('with a length that is right keeps it', async () => {
    for (const made of [
      { headers: { 'content-length': '10' }, body: '0123456789' },
      { headers: { 'Content-Length': '10' }, pieces: ['01234', '56789'] },
    ]) {
      const answer = await inStep(app, made);
      expect(answer).toMatchObject({ status: 200, body: '0123456789', headers: { 'content-length': '10' } });
    }
  });

  it.each(['5', '50', '05', '5, 5', 'x', '-1', '0'])('with a wrong length of %s is right, or a 500', async (length) => {
    const before = logOf(app);
    for (const name of ['content-length', 'Content-Length', 'CONTENT-LENGTH']) {
      const answer = await inStep(app, { headers: { [name]: length }, body: `01234${FORGED}` });
      if (answer?.status === 200) {
        expect(answer.body).toBe(`01234${FORGED}`);
        expect(answer.headers['content-length']).toBe(String(answer.body.length));
      } else {
        // Node has sent it as a stream whose end is short of it.
        expect(answer?.status).toBe(app === 'listener' && length === '50' ? undefined : 500);
        await poll('it is in the log', () => logOf(app).length > before.length);
      }
    }
  });

  it('with lengths that differ is right, or a 500', async () => {
    const answer = await inStep(app, { headers: { 'content-length': ['5', '6'] }, body: `01234${FORGED}` });
    if (answer?.status === 200) expect(answer.body).toBe(`01234${FORGED}`);
    else expect(answer?.status).toBe(500);
  });

  it('whose pieces run over its length ends the connection, and says so in the log', async () => {
    const before = logOf(app);
    for (const pieces of [[`01234${FORGED}`], ['01234', FORGED], ['012', `34${FORGED}`]]) {
      const client = await HttpClient.connect(servers[app].port);
      client.send(request(pathOf({ headers: { 'content-length': '5' }, pieces })) + request('/'));
      const all = await client.rest();
      expect(all).not.toContain('forged');
      expect(all).not.toContain('hello');
    }
    await logged(app, before);
  });

  it('whose pieces are short of its length ends the connection, and says so in the log', async () => {
    const before = logOf(app);
    expect(await inStep(app, { headers: { 'content-length': '50' }, pieces: ['0123456789'] })).toBe(undefined);
    await logged(app, before);
  });

  it('of 500 and above is counted once, of HTTP/2 too, at once and in pieces', async () => {
    const counted = async (): Promise<number> => {
      const client = await HttpClient.connect(servers[app].port);
      const { serverErrorCount } = JSON.parse((await client.get('/stats')).body);
      await client.close();
      return serverErrorCount;
    };
    const before = await counted();
    for (const status of [200, 302, 404, 500, 503]) {
      for (const made of [
        { status, body: 'x' },
        { status, pieces: ['x', 'y'] },
      ]) {
        expect(await inStep(app, made)).toMatchObject({ status });
        expect((await stream(app, pathOf(made))).headers).toMatchObject({ ':status': status });
      }
    }
    await poll('all are counted', async () => (await counted()) >= before + 8);
    expect(await counted()).toBe(before + 8);
  });

  it('to HEAD keeps the length that is said', async () => {
    const said = await inStep(app, { headers: { 'content-length': '50' } }, 'HEAD');
    expect(said).toMatchObject({ status: 200, body: '', headers: { 'content-length': '50' } });
    const streamed = await inStep(app, { headers: { 'content-length': '10' }, pieces: ['0123456789'] }, 'HEAD');
    expect(streamed).toMatchObject({ status: 200, headers: { 'content-length': '10' } });
  });

  it('without a body by its status has no length in 204, and none that is read in 304', async () => {
    const empty = await inStep(app, { status: 204, headers: { 'content-length': '5' } });
    expect(empty).toMatchObject({ status: 204, body: '' });
    expect(empty?.headers['content-length']).toBe(undefined);
    expect(await inStep(app, { status: 304, headers: { 'content-length': '5' } })).toMatchObject({ status: 304 });
  });

  it('is framed once, whatever is said of codings of the transfer', async () => {
    for (const made of [{ body: '0123456789' }, { pieces: ['01234', '56789'] }]) {
      const headers = { 'Transfer-Encoding': 'chunked', 'content-length': '10' };
      const answer = await inStep(app, { ...made, headers });
      if (answer?.status === 500) continue; // refused, and in step
      expect(answer?.body).toBe('0123456789');
      const isChunked = answer?.headers['transfer-encoding'] !== undefined;
      expect(answer?.headers['content-length'] !== undefined).toBe(!isChunked);
    }
    const odd = await inStep(app, { body: '0123456789', headers: { 'transfer-encoding': 'identity' } });
    expect(odd?.status === 500 || odd?.body === '0123456789').toBe(true);
  });

  it('keeps Upgrade with Connection: upgrade, beside what becomes of the connection', async () => {
    const made = { status: 426, headers: { Connection: 'Upgrade', Upgrade: 'websocket' }, body: 'x' };
    const stays = await inStep(app, made);
    expect(stays).toMatchObject({ status: 426, headers: { upgrade: 'websocket' } });
    expect(stays?.headers['connection']).toMatch(/^upgrade$/i);
    const ends = await inStep(app, made, 'GET', 'Connection: close');
    expect(ends?.headers['upgrade']).toBe('websocket');
    expect(ends?.headers['connection']?.toLowerCase().split(/, */).sort()).toEqual(['close', 'upgrade']);
    const alone = await inStep(app, { ...made, headers: { upgrade: 'websocket' } });
    expect(alone?.headers).toMatchObject({ upgrade: 'websocket' });
    expect(alone?.headers['connection']?.toLowerCase()).toContain('upgrade');
  });
});

describe.each(['request', 'fetch'] as const)('an answer of %s', (app) => {
  it('has no fields of another hop, nor those that Connection names', async () => {
    const headers = {
      ...{ Connection: 'X-Hop, keep-alive', 'x-hop': '1', 'Keep-Alive': 'timeout=9', 'Proxy-Connection': 'x', TE: 'x' },
      ...{ Upgrade: 'h2c', 'x-end': '2' },
    };
    for (const made of [
      { headers, body: 'x' },
      { headers, pieces: ['x'] },
    ]) {
      const answer = await inStep(app, made);
      expect(
        Object.keys(answer?.headers ?? {}).filter((name) => /hop|alive|proxy|^te$|upgrade|connection/.test(name)),
      ).toEqual([]);
      expect(answer).toMatchObject({ body: 'x', headers: { 'x-end': '2' } });
    }
  });

  it('may end the connection by Connection: close', async () => {
    const answer = await inStep(app, { headers: { connection: 'close' }, body: 'x' });
    expect(answer).toMatchObject({ body: 'x', headers: { connection: 'close' } });
  });
});

describe('an answer of request', () => {
  it('has the length of its file, or of what it was compressed to', async () => {
    const file = join(servers.request.folder, 'file');
    writeFileSync(file, '0123456789');
    const sent = await inStep('request', { file, headers: { 'content-length': '5' } });
    expect(sent).toMatchObject({ status: 200, body: '0123456789', headers: { 'content-length': '10' } });
    const headers = { 'content-length': '2000', 'content-type': 'text/plain' };
    for (const made of [{ body: 'x'.repeat(2000) }, { pieces: ['x'.repeat(2000)] }]) {
      const packed = await inStep('request', { ...made, headers }, 'GET', 'Accept-Encoding: gzip');
      expect(packed?.headers['content-encoding']).toBe('gzip');
      expect(gunzipSync(Buffer.from(packed?.body ?? '', 'latin1')).toString()).toBe('x'.repeat(2000));
    }
  });

  it('may come behind an interim one, which has no framing', async () => {
    const inform = { 'content-length': '5', connection: 'close', link: '</a>; rel=preload' };
    const client = await HttpClient.connect(servers.request.port);
    const hint = await client.get(pathOf({ inform, body: 'x' }));
    expect([hint.status, hint.headers]).toEqual([103, { link: '</a>; rel=preload' }]);
    expect((await client.answer()).body).toBe('x');
    await client.close();
  });
});

interface Streamed {
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  /** 0: it ended in order. */
  readonly code: number;
}

async function stream(app: App, path: string, method = 'GET'): Promise<Streamed> {
  const session = connect(`http://127.0.0.1:${servers[app].port}`).on('error', () => {});
  sessions.push(session);
  const asked = session.request({ ':path': path, ':method': method });
  let headers: IncomingHttpHeaders = {};
  const pieces: Buffer[] = [];
  asked.on('response', (head) => {
    headers = head;
  });
  asked.on('data', (piece: Buffer) => pieces.push(piece));
  asked.on('error', () => {});
  asked.end();
  await new Promise<void>((resolve) => void asked.once('close', resolve));
  session.close();
  return { headers, body: Buffer.concat(pieces).toString('latin1'), code: asked.rstCode };
}

describe.each(APPS)('a stream of HTTP/2 of %s', (app) => {
  it('has its own length, or none, whatever is said', async () => {
    for (const length of ['10', '5', '50', 'x']) {
      const { headers, body, code } = await stream(
        app,
        pathOf({ headers: { 'content-length': length }, body: '0123456789' }),
      );
      expect(code).toBe(0);
      if (Number(headers[':status']) !== 200) expect(headers[':status']).toBe(500);
      else expect([body, headers['content-length'] ?? '10']).toEqual(['0123456789', '10']);
    }
  });

  it('is reset where its pieces are not as long as was said', async () => {
    const before = logOf(app);
    for (const pieces of [['01234', '56789'], ['012']]) {
      const { headers, code } = await stream(app, pathOf({ headers: { 'content-length': '5' }, pieces }));
      expect(code !== 0 || Number(headers[':status']) === 500).toBe(true);
    }
    await logged(app, before);
    expect((await stream(app, '/')).body).toBe('hello\n');
  });

  it('has no length in 204, and that of GET to HEAD', async () => {
    const empty = await stream(app, pathOf({ status: 204, headers: { 'content-length': '5' } }));
    expect([empty.headers[':status'], empty.code]).toEqual([204, 0]);
    const head = await stream(app, pathOf({ headers: { 'content-length': '50' } }), 'HEAD');
    expect([head.headers['content-length'], head.code]).toEqual(['50', 0]);
  });
});

describe('a stream of HTTP/2', () => {
  it('has no fields of another hop', async () => {
    const headers = {
      Connection: 'X-Hop, Upgrade',
      'x-hop': '1',
      'keep-alive': 'x',
      Upgrade: 'websocket',
      'x-end': '2',
    };
    for (const app of ['request', 'fetch'] as const) {
      const answer = await stream(app, pathOf({ status: 426, headers, body: 'x' }));
      expect([answer.headers[':status'], answer.headers['x-end'], answer.code]).toEqual([426, '2', 0]);
      expect(Object.keys(answer.headers).filter((name) => /hop|alive|upgrade|connection/.test(name))).toEqual([]);
    }
  });
});

describe('an answer that fetch has brought', () => {
  const TEXT = JSON.stringify({ text: 'what was asked for '.repeat(50) });
  const codings: Record<string, (text: string) => Buffer> = {
    ...{ gzip: gzipSync, br: brotliCompressSync, deflate: deflateSync, plain: (text: string) => Buffer.from(text) },
  };
  let upstream: Server;

  beforeAll(async () => {
    upstream = createServer((req, res) => {
      const [, coding = 'plain', size = 'long', framing = 'length'] = (req.url ?? '').split('/');
      const bytes = codings[coding]!(size === 'short' ? 'hello' : TEXT);
      if (coding !== 'plain') res.setHeader('content-encoding', coding);
      if (framing === 'length') res.setHeader('content-length', bytes.length);
      res.setHeader('connection', 'X-Hop, Upgrade, keep-alive').setHeader('x-hop', '1').setHeader('upgrade', 'h2');
      res.setHeader('keep-alive', 'timeout=1').setHeader('x-end', '2');
      res.end(bytes);
    });
    upstream.listen(0, '127.0.0.1');
    await once(upstream, 'listening');
  });
  afterAll(() => {
    upstream.closeAllConnections();
    upstream.close();
  });

  const decoded = (coding: string | undefined, body: string): string => {
    const bytes = Buffer.from(body, 'latin1');
    if (coding === undefined) return bytes.toString();
    const decode = { gzip: gunzipSync, br: brotliDecompressSync, deflate: inflateSync }[coding];
    return decode === undefined ? `in ${coding}` : decode(bytes).toString();
  };
  const ways = ['straight', 'copied', 'by-hand', 'by-object', 'cloned', 'text', 'text-by-hand'];
  const others = ['bytes', 'bytes-by-hand', 'piped', 'piped-by-hand'];
  const proxied = (how: string, to: string): string =>
    `/proxy?how=${how}&to=http://127.0.0.1:${(upstream.address() as AddressInfo).port}/${to}`;

  it.each([...ways, ...others])('passed on %s fits its fields, and the next one is in step', async (how) => {
    const client = await HttpClient.connect(servers.fetch.port);
    for (const coding of Object.keys(codings)) {
      for (const kind of ['long/length', 'short/length', 'long/chunked']) {
        const answer = await client.get(proxied(how, `${coding}/${kind}`));
        expect(answer.status, `${coding}/${kind}`).toBe(200);
        const text = decoded(answer.headers['content-encoding'], answer.body);
        const plain = how === 'piped' ? text.replace(/[<>]/g, '') : text;
        expect(plain, `${coding}/${kind}`).toBe(kind.startsWith('short') ? 'hello' : TEXT);
        expect(answer.headers).toMatchObject({ 'x-end': '2' });
        for (const name of ['x-hop', 'keep-alive']) expect(answer.headers[name], name).toBe(undefined);
        expect((await client.get('/')).body).toBe('hello\n');
      }
    }
    await client.close();
  });

  it('passed on as HTTP/2 fits its fields too', async () => {
    for (const how of ['straight', 'copied', 'by-object', 'text']) {
      for (const coding of Object.keys(codings)) {
        const { headers, body, code } = await stream('fetch', proxied(how, `${coding}/long/length`));
        expect([headers[':status'], code]).toEqual([200, 0]);
        expect(decoded(headers['content-encoding'] as string | undefined, body)).toBe(TEXT);
      }
    }
  });

  it('to HEAD says what GET would say', async () => {
    const client = await HttpClient.connect(servers.fetch.port);
    for (const how of ['straight', 'copied']) {
      client.send(request(proxied(how, 'gzip/long/length')).replace('GET', 'HEAD'));
      const answer = await client.answer(true);
      expect([answer.status, answer.headers['content-encoding']]).toEqual([200, undefined]);
      expect((await client.get('/')).body).toBe('hello\n');
    }
    await client.close();
  });

  it('keeps a coding that an app has put on itself', async () => {
    const packed = gzipSync(TEXT).toString('latin1');
    for (const pieces of [[packed], [packed.slice(0, 20), packed.slice(20)]]) {
      const headers = { 'content-encoding': 'gzip', 'content-length': String(packed.length) };
      const answer = await inStep('fetch', { pieces, headers });
      expect(answer?.headers).toMatchObject(headers);
      expect(decoded('gzip', answer?.body ?? '')).toBe(TEXT);
    }
  });
});
