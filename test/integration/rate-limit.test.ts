// The option rateLimit through the whole server, in both modes.
import { afterEach, describe, expect, it } from 'vitest';
import { HttpClient, post, request } from '../helpers/http-client.js';
import { RawHttp2Client } from '../helpers/http2-client.js';
import { endServers, type ServerProcess, startServer } from '../helpers/server-process.js';
import { sharedServers } from '../helpers/shared-servers.js';

afterEach(endServers);

/** Nothing comes back while a test runs. */
const rare = { perSecond: 0.05, burst: 2 };

describe.each(['process', 'base'])('rateLimit in %s mode', (mode) => {
  const shared = sharedServers();
  const shape = mode === 'base' ? { workerNum: 2 } : { workerNum: 2, reactorNum: 2 };
  const small = mode === 'base' ? { workerNum: 1 } : { workerNum: 1, reactorNum: 1 };

  /** Each of its tests comes from addresses, or with keys, of its own. */
  const start = (rateLimit: object, env: Record<string, string> = {}): Promise<ServerProcess> =>
    shared('rate-limit.js', { env, options: { mode, ...shape, rateLimit } });

  const startSmall = (rateLimit: object, env: Record<string, string> = {}): Promise<ServerProcess> =>
    startServer('rate-limit.js', { env, options: { mode, ...small, rateLimit } });

  it('answers 429 above the limit of an address, on all its connections, which go on', async () => {
    const server = await start(rare);
    const client = await HttpClient.connect(server.port);
    const other = await HttpClient.connect(server.port);
    expect([(await client.get('/')).status, (await other.get('/')).status]).toEqual([200, 200]);
    const refused = await client.get('/');
    expect(refused).toMatchObject({ status: 429, reason: 'Too Many Requests' });
    expect(Number(refused.headers['retry-after'])).toBeGreaterThan(15);
    expect(Number(refused.headers['retry-after'])).toBeLessThanOrEqual(20);
    expect([(await other.get('/')).status, (await client.get('/')).status]).toEqual([429, 429]);
    expect((await client.send(post('/', 'abc')).answer()).status).toBe(429);
    expect((await client.send('HEAD / HTTP/1.1\r\nhost: a\r\n\r\n').answer(true)).status).toBe(429);
    expect((await client.get('/', 'connection: close')).headers['connection']).toBe('close');
    expect(await client.rest()).toBe('');
    await other.close();
  });

  it('keeps pipelined requests in order', async () => {
    const server = await start(rare);
    const client = await HttpClient.connect(server.port, '127.0.0.2');
    client.send(request('/').repeat(5));
    const statuses: number[] = [];
    for (let i = 0; i < 5; i++) statuses.push((await client.answer()).status);
    expect(statuses).toEqual([200, 200, 429, 429, 429]);
    await client.close();
  });

  it('lets a client go on after Retry-After', async () => {
    const server = await startSmall({ perSecond: 1, burst: 1 });
    const client = await HttpClient.connect(server.port);
    expect((await client.get('/')).status).toBe(200);
    const { status, headers } = await client.get('/');
    expect([status, headers['retry-after']]).toEqual([429, '1']);
    await new Promise((resolve) => setTimeout(resolve, 1000));
    expect((await client.get('/')).status).toBe(200);
    await client.close();
  });

  it('tells clients apart by a header, and those without it by their address', async () => {
    const server = await start({ ...rare, by: { header: 'X-Key' } });
    const client = await HttpClient.connect(server.port);
    const statuses = async (...lines: string[]): Promise<number[]> => {
      const found: number[] = [];
      for (let i = 0; i < 3; i++) found.push((await client.get('/', ...lines)).status);
      return found;
    };
    expect(await statuses('x-key: one')).toEqual([200, 200, 429]);
    expect(await statuses('X-KEY: two')).toEqual([200, 200, 429]);
    expect(await statuses('x-key: 127.0.0.1')).toEqual([200, 200, 429]);
    expect(await statuses()).toEqual([200, 200, 429]);
    await client.close();
  });

  it.each(['request', 'fetch', 'listener'])('asks a function before the callback: %s', async (APP) => {
    const server = await start(rare, { BY: 'query', APP });
    const client = await HttpClient.connect(server.port);
    const statuses: number[] = [];
    for (let i = 0; i < 3; i++) statuses.push((await client.get('/?user=a', 'user-agent: test')).status);
    const refused = await client.get('/?user=a');
    expect(server.events('asked')[0]).toMatchObject({
      ...{ method: 'GET', target: '/?user=a', remoteAddress: '127.0.0.1', agent: 'test' },
    });
    expect(refused).toMatchObject({ status: 429, body: 'There were too many requests of this client.\n' });
    expect(refused.headers['retry-after']).toMatch(/^(1[5-9]|20)$/);
    for (let i = 0; i < 4; i++) statuses.push((await client.get('/')).status);
    expect(statuses).toEqual([200, 200, 429, 200, 200, 200, 200]);
    await client.close();
  });

  it('answers 500, and logs, where the function throws', async () => {
    const server = await start(rare, { BY: 'query', APP: 'request' });
    const client = await HttpClient.connect(server.port);
    expect((await client.get('/throws')).status).toBe(500);
    await server.waitFor('the log', () => server.stderr.includes('no key') || undefined);
    await client.close();
  });

  it('holds for HTTP/2 and for the requests of a WebSocketServer', async () => {
    for (const [APP, KIND] of [
      ['request', 'http'],
      ['listener', 'http'],
      ['request', 'websocket'],
    ] as const) {
      const server = await (KIND === 'http' && APP === 'request' ? start(rare) : startSmall(rare, { APP, KIND }));
      const client = await RawHttp2Client.connect(server.port, { from: '127.0.0.3' });
      const statuses: number[] = [];
      for (let i = 0; i < 3; i++) statuses.push(await client.status(client.request('/')));
      expect(statuses).toEqual([200, 200, 429]);
    }
  });

  it('counts what it refuses', async () => {
    const server = await start({ ...rare, by: { header: 'X-Key' } });
    const client = await HttpClient.connect(server.port);
    const refused = async (): Promise<number> => {
      const { body } = await client.get('/stats', `x-key: ${crypto.randomUUID()}`);
      return (JSON.parse(body) as { refusedCount: number }).refusedCount;
    };
    const before = await refused();
    for (let i = 0; i < 5; i++) await client.get('/', 'x-key: counted');
    expect((await refused()) - before).toBe(3);
    await client.close();
  });
});
