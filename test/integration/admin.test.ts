import { createConnection } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { Client } from '../helpers/client.js';
import { CommandLine, endCommandLines } from '../helpers/command-line.js';
import { PACE } from '../helpers/deadline.js';
import { poll } from '../helpers/server-process.js';
import { foreground, look, sharedLines, tell } from '../helpers/shared-lines.js';

afterEach(endCommandLines);

const TOKEN = 'a-token-of-some-length';

interface Admin {
  readonly line: CommandLine;
  readonly url: string;
  readonly pid: number;
  readonly port: number;
}

async function start(...flags: string[]): Promise<Admin> {
  const line = new CommandLine();
  const { pid, port } = await foreground(line, ...flags);
  return { line, url: (await look(line)).status.admin, pid, port };
}

/** Samples by name and labels. */
async function scrape(url: string): Promise<Map<string, number>> {
  const response = await fetch(`${url}/metrics`);
  expect(response.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8');
  const lines = (await response.text()).split('\n').filter((text) => text !== '' && !text.startsWith('#'));
  return new Map(
    lines.map((text) => [text.slice(0, text.lastIndexOf(' ')), Number(text.slice(text.lastIndexOf(' ') + 1))]),
  );
}

function sum(samples: Map<string, number>, name: string): number {
  return [...samples]
    .filter(([key]) => key === name || key.startsWith(`${name}{`))
    .reduce((total, [, value]) => total + value, 0);
}

describe('the metrics', () => {
  it('have every figure while a worker spins, and their sums are what the clients counted', async () => {
    const { line, url, port } = await start('--admin', '0', '--task-workers', '1');
    const clients = await Client.openMany(port, 20);
    for (const client of clients) {
      for (let i = 0; i < 50; i++) client.write(`${i}\n`);
      await client.until('all answers', () => client.text.split('\n').length === 51);
    }
    await clients[0]?.ask('task');
    clients[0]?.write('spin\n');
    await poll('it spins', async () => {
      const { workers } = await look(line);
      return workers.some(({ loopStandsMs }) => loopStandsMs > 500);
    });
    const samples = await scrape(url);
    expect(sum(samples, 'tswoole_connections')).toBe(20);
    expect(sum(samples, 'tswoole_connections_accepted_total')).toBe(20);
    expect(sum(samples, 'tswoole_packets_total')).toBe(1002);
    expect(sum(samples, 'tswoole_dispatched_total')).toBe(1002);
    expect(sum(samples, 'tswoole_sends_total')).toBe(1001);
    expect(sum(samples, 'tswoole_sent_bytes_total')).toBe(
      clients.reduce((total, { receivedBytes }) => total + receivedBytes, 0),
    );
    expect(sum(samples, 'tswoole_callback_seconds_count')).toBe(1001 + 1);
    expect(samples.get('tswoole_tasks_ended_total{result="done"}')).toBe(1);
    expect(samples.get('tswoole_ready')).toBe(1);
    for (const process_ of ['master', 'manager', 'worker 0', 'worker 1', 'task 2']) {
      expect(samples.get(`tswoole_process_resident_bytes{process="${process_}"}`)).toBeGreaterThan(1e7);
      expect(samples.get(`tswoole_process_cpu_seconds_total{process="${process_}"}`)).toBeGreaterThan(0);
      expect(samples.has(`tswoole_event_loop_utilisation{process="${process_}"}`)).toBe(true);
    }
    expect(samples.has('tswoole_event_loop_utilisation{process="reactor 0"}')).toBe(true);
    await line.must('stop', '--force');
  });

  it('tell why processes were replaced', async () => {
    const { line, url, port } = await start('--admin', '0', '--max-memory', '180m');
    const crash = await Client.open(port);
    crash.write('exit\n');
    await poll('one has ended', async () => (await scrape(url)).get('tswoole_process_ends_total{reason="exit"}') === 1);
    await poll('another one serves', async () => sum(await scrape(url), 'tswoole_worker_up') === 2);
    await tell(line, 'reload');
    expect((await scrape(url)).get('tswoole_process_ends_total{reason="reload"}')).toBe(2);
    await line.must('worker', 'stop', '0', '--force');
    await poll(
      'one was killed',
      async () => (await scrape(url)).get('tswoole_process_ends_total{reason="signal"}') === 1,
    );
    const hog = await Client.open(port);
    const [, before] = (await hog.ask('hog 200')).split(' ');
    await poll(
      'it was replaced',
      async () => (await scrape(url)).get('tswoole_process_ends_total{reason="memory"}') === 1,
    );
    const [, after] = (await hog.ask('a')).split(' ');
    expect(after).not.toBe(before);
  });
});

describe('health', () => {
  it('is ready while clients are served, and not from the first moment of the shutdown', async () => {
    const { line, url, port, pid } = await start('--admin', '0', '--max-wait-ms', '2000', '--worker-num', '1');
    const status = async (path: string): Promise<number> => (await fetch(`${url}${path}`)).status;
    expect([await status('/healthz'), await status('/readyz')]).toEqual([200, 200]);
    const client = await Client.open(port);
    client.write('spin\n'); // holds the shutdown up
    await poll('it spins', async () => (await look(line)).workers.some(({ loopStandsMs }) => loopStandsMs > 300));
    process.kill(pid, 'SIGTERM');
    await poll('it is not ready', async () => (await status('/readyz')) === 503);
    expect(await status('/healthz')).toBe(200);
    await poll('it has ended', () => line.tree().length === 0);
  });

  it('is not ready while no worker takes packets', async () => {
    const { line, url } = await start('--admin', '0', '--worker-num', '1');
    const { workers } = await look(line);
    process.kill(workers[0]?.pid ?? 0, 'SIGKILL');
    await poll('it is not ready', async () => (await fetch(`${url}/readyz`)).status === 503);
    await poll('it is ready again', async () => (await fetch(`${url}/readyz`)).status === 200);
  });
});

describe('the commands over HTTP', () => {
  const shared = sharedLines();
  const withoutToken = (): Promise<Admin> => shared('', () => start('--admin', '0', '--worker-num', '1'));

  it('look without a token, and change nothing', async () => {
    const { line, url, pid } = await withoutToken();
    expect(await (await fetch(`${url}/api/status`)).json()).toMatchObject({ masterPid: pid, phase: 'running' });
    expect(await (await fetch(`${url}/api/connections?count=5`)).json()).toEqual({ connections: [], next: 0 });
    expect(await (await fetch(`${url}/api`)).json()).toContainEqual(expect.objectContaining({ name: 'reload' }));
    const statusOf = async (path: string, init: RequestInit = {}): Promise<number> =>
      (await fetch(`${url}${path}`, init)).status;
    expect(await statusOf('/api/reload', { method: 'POST' })).toBe(403);
    expect(await statusOf('/api/reload')).toBe(405);
    expect(await statusOf('/api/nix')).toBe(404);
    expect(await statusOf('/nix')).toBe(404);
    expect(await statusOf('/metrics', { method: 'DELETE' })).toBe(405);
    expect(await statusOf('/api/connections?count=lots')).toBe(400);
    expect((await look(line)).status.generation).toBe(0);
  });

  it('are not for pages of other hosts', async () => {
    const port = Number(new URL((await withoutToken()).url).port);
    const answer = await new Promise<string>((resolve, reject) => {
      let text = '';
      const socket = createConnection(port, '127.0.0.1', () =>
        socket.write('GET /api/status HTTP/1.0\r\nHost: evil.example\r\n\r\n'),
      );
      socket
        .on('data', (data) => (text += String(data)))
        .on('end', () => resolve(text))
        .on('error', reject);
    });
    expect(answer).toMatch(/^HTTP\/1\.1 403 /);
  });

  it('are carried out with the token, whatever the server', async () => {
    const { line, url } = await start('--admin', JSON.stringify({ port: 0, token: TOKEN }), '--worker-num', '1');
    const post = (path: string, token: string, body = ''): Promise<Response> =>
      fetch(`${url}${path}`, { method: 'POST', headers: { authorization: `Bearer ${token}` }, body });
    expect((await post('/api/reload', 'another-token-of-some')).status).toBe(401);
    expect((await fetch(`${url}/api/status`)).status).toBe(401);
    expect((await fetch(`${url}/metrics`)).status).toBe(200);
    expect(await (await post('/api/reload', TOKEN)).json()).toEqual({ generation: 1 });
    expect(await (await post('/api/greet', TOKEN, '{"name":"Ada"}')).json()).toMatchObject({ hello: 'Ada' });
    expect((await post('/api/greet', TOKEN, '[1]')).status).toBe(400);
    expect((await post('/api/scale', TOKEN, '{"workerNum":77}')).status).toBe(409);
    expect((await post('/api/greet', TOKEN, `"${'x'.repeat(2_000_000)}"`)).status).toBe(413);
    const settings = await (
      await fetch(`${url}/api/settings`, { headers: { authorization: `Bearer ${TOKEN}` } })
    ).text();
    expect(settings).not.toContain(TOKEN);
    expect((await post('/api/shutdown', TOKEN)).status).toBe(200);
    await poll('it has ended', () => line.tree().length === 0);
  });

  it.each([
    ['{"host":"0.0.0.0","port":0}', 'ERR_OPTION_VALUE'],
    ['{"port":0,"token":"short"}', 'ERR_OPTION_RANGE'],
    ['70000', 'ERR_OPTION_RANGE'],
  ])('are not offered with %s', async (admin) => {
    const line = new CommandLine();
    expect(await line.run('start', line.script, '--admin', admin)).toMatchObject({ code: 2 });
  });

  it('have a port that is free, or the server does not start', async () => {
    const { line, url } = await withoutToken();
    const { port } = new URL(url);
    const second = await line.run('start', line.script, '--daemon', '--admin', port);
    expect(second).toMatchObject({ code: 1, stderr: expect.stringContaining('ERR_PORT_IN_USE') });
    expect(await line.servers()).toHaveLength(1);
  });
});

describe('a worker whose loop stands still', () => {
  it('is logged with the place, killed and replaced', async () => {
    const hangs = ['--worker-timeout-ms', '1000', '--worker-num', '1'];
    const { line, url, port } = await start('--admin', '0', ...hangs, '--log-file', 'it.log');
    const client = await Client.open(port);
    const [, before] = (await client.ask('a')).split(' ');
    // A loop that stops at once is killed without a stack: the thread that takes it does not run yet.
    const lives = async (): Promise<boolean> => ((await look(line)).workers[0]?.uptimeMs ?? 0) > 1000 * PACE;
    await poll('it has lived for a while', lives);
    client.write('spin\n');
    await poll(
      'it was replaced',
      async () => (await scrape(url)).get('tswoole_process_ends_total{reason="hang"}') === 1,
    );
    const log = await line.must('logs');
    expect(log).toMatch(/stands still, it is killed/);
    expect(log).toMatch(/operated\.js:22:\d+/);
    // The packet that made it hang died with it; the connection goes on.
    const [, after] = (await client.ask('b')).split(' ');
    expect(after).not.toBe(before);
  });
});
