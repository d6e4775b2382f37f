import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createBells } from '../../src/ipc/bells.js';
import { RingReader, RingWriter } from '../../src/ipc/ring.js';
import { Manager } from '../../src/manager/manager.js';
import { createManager, type ManagerPlace } from '../../src/manager/run.js';
import { spawnWorker } from '../../src/manager/spawn-worker.js';
import { Watchdog } from '../../src/manager/watchdog.js';
import { DeadConnections } from '../../src/memory/dead-connections.js';
import { peerOf, peerOfManager } from '../../src/memory/layout.js';
import { Region } from '../../src/memory/region.js';
import type { Messaging } from '../../src/messaging/messaging.js';
import { resolveOptions, type ServerOptions } from '../../src/options/index.js';
import type { DoorbellDescriptors } from '../../src/os/doorbell.js';
import { Log } from '../../src/util/log.js';
import { closeDoorbell, readableNow } from '../helpers/doorbell.js';
import { holdBehindAll, isLost } from '../helpers/holders.js';
import { testShape } from '../helpers/test-shape.js';

type ManagerParts = ConstructorParameters<typeof Manager>[0];

vi.mock(import('../../src/manager/manager.js'), async (original) => ({
  ...(await original()),
  Manager: vi.fn() as never,
}));
vi.mock(import('../../src/manager/spawn-worker.js'), () => ({ spawnWorker: vi.fn() }));

let region: Region;
let bells: DoorbellDescriptors[];
let parts: ManagerParts;
let recovered: unknown[];
let log: string[];
let exits: number[];
let counts: { queued: number; running: number };

beforeEach(() => {
  region = Region.create(testShape({ reactorNum: 2, workerNum: 2, taskWorkerNum: 1, userProcessNum: 1 }));
  bells = createBells(region.shape);
  [recovered, log, exits, counts] = [[], [], [], { queued: 0, running: 0 }];
  vi.mocked(Manager).mockImplementation(function (this: unknown, given: ManagerParts) {
    parts = given;
    return { watched: [] } as never;
  });
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
  for (const bell of bells) closeDoorbell(bell);
});

function create(given: ServerOptions = {}, more: Partial<ManagerPlace> = {}): void {
  const keeper = {
    recover: (what: object) => recovered.push(what),
    recoverKeeper: () => recovered.push('keeper'),
  };
  createManager({
    ...{
      region,
      shared: { region: -1, overflow: -1, arena: -1, settings: -1, datagrams: [], bells },
      callbacks: {},
      userProcessNames: ['mail'],
    },
    options: resolveOptions({ port: 0, workerNum: 2, taskWorkerNum: 1, processTitle: 'web', ...given }),
    messaging: { keeper, queue: { counts: () => counts } } as unknown as Messaging,
    log: new Log({ role: 'manager', level: 'info', write: (line) => log.push(line) }),
    ...{ notifyMaster: () => {}, exit: (code) => exits.push(code), ...more },
  });
}
const end = { id: 1, lane: 1, wasServing: true, exitCode: 3, signal: 9 } as Parameters<ManagerParts['recover']>[0];

describe('a manager is put together', () => {
  it('with every process, under its name', () => {
    create();
    expect(parts.processes).toEqual([
      { role: 'worker', name: 'worker 0' },
      { role: 'worker', name: 'worker 1' },
      { role: 'task', name: 'task worker 2' },
      { role: 'user', name: 'process mail', outlivesReloads: false },
    ]);
    expect([parts.bootTimeoutMs, parts.maxWaitMs]).toEqual([
      resolveOptions({}).bootTimeoutMs,
      resolveOptions({}).maxWaitMs,
    ]);
  });

  it('and starts them under a title, those of workers with what they own', () => {
    const own = { listeners: [9], give: 10, take: 11 };
    create({}, { ownOf: (id) => ({ ...own, give: 10 + id }) });
    const events = {} as never;
    for (const [id, role, name] of [
      [1, 'worker', 'worker 1'],
      [2, 'task', 'task worker 2'],
    ] as const) {
      parts.spawn({ id, role, name, lane: 0, generation: 1 }, events);
    }
    const calls = vi
      .mocked(spawnWorker)
      .mock.calls.map(([spec, title, , given]) => [spec.id, title, given.descriptors]);
    expect(calls).toEqual([
      [1, 'web: worker 1', { ...own, give: 11 }],
      [2, 'web: task worker 2', undefined],
    ]);
  });
});

