import { readFileSync } from 'node:fs';
import { Agent, get as httpGet } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { Client } from '../helpers/client.js';
import { PACE } from '../helpers/deadline.js';
import { endServers, inProcessMode, poll, type ServerProcess, startServer } from '../helpers/server-process.js';
import { Load, type LoadResult, TcpClient } from '../helpers/tcp-client.js';

afterEach(endServers);

/** What was read went to the workers, what they took was answered, and every answer has reached its client in order. */
function expectAllAnswered(server: ServerProcess, result: LoadResult, connections: number): void {
  const stops = server.events('workerStop');
  const sum = (name: string): number => stops.reduce((total, stop) => total + Number(stop[name]), 0);
  expect(sum('taken')).toBe(server.events('shutdown')[0]?.['receivedBytes']);
  expect(sum('answered')).toBe(sum('taken'));
  expect(result.receivedBytes).toBe(sum('answered'));
  expect(result.faults).toEqual([]);
  expect(result.ended).toHaveLength(connections);
  expect(result.ended.filter((how) => !how.endsWith('closed'))).toEqual([]); // an end in order, not a reset
}

async function expectOrderlyEnd(server: ServerProcess): Promise<void> {
  expect(await server.exited).toEqual({ code: 0, signal: null });
  server.assertNothingLeft();
}

const CLIENTS = 20;
/** Longer than a server that ends waits for clients that have no request under way. */
const PAUSE_MS = 1000;
const LONG_WAIT_MS = Math.round(8000 * PACE);

describe('a shutdown under load answers all that was read and ends with code 0', () => {
  type End = (server: ServerProcess) => void | Promise<void>;
  async function underLoad(env: Record<string, string>, window: number, end: End): Promise<void> {
    const server = await startServer('late-echo.js', { options: { workerNum: 2 }, env });
    const load = await Load.start(server.port, 100, window);
    await load.progress(3);
    await end(server);
    await expectOrderlyEnd(server);
    await server.silent;
    expect(server.events('workerStop').length).toBeGreaterThanOrEqual(2);
    expectAllAnswered(server, await load.ended(), 100);
  }

  it('by SIGTERM', () => underLoad({}, 8, (server) => server.signal('SIGTERM')));

  it('by SIGINT', () => underLoad({}, 2, (server) => server.signal('SIGINT')));

  it('by SIGHUP', () => underLoad({}, 2, (server) => server.signal('SIGHUP')));

  it('by SIGTERM while handlers take 50 ms', () =>
    underLoad({ DELAY_MS: '50' }, 1, (server) => server.signal('SIGTERM')));

  it('by SIGTERM to the manager', () => underLoad({}, 2, (server) => server.signal('SIGTERM', server.manager?.pid)));

  it('by SIGTERM to every process at once, as an init system sends it', () =>
    underLoad({ DELAY_MS: '20' }, 1, (server) => {
      server.signalAll('SIGTERM');
    }));

  it('by SIGINT to every process at once, as a terminal sends it', () =>
    underLoad({ DELAY_MS: '20' }, 1, (server) => {
      server.signalAll('SIGINT');
    }));

  it('by SIGTERM right after SIGUSR1', () =>
    underLoad({ DELAY_MS: '20' }, 1, (server) => {
      server.signal('SIGUSR1');
      server.signal('SIGTERM');
    }));

  it('by SIGTERM while the new workers of a reload boot', () =>
    underLoad({ DELAY_MS: '20' }, 1, async (server) => {
      server.signal('SIGUSR1');
      await poll('they boot', () => server.workers.length === 4);
      server.signal('SIGTERM');
    }));

  it('by SIGTERM while the old workers of a reload leave', () =>
    underLoad({ DELAY_MS: '20' }, 1, async (server) => {
      server.signal('SIGUSR1');
      await server.waitForEvent('workerStop');
      server.signal('SIGTERM');
    }));
});

