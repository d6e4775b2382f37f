import { EventEmitter } from 'node:events';
import type { ServerResponse } from 'node:http';
import { beforeEach, describe, expect, it } from 'vitest';
import { sendProfile } from '../../src/control/send-profile.js';
import { readEveryWorker, readReactors, readStats, readWorkers } from '../../src/control/stats.js';
import {
  busyStamp,
  Http2Record,
  ReactorBoard,
  ReactorCounter,
  WorkerBoard,
  WorkerCounter,
  WorkerField,
} from '../../src/memory/boards.js';
import { DeadConnections } from '../../src/memory/dead-connections.js';
import { peerOf } from '../../src/memory/layout.js';
import { ProcessRecord } from '../../src/memory/process-board.js';
import { Region } from '../../src/memory/region.js';
import { RoomBoard } from '../../src/memory/room-board.js';
import type { TaskCounts } from '../../src/messaging/task-queue.js';
import { resolveOptions } from '../../src/options/index.js';
import { monotonicMs } from '../../src/util/clock.js';
import { testShape } from '../helpers/test-shape.js';

const tasks = { submitted: 3 } as TaskCounts;

let region: Region;
let reactors: ReactorBoard;
let board: WorkerBoard;

/** Two reactors, workers 0 to 2 of which two shall run, task worker 3, the user's process 4. */
beforeEach(() => {
  region = Region.create(testShape({ reactorNum: 2, workerNum: 3, taskWorkerNum: 1, userProcessNum: 1 }));
  region.activeWorkerNum = region.seatNum = 2;
  [reactors, board] = [new ReactorBoard(region), new WorkerBoard(region)];
});

const stats = () => readStats(region, tasks, 5);
const count = (worker: number, lane: number, counter: number, value: number): void => {
  region.float64[board.counterIndex(worker, lane) + counter] = value;
};
const live = (worker: number, pid = 100 + worker): void => {
  board.setField(worker, WorkerField.pid, pid);
  board.setStartedAt(worker, monotonicMs());
};

