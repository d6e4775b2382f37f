import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createBells } from '../../src/ipc/bells.js';
import { ControlChannel } from '../../src/ipc/control-channel.js';
import { CONTROL_DESCRIPTOR, type Inheritance, type ProcessRole } from '../../src/ipc/inheritance.js';
import { CheckIn, type CheckInParts } from '../../src/memory/check-in.js';
import { Region } from '../../src/memory/region.js';
import { resolveOptions, type ServerOptions } from '../../src/options/index.js';
import type { DoorbellDescriptors } from '../../src/os/doorbell.js';
import type { Poller } from '../../src/os/poller.js';
import { Log } from '../../src/util/log.js';
import { runWorker, type WorkerPlace } from '../../src/worker/run.js';
import { Worker, type WorkerParts } from '../../src/worker/worker.js';
import { closeDoorbell } from '../helpers/doorbell.js';
import { testShape } from '../helpers/test-shape.js';
import { FakeConnection } from './world.js';

vi.mock(import('../../src/memory/check-in.js'), () => ({ CheckIn: vi.fn() as never }));
vi.mock(import('../../src/worker/worker.js'), () => ({ Worker: vi.fn() as never }));
vi.mock(import('../../src/os/other-process.js'), async (original) => ({
  ...(await original()),
  sharedResidentBytes: () => sharedBytes,
}));

const none = (): void => {};
const channel = { listen: none, send: () => true, flushed: async () => {} };
const worker = { askToBeReplaced: vi.fn(), terminate: vi.fn(), servedMs: 0, isLeaving: false };

let region: Region;
let bells: DoorbellDescriptors[];
let log: string[];
let measured: CheckInParts['measured'];
let isWatched: boolean;
let sharedBytes: number;
let parts: WorkerParts<FakeConnection>;

beforeEach(() => {
  region = Region.create(testShape({ reactorNum: 2, workerNum: 2, taskWorkerNum: 1, userProcessNum: 1 }));
  bells = createBells(region.shape);
  [log, isWatched, sharedBytes, worker.servedMs, worker.isLeaving] = [[], false, 0, 0, false];
  vi.mocked(CheckIn).mockImplementation(function (this: unknown, given: CheckInParts) {
    measured = given.measured;
    return { start: () => (isWatched = true) } as never;
  });
  vi.mocked(Worker).mockImplementation(function (this: unknown, given: unknown) {
    parts = given as WorkerParts<FakeConnection>;
    return worker as never;
  });
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.clearAllMocks();
  for (const bell of bells) closeDoorbell(bell);
});

const datagrams = {
  sentCount: 0,
  sentBytes: 0,
  peer: () => undefined,
  beginCallback() {},
  endCallback() {},
  endTurn() {},
};

function run(given: ServerOptions = {}, role: ProcessRole = 'worker', more: Partial<WorkerPlace<FakeConnection>> = {}) {
  const id = { worker: 1, task: 2, user: 3 }[role];
  return runWorker<FakeConnection>({
    inheritance: {
      role,
      id,
      lane: 0,
      generation: 1,
      bells,
      region: -1,
      overflow: -1,
      settings: -1,
      arena: -1,
      datagrams: [],
    } as Inheritance & {
      role: ProcessRole;
    },
    ...{ region, options: resolveOptions({ port: 0, workerNum: 2, ...given }), listens: [], callbacks: { ports: [] } },
    create: { createConnection: (fd) => new FakeConnection(fd), datagrams },
    log: new Log({ role: 'test', level: 'info', write: (line) => log.push(line) }),
    ...{ services: [], channel, createPoller: () => 'poller' as unknown as Poller, ...more },
  });
}

