import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdtempSync, readSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { CrashReport, MasterToManager } from '../../src/ipc/message.js';
import type { ConnectionOwners } from '../../src/master/connection-owners.js';
import { CrashWatch } from '../../src/master/crash-watch.js';
import { ServiceNotifier } from '../../src/master/notify.js';
import { endOrphans, killOrphans } from '../../src/master/orphans.js';
import { Scaling } from '../../src/master/scaling.js';
import { needsOf, shapeOf, tlsRecordBytesFor } from '../../src/master/shape.js';
import { StopWish } from '../../src/master/stop-wish.js';
import { WorkerBoard, WorkerField } from '../../src/memory/boards.js';
import { TLS_CERTIFICATE_RECORD_BYTES, TLS_RECORD_BYTES } from '../../src/memory/layout.js';
import { Region } from '../../src/memory/region.js';
import { slotCount, slotsOfReactor } from '../../src/memory/slot-count.js';
import { resolveOptions, type ServerOptions } from '../../src/options/index.js';
import { checkIsolation, coreFor, giveUpRights, settleIn } from '../../src/os/isolation.js';
import { isLinux } from '../../src/os/libc.js';
import { allowedCores } from '../../src/os/privileges.js';
import { bindUnix } from '../../src/os/socket.js';
import { monotonicMs } from '../../src/util/clock.js';
import type { Deferred } from '../../src/util/deferred.js';
import { openDescriptors } from '../helpers/leaks.js';
import { testShape } from '../helpers/test-shape.js';

const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

describe('another number of workers', () => {
  let region: Region;
  let steps: string[];
  let told: MasterToManager[];
  let held: Map<string, Deferred<void>>;
  let scaling: Scaling;

  beforeEach(() => {
    region = Region.create(testShape({ workerNum: 8 }));
    region.activeWorkerNum = region.seatNum = 4;
    [steps, told, held] = [[], [], new Map()];
    const step = (name: string) => (given?: number) => {
      steps.push(given === undefined ? name : `${name} ${given}`);
      return held.get(name)?.promise ?? Promise.resolve();
    };
    const owners = { useWorkers: step('useWorkers'), withhold: step('withhold'), rebind: step('rebind') };
    scaling = new Scaling({
      region,
      maxWaitMs: 1000,
      owners: () => owners as unknown as ConnectionOwners,
      notify: (message) => {
        told.push(message);
        steps.push(message.type);
        return true;
      },
    });
  });

  const numbers = (): number[] => [region.activeWorkerNum, region.seatNum];
  const scaled = (failed?: string): void => {
    const { request } = told.at(-1) as Extract<MasterToManager, { type: 'scale' }>;
    scaling.scaled(request, failed);
  };

  it('that is larger gets no packet before all its workers are there', async () => {
    const done = scaling.to(6);
    await settle();
    expect(told).toMatchObject([{ type: 'scale', workerNum: 6 }]);
    expect([steps, numbers()]).toEqual([['scale'], [4, 4]]);
    scaled();
    await done;
    expect([steps, numbers()]).toEqual([
      ['scale', 'useWorkers 6'],
      [6, 6],
    ]);
  });

  it('that is smaller gives nothing to those that go before they are waited for, and ends them last', async () => {
    const done = scaling.to(2);
    await settle();
    expect([steps, numbers()]).toEqual([
      ['withhold 2', 'withdraw'],
      [2, 4],
    ]);
    scaling.withdrawn();
    await settle();
    expect(steps).toEqual(['withhold 2', 'withdraw', 'rebind', 'scale']);
    expect(numbers()).toEqual([2, 4]);
    scaled();
    await done;
    expect(numbers()).toEqual([2, 2]);
  });

  it('that is the same asks nobody', async () => {
    await scaling.to(4);
    expect(steps).toEqual([]);
  });

  it('is refused while it is being changed, and possible afterwards', async () => {
    const first = scaling.to(5);
    await expect(scaling.to(6)).rejects.toMatchObject({
      code: 'ERR_SCALE',
      detail: { why: 'it is being changed already' },
    });
    await settle();
    scaled('a worker does not boot');
    await expect(first).rejects.toMatchObject({ code: 'ERR_SCALE', detail: { why: 'a worker does not boot' } });
    expect(numbers()).toEqual([4, 4]);
    const again = scaling.to(5);
    await settle();
    scaled();
    await again;
    expect(numbers()).toEqual([5, 5]);
  });

  it('is not done by an answer to an earlier request', async () => {
    let isDone = false;
    const done = scaling.to(5).then(() => {
      isDone = true;
    });
    await settle();
    scaling.scaled(99, undefined);
    scaling.withdrawn();
    await settle();
    expect(isDone).toBe(false);
    scaled();
    await done;
  });

  it('is given up when the manager has died with workers that were to come', async () => {
    const done = scaling.to(6);
    await settle();
    scaling.managerIsBack();
    await expect(done).rejects.toMatchObject({ detail: { why: 'the manager has died meanwhile' } });
    expect(numbers()).toEqual([4, 4]);
  });

  it('goes on under a new manager with workers that must go', async () => {
    const done = scaling.to(2);
    await settle();
    scaling.managerIsBack();
    expect(steps).toEqual(['withhold 2', 'withdraw', 'withdraw']);
    scaling.withdrawn();
    await settle();
    scaling.managerIsBack();
    scaled();
    await done;
    expect(numbers()).toEqual([2, 2]);
  });

  it('means nothing to a new manager when nothing is under way', async () => {
    scaling.managerIsBack();
    expect(told).toEqual([]);
  });
});

