import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { markOf } from '../../src/ipc/frame.js';
import type { RefusedClient } from '../../src/ipc/refused-client.js';
import { WorkerField } from '../../src/memory/boards.js';
import { peerOf, peerOfManager, peerOfMaster } from '../../src/memory/layout.js';
import {
  chooseForConnection,
  type DispatchInfo,
  type DispatchView,
  loadDispatch,
  ownWorker,
  strategyOf,
} from '../../src/reactor/dispatch/index.js';
import { PeerProcesses } from '../../src/reactor/peer-process.js';
import { Refusals } from '../../src/reactor/refusals.js';
import { ReactorWorld } from '../helpers/reactor-world.js';

/** What a strategy sees of each worker; a worker without anything else is ready, and has nothing to do. */
interface Seen {
  readonly connections?: number;
  readonly isGone?: boolean;
  readonly isBusy?: boolean;
  readonly busyForMs?: number;
  readonly queuedBytes?: number;
  readonly pending?: number;
}

function view(workers: readonly Seen[], uids: Readonly<Record<number, number>> = {}): DispatchView {
  let round = 0;
  return {
    workerNum: workers.length,
    connections: (worker) => workers[worker]?.connections ?? 0,
    isReady: (worker) => workers[worker]?.isGone !== true,
    isBusy: (worker) => workers[worker]?.isBusy === true,
    busyForMs: (worker) => workers[worker]?.busyForMs ?? 0,
    isIdle: () => false,
    queuedBytes: (worker) => workers[worker]?.queuedBytes ?? 0,
    pending: (worker) => workers[worker]?.pending ?? 0,
    uid: (slot) => uids[slot] ?? 0,
    nextRound: () => round++,
  };
}

type Mode = Parameters<typeof strategyOf>[0];
const none = Buffer.alloc(16);

/** Workers that are chosen one after the other. */
function choose(
  mode: Mode,
  seen: DispatchView,
  times = 1,
  subject = { sessionId: 7, slot: 1, address: none },
): number[] {
  const strategy = strategyOf(mode);
  return Array.from({ length: times }, () => strategy.choose(subject, seen));
}

const gone: Seen = { isGone: true };
const busy: Seen = { isBusy: true };

describe('the worker with the fewest connections', () => {
  it('is chosen, and equals take turns', () => {
    expect(choose('least-connections', view([{ connections: 2 }, { connections: 1 }, { connections: 3 }]), 3)).toEqual([
      ...[1, 1, 1],
    ]);
    expect(choose('least-connections', view([{}, {}, {}]), 4)).toEqual([0, 1, 2, 0]);
    expect(choose('least-connections', view([{ connections: 1 }, {}, {}]), 3)).toEqual([1, 1, 2]);
  });

  it('comes last where it has no process, and is chosen if none has one', () => {
    expect(choose('least-connections', view([gone, { connections: 9 }]), 2)).toEqual([1, 1]);
    expect(choose('least-connections', view([{ ...gone, connections: 1 }, gone]), 2)).toEqual([1, 1]);
  });
});

describe('an idle worker', () => {
  it('is chosen, each in turn', () => {
    expect(choose('idle', view([{}, {}, {}]), 4)).toEqual([0, 1, 2, 0]);
    expect(choose('idle', view([busy, {}, busy]), 3)).toEqual([1, 1, 1]);
    expect(choose('idle', view([gone, busy, {}]), 3)).toEqual([2, 2, 2]);
  });

  it('or, where there is none, the one with the least queued', () => {
    const seen = [
      { ...busy, queuedBytes: 300 },
      { ...busy, queuedBytes: 100 },
      { ...busy, queuedBytes: 200 },
    ];
    expect(choose('idle', view(seen), 3)).toEqual([1, 1, 1]);
  });

  it('or one that has not been busy for long, which may be worth some bytes', () => {
    const stuck = { ...busy, queuedBytes: 0, busyForMs: 100 };
    expect(choose('idle', view([stuck, { ...busy, queuedBytes: 6399 }]), 2)).toEqual([1, 1]);
    expect(choose('idle', view([stuck, { ...busy, queuedBytes: 6401 }]), 2)).toEqual([0, 0]);
  });

  it('never one without a process, unless none has one', () => {
    expect(choose('idle', view([gone, { ...busy, queuedBytes: 1e9, busyForMs: 1e6 }]), 2)).toEqual([1, 1]);
    expect(choose('idle', view([gone, gone]), 2)).toEqual([0, 1]);
  });
});