describe('a worker is put together', () => {
  it('with a ring from each reactor, and what it was given', () => {
    const { worker: made, channel: own, outbox, messaging, record } = run();
    expect([made, own, parts.outbox, parts.messaging, parts.record]).toEqual([
      ...[worker, channel, outbox, messaging, record],
    ]);
    expect([parts.id, parts.lane, parts.rings.length, parts.reactorWakers.length]).toEqual([1, 0, 2, 2]);
    expect(parts.createConnection(7).fd).toBe(7);
    expect(parts.datagrams).toBe(datagrams);
    expect(parts.createPoller(worker as never)).toBe('poller');
  });

  it('of another role takes no packets, and is not told of room by events', () => {
    for (const role of ['task', 'user'] as const) {
      run({}, role);
      expect(parts.rings).toEqual([]);
      expect(parts.reactorWakers).toHaveLength(2);
    }
  });

  it('may not give itself tasks where it is a task worker', () => {
    const own = run({ taskWorkerNum: 1 }, 'task').messaging;
    expect(() => own.tasks.give(1, undefined, undefined)).toThrow(
      expect.objectContaining({ code: 'ERR_TASK_IN_TASK_WORKER' }),
    );
    const other = run({ taskWorkerNum: 1 }, 'worker').messaging;
    expect(other.tasks.give(1, undefined, undefined)).toBeGreaterThan(0);
  });

  it.each([
    ['round-robin', 0, true],
    ['round-robin', 100, true],
    ['fd-mod', 0, false],
    ['ip-mod', 0, false],
    ['least-connections', 0, false],
    ['fd-mod', 100, true],
  ] as const)(
    'and with %s and maxQueuedBytes %i tells what it has handled: %s',
    (dispatchMode, maxQueuedBytes, told) => {
      run({ dispatchMode, maxQueuedBytes });
      expect([parts.countsHandled, parts.maxQueuedBytes]).toEqual([told, maxQueuedBytes]);
    },
  );

  it('with a limit of packets of its own', () => {
    run({ maxRequest: 0, maxRequestJitter: 50 });
    expect(parts.maxRequest).toBe(0);
    const random = vi.spyOn(Math, 'random').mockReturnValue(0);
    const limits = [0, 0.5, 0.999_999].map((value) => {
      random.mockReturnValue(value);
      run({ maxRequest: 100, maxRequestJitter: 10 });
      return parts.maxRequest;
    });
    expect(limits).toEqual([100, 105, 110]);
  });

  it('and ends its process, or what stands for it', () => {
    const exit = vi.fn();
    run({}, 'worker', { exit });
    parts.exit(3);
    expect(exit.mock.calls).toEqual([[3]]);
    const real = vi.spyOn(process, 'exit').mockImplementation(none as never);
    run();
    parts.exit(4);
    expect(real.mock.calls).toEqual([[4]]);
  });

  it('in a process of its own has the channel of that, and is asked to end by SIGTERM', () => {
    const before = process.listeners('SIGTERM');
    run();
    expect(process.listeners('SIGTERM')).toEqual(before);
    const inherited = vi.spyOn(ControlChannel, 'inherited').mockReturnValue(channel as never);
    const { channel: _, ...place } = { channel };
    expect(run({}, 'worker', { ...place, channel: undefined as never }).channel).toBe(channel);
    expect(inherited.mock.calls).toEqual([[CONTROL_DESCRIPTOR, expect.any(Function)]]);
    const added = process.listeners('SIGTERM').filter((listener) => !before.includes(listener));
    for (const listener of added) {
      listener('SIGTERM');
      process.removeListener('SIGTERM', listener);
    }
    expect([added.length, worker.terminate.mock.calls.length]).toEqual([1, 1]);
  });
});

describe('memory', () => {
  beforeEach(() => void vi.useFakeTimers({ toFake: ['performance'] }));
  afterEach(() => void vi.useRealTimers());
  const asked = (): unknown[] => worker.askToBeReplaced.mock.calls;

  it('above maxMemory is a reason to be replaced, asked for again after 30 s', () => {
    run({ maxMemory: 100_000_000 });
    expect(isWatched).toBe(true);
    measured?.(100_000_000);
    expect(asked()).toEqual([]);
    measured?.(100_000_001);
    expect([asked(), log.length]).toEqual([[['memory']], 1]);
    expect(log[0]).toContain('maxMemory');
    vi.advanceTimersByTime(29_999);
    measured?.(200_000_000);
    expect(asked()).toHaveLength(1);
    vi.advanceTimersByTime(1);
    measured?.(200_000_000);
    expect(asked()).toHaveLength(2);
  });

  it('that a successor would have as well, shared with the other processes, does not count', () => {
    run({ maxMemory: 100_000_000 });
    sharedBytes = 1_000_000;
    measured?.(101_000_000);
    expect(asked()).toEqual([]);
    measured?.(101_000_001);
    expect(asked()).toEqual([['memory']]);
  });

  it('may be any in a process that leaves', () => {
    run({ maxMemory: 100_000_000 });
    worker.isLeaving = true;
    measured?.(200_000_000);
    expect([asked(), log]).toEqual([[], []]);
  });

  it('may be any where there is no maxMemory', () => {
    run({ maxMemory: 0 });
    measured?.(1e12);
    expect(asked()).toEqual([]);
  });
});

describe('age', () => {
  beforeEach(() => void vi.useFakeTimers({ toFake: ['performance'] }));
  afterEach(() => void vi.useRealTimers());

  it.each([
    ['worker', 1],
    ['task', 1],
    ['user', 0],
  ] as const)('above maxUptimeMs and a part of its jitter is a reason for a %s to be replaced: %i', (role, count) => {
    vi.spyOn(Math, 'random').mockReturnValue(0.5);
    run({ maxUptimeMs: 10_000, maxUptimeJitterMs: 1000, taskWorkerNum: 1 }, role);
    vi.advanceTimersByTime(60_000); // its boot does not count
    worker.servedMs = 10_499;
    measured?.(1);
    expect(worker.askToBeReplaced.mock.calls).toEqual([]);
    worker.servedMs = 10_500;
    measured?.(1);
    measured?.(1);
    expect(worker.askToBeReplaced.mock.calls).toEqual(Array(count).fill(['maxUptime']));
  });
});
