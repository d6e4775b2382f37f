// HTTP through the whole server, by clients that speak it by hand. Holds in both modes.
import { createHash } from 'node:crypto';
import { afterEach, describe, expect, it } from 'vitest';
import { reset } from '../helpers/dial.js';
import { HttpClient, post, request } from '../helpers/http-client.js';
import {
  endServers,
  inProcessMode,
  overPlainTcp,
  poll,
  type ServerProcess,
  startServer,
} from '../helpers/server-process.js';
import { Since, sharedServers } from '../helpers/shared-servers.js';
import { TcpClient } from '../helpers/tcp-client.js';

afterEach(endServers);

const shared = sharedServers();
const given = (options: object) => ({ options: { workerNum: 2, ...options } });

interface Connected {
  readonly server: Since;
  readonly client: HttpClient;
}

const connectTo = async (server: ServerProcess): Promise<Connected> => ({
  server: new Since(server),
  client: await HttpClient.connect(server.port),
});

/** Tests with the same options share a server: each start costs most of a second. */
const connect = async (options: object = {}): Promise<Connected> => connectTo(await shared('http.js', given(options)));

/** With a server of its own: how it ends is looked at. */
const connectAlone = async (options: object): Promise<Connected> =>
  connectTo(await startServer('http.js', given(options)));

/** Where one worker and one reactor show it. */
const small = { workerNum: 1, reactorNum: 1 };
/** Bodies may be long, and two requests are served at once. */
const long = { workerNum: 1, workerMaxConcurrency: 2, bodyLimit: '64m' };
/** Each test waits for it, or asks again at once. */
const hasty = { ...small, requestTimeoutMs: 200, headersTimeoutMs: 200, keepAliveTimeoutMs: 1000 };

describe('workerMaxConcurrency', () => {
  it('lets further requests wait in their worker', async () => {
    const { server, client } = await connect(long);
    const clients = [client, ...(await Promise.all([1, 2, 3].map(() => HttpClient.connect(server.port))))];
    const answers = clients.map((one) => one.send(request('/later')).answer());
    for (const served of [2, 4]) {
      const pid = (await server.waitForEvents('later', served)).at(-1)?.pid;
      expect(server.events('later')).toHaveLength(served);
      server.server.signal('SIGCONT', pid);
      await Promise.any(answers);
    }
    for (const answer of await Promise.all(answers)) expect(answer).toMatchObject({ status: 200, body: '0' });
    for (const one of clients) await one.close();
  });

  it('does not serve a request whose client has gone while it waited', async () => {
    const { server, client } = await connectAlone({ ...small, workerMaxConcurrency: 1 });
    const first = client.send(request('/later')).answer();
    const { pid } = await server.waitForEvent('later');
    const leaver = await HttpClient.connect(server.port);
    leaver.send(request('/later'));
    const last = await HttpClient.connect(server.port);
    const answer = last.send(request('/stats')).answer();
    reset(leaver.tcp.socket);
    const other = await HttpClient.connect(server.port);
    other.send(`GET / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n`); // needs no worker
    expect(await other.answer()).toMatchObject({ status: 400 });
    server.server.signal('SIGCONT', pid);
    expect(await first).toMatchObject({ status: 200 });
    expect(await answer).toMatchObject({ status: 200 });
    expect(server.events('later')).toHaveLength(1);
    for (const one of [client, last, other]) await one.close();
  });
});

