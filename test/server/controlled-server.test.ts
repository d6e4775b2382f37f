import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { ClusterStatus, CrashLoop, NodesReload, ServerPhase, ShownJob } from '../../src/control/controlled.js';
import { ServerError } from '../../src/errors/index.js';
import type { ProcessEnd } from '../../src/ipc/message.js';
import type { Outbox } from '../../src/ipc/outbox.js';
import type { Master } from '../../src/master/master.js';
import { WorkerBoard, WorkerField } from '../../src/memory/boards.js';
import { ConnectionTable } from '../../src/memory/connection-table.js';
import { LogBoard } from '../../src/memory/log-board.js';
import { Region } from '../../src/memory/region.js';
import { RoomBoard } from '../../src/memory/room-board.js';
import type { Messaging } from '../../src/messaging/messaging.js';
import { resolveListen, resolveOptions, type ServerOptions } from '../../src/options/index.js';
import { AF_INET } from '../../src/os/constants.js';
import { type ControlledParts, ControlledServer, nameOf } from '../../src/server/controlled-server.js';
import { monotonicMs } from '../../src/util/clock.js';
import { MessagingWorld } from '../helpers/messaging-world.js';
import { testShape } from '../helpers/test-shape.js';

let region: Region;
let board: WorkerBoard;
let phase: ServerPhase;
let crashLoops: CrashLoop[];
/** What the master and the outbox were asked. */
let asked: unknown[][];
let refusal: ServerError | undefined;
/** Where a process has put its profile. */
let left: { offset: number; bytes: number }[];
let speaksWebSocket: boolean;
let tellEnd: (end: ProcessEnd) => void;

beforeEach(() => {
  region = Region.create(testShape({ workerNum: 3 }));
  region.activeWorkerNum = region.seatNum = 2;
  board = new WorkerBoard(region);
  [phase, crashLoops, asked, refusal, left] = ['running', [], [], undefined, []];
  speaksWebSocket = false;
});

let needsRestart: string[] = [];
afterEach(() => {
  needsRestart = [];
});

const note =
  (name: string) =>
  async (...given: unknown[]): Promise<void> =>
    void asked.push([name, ...given]);
const make = (
  given: ServerOptions = {},
  listens: object[] = [{ port: 0 }],
  more: Partial<ControlledParts> = {},
): ControlledServer => {
  const options = resolveOptions({ host: '127.0.0.1', port: 0, workerNum: 2, ...given });
  const master = {
    ...{ region, scale: note('scale'), stopWorker: note('stopWorker'), datagramDrops: [{ port: 53, count: 3 }] },
    reloaded: async (tasksOnly: boolean) => {
      asked.push(['reloaded', tasksOnly]);
      return needsRestart;
    },
    profile: async (...given: unknown[]) => {
      asked.push(['profile', ...given]);
      return left;
    },
    set onEnd(told: (end: ProcessEnd) => void) {
      tellEnd = told;
    },
    get phase() {
      return phase;
    },
    get crashLoops() {
      return crashLoops;
    },
  } as unknown as Master;
  const outbox = {
    close: (...close: unknown[]) => asked.push(['close', ...close]) > 0 && refusal === undefined,
    get lastError() {
      return refusal;
    },
  } as unknown as Outbox;
  return new ControlledServer({
    ...{ master, options, listens: listens.map((listen) => resolveListen(listen, options)) },
    ...{ messaging: () => undefined, outbox: () => outbox, adminUrl: () => 'http://127.0.0.1:1/' },
    publish: speaksWebSocket ? (room, text) => void asked.push(['publish', room, text]) : undefined,
    ...{ shutdown: () => asked.push(['shutdown']), reopenLogs: () => asked.push(['reopenLogs']) },
    ...more,
  });
};
const live = (...workers: number[]): void => {
  for (const worker of workers) board.setField(worker, WorkerField.pid, 100 + worker);
};
const loop = (id: number): CrashLoop => ({
  ...{ id, name: `worker ${id}`, failures: 2, reason: 'why', endedAt: 1, nextAttemptAt: 2 },
});

