import { once } from 'node:events';
import { request as httpRequest, type OutgoingHttpHeaders } from 'node:http';
import { connect, createServer, type Server as NetServer } from 'node:net';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { AdminServer } from '../../src/control/admin.js';
import { type CommandHandler, CommandTable } from '../../src/control/commands.js';
import type { ClusterStatus, Controlled, ServerState, TakenProfile } from '../../src/control/controlled.js';
import { ServerError } from '../../src/errors/index.js';
import type { ResolvedAdmin } from '../../src/options/index.js';
import { Log } from '../../src/util/log.js';
import { PACE } from '../helpers/deadline.js';

const TOKEN = 'a-token-of-16-letters';

interface Answer {
  readonly status: number | undefined;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly body: string;
}

let admin: AdminServer;
let state: ServerState;
let ready: boolean;
let cluster: Pick<ClusterStatus, 'state' | 'readyNeedsEngine'> | null;
/** What the server was asked to do. */
let asked: unknown[][];
let own: Map<string, CommandHandler>;
let log: string[];
let profile: { pieces: string[]; freed: number };

beforeEach(() => {
  [state, ready, cluster, asked, own, log] = ['running', true, null, [], new Map(), []];
  profile = { pieces: ['{"a":', '1}'], freed: 0 };
});
afterEach(() => admin.close());

const server = {
  status: () => ({ state, ready, cluster, workerNum: 4 }),
  stats: () => ({ requestCount: 3 }),
  metrics: () => [{ name: 'it', help: 'what it is', type: 'gauge', samples: [{ labels: {}, value: 5 }] }],
  reload: async (tasksOnly: boolean) => asked.push(['reload', tasksOnly]),
  connections: (filter: object) => ({ connections: [], next: 0, filter }),
  takeProfile: async (request: object): Promise<TakenProfile> => {
    asked.push(['takeProfile', request]);
    return {
      name: 'worker-0.cpuprofile',
      bytes: Buffer.byteLength(profile.pieces.join('')),
      async *read() {
        for (const piece of profile.pieces) yield Buffer.from(piece);
      },
      free: () => void profile.freed++,
    };
  },
} as unknown as Controlled;

async function listen(given: Partial<ResolvedAdmin> = {}): Promise<AdminServer> {
  const output = new Log({ role: 'master', level: 'debug', write: (line) => log.push(line) });
  const options = { host: '127.0.0.1', port: 0, token: '', readToken: '', hosts: [], dashboard: false, ...given };
  admin = new AdminServer(options, server, new CommandTable(server, own), output);
  await admin.listen();
  return admin;
}

function ask(path: string, method = 'GET', headers: OutgoingHttpHeaders = {}, body = ''): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = httpRequest(`${admin.url}${path}`, { method, headers, agent: false }, (response) => {
      const pieces: Buffer[] = [];
      response.on('data', (piece: Buffer) => pieces.push(piece)).on('error', reject);
      response.on('end', () => {
        const { statusCode: status } = response;
        resolve({ status, headers: response.headers, body: Buffer.concat(pieces).toString() });
      });
    });
    request.on('error', reject).end(body);
  });
}
const turn = () => new Promise(setImmediate);
const withToken = { authorization: `Bearer ${TOKEN}` };
const post = (path: string, body = '', headers: OutgoingHttpHeaders = withToken): Promise<Answer> =>
  ask(path, 'POST', headers, body);
const errorOf = ({ body }: Answer): unknown => (JSON.parse(body) as { error: unknown }).error;