describe('processes that end again and again', () => {
  let there: Set<number>;
  let watch: CrashWatch;
  beforeEach(() => {
    vi.useFakeTimers({ now: 1_000_000, toFake: ['performance', 'Date'] });
    there = new Set();
    watch = new CrashWatch((id) => there.has(id));
  });

  const crash = (id: number, failures: number, nextInMs = 100): CrashReport =>
    ({ id, name: `worker ${id}`, failures, reason: 'why', nextInMs, healthyAfterMs: 5000 }) as CrashReport;

  it('are told from the second end in a row on, by id, with the time of the next attempt', () => {
    watch.ended(crash(2, 1));
    watch.ended(crash(1, 2));
    watch.ended(crash(0, 3));
    expect(watch.loops()).toEqual(
      [0, 1].map((id) => ({
        ...{ id, name: `worker ${id}`, failures: 3 - id, reason: 'why' },
        ...{ endedAt: 1_000_000, nextAttemptAt: 1_000_100 },
      })),
    );
  });

  it('are forgotten when they have lived long enough, and not before', () => {
    watch.ended(crash(1, 2));
    there.add(1);
    vi.advanceTimersByTime(5099);
    expect(watch.loops()).toHaveLength(1);
    vi.advanceTimersByTime(1);
    expect(watch.loops()).toEqual([]);
  });

  it('are kept as long as they are not there, however long that is', () => {
    watch.ended(crash(1, 2));
    vi.advanceTimersByTime(1_000_000);
    expect(watch.loops()).toHaveLength(1);
  });

  it('begin anew with new processes', () => {
    watch.ended(crash(1, 2));
    watch.forget();
    expect(watch.loops()).toEqual([]);
  });
});

describe('the slots of connections', () => {
  it.each([1, 100, 1024, 10_000, 100_000, 1_000_000])(
    'for %i of them are a power of two with a quarter to spare, and 64 per reactor',
    (maxConnections) => {
      for (const reactorNum of [1, 2, 7, 64]) {
        const slots = slotCount(maxConnections, reactorNum);
        expect(Math.log2(slots) % 1).toBe(0);
        expect(slots).toBeGreaterThanOrEqual(maxConnections * 1.25 + reactorNum * 64);
        expect(slots / 2).toBeLessThan(maxConnections * 1.25 + reactorNum * 64);
      }
    },
  );

  it('are divided among the reactors', () => {
    expect(slotsOfReactor(testShape({ slots: 64, reactorNum: 3 }))).toBe(21);
  });
});

