import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type ClientHttp2Session, connect, type IncomingHttpHeaders, type OutgoingHttpHeaders } from 'node:http2';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Duplex } from 'node:stream';
import { afterEach, describe, expect, it } from 'vitest';
import type { HttpApps } from '../../src/http/apps.js';
import { assembleHttp } from '../../src/http/assemble.js';
import type { HttpRequests } from '../../src/http/http-requests.js';
import { Event, Request, RequestBit } from '../../src/ipc/frame.js';
import { firstWordOf } from '../../src/ipc/frames/http.js';
import { RingReader } from '../../src/ipc/ring.js';
import { ReactorBoard, WorkerBoard } from '../../src/memory/boards.js';
import { peerOf } from '../../src/memory/layout.js';
import { resolveOptions, type ServerOptions } from '../../src/options/index.js';
import type { StartContext } from '../../src/server/context.js';
import { ListenPort } from '../../src/server/listen-port.js';
import { eventually } from '../helpers/eventually.js';
import { ServiceWorld } from '../worker/world.js';

interface Wanted {
  readonly apps?: HttpApps;
  readonly options?: ServerOptions;
  readonly request?: StartContext['events']['request'];
}

const clients: ClientHttp2Session[] = [];
const pumps: NodeJS.Timeout[] = [];
afterEach(() => {
  for (const client of clients.splice(0)) client.destroy();
  for (const pump of pumps.splice(0)) clearInterval(pump);
});

/** A worker whose reactor passes the bytes of one client on. */
async function worker({ apps = {}, options = {}, request }: Wanted) {
  const world = new ServiceWorld({ ports: [{}] });
  const resolved = resolveOptions({ protocol: 'http', host: '127.0.0.1', ...options });
  const port = new ListenPort(
    undefined,
    () => undefined,
    () => {},
  );
  port.resolve(resolved);
  const events = request === undefined ? {} : { request };
  const context = { options: resolved, ports: [port], events, server: { workerId: 0 }, log: world.log };
  const create = await assembleHttp(context as unknown as StartContext, world.region, apps);
  const service = create(world.host) as HttpRequests;
  const inbound = world.inbound();
  const outbound = new RingReader(world.region, world.region.layout.outbound(0, peerOf(0, 0)));

  /** It speaks HTTP/2 from its first byte. */
  function open(): { client: ClientHttp2Session; fd: number } {
    const fd = world.connect();
    const wire = new Duplex({
      read() {},
      write(data: Buffer, _encoding, done) {
        service.received(fd, data);
        done();
      },
    });
    wire.on('error', () => {});
    const words = Buffer.alloc(8);
    words.writeInt32LE(firstWordOf(0, 0, RequestBit.http2), 0);
    world.write({ type: Event.request, fd, detail: 1, payload: words });
    for (; inbound.available(); inbound.advance()) service.deliver(service.take(inbound));
    inbound.release();
    pumps.push(setInterval(() => pump(fd, wire), 1));
    const client = connect('http://a.test', { createConnection: () => wire });
    client.on('error', () => {});
    clients.push(client);
    return { client, fd };
  }

  function pump(fd: number, wire: Duplex): void {
    for (; outbound.available(); outbound.advance()) {
      const { word, bytes, payloadAt, length } = outbound;
      const type = word & 0xff;
      if (type === Request.send) wire.push(Buffer.from(bytes.subarray(payloadAt, payloadAt + length)));
      if (type === Request.close) wire.push(null);
      if (type === Request.watchDrain) world.host.outbox.writable(fd);
    }
    outbound.release();
  }
  return { world, service, open };
}

interface Answer {
  readonly status: number | undefined;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

function ask(client: ClientHttp2Session, headers: OutgoingHttpHeaders = {}, body = ''): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const stream = client.request({ ':path': '/path', ...headers }, { endStream: body === '' });
    let told: IncomingHttpHeaders = {};
    let text = '';
    stream.on('response', (given) => {
      told = given;
    });
    stream.setEncoding('utf8').on('data', (piece: string) => {
      text += piece;
    });
    stream.on('end', () => resolve({ status: told[':status'] as number | undefined, headers: told, body: text }));
    stream.on('error', reject);
    if (body !== '') stream.end(body);
  });
}

