// What requests of a listener put off (ticks and promises) runs before the next request of the same turn, whatever it throws.
// Holds in both modes.
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

it('runs before the next request', async () => {
  const server = await start();
  expect(
    await inOneTurn(
      server,
      NAMES.map((name) => `/put/${name}`),
    ),
  ).toEqual(NAMES);
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

it('what it throws, and nobody handles, ends the process as anywhere in Node', async () => {
  const server = await start();
  const client = await HttpClient.connect(server.port);
  const { pid } = await notedBy(client);
  client.send('GET /throws/a HTTP/1.1\r\nHost: h\r\n\r\n');
  await poll('the error', () => server.stderr.includes('Error: thrown by a'));
  await poll('another process', async () => (await notedBy(await HttpClient.connect(server.port))).pid !== pid);
  expect(server.stderr).not.toContain('async hook stack');
});