describe('the measures of the shared memory', () => {
  const shape = (given: ServerOptions, tlsRecordBytes = 0, webSockets = false) =>
    shapeOf(resolveOptions(given), 1, { tlsRecordBytes, webSockets });

  it('have a reactor per thread, and in BASE mode one per worker', () => {
    expect(shape({ mode: 'process', reactorNum: 3, workerNum: 2 })).toMatchObject({ reactorNum: 3, workerNum: 2 });
    expect(shape({ mode: 'base', workerNum: 5 })).toMatchObject({ reactorNum: 5, workerNum: 5, userProcessNum: 1 });
  });

  it('have room for the workers that scale may add', () => {
    expect(shape({ workerNum: 2, maxWorkerNum: 9 }).workerNum).toBe(9);
  });

  it('have slots for tasks that wait only where there are task workers', () => {
    const without = shape({ taskQueueLimit: 5000 }).messageSlots;
    expect(shape({ taskQueueLimit: 5000, taskWorkerNum: 1 }).messageSlots).toBe(without + 5000);
  });

  it('have a TLS record per connection where a port speaks it, and for certificates where one asks for them', () => {
    expect(shape({})).toMatchObject({ tlsSlots: 0 });
    const { slots, tlsSlots, tlsRecordBytes } = shape({}, TLS_RECORD_BYTES);
    expect([tlsSlots, tlsRecordBytes]).toEqual([slots, TLS_RECORD_BYTES]);
    const port = (requestCert: boolean) => ({ tls: { requestCert } }) as Parameters<typeof tlsRecordBytesFor>[0][0];
    expect(tlsRecordBytesFor([{ tls: null }])).toBe(0);
    expect(tlsRecordBytesFor([{ tls: null }, port(false)])).toBe(TLS_RECORD_BYTES);
    expect(tlsRecordBytesFor([port(false), port(true)])).toBe(TLS_CERTIFICATE_RECORD_BYTES);
  });

  it('have data and rooms where a port speaks WebSocket', () => {
    expect(shape({})).toMatchObject({ dataSlots: 0, rooms: 0 });
    const { slots, dataSlots, rooms } = shape({}, 0, true);
    expect([dataSlots, rooms]).toEqual([slots, 16_384]);
    expect([1, 2, 1000, 1024, 1025].map((maxRooms) => shape({ maxRooms }, 0, true).rooms)).toEqual([
      ...[1, 2, 1024, 1024, 2048],
    ]);
    const port = (protocol: 'raw' | 'http' | 'websocket') => ({ tls: null, protocol });
    expect(needsOf([port('raw'), port('http')])).toEqual({ tlsRecordBytes: 0, webSockets: false });
    expect(needsOf([port('http'), port('websocket')]).webSockets).toBe(true);
  });

  it('keep records of certificates within a gigabyte, however many connections there may be', () => {
    const { slots, tlsRecordBytes } = shape({ maxConnections: 1_000_000 }, TLS_CERTIFICATE_RECORD_BYTES);
    expect(tlsRecordBytes).toBeGreaterThanOrEqual(TLS_RECORD_BYTES);
    expect(tlsRecordBytes % 8).toBe(0);
    expect(slots * (tlsRecordBytes === TLS_RECORD_BYTES ? 0 : tlsRecordBytes)).toBeLessThanOrEqual(2 ** 30);
  });
});

describe('the wish that the server shall end', () => {
  const signals = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const;
  const before = new Map(signals.map((signal) => [signal, process.listeners(signal)]));
  afterEach(() => {
    for (const signal of signals) {
      for (const listener of process.listeners(signal)) {
        if (!before.get(signal)?.includes(listener)) process.removeListener(signal, listener);
      }
    }
  });

  it('waits until there is somebody to carry it out, and is carried out at once then', () => {
    const wish = new StopWish();
    let times = 0;
    wish.make();
    expect(wish.isMade).toBe(true);
    wish.whenMade(() => times++);
    expect(times).toBe(1);
    wish.make(); // hurries
    expect(times).toBe(2);
  });

  it.each(signals)('is made by %s, and knows the first signal', (signal) => {
    const wish = new StopWish();
    let times = 0;
    wish.listen();
    wish.whenMade(() => times++);
    expect([wish.isMade, wish.signal]).toEqual([false, undefined]);
    process.emit(signal, signal);
    process.emit('SIGTERM', 'SIGTERM');
    expect([wish.isMade, wish.signal, times]).toEqual([true, signal, 2]);
  });

  it('made by shutdown() has no signal', () => {
    const wish = new StopWish();
    wish.make();
    expect(wish.signal).toBeUndefined();
  });

  it('ends a step of the start that may take for ever', async () => {
    const wish = new StopWish();
    const step = wish.unlessMade(new Promise(() => {}));
    wish.make();
    await expect(step).rejects.toMatchObject({ code: 'ERR_START_ENDED' });
  });

  it('lets a step that is done in time go on', async () => {
    await new StopWish().unlessMade(Promise.resolve(1));
    await expect(new StopWish().unlessMade(Promise.reject(new Error('no')))).rejects.toThrow('no');
  });
});