describe('a shutdown', () => {
  // In BASE mode one worker is the whole server.
  it.each([2, 1])(
    'loses no request of clients that keep their connections and ask on (workers: %i)',
    async (workerNum) => {
      const server = await startServer('http.js', { options: { workerNum } });
      const agent = new Agent({ keepAlive: true, maxSockets: CLIENTS });
      const ends: unknown[] = [];
      let answered = 0;
      const ask = (): Promise<string> =>
        new Promise((resolve) => {
          const { port } = server;
          const sent = httpGet({ agent, port, host: '127.0.0.1', path: '/' }, (response) => {
            answered++;
            response.resume().once('end', () => resolve(response.headers.connection ?? ''));
          });
          sent.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? ''));
        });
      const loop = async (): Promise<void> => {
        let how = '';
        while (how === '') {
          how = await ask();
          await new Promise((resolve) => setTimeout(resolve, 2));
        }
        ends.push(how);
      };
      const loops = Array.from({ length: CLIENTS }, loop);
      await poll('all ask again', () => answered > 10 * CLIENTS);
      server.signal('SIGTERM');
      await Promise.all(loops);
      agent.destroy();
      expect(new Set(ends)).toEqual(new Set(['close']));
      expect(await server.exited).toEqual({ code: 0, signal: null });
    },
  );

  it.each([
    [2, 'collected', 1000],
    [1, 'collected', 1000],
    [2, 'passed on as it comes', 1_000_000],
    [1, 'passed on as it comes', 1_000_000],
  ])(
    'answers a client that pauses in the midst of its body (workers: %i, the body is %s)',
    async (workerNum, _, bytes) => {
      const server = await startServer('http.js', { options: { workerNum, maxWaitMs: LONG_WAIT_MS } });
      const client = await Client.open(server.port);
      const head = `POST /count HTTP/1.1\r\nhost: a\r\ncontent-length: ${bytes}\r\n\r\n`;
      const half = bytes / 2;
      client.socket.write(head + 'x'.repeat(half));
      await poll('it has been read', async () => {
        const answer = await fetch(`http://127.0.0.1:${server.port}/clients`, { headers: { connection: 'close' } });
        const clients = (await answer.json()) as { receivedBytes: number }[];
        return clients.some(({ receivedBytes }) => receivedBytes === head.length + half);
      });
      server.signal('SIGTERM');
      await sleep(PAUSE_MS);
      client.socket.write('x'.repeat(half));
      await client.closed;
      expect(client.error).toBeUndefined();
      const [status, ...fields] = (client.text.split('\r\n\r\n')[0] ?? '').split('\r\n');
      expect([status, fields.includes('connection: close')]).toEqual(['HTTP/1.1 200 OK', true]);
      expect(client.text.endsWith(`\r\n\r\n${bytes}`)).toBe(true);
      await expectOrderlyEnd(server);
    },
  );

  it('can be asked for in a worker', async () => {
    const server = await startServer('commands.js', { options: { workerNum: 2 } });
    const client = await TcpClient.connect(server.port);
    expect(await client.send('echo last\nshutdown\n').readLine()).toBe('last');
    await expectOrderlyEnd(server);
    await client.closed;
    expect(client.end).toBe('closed');
  });

  it('does not wait beyond maxWaitMs for a handler that never settles, and says so', async () => {
    const server = await startServer('commands.js', { options: { workerNum: 2, maxWaitMs: 500 } });
    const client = await TcpClient.connect(server.port);
    client.send('never\n');
    await client.ask('echo a');
    const began = performance.now();
    server.signal('SIGTERM');
    await expectOrderlyEnd(server);
    const tookMs = performance.now() - began;
    expect(tookMs).toBeGreaterThan(450);
    expect(tookMs).toBeLessThan(500 + 2000);
    await client.closed;
  });

  it('does not wait beyond maxWaitMs for a worker in an endless loop; others still answer', async () => {
    const server = await startServer('commands.js', {
      options: { workerNum: 2, maxWaitMs: 500, dispatchMode: 'fd-mod', reactorNum: 1 },
    });
    const blocks = await TcpClient.connect(server.port);
    const worker = await blocks.ask('who');
    // In BASE mode a worker that is busy, as right after its start, leaves clients to the other one.
    const late = await poll('the other worker has a client', async () => {
      const client = await TcpClient.connect(server.port);
      return (await client.ask('who')) === worker ? undefined : client;
    });
    blocks.send('block 60000\n');
    await poll('a worker blocks', () => server.workers.some(({ state }) => state === 'R'));
    late.send('later 200\n');
    await poll('the line was sent', () => late.socket.bytesWritten === 'who\nlater 200\n'.length);
    await late.ask('echo read');
    const began = performance.now();
    server.signal('SIGTERM');
    await late.closed;
    expect(late.received).toBe('later\n');
    await expectOrderlyEnd(server);
    expect(performance.now() - began).toBeLessThan(500 + 2500);
    await blocks.closed;
  });

  it('is hurried by a second SIGTERM', async () => {
    const server = await startServer('commands.js', { options: { workerNum: 1, maxWaitMs: 60_000 } });
    const client = await TcpClient.connect(server.port);
    client.send('never\n');
    await client.ask('echo a');
    server.signal('SIGTERM');
    // The first second belongs to repetitions of the same signal (npm passes on what the terminal has sent already).
    const again = setInterval(() => server.signal('SIGTERM'), 300);
    const exit = await server.exited;
    clearInterval(again);
    expect(exit).toEqual({ code: 0, signal: null });
    server.assertNothingLeft();
    await client.closed;
  });

  inProcessMode('right after the manager was killed leaves nothing', async () => {
    const server = await startServer('commands.js', { options: { workerNum: 2 } });
    server.signal('SIGKILL', server.manager?.pid);
    server.signal('SIGTERM');
    await expectOrderlyEnd(server);
  });

  inProcessMode('right after a worker was killed lets its successor answer what was read', async () => {
    const server = await startServer('commands.js', { options: { workerNum: 1 } });
    const clients = await TcpClient.connectMany(server.port, 20);
    await Promise.all(clients.map((client) => client.ask('echo a')));
    const victim = server.worker(0)?.pid ?? 0;
    server.signal('SIGSTOP', victim); // from here on it takes nothing
    const [witness] = clients;
    for (const client of clients) client.send('who\n');
    await poll('all was written', () => clients.every(({ socket }) => socket.writableLength === 0));
    await poll('all was read', () => unreadBytes(server.port) === 0);
    server.signal('SIGKILL', victim);
    server.signal('SIGTERM');
    await Promise.all(clients.map((client) => client.closed));
    for (const client of clients) expect(client.received).toMatch(/^0 \d+\n$/);
    expect(witness?.received).not.toBe(`0 ${victim}\n`);
    await expectOrderlyEnd(server);
  });

  it('does not wait for a worker that is in a pause because it keeps dying', async () => {
    const server = await startServer('late-echo.js', { options: { workerNum: 1 }, copy: true });
    const faulty = "if (server.role === 'worker') throw new Error('never boots');\nawait server.start";
    server.edit((source) => source.replace('await server.start', faulty));
    server.signal('SIGKILL', server.worker(0)?.pid);
    await server.waitFor('a long pause', () => server.stderr.includes('in 1000 ms'));
    const began = performance.now();
    server.signal('SIGTERM');
    await expectOrderlyEnd(server);
    expect(performance.now() - began).toBeLessThan(1000);
  });
});

/** What waits in the kernel for the server's sockets on this port to read. */
function unreadBytes(port: number): number {
  const here = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  const rows = readFileSync('/proc/net/tcp', 'utf8').split('\n').slice(1);
  const queues = rows.map((row) => row.trim().split(/\s+/)).filter(([, local]) => local?.endsWith(here));
  return queues.reduce((sum, fields) => sum + Number.parseInt(fields[4]?.split(':')[1] ?? '0', 16), 0);
}