describe('the state of a server', () => {
  it.each(['starting', 'shutting down', 'ended'] as const)('is its phase, %s, and it is not ready', (now) => {
    live(0, 1);
    phase = now;
    expect(make().status()).toMatchObject({ phase: now, state: now, ready: false });
  });

  it('is ready while some worker takes packets', () => {
    expect(make().status()).toMatchObject({ state: 'running', ready: false });
    live(1);
    expect(make().status()).toMatchObject({ state: 'running', ready: true });
  });

  it.each([
    ['degraded while another worker stays up', [0, 1], [0], 'degraded', true],
    ['degraded when a task worker does not stay up', [0, 1], [3], 'degraded', true],
    ['crash-looping when no worker stays up', [0, 1], [0, 1], 'crash-looping', false],
    ['crash-looping when the only one that is there does not', [0], [0], 'crash-looping', false],
    ['crash-looping when it is the manager', [0, 1], [-1], 'crash-looping', true],
  ])('is %s', (_title, living, looping, state, ready) => {
    live(...living);
    crashLoops = looping.map(loop);
    expect(make().status()).toMatchObject({ phase: 'running', state, ready, crashLoops });
  });

  it('that shuts down is that, whatever does not stay up', () => {
    crashLoops = [loop(-1)];
    phase = 'shutting down';
    expect(make().status().state).toBe('shutting down');
  });
});

describe('what the dashboard shows', () => {
  const admin = { dashboard: true };

  it('has the log where the dashboard is on', () => {
    expect(() => make().log({ after: 0, count: 1 })).toThrow(
      expect.objectContaining({ code: 'ERR_NO_DASHBOARD', detail: { command: 'log' } }),
    );
    region = Region.create(testShape({ logSlots: 8 }));
    const server = make({ admin });
    expect(server.log({ after: 0, count: 1 })).toEqual({ lines: [], newest: 0, lost: 0 });
    new LogBoard(region).write('info', 'master', 'it is up', monotonicMs());
    expect(server.log({ after: 0, count: 1 })).toMatchObject({ lines: [{ text: 'it is up' }], newest: 1 });
  });

  it('has the reactors of PROCESS mode; in BASE mode workers are their own', () => {
    expect(make().reactors()).toMatchObject([{ id: 0 }]);
    expect(make({ mode: 'base' }).reactors()).toEqual([]);
  });

  it('has the ends that the master is told of', () => {
    const server = make();
    expect([server.ends(9), server.rates(), server.history().points]).toEqual([{ ends: [], newest: 0 }, null, []]);
    tellEnd({ id: 1, reason: 'why' } as ProcessEnd);
    expect(server.ends(9)).toMatchObject({ ends: [{ number: 1, id: 1, reason: 'why' }], newest: 1 });
  });

  it('says that the number of workers changes while it does', async () => {
    const server = make();
    const scaled = server.scale(3);
    expect(server.doing()).toMatchObject({ what: 'scale', detail: 'from 2 to 3 workers' });
    await scaled;
    expect(server.doing()).toBeNull();
  });
});

describe('the status', () => {
  it('has the addresses as a user would write them', () => {
    region.ports = [9501, 9502, 9503, 0, 0];
    const listens = [
      { port: 0 },
      { port: 0, host: '::1' },
      { port: 0, type: 'udp' },
      { path: '/tmp/it', type: 'unix' },
      { path: '/tmp/dgram', type: 'unix-dgram' },
    ];
    region.ports = [9501, 9502, 9503, 0, 0];
    expect(make({}, listens).status().listening).toEqual([
      ...['127.0.0.1:9501', '[::1]:9502', 'udp 127.0.0.1:9503', '/tmp/it', 'unix-dgram /tmp/dgram'],
    ]);
  });

  it('has the level of the log that holds now', () => {
    const server = make({ logLevel: 'warn' });
    expect(server.status().logLevel).toBe('warn');
    server.setLogLevel('debug');
    expect([server.status().logLevel, region.logLevel]).toEqual(['debug', 'debug']);
  });

  it('counts requests where a port speaks HTTP, and packets otherwise', () => {
    expect(make().status().traffic.unit).toBe('packets');
    expect(make({}, [{ port: 0 }, { port: 0, protocol: 'http' }]).status().traffic.unit).toBe('requests');
  });

  it('can be sent as JSON, and so can all else that is told', () => {
    const server = make();
    for (const told of [server.status(), server.stats(), server.workers(), server.metrics(), server.settings()]) {
      expect(JSON.parse(JSON.stringify(told))).toBeDefined();
    }
  });

  it('calls a server by its name, or by its script', () => {
    expect(nameOf(resolveOptions({ name: 'web' }))).toBe('web');
    const script = process.argv[1];
    for (const [path, name] of [
      ['/srv/mail.js', 'mail'],
      ['/srv/mail/server.mjs', 'mail'],
      ['/srv/mail/index.ts', 'mail'],
      ['/srv/mail/src/server.js', 'mail'],
      ['/srv/mail/dist/src/main.js', 'mail'],
      ['/srv/src/mail.js', 'mail'],
      ['/server.js', 'server'],
    ] as const) {
      process.argv[1] = path;
      expect([path, nameOf(resolveOptions({}))]).toEqual([path, name]);
    }
    process.argv[1] = script as string;
  });
});