describe('after a death', () => {
  const rung = (): boolean[] => bells.slice(0, 2).map(({ read }) => readableNow(read));

  it('its tasks and messages are recovered, and reactors wake, which may wait for its reply', () => {
    create();
    parts.recover(end);
    expect(recovered).toEqual([{ peer: peerOf(1, 1), workerId: 1, exitCode: 3, signal: 'SIGKILL' }]);
    expect(rung()).toEqual([true, true]);
    parts.recover({ ...end, signal: 0 });
    expect(recovered[1]).toMatchObject({ signal: '' });
  });

  it.each([
    ['base', 1, true, true],
    ['base', 1, false, false],
    ['base', 2, true, false],
    ['process', 1, true, false],
  ] as const)('in mode %s connections of process %i (serving: %s) are reaped: %s', (mode, id, wasServing, isReaped) => {
    const reap = vi.spyOn(DeadConnections.prototype, 'reap').mockImplementation(() => undefined as never);
    create({ mode });
    parts.recover({ ...end, id, wasServing });
    expect(reap.mock.calls).toEqual(isReaped ? [[id]] : []);
  });

  it('of the manager before, every process is recovered, and the keeper itself', () => {
    create();
    parts.recoverAll();
    expect(recovered.slice(0, -1)).toEqual(
      Array.from({ length: 8 }, (_, peer) => ({
        ...{ peer, workerId: Math.floor(peer / 2), exitCode: 0, signal: '', why: 'the death of the manager' },
      })),
    );
    expect([recovered.at(-1), rung()]).toEqual(['keeper', [true, true]]);
  });
});

it.each([
  ['a process of it', peerOf(1, 1)],
  ['the manager itself', peerOfManager(testShape({ workerNum: 2, taskWorkerNum: 1, userProcessNum: 1 }))],
])('of the manager before, what it held without a place in the connection is missed: %s', (_who, peer) => {
  create();
  holdBehindAll(region, peer);
  parts.recoverAll();
  expect(isLost(region)).toBe(true);
});

describe('a worker is drained', () => {
  it('when no reactor has anything for it', () => {
    create();
    const place = region.layout.inbound(1, 1);
    const writer = new RingWriter(region, place);
    expect(parts.isDrained(1)).toBe(true);
    writer.commit(1, 0, 0, 5, 0);
    writer.publish();
    expect([parts.isDrained(1), parts.isDrained(0)]).toEqual([false, true]);
    const reader = new RingReader(region, place);
    reader.look();
    reader.advance();
    reader.release();
    expect(parts.isDrained(1)).toBe(true);
  });
});

describe('at its end', () => {
  it.each([
    [0, 0, 0],
    [1, 0, 1],
    [0, 1, 1],
  ])('%i waiting and %i running tasks are lost: %i line', (queued, running, lines) => {
    create();
    counts = { queued, running };
    parts.exit(2);
    expect([exits, log.length]).toEqual([[2], lines]);
  });
});

describe('loops that stand still', () => {
  it.each([
    [1000, true],
    [0, false],
  ])('are looked for with workerTimeoutMs %i: %s', (workerTimeoutMs, isWatched) => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
    const look = vi.spyOn(Watchdog.prototype, 'look').mockImplementation(() => {});
    create({ workerTimeoutMs });
    vi.advanceTimersByTime(1000);
    expect(look.mock.calls.length > 0).toBe(isWatched);
  });
});