describe('an answer', () => {
  it('has a status line, a date, a length, and leaves the connection open', async () => {
    const { client } = await connect();
    for (let i = 0; i < 3; i++) {
      const answer = await client.get('/');
      expect(answer).toMatchObject({ status: 200, reason: 'OK', body: 'hello\n' });
      expect(answer.headers['content-length']).toBe('6');
      expect(Date.parse(answer.headers['date'] ?? '')).toBeGreaterThan(Date.now() - 5000);
      expect(answer.headers['connection']).toBeUndefined();
    }
    await client.close();
  });

  it('has the length in bytes, not in characters', async () => {
    const { client } = await connect();
    for (const count of [1, 40, 100, 70_000]) {
      const answer = await client.get(`/text?count=${count}`);
      expect(answer.headers['content-length']).toBe(String(2 * count));
      expect(Buffer.from(answer.body, 'latin1').toString()).toBe('ü'.repeat(count));
    }
    await client.close();
  });

  it('to HEAD is the same without its body', async () => {
    const { client } = await connect();
    const answer = await client.send('HEAD / HTTP/1.1\r\nHost: test\r\n\r\n').answer(true);
    expect(answer.headers['content-length']).toBe('6');
    expect((await client.get('/')).body).toBe('hello\n');
    await client.close();
  });

  it('of 204 and 304 has neither body nor length', async () => {
    const { client } = await connect();
    for (const code of [204, 304]) {
      const answer = await client.get(`/status?code=${code}`);
      expect(answer).toMatchObject({ status: code, body: '' });
      expect(answer.headers['content-length']).toBeUndefined();
    }
    expect((await client.get('/')).body).toBe('hello\n');
    await client.close();
  });

  it('in pieces is chunked, with trailers behind it', async () => {
    const { client } = await connect();
    const answer = await client.get('/trailers');
    expect(answer).toMatchObject({ body: 'abc', trailers: 'x-sum: 6' });
    expect((await client.get('/events')).body).toContain('id: 3\ndata: line 3\ndata: more\n\n');
    await client.close();
  });

  it('may have early hints before it', async () => {
    const { client } = await connect();
    const hint = await client.get('/hints');
    expect(hint).toMatchObject({ status: 103, headers: { link: '</a.css>; rel=preload' } });
    expect((await client.answer()).body).toBe('hinted');
    await client.close();
  });

  it('to HTTP/1.0 ends the connection, unless the client would stay; it is never chunked', async () => {
    const { server, client } = await connect();
    client.send('GET / HTTP/1.0\r\n\r\n');
    expect((await client.answer()).headers['connection']).toBe('close');
    expect(await client.rest()).toBe('');
    const stays = await HttpClient.connect(server.port);
    const kept = await stays.send('GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n').answer();
    expect(kept.headers['connection']).toBe('keep-alive');
    stays.send('GET /trailers HTTP/1.0\r\nConnection: keep-alive\r\n\r\n');
    const last = await stays.answer();
    expect(last.headers['transfer-encoding']).toBeUndefined();
    expect(last).toMatchObject({ body: 'abc', headers: { connection: 'close' } });
  });

  it('to a client that asks for the end ends the connection', async () => {
    const { client } = await connect();
    expect((await client.get('/', 'Connection: close')).headers['connection']).toBe('close');
    expect(await client.rest()).toBe('');
  });

  it('of any length reaches a client that reads slowly, and the worker waits for it', async () => {
    const { client } = await connect();
    const bytes = 30_000_000;
    client.tcp.socket.pause();
    client.send(request(`/pour?bytes=${bytes}`));
    setImmediate(() => client.tcp.socket.resume());
    const answer = await client.answer();
    expect(answer.body.length).toBe(bytes);
    await client.close();
  });
});

describe('a client that goes away', () => {
  overPlainTcp('in the middle of a large answer leaves nothing behind', async () => {
    const { server, client } = await connect();
    const away = async (): Promise<void> => {
      const other = await HttpClient.connect(server.port);
      other.tcp.socket.once('data', () => other.tcp.socket.resetAndDestroy());
      other.send(request('/text?count=4500000'));
      await other.tcp.closed;
    };
    await Promise.all(Array.from({ length: 20 }, away));
    await poll('nothing is held for them', async () => {
      const { bufferedBytes, underWayNum } = JSON.parse((await client.get('/stats')).body) as Record<string, number>;
      return bufferedBytes === 0 && underWayNum === 1; // the one that asks
    });
    await client.close();
  });

  it('half is answered for when its handler does not, and then it is gone', async () => {
    const { server, client } = await connect(hasty);
    await client.close();
    const tcp = await TcpClient.connect(server.port);
    tcp.socket.end(request('/never'));
    await tcp.closed;
    expect(tcp.received).toContain('HTTP/1.1 503');
  });
});

