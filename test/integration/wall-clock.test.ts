/**
 * Somebody sets the machine's clock while the server runs: nothing may end for it, and nothing may go on that should end.
 * The server's processes and threads see a time of day that jumps; see fixtures/step-clock.cjs.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { HttpClient } from '../helpers/http-client.js';
import { endServers, type ServerProcess, startServer } from '../helpers/server-process.js';
import { TcpClient } from '../helpers/tcp-client.js';

const HOUR = 3_600_000;
const LIMIT_MS = 1500;
const PRELOAD = fileURLToPath(new URL('../fixtures/step-clock.cjs', import.meta.url));

let folder: string;
let stepFile: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'clock-'));
  stepFile = join(folder, 'step');
  setClock(0);
});
afterEach(async () => {
  await endServers();
  rmSync(folder, { recursive: true });
});

function setClock(ms: number): void {
  writeFileSync(stepFile, String(ms));
}

function start(fixture: string, options: object): Promise<ServerProcess> {
  const env = { CLOCK_STEP: stepFile, NODE_OPTIONS: `--require=${PRELOAD}` };
  return startServer(fixture, { env, options: { workerNum: 2, reactorNum: 2, ...options } });
}

/** What it takes, from before the client has sent its last bytes, until its connection has ended. */
async function lasts(client: TcpClient, isRaw = false): Promise<number> {
  client.socket.on('error', () => {});
  const began = performance.now();
  if (isRaw) await client.ask('echo a');
  await client.closed;
  return performance.now() - began;
}

function expectLimit(took: readonly number[]): void {
  for (const ms of took) expect(ms).toBeGreaterThan(LIMIT_MS - 50);
}

const steps = [
  ['set ahead by an hour', HOUR],
  ['set back by an hour', -HOUR],
] as const;

describe.each(steps)('a clock that is %s', (_title, step) => {
  it('neither ends a silent client, nor one that does not read, before its time, nor keeps it', async () => {
    const server = await start('commands.js', {
      ...{ heartbeatIdleMs: LIMIT_MS, heartbeatCheckMs: 50, writeTimeoutMs: LIMIT_MS, protocol: 'raw' },
    });
    const [before, deaf, talking] = (await TcpClient.connectMany(server.port, 3)) as [TcpClient, TcpClient, TcpClient];
    expect(await talking.ask(`protect ${await deaf.ask('fd')}`)).toBe('true'); // not from being timed out while it reads nothing
    deaf.socket.pause();
    deaf.send(`bytes ${20 * 2 ** 20}\n`);
    const talk = setInterval(() => talking.send('echo x\n'), 200);
    const early = [lasts(before, true)];
    const told = (code: string): Promise<unknown> =>
      server.waitForEvent('close', ({ reason }) => (reason as { code: string }).code === code);
    const began = performance.now();
    setClock(step);
    const late = await TcpClient.connect(server.port);
    expectLimit(await Promise.all([...early, lasts(late, true)]));
    await told('WRITE_TIMEOUT');
    expectLimit([performance.now() - began + 200]);
    clearInterval(talk);
    expect(talking.end).toBeUndefined();
    expect(server.stderr).not.toContain('stands still');
  });

  it('moves neither the age of a connection nor that of the server, and what is shown is the time of day', async () => {
    const server = await start('commands.js', { taskWorkerNum: 0 });
    const [one, other] = (await TcpClient.connectMany(server.port, 2)) as [TcpClient, TcpClient];
    const fd = await one.ask('fd');
    const stats = async () => JSON.parse(await other.ask('stats')) as { startedAt: number };
    const info = async () =>
      JSON.parse(await other.ask(`info ${fd}`)) as { connectedAt: number; lastReceivedAt: number };
    const { connectedAt, lastReceivedAt } = await info();
    const { startedAt } = await stats();
    expect(Math.abs(connectedAt - Date.now())).toBeLessThan(10_000);
    expect(lastReceivedAt).toBeGreaterThanOrEqual(connectedAt);
    setClock(step);
    await one.ask('echo x');
    const later = await info();
    expect(Math.abs(later.connectedAt - connectedAt - step)).toBeLessThan(100);
    expect(Math.abs(later.lastReceivedAt - Date.now() - step)).toBeLessThan(10_000);
    expect(later.lastReceivedAt).toBeGreaterThanOrEqual(later.connectedAt);
    expect(Math.abs((await stats()).startedAt - startedAt - step)).toBeLessThan(100);
    const workers = JSON.parse(await other.ask('workers')) as { uptimeMs: number; startedAt: number }[];
    for (const { uptimeMs, startedAt: begun } of workers) {
      expect(uptimeMs).toBeGreaterThanOrEqual(0);
      expect(uptimeMs).toBeLessThan(60_000);
      expect(Math.abs(begun + uptimeMs - Date.now() - step)).toBeLessThan(10_000);
    }
  });

  it('leaves heads, bodies, answers and idle connections of HTTP the time that they have, and no more', async () => {
    const server = await start('http.js', {
      ...{ headersTimeoutMs: LIMIT_MS, requestTimeoutMs: LIMIT_MS, keepAliveTimeoutMs: LIMIT_MS, heartbeatIdleMs: 0 },
    });
    const open = async (): Promise<Promise<number>[]> => {
      const clients = await Promise.all(Array.from({ length: 4 }, () => HttpClient.connect(server.port)));
      const [idle, head, body, owed] = clients as [HttpClient, HttpClient, HttpClient, HttpClient];
      const took = clients.map(({ tcp }) => lasts(tcp));
      await idle.get('/');
      head.send('GET / HTTP/1.1\r\nhost: a\r\n');
      body.send('POST /count HTTP/1.1\r\nhost: a\r\ncontent-length: 100000\r\n\r\nabc');
      owed.send('GET /never HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n');
      const statuses = [head, body, owed].map(async (client) => (await client.answer()).status);
      took.push(Promise.all(statuses).then((all) => (String(all) === '408,408,503' ? LIMIT_MS : Number.NaN)));
      return took;
    };
    const early = await open();
    await server.waitForEvent('never');
    setClock(step);
    const late = await open();
    expectLimit(await Promise.all([...early, ...late]));
  });

  it('shows in the Date field of answers within a second', async () => {
    const server = await start('http.js', {});
    const client = await HttpClient.connect(server.port);
    const date = async (): Promise<number> => Date.parse((await client.get('/')).headers['date'] ?? '');
    expect(Math.abs((await date()) - Date.now())).toBeLessThan(5000);
    setClock(step);
    await expect.poll(async () => Math.abs((await date()) - Date.now() - step), { timeout: 5000 }).toBeLessThan(5000);
  });
});
