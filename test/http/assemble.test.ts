import type { RequestListener } from 'node:http';
import { describe, expect, it } from 'vitest';
import type { HttpApps } from '../../src/http/apps.js';
import { assembleHttp } from '../../src/http/assemble.js';
import { type LoadedApps, OWN_TLS } from '../../src/http/own-tls.js';
import { Event, Request, RequestBit } from '../../src/ipc/frame.js';
import { firstWordOf, secondWordOf } from '../../src/ipc/frames/http.js';
import { resolveOptions, type ServerOptions } from '../../src/options/index.js';
import { AF_INET } from '../../src/os/constants.js';
import type { StartContext } from '../../src/server/context.js';
import { ListenPort } from '../../src/server/listen-port.js';
import { certificateFor } from '../helpers/certificates.js';
import { ServiceWorld } from '../worker/world.js';

type Callback = NonNullable<StartContext['events']['request']>;

interface Wanted {
  readonly apps?: HttpApps;
  readonly options?: ServerOptions;
  readonly server?: Callback;
  readonly port?: Callback;
}

const GET = 0;
const SLOT = 3;

/** As a reactor writes it. */
function getRequest(bits: number): Buffer {
  const head = 'GET /path HTTP/1.1\r\nHost: a.test\r\n\r\n';
  const words = Buffer.alloc(8);
  words.writeInt32LE(firstWordOf(head.length, GET, bits), 0);
  words.writeInt32LE(secondWordOf(4, 9), 4);
  return Buffer.concat([words, Buffer.from(head)]);
}

/** Port 0 speaks HTTP, and port 1 does not. */
function contextOf(world: ServiceWorld, { options = {}, server, port }: Wanted): StartContext {
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
  const events = server === undefined ? {} : { request: server };
  return { options: resolved, ports, events, server: { workerId: 0 }, log: world.log } as unknown as StartContext;
}

async function worker(wanted: Wanted = {}) {
  const world = new ServiceWorld({ ports: [{}, {}] });
  world.region.ports = [9501, 9502];
  const create = await assembleHttp(contextOf(world, wanted), world.region, wanted.apps ?? {});
  const service = create(world.host);
  const ring = world.inbound();

  function connect(portIndex: number): number {
    const sessionId = world.table.nextSessionId(SLOT);
    const address = Buffer.from([192, 0, 2, 7, ...Array(12).fill(0)]);
    const usual = { worker: 0, descriptor: 1, family: AF_INET, address, remotePort: 4711, now: 1 };
    world.table.open(SLOT, { ...usual, sessionId, portIndex });
    return sessionId;
  }

  /** @returns the answer */
  async function ask(bits: number = RequestBit.keepAlive, portIndex = 0): Promise<string> {
    const fd = connect(portIndex);
    world.write({ type: Event.request, fd, detail: 1, payload: getRequest(bits) });
    expect(ring.available()).toBe(true);
    service.deliver(service.take(ring));
    ring.advance();
    ring.release();
    let answer = '';
    await expect
      .poll(() => {
        for (const frame of world.sent()) answer += frame.type === Request.close ? 'closed' : frame.text;
        return answer;
      })
      .not.toBe('');
    return answer;
  }
  return { ask, world };
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
    const { ask, world } = await worker({
      server: () => {
        throw new Error('as the test wants');
      },
    });
    expect(await ask()).toMatch(/^HTTP\/1.1 500 /);
    expect(world.counter('callbackErrors')).toBe(1);
    expect(world.lines.join('\n')).toMatch(/'request' callback failed[\s\S]*as the test wants/);
  });

  it('one after the other where a worker takes one at a time', async () => {
    const { ask } = await worker({ server: saying('server'), options: { workerMaxConcurrency: 1 } });
    for (let i = 0; i < 3; i++) expect(await ask()).toContain('server');
  });
});

it.each([
  ['plain, with a certificate of its own', true, {}, true],
  ['plain', false, {}, false],
  ['encrypted, with a certificate of its own', true, { tls: certificateFor('main.test') }, false],
] as const)(
  'an app that is served %s: and the log warns where that is wrong',
  async (_, hasOwnTls, options, isWarned) => {
    const app = async (): Promise<LoadedApps> => ({
      fetch: () => new Response(''),
      ...(hasOwnTls ? { hasOwnTls } : {}),
    });
    const { world } = await worker({ apps: { app }, options });
    expect(world.lines.some((line) => line.includes(OWN_TLS))).toBe(isWarned);
  },
);

it('what is loaded must be an app', async () => {
  const app = async () => ({ fetch: 1 }) as never;
  await expect(worker({ apps: { app } })).rejects.toMatchObject({ code: 'ERR_OPTION_TYPE' });
});