describe('a request', () => {
  it('is told as it was sent', async () => {
    const { client } = await connect();
    const answer = await client.send(post('/mirror?a=%20b', 'body\xff', 'X-One: 1', 'x-one:  2 ')).answer();
    expect(JSON.parse(Buffer.from(answer.body, 'latin1').toString())).toMatchObject({
      method: 'POST',
      url: '/mirror?a=%20b',
      httpVersion: '1.1',
      rawHeaders: ['Host', 'test', 'Content-Length', '5', 'X-One', '1', 'x-one', '2'],
      body: 'body\xff',
    });
    await client.close();
  });

  it('that is answered while its body comes leaves the connection open', async () => {
    const { client } = await connect();
    const body = 'x'.repeat(300_000);
    for (let i = 0; i < 3; i++) {
      const answer = await client.send(post('/echo', body)).answer();
      expect(answer.headers['connection']).toBe(undefined);
      expect(answer.body === body).toBe(true);
    }
    await client.close();
  });

  it('cut anywhere is the same', async () => {
    const { client } = await connect();
    const text = post('/mirror', 'some body', 'X-A: b');
    const whole = (await client.send(text).answer()).body;
    for (let cut = 1; cut < text.length; cut += 3) {
      client.send(text.slice(0, cut));
      await new Promise((resolve) => setImmediate(resolve));
      expect((await client.send(text.slice(cut)).answer()).body).toBe(whole);
    }
    await client.close();
  });

  it('with a chunked body comes decoded, its trailers too', async () => {
    const { client } = await connect();
    const head = 'POST /mirror HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n';
    const short = await client.send(`${head}3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n`).answer();
    expect(JSON.parse(short.body).body).toBe('abcde');
    const trailed = await client.send(`${head}3\r\nabc\r\n0\r\nX-Sum: 6\r\n\r\n`).answer();
    const told = JSON.parse(trailed.body) as { body: string; trailers: unknown };
    expect(told.body).toBe('abc');
    expect(JSON.stringify(told.trailers)).toContain('6');
    expect((await client.get('/')).body).toBe('hello\n');
    await client.close();
  });

  it('with a long body reaches the worker as a stream, however it is sent', async () => {
    const { client } = await connect(long);
    const body = createHash('sha512').update('seed').digest('hex').repeat(50_000);
    const expected = `${body.length} ${createHash('sha1').update(body, 'latin1').digest('hex')}`;
    expect((await client.send(post('/length', body)).answer()).body).toBe(expected);
    const chunks = [100_000, 1, 65_536, 7].reduce<{ text: string; at: number }>(
      ({ text, at }, size) => ({
        text: `${text}${size.toString(16)}\r\n${body.slice(at, at + size)}\r\n`,
        at: at + size,
      }),
      { text: '', at: 0 },
    );
    const rest = body.slice(chunks.at);
    const coded = `${chunks.text}${rest.length.toString(16)}\r\n${rest}\r\n0\r\n\r\n`;
    const head = 'POST /length HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n';
    expect((await client.send(head + coded).answer()).body).toBe(expected);
    expect((await client.get('/')).body).toBe('hello\n');
    await client.close();
  });

  it('is not read on while its handler does not take it', async () => {
    const { server, client } = await connect(long);
    const { pid } = await (async () => {
      client.send(post('/later', 'x'.repeat(40_000_000)));
      return server.waitForEvent('later');
    })();
    await poll('the client is held up', () => client.tcp.socket.writableLength > 20_000_000);
    // Over TLS the client's own socket says little, so the server is asked until it has stopped taking more.
    const other = await HttpClient.connect(server.port);
    const taken = async (): Promise<number> => JSON.parse((await other.get('/stats')).body).receivedBytes;
    let [before, still] = [await taken(), 0];
    await poll('nothing more is taken', async () => {
      const now = await taken();
      still = now - before < 1000 ? still + 1 : 0; // the questions themselves
      before = now;
      return still === 5;
    });
    expect(before).toBeLessThan(20_000_000);
    await other.close();
    process.kill(pid, 'SIGCONT');
    expect((await client.answer()).body).toBe('40000000');
    await client.close();
  });

  it('that expects 100 Continue gets it once', async () => {
    const { client } = await connect();
    client.send('POST /mirror HTTP/1.1\r\nHost: test\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n');
    expect((await client.answer()).status).toBe(100);
    expect(JSON.parse((await client.send('abc').answer()).body).body).toBe('abc');
    await client.close();
  });

  it('that is answered before its body has come ends the connection', async () => {
    const { client } = await connect(long);
    client.send('POST /refuse-body HTTP/1.1\r\nHost: test\r\nContent-Length: 9000000\r\n\r\nabc');
    const answer = await client.answer();
    expect(answer).toMatchObject({ status: 403, body: 'not wanted', headers: { connection: 'close' } });
    expect(await client.rest()).toBe('');
  });
});

