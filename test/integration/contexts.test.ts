// AsyncLocalStorage: what a callback leaves in its context is not found by the next one, which may be another client's.
// Holds in both modes.
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { connect } from 'node:http2';
import { text } from 'node:stream/consumers';
import { afterEach, expect, it } from 'vitest';
import { HttpClient } from '../helpers/http-client.js';
import { endServers, startServer } from '../helpers/server-process.js';
import { TcpClient } from '../helpers/tcp-client.js';
import { HandClient } from '../helpers/websocket-client.js';

afterEach(endServers);

const TIMES = 3;

/** @param noted JSON: what callbacks have found, by name */
function expectNothingLeft(noted: string, names: readonly string[]): void {
  const found = JSON.parse(noted) as Record<string, string[]>;
  const ofScript = (name: string): [string, string[]] => [name, found[name]?.map(() => 'of the script') ?? []];
  expect(found).toEqual(Object.fromEntries(names.map(ofScript)));
  for (const name of names) expect([name, found[name]?.length]).toEqual([name, expect.toSatisfy((n) => n >= TIMES)]);
}

it('callbacks of connections, datagrams, tasks and messages', async () => {
  const server = await startServer('contexts.js', { env: { APP: 'raw' } });
  const { ports } = await server.waitForEvent('up');
  const [tcp = 0, udp = 0] = ports as number[];
  const datagrams = createSocket('udp4');
  for (let i = 0; i < TIMES; i++) {
    const client = await TcpClient.connect(tcp);
    await client.ask('hello');
    await client.close();
    datagrams.send('hello', udp, '127.0.0.1');
    await once(datagrams, 'message');
  }
  datagrams.close();
  for (const event of ['close', 'finish', 'pipeMessage']) {
    await server.waitFor(event, () => server.events(event)[TIMES - 1]);
  }
  const noted = await (await TcpClient.connect(tcp)).ask('noted');
  expectNothingLeft(noted, ['connect', 'receive', 'close', 'packet', 'task', 'finish', 'pipeMessage']);
});

it.each([
  ['request', 'request'],
  ['fetch', 'http'],
  ['listener', 'http'],
])('callbacks of HTTP (%s) and of WebSockets', async (APP, name) => {
  const server = await startServer('contexts.js', { env: { APP } });
  for (let i = 0; i < TIMES; i++) {
    const client = await HttpClient.connect(server.port);
    expect((await client.get('/')).body).toBe('ok');
    const session = connect(`http://127.0.0.1:${server.port}`);
    expect(await text(session.request({ ':path': '/' }))).toBe('ok');
    session.close();
    const socket = await HandClient.open(server.port);
    expect(await socket.text('hello').message()).toBe('thello');
    await Promise.all([client.close(), socket.close()]);
  }
  await server.waitFor('close', () => server.events('close')[TIMES - 1]);
  const client = await HttpClient.connect(server.port);
  expectNothingLeft((await client.get('/noted')).body, [name, 'open', 'message', 'close']);
});