describe('the settings', () => {
  it('have no secret in them', () => {
    const keys = { ca: 'ca', cert: 'cert', key: 'hunter2' };
    const engine = { username: 'hunter2', password: 'hunter2', tls: keys };
    const given = {
      ...{ admin: { port: 0, token: 'hunter2-hunter2-hunter2', readToken: 'a-hunter2-hunter2' }, logger: console },
      cluster: {
        ...{ ...engine, driver: 'redis', url: 'rediss://me:hunter2@host/7?password=hunter2', nodeId: 'a' },
        jobs: { ...engine, url: 'postgres://me:hunter2@db/jobs?password=hunter2' },
      },
    } as unknown as ServerOptions;
    const settings = make(given).settings();
    expect(JSON.stringify(settings)).not.toContain('hunter2');
    const engines = { driver: 'redis', engine: 'host:6379', nodeId: 'a', ttlMs: 5000, tls: true };
    expect(settings).toMatchObject({
      ...{ admin: { token: '(hidden)' }, logger: '(an object)', tls: null, workerNum: 2 },
      cluster: { ...engines, jobs: { engine: 'db', prefix: 'tswoole', leaseMs: 30_000, tls: true } },
    });
  });

  it('have none where the engine of jobs is that of the cluster', () => {
    const cluster = { driver: 'redis', url: 'redis://me:hunter2@host:1', jobs: {} };
    const settings = make({ cluster } as unknown as ServerOptions).settings();
    expect(JSON.stringify(settings)).not.toContain('hunter2');
    expect(settings).toMatchObject({ cluster: { engine: 'host:1', jobs: { engine: 'host:1' } } });
  });

  it('show a delimiter as text', () => {
    const settings = make({ framing: { type: 'eof', delimiter: '\r\n' } } as unknown as ServerOptions).settings();
    expect(settings['framing']).toMatchObject({ delimiter: '\r\n' });
  });
});

describe('connections, page by page', () => {
  /** Of workers 0 and 1 in turn, at ports 0 and 1, from two addresses. */
  const open = (count: number): number[] => {
    const table = new ConnectionTable(region);
    region.ports = [80, 81];
    return Array.from({ length: count }, (_, slot) => {
      const sessionId = table.nextSessionId(slot);
      const address = Buffer.alloc(16);
      address.set([10, 0, 0, slot < 2 ? 1 : 2]);
      const place = { worker: slot % 2, portIndex: slot < 3 ? 0 : 1, descriptor: 9, now: monotonicMs() };
      table.open(slot, { sessionId, ...place, family: AF_INET, address, remotePort: 1 });
      return sessionId;
    });
  };
  const fds = (filter: Partial<Parameters<ControlledServer['connections']>[0]> = {}): number[] =>
    make()
      .connections({ after: 0, count: 100, ...filter })
      .connections.map(({ fd }) => fd);

  it('are all found, each once, however large a page is', () => {
    const all = open(5);
    for (const count of [1, 2, 3, 4, 5, 6]) {
      const found: number[] = [];
      for (let after = 0, pages = 0; pages < 10; pages++) {
        const page = make().connections({ after, count });
        expect(page.connections.length).toBeLessThanOrEqual(count);
        found.push(...page.connections.map(({ fd }) => fd));
        after = page.next;
        if (after === 0) break;
      }
      expect(found).toEqual(all);
    }
  });

  it('may be those of a worker, an address or a port', () => {
    const [a, b, c, d, e] = open(5) as [number, number, number, number, number];
    expect(fds({ workerId: 1 })).toEqual([b, d]);
    expect(fds({ address: '10.0.0.1' })).toEqual([a, b]);
    expect(fds({ port: 81 })).toEqual([d, e]);
    expect(fds({ workerId: 0, address: '10.0.0.2', port: 80 })).toEqual([c]);
    expect(fds({ workerId: 7 })).toEqual([]);
  });
});