describe('several requests at once on one connection', () => {
  it('are answered in their order, whoever serves them', async () => {
    const { client } = await connect();
    const paths = Array.from({ length: 30 }, (_, i) => `/wait?ms=${i % 3 === 0 ? 20 : 0}&i=${i}`);
    client.send(paths.map((path) => request(path)).join(''));
    for (const path of paths) expect((await client.answer()).body).toBe(`waited ${/ms=(\d+)/.exec(path)?.[1]}`);
    await client.close();
  });

  it('with bodies too', async () => {
    const { client } = await connect();
    client.send(Array.from({ length: 20 }, (_, i) => post('/mirror', `body ${i}`)).join(''));
    for (let i = 0; i < 20; i++) expect(JSON.parse((await client.answer()).body).body).toBe(`body ${i}`);
    await client.close();
  });

  it('are all answered although the client has ended its side', async () => {
    const { server, client } = await connect();
    await client.close();
    const tcp = await TcpClient.connect(server.port);
    tcp.socket.end(request('/wait?ms=50') + request('/wait?ms=1'));
    await tcp.closed;
    expect(tcp.received.match(/waited/g)).toHaveLength(2);
  });
});

describe('what is wrong', () => {
  it.each([
    ['GET / HTTP/1.1\r\n\r\n', 400],
    ['GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n', 400],
    ['GET /\r\n\r\n', 400],
    ['\x16\x03\x01\x02\x00', 400],
    ['GET / HTTP/2.0\r\nHost: a\r\n\r\n', 505],
    ['BREW / HTTP/1.1\r\nHost: a\r\n\r\n', 501],
    ['CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n', 501],
    [`GET /${'a'.repeat(9000)} HTTP/1.1\r\nHost: a\r\n\r\n`, 414],
    [`GET / HTTP/1.1\r\nHost: a\r\nX: ${'a'.repeat(20_000)}\r\n\r\n`, 431],
    [`GET / HTTP/1.1\r\nHost: a\r\n${'X: a\r\n'.repeat(101)}\r\n`, 431],
    ['POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3000000\r\n\r\n', 413],
    ['POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n', 400],
    ['POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n', 501],
    ['POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n', 400],
    ['GET / HTTP/1.1\r\nHost: a\r\nExpect: tea\r\n\r\n', 417],
  ])('%j is answered %i, and the connection ends', async (text, status) => {
    const { client } = await connect();
    const answer = await client.send(text).answer();
    expect(answer.status).toBe(status);
    expect(answer.headers['connection']).toBe('close');
    expect(await client.rest()).toBe('');
  });

  it('in a body that is streamed costs the connection, and the handler hears of it', async () => {
    const { client } = await connect();
    client.send('POST /length HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n');
    await poll('the worker has it', () => true);
    expect((await client.send('zzz\r\n').answer()).status).toBe(400);
    expect(await client.rest()).toBe('');
  });

  it('behind a good request does not harm that one', async () => {
    const { client } = await connect();
    client.send(`${request('/')}rubbish\r\n\r\n`);
    expect((await client.answer()).body).toBe('hello\n');
    expect((await client.answer()).status).toBe(400);
    await client.rest();
  });
});