describe('the least busy worker', () => {
  it('has the fewest pending callbacks', () => {
    expect(choose('least-busy', view([{ pending: 2 }, { pending: 1 }, { pending: 3 }]), 3)).toEqual([1, 1, 1]);
    expect(choose('least-busy', view([{}, {}]), 3)).toEqual([0, 1, 0]);
  });

  it.each<[string, Seen, Seen]>([
    ['one that runs', busy, { pending: 1 }],
    ['a KiB that waits', { queuedBytes: 1024 }, { pending: 1 }],
    ['ten milliseconds without a break', { busyForMs: 10 }, { pending: 1 }],
  ])('%s weighs as much as one that is pending', (_title, one, other) => {
    expect(choose('least-busy', view([one, other]), 2)).toEqual([0, 1]);
  });

  it('comes last where it has no process', () => {
    expect(choose('least-busy', view([gone, { pending: 1000 }]), 2)).toEqual([1, 1]);
  });
});

describe('a worker by a number', () => {
  const subject = (sessionId: number, slot = 1, address = none) => ({ sessionId, slot, address });

  it('is that of the session id, or of the uid once there is one', () => {
    const seen = view([{}, {}, {}], { 5: 4 });
    expect([7, 8, 9].flatMap((id) => choose('fd-mod', seen, 1, subject(id)))).toEqual([1, 2, 0]);
    expect(choose('uid-mod', seen, 1, subject(8))).toEqual([2]);
    expect(choose('uid-mod', seen, 1, subject(8, 5))).toEqual([1]);
  });

  it('is that of the address: the same for all its connections, and spread over neighbours', () => {
    const seen = view([{}, {}, {}, {}]);
    const of = (...bytes: number[]): number => {
      const address = Buffer.concat([Buffer.from(bytes), none]).subarray(0, 16);
      return choose('ip-mod', seen, 1, subject(1, 1, address))[0] as number;
    };
    const counts = [0, 0, 0, 0];
    for (let last = 0; last < 256; last++) {
      const worker = of(10, 0, 0, last);
      counts[worker] = (counts[worker] as number) + 1;
      expect(of(10, 0, 0, last)).toBe(worker);
    }
    for (const count of counts) expect(count).toBeGreaterThan(40); // 64 each, were it even
    const sixteenth = new Set(Array.from({ length: 64 }, (_, i) => of(...none.subarray(1), i)));
    expect(sixteenth.size).toBe(4); // the last byte of IPv6 counts too
  });

  it('is the next one for each packet', () => {
    expect(choose('round-robin', view([{}, {}, {}]), 4)).toEqual([0, 1, 2, 0]);
  });

  it('is the own one in BASE mode', () => {
    const { choose: own, sticky, datagrams } = ownWorker(2, true);
    expect([own({ sessionId: 1, slot: 1, address: none }, view([{}, {}, {}])), sticky, datagrams]).toEqual([
      2,
      true,
      2,
    ]);
    expect(ownWorker(2, false)).not.toHaveProperty('datagrams');
  });

  it.each<[Mode, boolean, boolean]>([
    ['least-connections', true, true],
    ['fd-mod', true, true],
    ['ip-mod', true, true],
    ['uid-mod', false, false],
    ['round-robin', false, true],
    ['idle', false, false],
    ['least-busy', false, false],
    [{ module: 'x' } as never, false, false],
  ])('%j is for a connection: %s; and stands until a packet comes: %s', (mode, sticky, keepsUnused) => {
    expect(strategyOf(mode)).toMatchObject({ sticky, keepsUnused });
  });

  it('of a connection is chosen once where it keeps it, and otherwise by its session id', () => {
    const seen = view([{ connections: 1 }, {}, {}]);
    expect(chooseForConnection(strategyOf('least-connections'), subject(0), seen)).toBe(1);
    expect(chooseForConnection(strategyOf('idle'), subject(8), seen)).toBe(2);
  });
});

describe('what is seen of a worker', () => {
  it('is what it has written into shared memory, and what waits in its ring', () => {
    const world = new ReactorWorld({ workers: 2 });
    const { view: seen, workers } = world;
    expect([seen.isReady(0), seen.isBusy(0), seen.isIdle(0), seen.pending(0)]).toEqual([true, false, true, 0]);
    workers.setField(0, WorkerField.pending, 3);
    expect([seen.isBusy(0), seen.isIdle(0), seen.pending(0)]).toEqual([false, false, 3]);
    workers.setField(0, WorkerField.pending, 0);
    workers.setField(0, WorkerField.busy, 1);
    expect([seen.isBusy(0), seen.isIdle(0), seen.queuedBytes(0)]).toEqual([true, false, 0]);
    expect(seen.busyForMs(0)).toBeGreaterThan(0);
    expect(seen.busyForMs(1)).toBe(0);
    workers.setField(0, WorkerField.busy, 0);
    world.fill(0);
    expect([seen.isBusy(0), seen.isIdle(0), seen.isBusy(1)]).toEqual([true, false, false]);
    expect(seen.queuedBytes(0)).toBeGreaterThan(0);
    expect(seen.queuedBytes(9)).toBe(0);
    workers.setField(1, WorkerField.pid, 0);
    expect([seen.isReady(1), seen.isIdle(1)]).toEqual([false, false]);
  });

  it('is who a connection was bound to; a datagram is of nobody', () => {
    const world = new ReactorWorld();
    const { slot } = world.connect();
    expect(world.view.uid(slot)).toBe(0);
    world.table.bindUid(slot, 42);
    expect([world.view.uid(slot), world.view.uid(-1)]).toEqual([42, 0]);
  });
});

