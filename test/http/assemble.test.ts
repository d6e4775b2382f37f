import type { RequestListener } from 'node:http';
import { describe, expect, it } from 'vitest';
import type { HttpApps } from '../../src/http/apps.js';
import { assembleHttp } from '../../src/http/assemble.js';
import { RequestBit } from '../../src/ipc/frame.js';
import { firstWordOf, secondWordOf } from '../../src/ipc/frames/http.js';
import type { Outbox } from '../../src/ipc/outbox.js';
import { ConnectionTable } from '../../src/memory/connection-table.js';
import { Region } from '../../src/memory/region.js';
import { resolveOptions, type ServerOptions } from '../../src/options/index.js';
import { AF_INET } from '../../src/os/constants.js';
import { ListenPort } from '../../src/server/listen-port.js';
import type { StartContext } from '../../src/server/server.js';
import { Log } from '../../src/util/log.js';
import type { HttpWorker } from '../../src/worker/http-service.js';
import { testShape } from '../helpers/test-shape.js';

type Callback = NonNullable<StartContext['events']['request']>;

interface Wanted {
  readonly apps?: HttpApps;
  readonly options?: ServerOptions;
  readonly server?: Callback;
  readonly port?: Callback;
}

/** A worker whose port 0 speaks HTTP, and port 1 does not. */
async function worker({ apps = {}, options = {}, server, port }: Wanted = {}) {
  const region = Region.create(testShape());
  region.ports = [9501, 9502];
  const resolved = resolveOptions({ protocol: 'http', host: '127.0.0.1', ...options });
  const ports = [undefined, { protocol: 'raw' as const, port: 0 }].map((given) => {
    const made = new ListenPort(
      given,
      () => undefined,
      () => {},
    );
    made.resolve(resolved);
    return made;
  });
  if (port !== undefined) ports[0]?.on('request', port);
  const context = {
    ...{ options: resolved, ports, apps, server: { workerId: 0 } },
    events: server === undefined ? {} : { request: server },
    log: new Log({ role: 'worker 0', level: 'error', write: () => {} }),
  };
  const service = await assembleHttp(context as unknown as StartContext, region);
  const table = new ConnectionTable(region);
  let sent = '';
  const failures: unknown[][] = [];
  const outbox = {
    answer: (
      _fd: number,
      _number: number,
      _flags: number,
      kept: Buffer | null,
      text: string,
      body: Uint8Array | null,
    ) => {
      sent += `${kept?.toString('latin1') ?? ''}${text}${Buffer.from(body ?? []).toString('latin1')}`;
      return true;
    },
    close: () => {
      sent += 'closed';
    },
    isOpen: () => true,
    drain: async () => {},
  };
  service.begin({
    ...{ outbox: outbox as unknown as Outbox, http2: {} as never, addPending: () => {} },
    callbackFailed: (...told) => failures.push(told),
    ...{ holdConnection: () => {}, releaseConnection: () => {}, requestDetached: () => {} },
  } satisfies HttpWorker);

  /** @returns the answer */
  async function ask(bits: number = RequestBit.keepAlive, portIndex = 0): Promise<string> {
    const fd = table.nextSessionId(3);
    const address = Buffer.from([192, 0, 2, 7, ...Array(12).fill(0)]);
    const usual = { worker: 0, descriptor: 1, family: AF_INET, address, remotePort: 4711, now: 1 };
    table.open(3, { ...usual, sessionId: fd, portIndex });
    const head = 'GET /path HTTP/1.1\r\nHost: a.test\r\n\r\n';
    const [first, second] = [firstWordOf(head.length, 0, bits), secondWordOf(4, 9)];
    const bytes = Buffer.from(head);
    sent = '';
    service.serve(service.take({ fd, exchange: 1, flags: 0, first, second, bytes, at: 0, end: bytes.length }));
    await expect.poll(() => sent).not.toBe('');
    return sent;
  }
  return { ask, failures };
}

const saying =
  (word: string): Callback =>
  (_, response) =>
    response.end(word);

describe('a request is answered', () => {
  it('with 404 where nobody answers', async () => {
    const { ask } = await worker();
    expect(await ask()).toMatch(/^HTTP\/1.1 404 Not Found\r\n/);
  });

  it.each<[string, Wanted, string]>([
    ['the callback of the server', { server: saying('server') }, 'server'],
    ['that of the port before it', { server: saying('server'), port: saying('port') }, 'port'],
    ['a callback before an app', { server: saying('server'), apps: { fetch: () => new Response('app') } }, 'server'],
    ['an app of fetch', { apps: { fetch: () => new Response('fetched') } }, 'fetched'],
    ['an app that is loaded', { apps: { app: async () => ({ fetch: () => new Response('loaded') }) } }, 'loaded'],
  ])('by %s', async (_, wanted, body) => {
    const { ask } = await worker(wanted);
    const answer = await ask();
    expect(answer).toMatch(/^HTTP\/1.1 200 OK\r\n/);
    expect(answer.split('\r\n\r\n')[1]).toBe(body);
  });

  it('by a listener of Node, which is told of its client', async () => {
    const listener: RequestListener = (request, response) =>
      response.end(`${request.socket.remoteAddress}${request.url}`);
    const { ask } = await worker({ apps: { listener } });
    expect(await ask()).toMatch(/^HTTP\/1.1 200 OK\r\n[\s\S]*192\.0\.2\.7\/path/);
  });

  it('by an app that knows where clients come in', async () => {
    const told: unknown[] = [];
    await worker({ apps: { app: async (at) => told.push(at) && {} } });
    expect(told).toEqual([{ host: '127.0.0.1', port: 9501 }]);
  });

  it('with the address of its client', async () => {
    const { ask } = await worker({
      server: (request, response) => response.end(`${request.remoteAddress} ${request.remotePort}`),
    });
    expect(await ask()).toContain('192.0.2.7 4711');
  });

  it('with 417 where it expects what nobody knows', async () => {
    const { ask } = await worker({ server: saying('server') });
    expect(await ask(RequestBit.keepAlive | RequestBit.expectsOther)).toMatch(/^HTTP\/1.1 417 /);
  });

  it('by the end of its connection where its port speaks no HTTP', async () => {
    const { ask } = await worker({ server: saying('server') });
    expect(await ask(RequestBit.keepAlive, 1)).toBe('closed');
  });

  it('with 500 where the callback fails, which is told', async () => {
    const error = new Error('broken');
    const { ask, failures } = await worker({
      server: () => {
        throw error;
      },
    });
    expect(await ask()).toMatch(/^HTTP\/1.1 500 /);
    expect(failures).toEqual([[error, 'request']]);
  });

  it('one after the other where a worker takes one at a time', async () => {
    const { ask } = await worker({ server: saying('server'), options: { workerMaxConcurrency: 1 } });
    for (let i = 0; i < 3; i++) expect(await ask()).toContain('server');
  });
});

it('what is loaded must be an app', async () => {
  const app = async () => ({ fetch: 1 }) as never;
  await expect(worker({ apps: { app } })).rejects.toMatchObject({ code: 'ERR_OPTION_TYPE' });
});