describe('rooms', () => {
  const withRooms = (...sizes: [name: string, members: number][]): ControlledServer => {
    region = Region.create(testShape({ rooms: 16 }));
    const rooms = new RoomBoard(region);
    for (const [name, members] of sizes) rooms.join(name, 0, members);
    speaksWebSocket = true;
    return make({}, [{ port: 0, protocol: 'websocket' }]);
  };

  it('are told with the most members first, as many as wanted, and how many there are', () => {
    const server = withRooms(['b', 1], ['a', 1], ['c', 7]);
    const total = { rooms: 3, members: 9 };
    const [a, b, c] = [
      { name: 'a', members: 1 },
      { name: 'b', members: 1 },
      { name: 'c', members: 7 },
    ];
    expect(server.rooms(100)).toEqual({ total, rooms: [c, a, b] });
    expect(server.rooms(1)).toEqual({ total, rooms: [c] });
    expect(server.status().speaksWebSocket).toBe(true);
  });

  it('are published to, also where nobody is in one', () => {
    const server = withRooms(['a', 2]);
    expect(server.publish('a', 'x')).toEqual({ members: 2 });
    expect(server.publish('b', 'y')).toEqual({ members: 0 });
    expect(asked).toEqual([
      ['publish', 'a', 'x'],
      ['publish', 'b', 'y'],
    ]);
  });

  it.each([false, true])('are not those of a server without WebSocket, whose program knows them: %s', (knows) => {
    speaksWebSocket = knows;
    const server = make();
    expect(server.status().speaksWebSocket).toBe(false);
    for (const [command, call] of [
      ['rooms', () => server.rooms(1)],
      ['publish', () => server.publish('a', 'x')],
    ] as const) {
      expect(call).toThrow(expect.objectContaining({ code: 'ERR_NO_WEBSOCKET', detail: { command } }));
    }
    expect(asked).toEqual([]);
  });
});

describe('a node of several', () => {
  const retried: string[] = [];
  const of = (state: ClusterStatus['state'], readyNeedsEngine: boolean): ControlledServer => {
    const status = { state, readyNeedsEngine } as ClusterStatus;
    const reload = async (): Promise<NodesReload> => ({ running: false, nodes: [] });
    const jobs = {
      count: async () => [],
      dead: async (...given: unknown[]) => given as never,
      find: async (id: string) => (id === 'mail:1' ? ({ id } as ShownJob) : undefined),
      schedules: async (...given: unknown[]) => given as never,
      unschedule: async (_: string, key: string) => key === 'k',
      removeDead: async (name: string) => ({ removed: name.length, more: true }),
      remove: async (id: string) => id === 'mail:1',
      retry: async (id: string) => void retried.push(id),
    };
    return make({}, [{ port: 0 }], { cluster: { status: () => status, reload, jobs } });
  };

  it.each([
    ['up', true, true],
    ['reconnecting', true, false],
    ['down', true, false],
    ['down', false, true],
  ] as const)('whose engine is %s, which it needs: %s, is ready: %s', (state, needs, ready) => {
    live(0, 1);
    expect(of(state, needs).status()).toMatchObject({ ready, cluster: { state } });
  });

  it('tells its nodes, and reloads all of them while it runs', async () => {
    expect(of('up', false).nodes()).toMatchObject({ state: 'up' });
    expect(await of('up', false).reloadNodes()).toEqual({ running: false, nodes: [] });
    phase = 'shutting down';
    expect(() => of('up', false).reloadNodes()).toThrow(expect.objectContaining({ code: 'ERR_RELOAD' }));
  });

  it('counts durable jobs, lists dead ones, retries and removes one', async () => {
    expect(await of('up', false).countJobs()).toEqual([]);
    expect(await of('up', false).deadJobs('mail', 1, 2)).toEqual(['mail', 1, 2]);
    await of('up', false).retryJob('mail:1');
    expect(await of('up', false).removeJob('mail:1')).toEqual({ removed: true });
    expect(retried).toEqual(['mail:1']);
    expect(await of('up', false).findJob('mail:1')).toEqual({ id: 'mail:1' });
    expect(await of('up', false).findJob('mail:2')).toBe(null);
    expect(await of('up', false).jobSchedules('mail', 1, 2)).toEqual(['mail', 1, 2]);
    expect(await of('up', false).removeDeadJobs('mail')).toEqual({ removed: 4, more: true });
    expect(await of('up', false).unschedule('mail', 'k')).toEqual({ unscheduled: true });
    await expect(make().countJobs()).rejects.toMatchObject({ code: 'ERR_NO_CLUSTER' });
  });

  it('is not a server alone', () => {
    expect(make().status().cluster).toBeNull();
    for (const call of [() => make().nodes(), () => make().reloadNodes()]) {
      expect(call).toThrow(expect.objectContaining({ code: 'ERR_NO_CLUSTER' }));
    }
  });
});