describe('a handler', () => {
  it.each(['/throw', '/reject'])('that fails (%s) is answered 500, and the connection goes on', async (path) => {
    const { client } = await connect();
    expect((await client.get(path)).status).toBe(500);
    expect((await client.get('/')).body).toBe('hello\n');
    await client.close();
  });

  it('that fails when it has begun its answer costs the connection', async () => {
    const { client } = await connect();
    await expect(client.get('/throw-late')).rejects.toThrow('before the end');
  });

  it('that never answers is answered for after requestTimeoutMs, and hears of it', async () => {
    const { server, client } = await connect(hasty);
    expect((await client.get('/never')).status).toBe(503);
    expect((await client.get('/')).body).toBe('hello\n');
    expect((await client.get('/signal')).status).toBe(503);
    await server.waitForEvent('aborted');
    await client.close();
  });

  it('hears when its client goes away', async () => {
    const { server, client } = await connect();
    client.send(request('/signal'));
    await server.waitForEvent('waiting');
    await client.close();
    await server.waitForEvent('aborted');
  });
});

describe('time', () => {
  it('for a head that does not end is limited: 408', async () => {
    const { client } = await connect(hasty);
    expect((await client.send('GET / HTTP/1.1\r\n').answer()).status).toBe(408);
    await client.rest();
  });

  it('for a body that does not come is limited: 408', async () => {
    const { client, server } = await connect(hasty);
    client.send('POST /length HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc');
    expect((await client.answer()).status).toBe(408);
    const long = await HttpClient.connect(server.port);
    long.send('POST /length HTTP/1.1\r\nHost: a\r\nContent-Length: 900000\r\n\r\nabc');
    expect((await long.answer()).status).toBe(408);
    await long.rest();
  });

  it('without a request is limited', async () => {
    const { client } = await connect(hasty);
    await client.get('/');
    expect(await client.rest()).toBe('');
  });
});

describe('maxConcurrency', () => {
  overPlainTcp('answers 503 with Retry-After above it, and goes on', async () => {
    const { server, client } = await connectAlone({ ...small, maxConcurrency: 1 });
    const other = await HttpClient.connect(server.port);
    other.send(request('/signal'));
    await server.waitForEvent('waiting');
    const refused = await client.get('/');
    expect(refused).toMatchObject({ status: 503, headers: { 'retry-after': '1' } });
    other.tcp.socket.resetAndDestroy();
    await server.waitForEvent('aborted');
    await poll('there is room again', async () => (await client.get('/')).status === 200 || undefined);
    await client.close();
  });
});

describe('a worker that dies', () => {
  inProcessMode('is answered for: 502 at once, on a connection that stays', async () => {
    const { client } = await connect(small);
    expect((await client.get('/die')).status).toBe(502);
    expect((await client.get('/')).body).toBe('hello\n');
    await client.close();
  });

  inProcessMode('does not harm the requests behind, on the same connection', async () => {
    const { client } = await connect(small);
    client.send(request('/') + request('/die') + request('/'));
    expect((await client.answer()).status).toBe(200);
    expect((await client.answer()).status).toBe(502);
    expect((await client.answer()).status).toBe(200);
    await client.close();
  });

  inProcessMode('in the middle of an answer costs that connection', async () => {
    const { client } = await connect(small);
    await expect(client.get('/die-late')).rejects.toThrow('before the end');
  });
});

describe('the end of the server', () => {
  it('tells clients not to come again, and loses no answer', async () => {
    const { server, client } = await connectAlone(small);
    client.send(request('/wait?ms=1000'));
    const other = await HttpClient.connect(server.port);
    await poll('it is under way', async () => {
      const { underWayNum } = JSON.parse((await other.get('/stats')).body) as Record<string, number>;
      return underWayNum === 2; // it, and the one that asks
    });
    server.server.signal('SIGTERM');
    const answer = await client.answer();
    expect(answer).toMatchObject({ status: 200, body: 'waited 1000', headers: { connection: 'close' } });
    expect(await server.server.exited).toEqual({ code: 0, signal: null });
  });
});