describe('what systemd is told', () => {
  let folder: string;
  let descriptor: number;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'notify-'));
    descriptor = bindUnix(join(folder, 'notify'), 'datagram');
  });
  afterEach(() => {
    closeSync(descriptor);
    rmSync(folder, { recursive: true });
  });

  const came = (): string | undefined => {
    const bytes = Buffer.alloc(1000);
    try {
      return bytes.toString('utf8', 0, readSync(descriptor, bytes));
    } catch {
      return undefined; // nothing
    }
  };
  const environment = (more: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv => ({
    NOTIFY_SOCKET: join(folder, 'notify'),
    ...more,
  });

  it.each([{}, { NOTIFY_SOCKET: '' }])('is nothing where nobody listens: %j', (env: NodeJS.ProcessEnv) => {
    expect(ServiceNotifier.take(env)).toBeUndefined();
  });

  it('is not left to children', () => {
    const env = environment({ WATCHDOG_USEC: '1', WATCHDOG_PID: '1', PATH: '/bin' });
    ServiceNotifier.take(env)?.close();
    expect(env).toEqual({ PATH: '/bin' });
  });

  it('is that the server is up, where it listens, and that it stops', () => {
    const notifier = ServiceNotifier.take(environment());
    notifier?.ready('listening on 127.0.0.1:80');
    expect(came()).toBe(`READY=1\nMAINPID=${process.pid}\nSTATUS=listening on 127.0.0.1:80`);
    notifier?.status('busy');
    expect(came()).toBe('STATUS=busy');
    notifier?.stopping();
    expect(came()).toBe('STOPPING=1');
    notifier?.close();
  });

  it('is, with a watchdog, that it lives: twice within the time, from being up to the end', () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
    const notifier = ServiceNotifier.take(environment({ WATCHDOG_USEC: '2000000', WATCHDOG_PID: String(process.pid) }));
    vi.advanceTimersByTime(5000);
    expect(came()).toBeUndefined();
    notifier?.ready('');
    came();
    vi.advanceTimersByTime(999);
    expect(came()).toBeUndefined();
    vi.advanceTimersByTime(1);
    expect(came()).toBe('WATCHDOG=1');
    notifier?.close();
    expect(vi.getTimerCount()).toBe(0);
  });

  it.each([{ WATCHDOG_USEC: '2000000', WATCHDOG_PID: '1' }, { WATCHDOG_USEC: '0' }])(
    'is no sign of life with %j',
    (env) => {
      vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
      const notifier = ServiceNotifier.take(environment(env));
      notifier?.ready('');
      expect(vi.getTimerCount()).toBe(0);
      notifier?.close();
    },
  );

  it('is lost, and harms nobody, while systemd restarts itself', () => {
    const notifier = ServiceNotifier.take({ NOTIFY_SOCKET: join(folder, 'none') });
    notifier?.ready('');
    notifier?.stopping();
    notifier?.close();
  });

  it('is over with close(), which leaves no descriptor', () => {
    const before = openDescriptors();
    ServiceNotifier.take(environment())?.close();
    expect(openDescriptors()).toEqual(before);
  });

  it.runIf(isLinux)('reaches a name of the abstract name space', () => {
    const notifier = ServiceNotifier.take({ NOTIFY_SOCKET: `@tswoole-test-${process.pid}` });
    notifier?.ready('');
    notifier?.close();
  });
});