describe('a request over HTTP/2 is answered', () => {
  it('by the callback, which sees its client and its body', async () => {
    const { open } = await worker({
      request: async (req, res) => res.end(`${req.method} ${req.url} ${req.remoteAddress} ${await req.text()}`),
    });
    const { client } = open();
    expect((await ask(client, { ':method': 'POST' }, 'body')).body).toBe('POST /path 127.0.0.1 body');
    expect((await ask(client)).body).toBe('GET /path 127.0.0.1 ');
  });

  it('with 404 where nobody answers', async () => {
    const { open } = await worker({});
    expect(await ask(open().client)).toMatchObject({ status: 404, body: 'Not Found\n' });
  });

  it('by an app of fetch', async () => {
    const { open } = await worker({ apps: { fetch: (req) => new Response(`${req.method} ${req.url}`) } });
    expect(await ask(open().client)).toMatchObject({ status: 200, body: 'GET http://a.test/path' });
  });

  it('by a listener of Node, which may ask for the body itself', async () => {
    const listener = (req: { url?: string | undefined }, res: { end(text: string): void }): void =>
      res.end(`node ${req.url}`);
    const { open } = await worker({ apps: { listener: listener as never } });
    const { client } = open();
    expect(await ask(client)).toMatchObject({ status: 200, body: 'node /path' });
    expect(await ask(client, { expect: '100-continue', ':method': 'POST' }, 'x')).toMatchObject({ status: 200 });
    expect(await ask(client, { expect: 'a-miracle' })).toMatchObject({ status: 417 });
  });

  it('with 500 where the listener throws, which is told', async () => {
    const listener = (): never => {
      throw new Error('as the test wants');
    };
    const { open, world } = await worker({ apps: { listener } });
    expect(await ask(open().client)).toMatchObject({ status: 500 });
    expect(world.counter('callbackErrors')).toBe(1);
    expect(world.lines.join('\n')).toMatch(/'listener'[\s\S]*as the test wants/);
  });

  it('with a file, and by the callback where there is none', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'files-'));
    writeFileSync(join(folder, 'a.txt'), 'a file');
    const { open } = await worker({ options: { staticFiles: folder }, request: (_, res) => res.end('callback') });
    const { client } = open();
    expect(await ask(client, { ':path': '/a.txt' })).toMatchObject({ status: 200, body: 'a file' });
    expect(await ask(client, { ':path': '/b.txt' })).toMatchObject({ status: 200, body: 'callback' });
    rmSync(folder, { recursive: true });
  });
});

describe('requests of HTTP/2 under way', () => {
  it('are counted, and pending, until their answer', async () => {
    let answer: (() => void) | undefined;
    const { open, world } = await worker({
      request: (_, res) => {
        answer = () => res.end('late');
      },
    });
    const board = new WorkerBoard(world.region);
    const asked = ask(open().client);
    await eventually(() => expect(board.http2(0).underWay).toBe(1));
    answer?.();
    expect((await asked).body).toBe('late');
    await eventually(() => expect(board.http2(0).underWay).toBe(0));
  });

  it.each([
    [1, 0, 200],
    [1, 1, 503],
    [2, 1, 200],
    [2, 2, 503],
    [0, 9, 200],
  ])(
    'are maxConcurrency %d at most: with %d of HTTP/1 under way the answer is %d',
    async (maxConcurrency, http1, status) => {
      const { open, world } = await worker({ options: { maxConcurrency }, request: (_, res) => res.end('x') });
      new ReactorBoard(world.region).setUnderWay(0, http1);
      const answer = await ask(open().client);
      expect([answer.status, answer.headers['retry-after']]).toEqual([status, status === 503 ? '1' : undefined]);
    },
  );

  it('come one after the other where a worker takes one at a time', async () => {
    const begun: (() => void)[] = [];
    const request: StartContext['events']['request'] = (_, res) => void begun.push(() => res.end('x'));
    const { open } = await worker({ options: { workerMaxConcurrency: 1 }, request });
    const { client } = open();
    const both = [ask(client), ask(client)];
    await eventually(() => expect(begun.length).toBe(1));
    begun[0]?.();
    await eventually(() => expect(begun.length).toBe(2));
    begun[1]?.();
    expect((await Promise.all(both)).map(({ status }) => status)).toEqual([200, 200]);
  });
});

describe('a client of HTTP/2', () => {
  it.each(['drain', 'dismiss'] as const)('is told to go elsewhere: %s', async (how) => {
    const { open, service } = await worker({ request: (_, res) => res.end('x') });
    const { client } = open();
    await ask(client);
    const gone = new Promise((resolve) => client.once('goaway', resolve));
    if (how === 'drain') service.drain();
    else service.dismiss(60_000, () => {});
    expect(await gone).toBe(0);
  });

  it('is told so too where it comes when the server is shutting down already', async () => {
    const { open, service } = await worker({ request: (_, res) => res.end('x') });
    service.drain();
    const { client } = open();
    expect(await new Promise((resolve) => client.once('goaway', resolve))).toBe(0);
  });

  it('that has gone before its first byte was looked at is nothing', async () => {
    const { open, service, world } = await worker({ request: (_, res) => res.end('x') });
    const { client, fd } = open();
    service.connectionEnded(fd, true);
    service.connectionEnded(fd, false);
    await new Promise((resolve) => setTimeout(resolve, 20));
    client.destroy();
    expect([world.counter('callbackErrors'), world.lines]).toEqual([0, []]);
  });
});
