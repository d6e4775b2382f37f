// Bodies that were cut, by whatever, read in every way there is; and bodies that came whole. Holds in both modes.
import { readFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { describe, expect, it } from 'vitest';
import { reset } from '../helpers/dial.js';
import { HttpClient, post } from '../helpers/http-client.js';
import { overPlainTcp, poll, type ServerProcess } from '../helpers/server-process.js';
import { sharedServers } from '../helpers/shared-servers.js';

type Api = 'request' | 'fetch' | 'listener';
const shared = sharedServers();

/** Tests with the same options share a server. What bodies are is between one reactor and one worker. */
function serverOf(api: string, options: Record<string, unknown> = {}): Promise<ServerProcess> {
  const all = { workerNum: 1, reactorNum: 1, bodyLimit: '64m', ...options };
  return shared('bodies.js', { options: all, env: { API: api } });
}

let lastId = 0;

/** As the kernel tells it: the column `tx_queue`. */
function unsentBytes({ localPort = 0, remotePort = 0 }: Socket): number {
  const end = (port: number): string => `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  const lines = readFileSync('/proc/net/tcp', 'utf8').split('\n');
  const fields = lines.map((line) => line.trim().split(/\s+/));
  const found = fields.find(([, from = '', to = '']) => from.endsWith(end(localPort)) && to.endsWith(end(remotePort)));
  return Number.parseInt(found?.[4]?.split(':')[0] ?? '0', 16);
}

/** A client that has sent the head of a request and some of its body, and whose reader has begun. */
class Upload {
  readonly client: HttpClient;
  readonly #server: ServerProcess;
  readonly #id: string;

  private constructor(server: ServerProcess, client: HttpClient, id: string) {
    this.#server = server;
    this.client = client;
    this.#id = id;
  }

  static async begin(server: ServerProcess, how: string, lines: readonly string[], body: string): Promise<Upload> {
    const client = await HttpClient.connect(server.port);
    client.tcp.socket.on('error', () => {});
    const upload = new Upload(server, client, String(++lastId));
    client.send(`POST /${how} HTTP/1.1\r\nHost: test\r\nX-Id: ${lastId}\r\n${lines.join('\r\n')}\r\n\r\n${body}`);
    await server.waitForEvent('reading', ({ id }) => id === upload.#id);
    return upload;
  }

  fin(): void {
    this.client.tcp.socket.end();
  }

  rst(): void {
    reset(this.client.tcp.socket);
  }

  /** Nothing of what was sent waits in this host's kernel any more: an RST would take it along. */
  async arrived(): Promise<void> {
    const { socket } = this.client.tcp;
    if (process.platform !== 'linux') return;
    await poll('all has arrived', () => socket.writableLength === 0 && unsentBytes(socket) === 0);
  }

  /** What its reader got. */
  result(): Promise<Record<string, unknown>> {
    return this.#server.waitForEvent('read', ({ id }) => id === this.#id);
  }
}

const LONG = 5_000_000;
const MULTIPART = 'Content-Type: multipart/form-data; boundary=b';
const URLENCODED = 'Content-Type: application/x-www-form-urlencoded';
const JSON_TYPE = 'Content-Type: application/json';
const fileBegin = '--b\r\nContent-Disposition: form-data; name="a"; filename="f"\r\n\r\n';

/** How each API reads: the reader, its content type, and how its body begins. */
const readers: [Api, string, string, string][] = [
  ['request', 'stream', '', ''],
  ['request', 'slow', '', ''],
  ['request', 'body', '', ''],
  ['request', 'text', '', ''],
  ['request', 'json', JSON_TYPE, '{"a":"'],
  ['request', 'form', URLENCODED, 'a='],
  ['request', 'form', MULTIPART, fileBegin],
  ['request', 'web', '', ''],
  ['request', 'webBytes', '', ''],
  ['request', 'later', '', ''],
  ['request', 'laterStream', '', ''],
  ['request', 'twice', '', ''],
  ['fetch', 'text', '', ''],
  ['fetch', 'json', JSON_TYPE, '{"a":"'],
  ['fetch', 'bytes', '', ''],
  ['fetch', 'blob', '', ''],
  ['fetch', 'form', MULTIPART, fileBegin],
  ['fetch', 'stream', '', ''],
  ['fetch', 'slow', '', ''],
  ['fetch', 'clone', '', ''],
  ['fetch', 'later', '', ''],
  ['listener', 'data', '', ''],
  ['listener', 'iterate', '', ''],
  ['listener', 'slow', '', ''],
];
const names = readers.map(([api, how, type, begin]) => ({ api, how, type, begin }));
const sized = (type: string): string[] => [`Content-Length: ${LONG}`, ...(type === '' ? [] : [type])];

describe.each(names)('$api, read by $how $type', ({ api, how, type, begin }) => {
  const isNode = api === 'listener';

  it('fails when the client ends its side in the middle', async () => {
    const upload = await Upload.begin(await serverOf(api), how, sized(type), begin + 'x'.repeat(1000));
    upload.fin();
    const result = await upload.result();
    expect(result['bytes']).toBeUndefined();
    expect(result['code']).toBe(isNode ? 'ECONNRESET' : 'ERR_HTTP_CLIENT_GONE');
    if (!isNode) expect(result['cause']).toBe('the client ended the connection');
  });

  it('fails when the client resets the connection in the middle, behind what the worker has not taken', async () => {
    // Who waits for the client to leave hears of it behind what it has sent.
    const size = how.startsWith('later') ? 1000 : 400_000;
    const upload = await Upload.begin(await serverOf(api), how, sized(type), begin + 'x'.repeat(size));
    upload.rst();
    const result = await upload.result();
    expect(result['bytes']).toBeUndefined();
    expect(result['code']).toBe(isNode ? 'ECONNRESET' : 'ERR_HTTP_CLIENT_GONE');
  });
});

describe.each(names.filter(({ how }) => !how.startsWith('later')))(
  '$api, by $how $type',
  ({ api, how, type, begin }) => {
    const isNode = api === 'listener';
    const chunk = (text: string): string => `${text.length.toString(16)}\r\n${text}\r\n`;
    const chunked = ['Transfer-Encoding: chunked', ...(type === '' ? [] : [type])];
    const cut = (reason: string, status: number) =>
      isNode
        ? { code: 'ECONNRESET' }
        : { code: 'ERR_HTTP_BODY_CUT', reason, message: expect.stringContaining(`${status}`) };

    it('fails when a chunk is broken', async () => {
      const upload = await Upload.begin(await serverOf(api), how, chunked, chunk(`${begin}${'x'.repeat(1000)}`));
      upload.client.send('nonsense\r\n');
      expect(await upload.result()).toMatchObject(cut('malformed', 400));
      expect((await upload.client.answer()).status).toBe(400);
    });

    it('fails when it is above bodyLimit in the middle of its chunks', async () => {
      const server = await serverOf(api, { bodyLimit: 2000 });
      const upload = await Upload.begin(server, how, chunked, chunk(`${begin}${'x'.repeat(1000)}`));
      upload.client.send(chunk('x'.repeat(2000)));
      expect(await upload.result()).toMatchObject(cut('limit', 413));
      expect((await upload.client.answer()).status).toBe(413);
    });
  },
);

describe('a body that pauses for requestTimeoutMs', () => {
  it.each<Api>(['request', 'fetch', 'listener'])('is an error for each reader: %s', async (of) => {
    const server = await serverOf(of, { requestTimeoutMs: 600 });
    const error = of === 'listener' ? { code: 'ECONNRESET' } : { code: 'ERR_HTTP_BODY_CUT', reason: 'timeout' };
    const itsReaders = names.filter(({ api }) => api === of);
    const check = async ({ how, type, begin }: (typeof names)[number]): Promise<void> => {
      const upload = await Upload.begin(server, how, sized(type), begin + 'x'.repeat(1000));
      expect(await upload.result(), how).toMatchObject(error);
      expect((await upload.client.answer()).status).toBe(408);
    };
    await Promise.all(itsReaders.map(check));
  });
});

describe('a body that is not read to its end', () => {
  it('is an error for who reads it when its time was over', async () => {
    const server = await serverOf('request', { requestTimeoutMs: 600 });
    const upload = await Upload.begin(server, 'later', sized(''), 'x'.repeat(400_000));
    expect((await upload.client.answer()).status).toBe(503);
    expect(await upload.result()).toMatchObject({ code: 'ERR_HTTP_BODY_CUT', reason: 'timeout' });
  });

  it('is used up for others, cut or not', async () => {
    const upload = await Upload.begin(await serverOf('request'), 'broken', sized(''), 'x'.repeat(1000));
    expect(await upload.result()).toMatchObject({ code: 'ERR_HTTP_BODY_USED' });
    upload.rst();
  });

  it('fails when the handler has answered before all of it had come', async () => {
    const upload = await Upload.begin(await serverOf('request'), 'answered', sized(''), 'x'.repeat(1000));
    expect(await upload.result()).toMatchObject({ code: 'ERR_HTTP_BODY_CUT', reason: 'answered' });
    expect((await upload.client.answer()).body).toBe('early');
  });

  it('fails when the server closes the connection', async () => {
    const upload = await Upload.begin(await serverOf('request'), 'closed', sized(''), 'x'.repeat(1000));
    expect(await upload.result()).toMatchObject({ code: 'ERR_HTTP_BODY_CUT', reason: 'server' });
  });

  it('ends no worker when its error is nobody’s', async () => {
    const server = await serverOf('request');
    const upload = await Upload.begin(server, 'unread', sized(''), 'x'.repeat(1000));
    upload.rst();
    expect(await upload.result()).toMatchObject({ bytes: 0 });
    expect(server.events('unhandled')).toEqual([]);
  });
});

describe('a body that had come whole before its client left', () => {
  const whole: [Api, string, number][] = [];
  for (const size of [1000, 65_000, 100_000, 250_000]) {
    for (const how of ['stream', 'slow', 'text', 'web', 'later', 'laterStream']) whole.push(['request', how, size]);
    for (const how of ['text', 'slow', 'blob']) whole.push(['fetch', how, size]);
    for (const how of ['slow', 'late']) whole.push(['listener', how, size]);
  }

  it.each(whole)('is given whole, by an RST: %s, %s, %i bytes', async (api, how, size) => {
    const upload = await Upload.begin(await serverOf(api), how, [`Content-Length: ${size}`], 'x'.repeat(size));
    await upload.arrived();
    upload.rst();
    expect(await upload.result()).toMatchObject({ bytes: size });
  });

  it.each(whole)('is given whole, by a FIN: %s, %s, %i bytes', async (api, how, size) => {
    const upload = await Upload.begin(await serverOf(api), how, [`Content-Length: ${size}`], 'x'.repeat(size));
    upload.fin();
    expect(await upload.result()).toMatchObject({ bytes: size });
  });

  it.each(['fin', 'rst'] as const)('is given whole where most of it waits in the kernel, by %s', async (how) => {
    const size = 1_500_000;
    const server = await serverOf('request');
    const upload = await Upload.begin(server, 'slow', [`Content-Length: ${size}`], '');
    await new Promise<void>((resolve) => upload.client.tcp.socket.write('x'.repeat(size), () => resolve()));
    upload[how]();
    const result = await upload.result();
    // An RST takes along what had not left its host.
    if (how === 'fin') expect(result).toMatchObject({ bytes: size });
    else expect(result['bytes'] ?? result['code']).toSatisfy((got) => got === size || got === 'ERR_HTTP_CLIENT_GONE');
  });

  it('gives its form with the files', async () => {
    const body = `${fileBegin}${'x'.repeat(200_000)}\r\n--b--\r\n`;
    for (const how of ['fin', 'rst'] as const) {
      const lines = [`Content-Length: ${body.length}`, MULTIPART];
      const upload = await Upload.begin(await serverOf('request'), 'form', lines, body);
      await upload.arrived();
      upload[how]();
      expect(await upload.result()).toMatchObject({ bytes: 200_000 });
    }
  });
});

describe('100 Continue', () => {
  const EXPECTS = ['Content-Length: 3', 'Expect: 100-continue'];
  const ask = async (server: ServerProcess, path: string, lines: readonly string[] = EXPECTS): Promise<HttpClient> => {
    const client = await HttpClient.connect(server.port);
    return client.send(`POST ${path} HTTP/1.1\r\nHost: test\r\nX-Id: 0\r\n${lines.join('\r\n')}\r\n\r\n`);
  };

  it.each<Api>(['request', 'fetch', 'listener'])('is said when the body is asked for: %s', async (api) => {
    const client = await ask(await serverOf(api), api === 'listener' ? '/data' : '/text');
    expect((await client.answer()).status).toBe(100);
    expect((await client.send('abc').answer()).body).toBe('3');
    expect((await client.send(post('/slow', 'abcd')).answer()).body).toBe('4');
    await client.close();
  });

  it.each<Api>(['fetch', 'listener'])('is said before an answer that is made of the body: %s', async (api) => {
    const body = 'x'.repeat(200_000);
    const client = await ask(await serverOf(api), '/echo', [`Content-Length: ${body.length}`, EXPECTS[1]!]);
    expect((await client.answer()).status).toBe(100);
    expect(await client.send(body).answer()).toMatchObject({ status: 200, body });
    expect((await client.send(post('/slow', 'abcd')).answer()).body).toBe('4');
    await client.close();
  });

  it('is not said when the answer comes without reading the body, and the connection ends', async () => {
    for (const lines of [
      EXPECTS,
      ['Content-Length: 900000', EXPECTS[1]!],
      ['Transfer-Encoding: chunked', EXPECTS[1]!],
    ]) {
      const client = await ask(await serverOf('request'), '/refuse', lines);
      expect(await client.answer()).toMatchObject({
        status: 200,
        body: 'not wanted',
        headers: { connection: 'close' },
      });
      expect(await client.rest()).toBe('');
    }
  });

  it('is not said when the body is refused by its length', async () => {
    const client = await ask(await serverOf('request', { bodyLimit: 2000 }), '/text', [
      'Content-Length: 3000',
      EXPECTS[1]!,
    ]);
    expect((await client.answer()).status).toBe(413);
    expect(await client.rest()).toBe('');
  });

  it('is not said to a client that has sent its body at once', async () => {
    const client = await HttpClient.connect((await serverOf('request')).port);
    expect((await client.send(post('/text', 'abc', 'Expect: 100-continue')).answer()).body).toBe('3');
    await client.close();
  });

  it('is said by the app where it listens for checkContinue', async () => {
    const server = await serverOf('asked');
    const refused = await ask(server, '/no');
    expect(await refused.answer()).toMatchObject({ status: 403, body: 'no' });
    expect(await refused.rest()).toBe('');
    const client = await ask(server, '/yes');
    expect((await client.answer()).status).toBe(100);
    expect((await client.send('abc').answer()).body).toBe('read');
    expect(server.events('checkContinue').map(({ url }) => url)).toEqual(['/no', '/yes']);
    await client.close();
  });

  it('is all that handlers know: 417 for others, or the app’s checkExpectation', async () => {
    for (const api of ['request', 'fetch', 'listener', 'asked']) {
      const client = await ask(await serverOf(api), '/text', ['Content-Length: 0', 'Expect: tea']);
      expect((await client.answer()).status).toBe(417);
      await client.close();
    }
    const served = await ask(await serverOf('asked'), '/tea', ['Content-Length: 0', 'Expect: tea']);
    expect(await served.answer()).toMatchObject({ status: 200, body: 'expected' });
    await served.close();
  });

  it('is not said to a client whose handler takes its time: 503, not 408', async () => {
    const client = await ask(await serverOf('request', { requestTimeoutMs: 600 }), '/later');
    expect((await client.answer()).status).toBe(503);
  });
});

describe('the time of a body', () => {
  /** One byte at a time, with pauses. */
  const drip = async (client: HttpClient, count: number, ms: number): Promise<void> => {
    for (let i = 0; i < count && client.tcp.end === undefined; i++) {
      client.send('x');
      await new Promise((resolve) => setTimeout(resolve, ms));
    }
  };
  const begin = async (options: Record<string, unknown>, size: number): Promise<HttpClient> => {
    const client = await HttpClient.connect((await serverOf('request', options)).port);
    return client.send(`POST /text HTTP/1.1\r\nHost: test\r\nX-Id: 0\r\nContent-Length: ${size}\r\n\r\n`);
  };

  it.each([12, 70_000])('counts from its last bytes, however long it takes: of %i bytes', async (size) => {
    const client = await begin({ requestTimeoutMs: 600 }, size);
    client.send('x'.repeat(size - 12));
    await drip(client, 12, 100);
    expect(await client.answer()).toMatchObject({ status: 200, body: String(size) });
    await client.close();
  });

  it.each([1000, 70_000])('is bounded by minBodyBytesPerSecond: of %i bytes', async (size) => {
    const client = await begin({ requestTimeoutMs: 600, minBodyBytesPerSecond: 200 }, size);
    const dripping = drip(client, 100, 50);
    expect((await client.answer()).status).toBe(408);
    await dripping;
  });

  it('is not bounded for a body that is quick enough', async () => {
    const client = await begin({ requestTimeoutMs: 600, minBodyBytesPerSecond: 5 }, 20);
    await drip(client, 20, 60);
    expect((await client.answer()).status).toBe(200);
    await client.close();
  });
});

describe('HTTP/1.2', () => {
  it.each<Api>(['request', 'fetch', 'listener'])('is processed as HTTP/1.1: %s', async (api) => {
    const client = await HttpClient.connect((await serverOf(api)).port);
    const how = api === 'listener' ? 'data' : 'text';
    const text = post(`/${how}`, 'abc', 'X-Id: 0').replace('HTTP/1.1', 'HTTP/1.2');
    for (let i = 0; i < 2; i++) expect(await client.send(text).answer()).toMatchObject({ status: 200, body: '3' });
    await client.close();
  });
});

describe('while the server reloads again and again', () => {
  /** One after another, each on a connection of its own, in pieces. @returns how many were answered right */
  async function uploads(server: ServerProcess, goesOn: () => boolean): Promise<number> {
    const body = 'x'.repeat(200_000);
    for (let answered = 0; ; answered++) {
      if (!goesOn()) return answered;
      const client = await HttpClient.connect(server.port);
      client.send(`POST /stream HTTP/1.1\r\nHost: test\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n`);
      for (let at = 0; at < body.length; at += 20_000) {
        client.send(body.slice(at, at + 20_000));
        await new Promise((resolve) => setTimeout(resolve, 5)); // the pace of a client
      }
      const answer = await client.answer();
      expect([answer.status, answer.body]).toEqual([200, String(body.length)]);
      await client.close();
    }
  }

  // In BASE mode a reload closes encrypted connections.
  overPlainTcp('every upload is read whole and answered', async () => {
    const server = await serverOf('request', { workerNum: 2 });
    let reloads = 0;
    const clients = Array.from({ length: 6 }, () => uploads(server, () => reloads < 4));
    for (; reloads < 4; reloads++) {
      const before = new Set(server.workers.map(({ pid }) => pid));
      server.signal('SIGUSR1');
      await poll(
        'new workers',
        () => server.workers.length === 2 && server.workers.every(({ pid }) => !before.has(pid)),
      );
    }
    const answered = await Promise.all(clients);
    expect(Math.min(...answered)).toBeGreaterThan(0);
  });
});