it('a peer is the process that has its place at the moment', () => {
  const { region, workers } = new ReactorWorld({ workers: 2 });
  const { shape } = region;
  region.managerPid = 71;
  vi.spyOn(region, 'masterPid', 'get').mockReturnValue(72);
  workers.setField(1, WorkerField.processOfLane0, 73);
  workers.setField(1, WorkerField.processOfLane1, 74);
  const peers = [peerOfManager(shape), peerOfMaster(shape), peerOf(1, 0), peerOf(1, 1), peerOf(0, 1)];
  const processes = new PeerProcesses(region, workers);
  expect(peers.map((peer) => processes.of(peer))).toEqual([71, 72, 73, 74, 0]);
});

it('a process is gone when it was not there at the last look, nor is now', () => {
  const { region, workers } = new ReactorWorld({ workers: 2 });
  const processes = new PeerProcesses(region, workers);
  const peer = peerOf(1, 1);
  const areGone = (pid: number): unknown[] => [
    processes.isGone(peer, pid),
    processes.isGoneFrom(1, pid),
    processes.isGoneWith(peer, markOf(pid)),
    !processes.living.has(pid),
  ];
  const [all, none] = [Array(4).fill(true), Array(4).fill(false)];
  workers.setField(1, WorkerField.processOfLane1, 74);
  expect([areGone(74), areGone(75)]).toEqual([none, all]);
  processes.look();
  workers.setField(1, WorkerField.processOfLane1, 75);
  expect([areGone(74), areGone(75)]).toEqual([none, none]);
  processes.look();
  expect([areGone(74), areGone(75)]).toEqual([all, none]);
  expect([processes.isGoneFrom(0, 75), processes.isGone(peerOf(1, 0), 75)]).toEqual([true, true]);
});

describe('dispatch by a function of the user', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'dispatch-'));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  const module = (text: string): string => {
    const file = join(folder, 'it.mjs');
    writeFileSync(file, text);
    return pathToFileURL(file).href;
  };
  const info = { fd: 1, uid: 0, remoteAddress: '', portIndex: 0, workerNum: 3 };
  const answer = async (text: string, data = ''): Promise<unknown> => {
    const dispatch = await loadDispatch(module(text));
    return dispatch({ ...info, data: Buffer.from(data) } satisfies DispatchInfo);
  };

  it.each([
    ['0', 0],
    ['2', 2],
    ["'discard'", 'discard'],
    ["'close'", 'close'],
    ["'fallback'", 'fallback'],
    ['info.data.length', 2],
    ['3', 'fallback'], // no such worker
    ['-1', 'fallback'],
    ['1.5', 'fallback'],
    ['NaN', 'fallback'],
    ["'1'", 'fallback'],
    ['undefined', 'fallback'],
    ['Promise.resolve(1)', 'fallback'],
    ['info.no.such', 'fallback'], // it throws
  ])('returning %s means %j', async (result, meant) => {
    expect(await answer(`export const dispatch = (info) => ${result};`, 'ab')).toBe(meant);
  });

  it('is not read where its module is a device', async () => {
    await expect(loadDispatch('file:///dev/null')).rejects.toMatchObject({
      ...{ code: 'ERR_DISPATCH_MODULE', cause: expect.objectContaining({ message: 'it is no regular file' }) },
    });
  });

  it.each([
    ['export const other = 1;', 'it exports no function dispatch'],
    ['export const dispatch = 1;', 'it exports no function dispatch'],
    ["\nthrow new Error('no');", 'it cannot be loaded (line 2)'],
    ['const a = 1;\n\nexport const b = ;', 'it cannot be loaded (line 3)'],
  ])('cannot be by a module of %s', async (text, why) => {
    await expect(answer(text)).rejects.toMatchObject({ code: 'ERR_DISPATCH_MODULE', detail: { why } });
  });
});

describe('clients that were disconnected for what they sent', () => {
  afterEach(() => vi.restoreAllMocks());

  it('are told of once a second, with how many others there were', () => {
    let now = 0;
    vi.spyOn(performance, 'now').mockImplementation(() => now);
    const told: RefusedClient[] = [];
    const refusals = new Refusals((client) => told.push(client));
    const add = (sessionId: number, at: number): void => {
      now = at;
      refusals.add(sessionId, 4, 'why');
    };
    add(1, 0);
    add(2, 500);
    add(3, 999);
    add(4, 1000);
    add(5, 2000);
    expect(told).toEqual([
      { sessionId: 1, code: 4, message: 'why', others: 0 },
      { sessionId: 4, code: 4, message: 'why', others: 2 },
      { sessionId: 5, code: 4, message: 'why', others: 0 },
    ]);
  });
});
