// What a callback puts off (ticks and promises) runs before the next callback of the same turn, whatever it throws.
// Holds in both modes.
import { connect } from 'node:http2';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { afterEach, expect, it } from 'vitest';
import { DEADLINE_MS } from '../helpers/deadline.js';
import { HttpClient } from '../helpers/http-client.js';
import { endServers, poll, type ServerProcess, startServer } from '../helpers/server-process.js';

afterEach(endServers);

const NAMES = ['a', 'b', 'c', 'd', 'e', 'f'];
/** The worker is busy for as long as the requests need to come. */
const BLOCK_MS = 500;

interface Noted {
  readonly pid: number;
  readonly noted: readonly string[];
}

const APIS = ['listener', 'request', 'fetch'];

const start = (env: Record<string, string> = {}): Promise<ServerProcess> => startServer('ticks.js', { env });
const notedBy = async (client: HttpClient): Promise<Noted> => JSON.parse((await client.get('/noted')).body) as Noted;

/** Requests that all wait for one worker. @returns their answers */
async function inOneTurn(server: ServerProcess, paths: readonly string[]): Promise<(string | undefined)[]> {
  const busy = await HttpClient.connect(server.port);
  const clients = await Promise.all(paths.map(() => HttpClient.connect(server.port)));
  busy.send(`GET /block/${BLOCK_MS} HTTP/1.1\r\nHost: h\r\n\r\n`);
  await server.waitForEvent('blocks', undefined, DEADLINE_MS);
  const answers = clients.map((client, i) =>
    client.get(paths[i] as string).then(
      ({ body }) => body,
      () => undefined,
    ),
  );
  return Promise.all(answers);
}

it.each(APIS)('runs before the next request (%s)', async (API) => {
  const server = await start({ API });
  const paths = NAMES.map((name) => `/put/${name}`);
  expect(await inOneTurn(server, paths)).toEqual(NAMES);
  const { noted } = await notedBy(await HttpClient.connect(server.port));
  const rounds = noted.join().split('begin ').slice(1);
  expect(rounds.map((round) => round.replaceAll(/,$/g, '')).sort()).toEqual(
    NAMES.map((name) => `${name},tick ${name},promise ${name}`),
  );
});

it('what it throws, and the app handles, costs nobody an answer, and leaves nothing behind', async () => {
  const server = await start({ HANDLES: '1' });
  const before = await notedBy(await HttpClient.connect(server.port));
  const paths = NAMES.map((name, i) => (i % 2 === 0 ? `/throws/${name}` : `/put/${name}`));
  expect(await inOneTurn(server, paths)).toEqual(NAMES);
  const after = await notedBy(await HttpClient.connect(server.port));
  expect(after.pid).toBe(before.pid);
  const expected = NAMES.flatMap((name, i) => [
    ...[`begin ${name}`, `tick ${name}`, `promise ${name}`],
    ...(i % 2 === 0 ? [`thrown by ${name}`] : []),
  ]);
  expect([...after.noted].sort()).toEqual(expected.sort());
  expect(server.stderr).toBe('');
});

it.each(APIS)('what it throws within HTTP/2, and the app handles, lets no request stand still (%s)', async (API) => {
  const server = await start({ API, HANDLES: '1' });
  const sessions = [0, 1, 2, 3].map(() => connect(`http://127.0.0.1:${server.port}`));
  const ask = (path: string, i: number): Promise<string> =>
    text(sessions[i % 4]?.request({ ':path': path }) as Readable);
  for (let round = 0; round < 10; round++) {
    const paths = Array.from({ length: 40 }, (_, i) => (i % 3 === 0 ? `/throws/${i}` : `/put/${i}`));
    expect(await Promise.all(paths.map(ask))).toEqual(paths.map((_, i) => `${i}`));
  }
  for (const session of sessions) session.close();
  expect(server.stderr).toBe('');
});

it('what it throws, and nobody handles, ends the process as anywhere in Node', async () => {
  const server = await start();
  const client = await HttpClient.connect(server.port);
  const { pid } = await notedBy(client);
  client.send('GET /throws/a HTTP/1.1\r\nHost: h\r\n\r\n');
  await poll('the error', () => server.stderr.includes('Error: thrown by a'));
  await poll('another process', async () => (await notedBy(await HttpClient.connect(server.port))).pid !== pid);
  expect(server.stderr).not.toContain('async hook stack');
});