describe('what a command does', () => {
  it('to reload task workers is refused where there are none', async () => {
    await expect(make().reload(true)).rejects.toMatchObject({
      code: 'ERR_RELOAD',
      detail: { why: 'there are no task workers' },
    });
    expect(asked).toEqual([]);
  });

  it('to reload tells the generation that came', async () => {
    region = Region.create(testShape({ taskWorkerNum: 1 }));
    region.generation = 7;
    expect(await make().reload(true)).toEqual({ generation: 7 });
    expect(asked).toEqual([['reloaded', true]]);
  });

  it('to reload tells what only a restart applies', async () => {
    needsRestart = ['workerNum 3 (the server has 2)'];
    expect(await make().reload(false)).toEqual({ generation: 0, needsRestart });
  });

  it('to scale tells how many there are', async () => {
    expect(await make().scale(3)).toEqual({ workerNum: 2 });
    expect(asked).toEqual([['scale', 3]]);
  });

  it('to shut down comes after its answer', async () => {
    make().shutdown();
    expect(asked).toEqual([]);
    await new Promise((resolve) => setImmediate(resolve));
    expect(asked).toEqual([['shutdown']]);
  });

  it('to a worker replaces it in order, or kills it, and tells which process that was', () => {
    live(1);
    const kill = vi.spyOn(process, 'kill').mockImplementation(() => true);
    expect(make().stopWorker(1, false)).toEqual({ pid: 101 });
    expect(make().stopWorker(1, true)).toEqual({ pid: 101 });
    expect(kill.mock.calls).toEqual([[101, 'SIGKILL']]);
    kill.mockRestore();
    expect(asked).toEqual([['stopWorker', 1]]);
  });

  it.each([3, -1, 1.5])('to worker %d, which there is not, is refused', (id) => {
    for (const force of [true, false]) {
      expect(() => make().stopWorker(id, force)).toThrow(expect.objectContaining({ code: 'ERR_WORKER_ID' }));
    }
  });

  it('to a connection closes it, or says why not', () => {
    make().closeConnection(5, true);
    expect(asked).toEqual([['close', 5, true]]);
    refusal = new ServerError('ERR_SESSION_CLOSED', { fd: 5 });
    expect(() => make().closeConnection(5, false)).toThrow(refusal);
  });

  it('to profile a process asks that one', async () => {
    const order = { kind: 'cpu', durationMs: 10, path: '/tmp/x' } as const;
    expect(await make().profile({ target: 1, ...order })).toEqual({ path: '/tmp/x' });
    await make().profile({ target: 'manager', ...order });
    expect(asked).toEqual([
      ['profile', 1, order],
      ['profile', -1, order],
    ]);
    await expect(make().profile({ target: 9, ...order })).rejects.toMatchObject({ code: 'ERR_WORKER_ID' });
    await expect(make().takeProfile({ target: 1, ...order })).rejects.toMatchObject({
      code: 'ERR_PROFILE',
      detail: { why: 'the server is still starting' },
    });
  });

  it.each([
    [1, 'heap', 'worker-1.heapsnapshot', 1],
    ['manager', 'cpu', 'manager.cpuprofile', -1],
    ['master', 'cpu', 'master.cpuprofile', undefined],
  ] as const)('to take a profile of %s (%s) gives it, under a name of its own', async (target, kind, name, id) => {
    const world = new MessagingWorld();
    const offset = world.overflow.reserve(6);
    world.overflow.write(offset, Buffer.from('pieces'));
    const server = make({}, undefined, { messaging: () => ({ overflow: world.overflow }) as unknown as Messaging });
    left = [{ offset, bytes: 6 }];
    const profile = await server.takeProfile({ target, kind, durationMs: 1 });
    const pieces: Buffer[] = [];
    for await (const piece of profile.read()) pieces.push(piece);
    const bytes = Buffer.concat(pieces);
    expect([profile.name, profile.bytes]).toEqual([name, bytes.length]);
    if (id === undefined) expect(JSON.parse(bytes.toString())).toHaveProperty('nodes');
    else expect(bytes.toString()).toBe('pieces');
    expect(asked).toEqual(id === undefined ? [] : [['profile', id, { kind, durationMs: 1, path: '' }]]);
    profile.free();
    world.close();
  });

  it('to profile the master where it may not write says so', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'profile-'));
    const path = join(folder, 'none', 'it');
    await expect(make().profile({ target: 'master', kind: 'cpu', durationMs: 1, path })).rejects.toMatchObject({
      code: 'ERR_PROFILE',
      detail: { why: expect.stringContaining('ENOENT') },
    });
    rmSync(folder, { recursive: true });
  });
});
