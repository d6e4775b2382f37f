// The option sticky: each session has one worker, whichever connection its requests come by. In both modes.
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { ControlClient } from '../../src/control/client.js';
import { DEADLINE_MS } from '../helpers/deadline.js';
import { HttpClient, post, request } from '../helpers/http-client.js';
import { endServers, poll, type ServerProcess, startServer } from '../helpers/server-process.js';
import { sharedServers } from '../helpers/shared-servers.js';
import { HandClient } from '../helpers/websocket-client.js';

afterEach(endServers);

const SESSIONS = 200;
const CONNECTIONS = 6;
const WORKERS = 3;
const FEWER = 2;

interface Seen {
  readonly worker: number;
  readonly pid: number;
}

const lineOf = (session: number): string => `cookie: theme=dark; sid=session-${session}; lang=en`;

async function see(client: HttpClient, ...lines: string[]): Promise<Seen> {
  const { status, body } = await client.get('/', ...lines);
  if (status !== 200) throw new Error(`answered ${status}: ${body}`);
  return JSON.parse(body) as Seen;
}

/** All sessions by all connections, as a proxy mixes them, until it is told to end; or once. */
class Traffic {
  /** Workers of each session. */
  readonly workers = Array.from({ length: SESSIONS }, () => new Set<number>());
  readonly failures: string[] = [];
  requests = 0;
  #ends = false;