describe('the figures of a server', () => {
  it('are all 0 before anything has happened', () => {
    const {
      startedAt,
      reactorNum,
      workerNum,
      taskWorkerNum,
      tasks: told,
      messageCount,
      closeCodes,
      shared,
      cluster,
      ...rest
    } = stats();
    expect([closeCodes, shared, cluster]).toEqual([{}, [], null]);
    expect({ reactorNum, workerNum, taskWorkerNum, told, messageCount }).toEqual({
      ...{ reactorNum: 2, workerNum: 2, taskWorkerNum: 1, told: tasks, messageCount: 5 },
    });
    expect(new Set(Object.values(rest))).toEqual(new Set([0]));
    expect(Math.abs(startedAt - Date.now())).toBeLessThan(60_000);
  });

  it('are those of all reactors together', () => {
    for (const [reactor, factor] of [
      [0, 1],
      [1, 10],
    ] as const) {
      for (const index of Object.values(ReactorCounter)) reactors.add(reactor, index, factor * (index + 1));
      reactors.setUnderWay(reactor, factor);
    }
    const sum = (index: number): number => 11 * (index + 1);
    expect(stats()).toMatchObject({
      ...{ acceptCount: sum(ReactorCounter.accepted), closeCount: sum(ReactorCounter.closed) },
      connectionNum: sum(ReactorCounter.accepted) - sum(ReactorCounter.closed),
      ...{ dispatchCount: sum(ReactorCounter.dispatched), discardCount: sum(ReactorCounter.discarded) },
      ...{ receivedBytes: sum(ReactorCounter.receivedBytes), sentBytes: sum(ReactorCounter.sentBytes) },
      ...{ stallCount: sum(ReactorCounter.stalls), bufferedBytes: sum(ReactorCounter.buffered) },
      ...{ refusedCount: sum(ReactorCounter.httpRefused), timedOutCount: sum(ReactorCounter.httpTimedOut) },
      ...{ badGatewayCount: sum(ReactorCounter.badGateways), filesServedCount: sum(ReactorCounter.filesServed) },
      underWayNum: 11,
      ...{ webSockets: sum(ReactorCounter.webSockets), messagesReceived: sum(ReactorCounter.messages) },
      ...{ roomDeliveries: sum(ReactorCounter.deliveries), roomDrops: sum(ReactorCounter.drops) },
      // Every reactor gets each one.
      messagesPublished: 10 * (ReactorCounter.published + 1),
    });
  });

  it('have the reactors that read no client, and for how long the first of them has read none', () => {
    reactors.set(1, ReactorCounter.pausedAt, monotonicMs() - 5000);
    expect(stats()).toMatchObject({ pausedReactorNum: 1, pausedMs: expect.closeTo(5000, -3) });
    reactors.set(0, ReactorCounter.pausedAt, monotonicMs() - 60_000);
    expect(stats()).toMatchObject({ pausedReactorNum: 2, pausedMs: expect.closeTo(60_000, -3) });
    for (const reactor of [0, 1]) reactors.set(reactor, ReactorCounter.pausedAt, 0);
    expect(stats()).toMatchObject({ pausedReactorNum: 0, pausedMs: 0 });
  });

  it('do not have one whose process has died meanwhile (BASE mode), whether or not another takes its place', () => {
    for (const reactor of [0, 1]) reactors.set(reactor, ReactorCounter.pausedAt, monotonicMs() - 5000);
    for (const reactor of [0, 1]) reactors.set(reactor, ReactorCounter.paused, 1);
    new DeadConnections(region, resolveOptions({})).reap(1);
    expect(stats()).toMatchObject({ pausedReactorNum: 1 });
    expect([0, 1].map((reactor) => reactors.read(reactor, ReactorCounter.paused))).toEqual([1, 0]);
  });

  it('are those of all workers together, both processes of an id and workers that have gone included', () => {
    count(0, 0, WorkerCounter.received, 1);
    count(0, 1, WorkerCounter.received, 10);
    count(2, 0, WorkerCounter.received, 100); // `scale` has ended it
    count(1, 0, WorkerCounter.sent, 7);
    count(1, 0, WorkerCounter.callbackErrors, 2);
    count(1, 0, WorkerCounter.held, 50);
    count(1, 0, WorkerCounter.answers5xx, 3);
    count(2, 1, WorkerCounter.answers5xx, 30);
    count(1, 0, WorkerCounter.answers4xx, 4);
    board.setField(1, WorkerField.pending, 4);
    expect(stats()).toMatchObject({
      ...{ requestCount: 111, responseCount: 7, callbackErrors: 2, bufferedBytes: 50, pendingCallbacks: 4 },
      serverErrorCount: 33,
    });
  });

  it('have the codes by which WebSockets have ended, those of all reactors together', () => {
    for (const [reactor, code] of [
      [0, 1000],
      [1, 1000],
      [0, 1006],
      [1, 4001],
      [0, 4002],
    ] as const) {
      reactors.countClose(reactor, code);
    }
    expect(stats().closeCodes).toEqual({ 1000: 2, 1006: 1, other: 2 });
  });

  it('have the rooms of all reactors', () => {
    expect(stats()).toMatchObject({ rooms: 0, roomMembers: 0 });
    region = Region.create(testShape({ reactorNum: 2, rooms: 8 }));
    const rooms = new RoomBoard(region);
    rooms.join('a', 0, 3);
    rooms.join('a', 1);
    const gone = rooms.join('b', 1);
    rooms.join('c', 1);
    rooms.add(gone, 1, -1);
    expect(stats()).toMatchObject({ rooms: 2, roomMembers: 5 });
  });

  it('of tasks are not those of requests', () => {
    count(3, 0, WorkerCounter.received, 9);
    board.setField(3, WorkerField.pending, 1);
    expect(stats()).toMatchObject({ requestCount: 0, pendingCallbacks: 0 });
  });

  it('have the HTTP/2 of workers in them', () => {
    new Http2Record(region, 1, 0).held(30);
    expect(stats().bufferedBytes).toBe(30);
  });

  it('tell restarts of all processes, and reloads of both kinds', () => {
    board.setField(0, WorkerField.restarts, 1);
    board.setField(4, WorkerField.restarts, 2);
    [region.reloads, region.reloadsFailed] = [3, 4];
    expect(stats()).toMatchObject({ workerRestarts: 3, reloadCount: 3, failedReloadCount: 4 });
  });

  it('count workers that wait, and task workers that have room', () => {
    expect(stats()).toMatchObject({ idleWorkerNum: 0, idleTaskWorkerNum: 0 });
    for (const id of [0, 1, 3]) live(id);
    board.setField(1, WorkerField.busy, busyStamp());
    expect(stats()).toMatchObject({ idleWorkerNum: 1, idleTaskWorkerNum: 0 });
    board.setField(3, WorkerField.room, 1);
    expect(stats()).toMatchObject({ idleTaskWorkerNum: 1 });
  });
});

describe('the workers', () => {
  it('are those that there shall be, task workers, and processes of the user', () => {
    expect(readWorkers(region).map(({ id, role, state }) => [id, role, state])).toEqual([
      [0, 'worker', 'absent'],
      [1, 'worker', 'absent'],
      [3, 'task', 'absent'],
      [4, 'user', 'absent'],
    ]);
  });

  it('are, for sums, also those that have been', () => {
    board.setStartedAt(2, 1);
    expect(readEveryWorker(region).map(({ id }) => id)).toEqual([0, 1, 2, 3, 4]);
    expect(readWorkers(region).map(({ id }) => id)).toEqual([0, 1, 3, 4]);
  });

  it('that are still to go, or still to take packets, are there', () => {
    region.seatNum = 3;
    expect(readWorkers(region).map(({ id }) => id)).toContain(2);
    [region.seatNum, region.activeWorkerNum] = [2, 3];
    expect(readWorkers(region).map(({ id }) => id)).toContain(2);
  });

  it('tell how they are, and how their last process ended', () => {
    live(0, 4711);
    board.setField(0, WorkerField.lastSignal, 9);
    board.setField(1, WorkerField.lastExitCode, 3);
    const [first, second] = readWorkers(region);
    expect(first).toMatchObject({ pid: 4711, state: 'idle', lastSignal: 9, lastSignalName: 'SIGKILL' });
    expect(first?.uptimeMs).toBeLessThan(60_000);
    expect(second).toMatchObject({
      ...{ pid: 0, state: 'absent', uptimeMs: 0, startedAt: 0, lastExitCode: 3, lastSignalName: null },
    });
  });

  it('of tasks are busy when they have no room, and run what is pending', () => {
    live(3);
    board.setField(3, WorkerField.pending, 2);
    const [, , task] = readWorkers(region);
    expect(task).toMatchObject({ state: 'busy', runningTasks: 2, pendingCallbacks: 0 });
  });

  it('have latencies of both their processes, since the start', () => {
    for (let i = 0; i < 99; i++) ProcessRecord.ofPeer(region, peerOf(0, 0)).callbackTook(0.01);
    expect(readWorkers(region)[0]?.latencyP99).toBeLessThan(0.001);
    for (let i = 0; i < 99; i++) ProcessRecord.ofPeer(region, peerOf(0, 1)).callbackTook(1000);
    expect(readWorkers(region)[0]?.latencyP99).toBeGreaterThan(0.5);
  });
});