describe('workers whose manager has died', () => {
  let board: WorkerBoard;
  beforeEach(() => {
    board = new WorkerBoard(Region.create(testShape({ workerNum: 2 })));
  });

  /** A pid that no process has. */
  const gone = async (): Promise<number> => {
    const child = spawn('true');
    await once(child, 'exit');
    return child.pid ?? 0;
  };

  it('that are gone are forgotten, and nobody waits', async () => {
    board.setProcess(0, 0, await gone());
    board.setProcess(1, 1, await gone());
    await endOrphans(board, 2);
    expect([board.processes(0), board.processes(1)]).toEqual([[], []]);
  });

  it('have some time to end by themselves, and are killed then', async () => {
    const kill = vi.spyOn(process, 'kill');
    const child = spawn('sleep', ['60']);
    const ended = once(child, 'exit') as Promise<[number, string]>;
    board.setProcess(1, 0, child.pid ?? 0);
    const began = performance.now();
    await endOrphans(board, 2);
    expect(performance.now() - began).toBeGreaterThanOrEqual(550);
    expect(kill).toHaveBeenCalledWith(child.pid, 'SIGKILL');
    expect(board.processes(1)).toEqual([]);
    await Promise.race([ended, new Promise((resolve) => setTimeout(resolve, 100))]); // reaped by us or by Node
  });

  it('have until the end of the stop where they are ready, and less when that comes nearer', async () => {
    const booting = spawn('sleep', ['60']);
    const ready = spawn('sleep', ['60']);
    board.setProcess(0, 0, booting.pid ?? 0);
    board.setProcess(1, 0, ready.pid ?? 0);
    board.setField(1, WorkerField.ready, ready.pid ?? 0);
    let stopBy = monotonicMs() + 60_000;
    const kill = vi.spyOn(process, 'kill');
    const killed = (): unknown[] => kill.mock.calls.filter(([, signal]) => signal === 'SIGKILL').map(([pid]) => pid);
    const ended = endOrphans(board, 2, () => stopBy);
    await vi.waitFor(() => expect(killed()).toEqual([booting.pid]), { timeout: 10_000 });
    stopBy = 0;
    await ended;
    expect(killed()).toEqual([booting.pid, ready.pid]);
    expect([board.processes(0), board.processes(1)]).toEqual([[], []]);
  });

  it('are killed at once where the master ends', async () => {
    const child = spawn('sleep', ['60']);
    const ended = once(child, 'exit') as Promise<[number, string]>;
    board.setProcess(0, 1, child.pid ?? 0);
    killOrphans(board, 2);
    expect((await ended)[1]).toBe('SIGKILL');
  });
});

describe('the surroundings of a process', () => {
  const options = (given: ServerOptions) => resolveOptions(given);

  it('are as they were where nothing is said', () => {
    const [umask, folder] = [process.umask(), process.cwd()];
    checkIsolation(options({}));
    settleIn(options({}));
    giveUpRights(options({}), () => {});
    expect([process.umask(), process.cwd()]).toEqual([umask, folder]);
  });

  it.runIf(isLinux)('give the n-th process the n-th core, over and over, or leave it to the system', () => {
    expect(coreFor(options({}), 0)).toBe(-1);
    const cores = allowedCores();
    const all = Array.from({ length: cores.length + 1 }, (_, n) => coreFor(options({ cpuAffinity: true }), n));
    expect(all).toEqual([...cores, cores[0]]);
  });

  it.runIf(isLinux)('refuse a core that this machine does not give', () => {
    expect(() => checkIsolation(options({ cpuAffinity: [1000] }))).toThrow(
      expect.objectContaining({ code: 'ERR_CORES', detail: expect.objectContaining({ received: '1000' }) }),
    );
  });

  it('refuse another user to all but root, and a name that nobody has to root', () => {
    const isRoot = process.geteuid?.() === 0;
    for (const [option, given] of Object.entries({ user: 'no-such-user', group: 'no-such-group' })) {
      expect(() => checkIsolation(options({ [option]: given }))).toThrow(
        expect.objectContaining(
          isRoot ? { code: 'ERR_USER', detail: { name: given, option } } : { code: 'ERR_NOT_ROOT', detail: { option } },
        ),
      );
    }
  });
});