describe('the admin listener', () => {
  it('has an address while it listens, and none before and after', async () => {
    const output = new Log({ role: 'master', level: 'silent' });
    const options = { host: '127.0.0.1', port: 0, token: '', readToken: '', hosts: [], dashboard: false };
    const unheard = new AdminServer(options, server, new CommandTable(server, own), output);
    expect(unheard.url).toBe('');
    expect((await listen()).url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
    await admin.close();
    expect(admin.url).toBe('');
  });

  it('writes an address of IPv6 in brackets', async () => {
    expect((await listen({ host: '::1' })).url).toMatch(/^http:\/\/\[::1\]:\d+$/);
    expect((await ask('/healthz')).status).toBe(200);
  });

  it('says which port is in use', async () => {
    const other: NetServer = createServer();
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
    const { port } = other.address() as { port: number };
    await expect(listen({ port })).rejects.toMatchObject({
      ...{ code: 'ERR_PORT_IN_USE', detail: { host: '127.0.0.1', port } },
    });
    await new Promise((resolve) => other.close(resolve));
  });

  it('says which address is none of this machine', async () => {
    await expect(listen({ host: '192.0.2.1' })).rejects.toMatchObject({
      code: 'ERR_LISTEN',
      detail: { host: '192.0.2.1', port: 0, code: 'EADDRNOTAVAIL', syscall: 'listen' },
    });
  });

  it('tells what there is', async () => {
    await listen();
    expect(await ask('/')).toMatchObject({ status: 200, body: 'tswoole: /metrics /healthz /readyz /api\n' });
    const missing = await ask('/nothing');
    expect(missing).toMatchObject({
      status: 404,
      headers: { 'content-type': 'application/json', connection: 'close' },
    });
    expect(errorOf(missing)).toMatchObject({ code: 'HTTP_404', message: expect.stringContaining('/nothing') });
    expect((await ask('/apis')).status).toBe(404);
  });

  it('gives the figures as Prometheus wants them, which nobody may keep', async () => {
    await listen();
    const { status, headers, body } = await ask('/metrics');
    expect(status).toBe(200);
    expect(headers).toMatchObject({ 'cache-control': 'no-store', 'content-length': String(body.length) });
    expect(headers['content-type']).toMatch(/^text\/plain; version=0\.0\.4/);
    expect(body).toMatch(/# TYPE it gauge\nit 5\n/);
  });

  it('answers HEAD without a body, and refuses other methods', async () => {
    await listen();
    expect(await ask('/healthz', 'HEAD')).toMatchObject({ status: 200, headers: { 'content-length': '3' }, body: '' });
    expect(await ask('/healthz', 'POST')).toMatchObject({ status: 405, headers: { allow: 'GET, HEAD' } });
    expect(await ask('/api/stats', 'PUT')).toMatchObject({ status: 405, headers: { allow: 'GET, HEAD, POST' } });
  });

  it('answers only for its own host', async () => {
    await listen();
    expect(await ask('/healthz', 'GET', { host: 'evil.example' })).toMatchObject({ status: 403 });
  });

  it.each([
    ['running', 200, 'ok\n'],
    ['starting', 200, 'ok\n'],
    ['degraded', 200, 'degraded\n'],
    ['crash-looping', 503, 'crash-looping\n'],
  ] as const)('takes a server that is %s for alive or not: %i', async (now, status, body) => {
    state = now;
    await listen();
    expect(await ask('/healthz')).toMatchObject({ status, body, headers: { 'content-type': /^text\/plain/ } });
  });

  it.each([
    ['running', true, 200, 'ready\n'],
    ['degraded', true, 200, 'ready, degraded\n'],
    ['running', false, 503, 'no worker is ready\n'],
    ['starting', false, 503, 'starting\n'],
  ] as const)('takes a server that is %s (ready: %s) for ready or not: %i', async (now, isReady, status, body) => {
    [state, ready] = [now, isReady];
    await listen();
    expect(await ask('/readyz')).toMatchObject({ status, body });
  });

  it.each([
    ['running', true, 'reconnecting', 'the engine of the cluster is reconnecting\n'],
    ['degraded', true, 'down', 'the engine of the cluster is down\n'],
    ['running', true, 'up', 'no worker is ready\n'],
    ['running', false, 'down', 'no worker is ready\n'],
    ['shutting down', true, 'down', 'shutting down\n'],
  ] as const)(
    'says why one that is %s is not ready (needs the engine: %s, which is %s)',
    async (now, needs, engine, body) => {
      [state, ready, cluster] = [now, false, { state: engine, readyNeedsEngine: needs }];
      await listen();
      expect(await ask('/readyz')).toMatchObject({ status: 503, body });
    },
  );
});

describe('a client that asks without reading', () => {
  it('has one answer made at a time, and all of them in order once it reads', async () => {
    let made = 0;
    const piece = 'x'.repeat(2 ** 20);
    const metrics = vi.spyOn(server, 'metrics').mockImplementation(() => {
      made++;
      return [{ name: 'it', help: piece, type: 'gauge', samples: [{ labels: {}, value: made }] }];
    });
    const { url } = await listen();
    const { hostname, port } = new URL(url);
    const socket = connect(Number(port), hostname).pause();
    await once(socket, 'connect');
    const count = 60;
    socket.write(`GET /metrics HTTP/1.1\r\nHost: ${hostname}:${port}\r\n\r\n`.repeat(count));
    expect((await ask('/healthz')).status).toBe(200); // behind what the requests had made
    expect((await ask('/healthz')).status).toBe(200);
    expect(made).toBeLessThan(count / 2); // as many as the buffers of the kernel take, and one
    const seen: string[] = [];
    let rest = '';
    socket.setEncoding('latin1').on('data', (more: string) => {
      const lines = (rest + more).split('\n');
      rest = (lines.pop() ?? '').slice(-99); // a line of a piece is not looked for
      seen.push(...lines.filter((line) => /^it \d+$/.test(line)));
    });
    socket.resume();
    await vi.waitFor(() => expect(seen).toHaveLength(count), { timeout: 20_000 * PACE });
    expect(seen).toEqual(Array.from({ length: count }, (_, i) => `it ${i + 1}`));
    socket.destroy();
    metrics.mockRestore();
  });
});

describe('a command over HTTP', () => {
  it('has ten tries of the token per address; the right one is taken at any time', async () => {
    await listen({ token: TOKEN });
    const bearer = (token: string) => ask('/api/status', 'GET', { authorization: `Bearer ${token}` });
    for (let i = 0; i < 10; i++) expect((await bearer(`guess-${i}`)).status).toBe(401);
    const late = await bearer('guess-11');
    expect([late.status, Number(late.headers['retry-after']) > 0]).toEqual([429, true]);
    expect((await bearer(TOKEN)).status).toBe(200);
    expect(log.join()).toContain('a wrong token came');
  });

  it('is answered with its result as JSON, and null where it has none', async () => {
    own.set('nothing', () => undefined);
    await listen();
    expect(await ask('/api/stats')).toMatchObject({
      ...{ status: 200, headers: { 'content-type': 'application/json' }, body: '{"requestCount":3}\n' },
    });
    await admin.close();
    await listen({ token: TOKEN });
    expect(await post('/api/nothing')).toMatchObject({ status: 200, body: 'null\n' });
  });

  it('takes its arguments from the query, or from the body', async () => {
    await listen({ token: TOKEN });
    expect((await ask('/api/connections?count=5&address=::1', 'GET', withToken)).body).toContain(
      '"filter":{"after":0,"count":5,"address":"::1"}',
    );
    expect((await post('/api/connections', '{"count":6}')).body).toContain('"count":6');
    await post('/api/reload?tasksOnly=false', '{"tasksOnly":true}');
    expect(asked).toEqual([['reload', true]]);
  });

  it('is listed where none is named', async () => {
    await listen();
    for (const path of ['/api', '/api/']) expect((await ask(path)).body).toContain('"name":"reload"');
  });

  it('that changes something must be posted', async () => {
    await listen();
    const refused = await ask('/api/reload');
    expect(refused).toMatchObject({ status: 405, headers: { allow: 'POST' } });
    expect(asked).toEqual([]);
  });

  it('that there is not is refused with the one that may be meant', async () => {
    await listen();
    const refused = await ask('/api/stat');
    expect(refused.status).toBe(404);
    expect(errorOf(refused)).toMatchObject({ code: 'ERR_COMMAND_UNKNOWN', detail: { name: 'stat', nearest: 'stats' } });
  });

  it('cannot be given where there is no token; without changes it can be asked', async () => {
    await listen();
    expect(await post('/api/stats', '', {})).toMatchObject({ status: 403 });
    expect(await ask('/api/stats')).toMatchObject({ status: 200 });
  });

  it.each([
    [{}, 401],
    [{ authorization: TOKEN }, 401],
    [{ authorization: `Basic ${TOKEN}` }, 401],
    [{ authorization: `Bearer ${TOKEN}x` }, 401],
    [{ authorization: 'Bearer' }, 401],
    [{ authorization: `bearer ${TOKEN}` }, 200],
    [withToken, 200],
  ])('with the token in %j is answered %i', async (headers, status) => {
    await listen({ token: TOKEN });
    const answer = await ask('/api/stats', 'GET', headers);
    expect([answer.status, answer.headers['www-authenticate']]).toEqual([
      status,
      status === 401 ? 'Bearer' : undefined,
    ]);
    expect((await ask('/metrics')).status).toBe(200);
  });

  it.each([
    ['ERR_SESSION_NOT_FOUND', { fd: 1 }, 404],
    ['ERR_COMMAND_UNKNOWN', { name: 'a', nearest: 'b' }, 404],
    ['ERR_WORKER_ID', { received: '9', expected: '0' }, 400],
    ['ERR_OPTION_RANGE', { name: 'a', expected: 'b', received: 'c' }, 400],
    ['ERR_RELOAD', { why: 'no' }, 409],
    ['ERR_SCALE', { why: 'no' }, 409],
    ['ERR_PROFILE', { why: 'no' }, 409],
    ['ERR_SESSION_CLOSED', { fd: 1 }, 500],
  ])('that fails with %s %j is answered %i', async (code, detail, status) => {
    own.set('fail', () => {
      throw new ServerError(code as 'ERR_RELOAD', detail as { why: string });
    });
    await listen({ token: TOKEN });
    const answer = await post('/api/fail');
    expect([answer.status, answer.headers['content-type']]).toEqual([status, 'application/json']);
    expect(errorOf(answer)).toMatchObject({ name: 'ServerError', code, detail });
    const [came, ...others] = log;
    expect(came).toMatch(/came to the admin listener command=fail address=127\.0\.0\.1 token=token by=token$/);
    expect(others.length).toBe(status === 500 ? 1 : 0);
  });

  it('that fails with any error is answered 500, without a path, and is in the log', async () => {
    own.set('fail', () => {
      throw new Error('cannot read /srv/secret/file');
    });
    await listen({ token: TOKEN });
    const answer = await post('/api/fail');
    expect([answer.status, errorOf(answer)]).toEqual([500, { name: 'Error', message: 'cannot read …/file' }]);
    expect(log.join('')).toContain('/srv/secret/file');
  });

  it('that gets what is no JSON object is refused', async () => {
    await listen({ token: TOKEN });
    expect((await post('/api/stats', '[1]')).status).toBe(400);
    expect((await post('/api/connections', '{"count":"many"}')).status).toBe(400);
  });

  it('that takes a profile is answered by the profile, which is let go of', async () => {
    await listen({ token: TOKEN });
    const answer = await post('/api/profile', '{"target":0,"seconds":2}');
    expect(answer).toMatchObject({
      status: 200,
      body: '{"a":1}',
      headers: {
        'content-disposition': 'attachment; filename="worker-0.cpuprofile"',
        'content-length': '7',
        'content-type': 'application/json',
        'cache-control': 'no-store',
      },
    });
    expect(asked).toEqual([['takeProfile', { target: 0, kind: 'cpu', durationMs: 2000 }]]);
    expect(profile.freed).toBe(1);
  });

  it('whose client goes meanwhile leaves nothing in the log but that it came', async () => {
    let came: (() => void) | undefined;
    const begun = new Promise<void>((resolve) => {
      came = resolve;
    });
    let fail: ((error: Error) => void) | undefined;
    own.set('slow', () => {
      came?.();
      return new Promise((_, reject) => {
        fail = reject;
      });
    });
    await listen({ token: TOKEN });
    const request = httpRequest(`${admin.url}/api/slow`, { method: 'POST', headers: withToken, agent: false });
    request.on('error', () => {}).end();
    await begun;
    await admin.close(); // its connections are closed
    await turn(); // and Node has told the answers of them
    await turn();
    fail?.(new Error('nobody is there'));
    await turn();
    expect(log).toEqual([expect.stringContaining('command=slow')]);
  });
});

describe('connections that ask nothing', () => {
  it('do not keep others out, however many they are: the oldest makes room', async () => {
    await listen();
    const { port } = new URL(admin.url);
    const held = await Promise.all(
      Array.from({ length: 128 }, async (_, i) => {
        const socket = connect(Number(port), '127.0.0.1');
        socket.on('error', () => {});
        await once(socket, 'connect');
        socket.write(
          i % 2 === 0 ? 'GET /healthz' : 'POST /api/reload HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\n',
        );
        return socket;
      }),
    );
    const ends = Promise.race(held.map((socket) => once(socket, 'close')));
    for (let i = 0; i < 3; i++) expect((await ask('/healthz')).status).toBe(200);
    await ends;
    expect(held.filter(({ destroyed }) => !destroyed).length).toBeGreaterThan(100);
    for (const socket of held) socket.destroy();
  });

  it('leave those alone whose command runs', async () => {
    const ends: (() => void)[] = [];
    own.set('wait', () => new Promise<string>((resolve) => ends.push(() => resolve('done'))));
    await listen({ token: TOKEN });
    const authorization = `Bearer ${TOKEN}`;
    const running = Array.from({ length: 128 }, () => ask('/api/wait', 'POST', { authorization }));
    await vi.waitFor(() => expect(ends).toHaveLength(128), { timeout: 5000 * PACE });
    await expect(ask('/healthz')).rejects.toThrow(/ECONNRESET|socket hang up/);
    for (const end of ends) end();
    for (const { status } of await Promise.all(running)) expect(status).toBe(200);
    expect((await ask('/healthz')).status).toBe(200);
  });
});