describe('a profile over HTTP', () => {
  class FakeResponse extends EventEmitter {
    head: unknown;
    readonly written: string[] = [];
    ended = false;
    destroyed = false;
    /** What `write` says. */
    isRoom = true;
    readonly req: { method: string };
    constructor(req: { method: string }) {
      super();
      this.req = req;
    }
    writeHead(status: number, fields: object): void {
      this.head = { status, ...fields };
    }
    write(piece: Buffer): boolean {
      this.written.push(String(piece));
      return this.isRoom;
    }
    end(): void {
      this.ended = true;
    }
  }

  const send = (response: FakeResponse, pieces: string[]): { done: Promise<void>; freed: () => number } => {
    let freed = 0;
    const profile = {
      ...{ name: 'worker-0.cpuprofile', bytes: pieces.join('').length },
      async *read() {
        for (const piece of pieces) yield Buffer.from(piece);
      },
      free: () => freed++,
    };
    return { done: sendProfile(response as unknown as ServerResponse, profile), freed: () => freed };
  };

  it('is a file to save, whole, and is freed', async () => {
    const response = new FakeResponse({ method: 'POST' });
    const { done, freed } = send(response, ['{"a":', '1}']);
    await done;
    expect(response.head).toMatchObject({
      ...{ status: 200, 'content-length': 7, 'cache-control': 'no-store' },
      'content-disposition': 'attachment; filename="worker-0.cpuprofile"',
    });
    expect([response.written.join(''), response.ended, freed()]).toEqual(['{"a":1}', true, 1]);
  });

  it('waits for a client that does not keep up', async () => {
    const response = new FakeResponse({ method: 'POST' });
    response.isRoom = false;
    const { done, freed } = send(response, ['a', 'b']);
    await new Promise((resolve) => setImmediate(resolve));
    expect([response.written, freed()]).toEqual([['a'], 0]);
    response.isRoom = true;
    response.emit('drain');
    await done;
    expect([response.written, freed()]).toEqual([['a', 'b'], 1]);
  });

  it('is freed when the client has gone meanwhile', async () => {
    const response = new FakeResponse({ method: 'POST' });
    response.isRoom = false;
    const { done, freed } = send(response, ['a', 'b']);
    await new Promise((resolve) => setImmediate(resolve));
    response.destroyed = true;
    response.emit('close');
    await done;
    expect([response.written, response.ended, freed()]).toEqual([['a'], false, 1]);
  });
});

it('what is pending is callbacks in a worker, and tasks in a task worker', () => {
  for (const id of [0, 3]) {
    live(id);
    board.setField(id, WorkerField.pending, 5 + id);
  }
  const pending = readWorkers(region).map(({ id, pendingCallbacks, runningTasks }) => [
    id,
    pendingCallbacks,
    runningTasks,
  ]);
  expect(pending).toContainEqual([0, 5, 0]);
  expect(pending).toContainEqual([3, 0, 8]);
});

it('the figures of each reactor are its own', () => {
  reactors.add(1, ReactorCounter.accepted, 9);
  reactors.add(1, ReactorCounter.receivedBytes, 10);
  reactors.add(1, ReactorCounter.sentBytes, 20);
  reactors.addConnections(1, 4);
  const record = ProcessRecord.ofReactor(region, 1);
  record.loopWasLate(3);
  record.loopRan(1, 3);
  record.seenAt = monotonicMs() - 400;
  const [idle, busy] = readReactors(region);
  expect(idle).toMatchObject({ id: 0, connections: 0, acceptCount: 0, loopDelayMs: 0, loopStandsMs: 0 });
  expect(busy).toMatchObject({
    ...{ id: 1, connections: 4, acceptCount: 9, bytesIn: 10, bytesOut: 20, loopUtilisation: 0.25 },
    loopDelayMs: 4.096,
  });
  expect(busy?.loopStandsMs).toBeGreaterThanOrEqual(400);
});