  async run(port: number, rounds = Number.POSITIVE_INFINITY): Promise<void> {
    await Promise.all(Array.from({ length: CONNECTIONS }, (_, i) => this.#ask(port, i, rounds)));
  }

  end(): void {
    this.#ends = true;
  }

  async #ask(port: number, first: number, rounds: number): Promise<void> {
    let client = await HttpClient.connect(port);
    for (let round = 0; round < rounds && !this.#ends; round++) {
      const session = (Math.floor((first * SESSIONS) / CONNECTIONS) + round) % SESSIONS;
      try {
        const { status, headers, body } = await client.get('/', lineOf(session));
        if (status !== 200) throw new Error(`answered ${status}: ${body}`);
        this.workers[session]?.add((JSON.parse(body) as Seen).worker);
        this.requests++;
        if (headers['connection'] !== 'close') continue;
        await client.close();
        client = await HttpClient.connect(port);
      } catch (error) {
        this.failures.push(String(error));
        break;
      }
    }
    await client.close();
  }
}

async function placesOf(port: number): Promise<number[]> {
  const client = await HttpClient.connect(port);
  const places: number[] = [];
  for (let session = 0; session < SESSIONS; session++) places.push((await see(client, lineOf(session))).worker);
  await client.close();
  return places;
}

describe.each(['process', 'base'])('sticky in %s mode', (mode) => {
  const shared = sharedServers();
  const usual = { mode, workerNum: WORKERS, reactorNum: 2, sticky: { cookie: 'sid' } };

  /** For what a server does by itself: by `least-busy`. */
  const startCommon = (): Promise<ServerProcess> => shared('clients.js', { options: usual });

  /** By `least-connections`. */
  function startOther(): Promise<ServerProcess> {
    const rest = mode === 'base' ? { maxWaitMs: 60_000 } : { maxWorkerNum: WORKERS + 1 };
    return shared('clients.js', { options: { ...usual, dispatchMode: 'least-connections', ...rest } });
  }

  /** Of WebSockets, by `round-robin`. */
  const startInTurn = (): Promise<ServerProcess> =>
    shared('clients.js', { env: { APP: 'websocket' }, options: { ...usual, dispatchMode: 'round-robin' } });

  it.each(['least-busy', 'least-connections'])(
    'gives each session one worker over all connections, and uses all workers: %s',
    async (dispatchMode) => {
      const server = await (dispatchMode === 'least-busy' ? startCommon() : startOther());
      const traffic = new Traffic();
      await traffic.run(server.port, SESSIONS);
      expect(traffic.failures).toEqual([]);
      expect(traffic.workers.map(({ size }) => size)).toEqual(new Array(SESSIONS).fill(1));
      expect(new Set(traffic.workers.flatMap((workers) => [...workers])).size).toBe(WORKERS);
    },
  );

  it('keeps to the worker ids through reloads and the replacement of a worker under load, and no request fails', async () => {
    const server = await startCommon();
    const before = await placesOf(server.port);
    const traffic = new Traffic();
    const running = traffic.run(server.port);
    for (let reload = 1; reload <= 2; reload++) {
      server.signal('SIGUSR1');
      await server.waitFor('the reload', () => server.events('afterReload').length === reload);
    }
    const pid = server.worker(1)?.pid ?? 0;
    server.signal('SIGTERM', pid);
    await poll('the worker is replaced', () => !server.tree().some((process) => process.pid === pid));
    const { requests } = traffic;
    await poll('all sessions have come again', () => traffic.requests > requests + SESSIONS * 2);
    traffic.end();
    await running;
    expect(traffic.failures).toEqual([]);
    expect(traffic.workers.map((workers) => [...workers])).toEqual(before.map((worker) => [worker]));
  });

  it('serves the sessions of a killed worker elsewhere, and by its successor when that is there', async () => {
    const server = await startCommon();
    const before = await placesOf(server.port);
    const victim = before[0] ?? 0;
    const connect = () => Promise.all(Array.from({ length: 4 }, () => HttpClient.connect(server.port)));
    const early = await connect();
    const pid = server.worker(victim)?.pid ?? 0;
    server.signal('SIGKILL', pid);
    // In BASE mode a worker takes its connections with it.
    if (mode === 'base') await poll('it is gone', () => !server.tree().some((process) => process.pid === pid));
    const clients = mode === 'base' ? await connect() : early;
    // None is under way at that moment; from here on requests of the session come without a pause.
    const seen = await poll('the successor', async () => {
      const all = await Promise.all(clients.map((client) => see(client, lineOf(0))));
      return all.every((each) => each.worker === victim && each.pid !== pid) ? all : undefined;
    });
    expect(seen.length).toBe(4);
    expect(await placesOf(server.port)).toEqual(before);
    await Promise.all([...clients, ...early].map((client) => client.close()));
  });

  it.skipIf(mode === 'process')('ends a request whose connection has died with the worker that owned it', async () => {
    const server = await startOther();
    const client = await HttpClient.connect(server.port);
    const owner = (await see(client)).worker; // without a session the one that has the connection
    const other = (owner + 1) % WORKERS;
    client.send(
      request('/', `cookie: sid=x.w${other}`, 'content-length: 400000').replace('GET', 'POST') + 'x'.repeat(200_000),
    );
    const control = await ControlClient.connect(join(server.runDir, `${server.masterPid}.sock`));
    const underWay = async (): Promise<number> => {
      const workers = (await control.call('workers', {}, DEADLINE_MS)) as { id: number; pendingCallbacks: number }[];
      return workers.find(({ id }) => id === other)?.pendingCallbacks ?? -1;
    };
    await poll('it is under way', async () => (await underWay()) === 1);
    server.signal('SIGKILL', server.worker(owner)?.pid ?? 0);
    await poll('it has ended', async () => (await underWay()) === 0);
    control.close();
  });

  it('brings a value that a worker has marked back to that worker', async () => {
    const server = await startCommon();
    const client = await HttpClient.connect(server.port);
    for (const worker of [0, 1, 2, 1, 0]) {
      expect((await see(client, `cookie: sid=${crypto.randomUUID()}.w${worker}`)).worker).toBe(worker);
    }
    await client.close();
  });

  it.skipIf(mode === 'base')('moves only the sessions of workers that come or go when the number changes', async () => {
    const server = await startOther();
    const control = await ControlClient.connect(join(server.runDir, `${server.masterPid}.sock`));
    const places: number[][] = [await placesOf(server.port)];
    const traffic = new Traffic();
    const running = traffic.run(server.port);
    for (const workerNum of [WORKERS + 1, FEWER, WORKERS]) {
      await control.call('scale', { workerNum }, DEADLINE_MS);
      // A new worker is there a moment later; until then its sessions go to the next one.
      await poll('all of them take requests', async () => {
        const workers = (await control.call('workers', {}, DEADLINE_MS)) as { pid: number }[];
        return workers.length === workerNum && workers.every(({ pid }) => pid !== 0);
      });
      places.push(await placesOf(server.port));
    }
    traffic.end();
    await running;
    expect(traffic.failures).toEqual([]);
    const [first = [], more = [], fewer = [], again = []] = places;
    expect(again).toEqual(first);
    for (let i = 0; i < SESSIONS; i++) {
      if (more[i] !== first[i]) expect(more[i]).toBe(WORKERS);
      if (first[i]! < FEWER) expect(fewer[i]).toBe(first[i]);
    }
    expect(more).not.toEqual(first);
    control.close();
  });

  it('goes by a header too, for requests in pieces, with bodies, and pipelined', async () => {
    const options = { ...usual, reactorNum: 1, sticky: { header: 'X-Session' } };
    const server = await startServer('clients.js', { options });
    const client = await HttpClient.connect(server.port);
    const place = async (): Promise<number> => (JSON.parse((await client.answer()).body) as Seen).worker;
    for (const session of ['x-session: a', 'x-session: b', 'x-session: c']) {
      const { worker } = await see(client, session);
      const large = 'x'.repeat(300_000);
      client
        .send(post('/', 'abc', session))
        .send(post('/', large, session.toUpperCase().replace(/.$/, session.slice(-1))));
      expect([await place(), await place()]).toEqual([worker, worker]);
      client.send(
        `POST / HTTP/1.1\r\nhost: a\r\n${session}\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n`,
      );
      expect(await place()).toBe(worker);
      client.send(request('/', session).repeat(3));
      expect([await place(), await place(), await place()]).toEqual([worker, worker, worker]);
      const text = request('/', session);
      for (const at of [10, text.length - 5]) {
        client.send(text.slice(0, at));
        await new Promise((resolve) => setImmediate(resolve));
        client.send(text.slice(at));
        expect(await place()).toBe(worker);
      }
    }
    await client.close();
  });

  it('leaves requests without the value to the dispatch', async () => {
    const server = await startInTurn();
    const client = await HttpClient.connect(server.port);
    const workers = new Set<number>();
    for (let i = 0; i < WORKERS * 2; i++) workers.add((await see(client, 'cookie: sid=; other=1')).worker);
    expect(workers.size).toBe(WORKERS);
    await client.close();
  });

  it('counts for the request by which a connection becomes a WebSocket', async () => {
    const server = await startInTurn();
    const places = await placesOf(server.port);
    for (let session = 0; session < 12; session++) {
      const client = await HandClient.open(server.port, { fields: { cookie: `sid=session-${session}` } });
      expect((JSON.parse((await client.message()).slice(1)) as Seen).worker).toBe(places[session]);
      await client.http.close();
    }
  });
});
