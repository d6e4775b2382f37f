import { beforeEach, describe, expect, it } from 'vitest';
import type { ServerStatus } from '../../src/control/controlled.js';
import { type MetricFamily, readMetrics, type Sample, toPrometheus } from '../../src/control/metrics.js';
import { readEveryWorker, readStats, readWorkers } from '../../src/control/stats.js';
import { RingWriter } from '../../src/ipc/ring.js';
import {
  Http2Record,
  ReactorBoard,
  ReactorCounter,
  WorkerBoard,
  WorkerCounter,
  WorkerField,
} from '../../src/memory/boards.js';
import { peerOf, peerOfManager, peerOfMaster } from '../../src/memory/layout.js';
import { BUCKETS, type Histogram, ProcessRecord } from '../../src/memory/process-board.js';
import { Region } from '../../src/memory/region.js';
import type { TaskCounts } from '../../src/messaging/task-queue.js';
import { monotonicMs } from '../../src/util/clock.js';
import { testShape } from '../helpers/test-shape.js';

const tasks = { submitted: 1, queued: 2, running: 3, done: 4, failed: 5, timedOut: 6, retried: 7, refused: 8 };

let region: Region;
let board: WorkerBoard;

/** Two reactors, workers 0 and 1, task worker 2, the user's process 3. */
beforeEach(() => {
  region = Region.create(testShape({ reactorNum: 2, workerNum: 2, taskWorkerNum: 1, userProcessNum: 1 }));
  region.activeWorkerNum = region.seatNum = 2;
  board = new WorkerBoard(region);
});

const families = (status: Partial<ServerStatus> = {}): MetricFamily[] =>
  readMetrics({
    ...{ region, workers: readEveryWorker(region), messageCount: 9, drops: [] },
    ...{ status: status as ServerStatus, tasks: tasks as TaskCounts },
  });

function samplesOf(all: readonly MetricFamily[], name: string): readonly Sample[] {
  return all.find((family) => family.name === `tswoole_${name}`)?.samples ?? [];
}

/** Each sample as `label value, label value = value`. */
function told(all: readonly MetricFamily[], name: string): string[] {
  return samplesOf(all, name).map(({ labels, value }) => {
    const text = Object.entries(labels).map(([label, text]) => `${label} ${text}`);
    return `${text.join(', ')} = ${String(value)}`;
  });
}

function histogramOf(all: readonly MetricFamily[], name: string, at: number): Histogram {
  return samplesOf(all, name)[at]?.value as Histogram;
}

describe('the metrics of the server', () => {
  it('tell what runs, and since when in seconds', () => {
    const all = families({ name: 'web', version: '1.2.3', node: 'v24', mode: 'base', ready: false });
    expect(told(all, 'info')).toEqual(['name web, version 1.2.3, node v24, mode base = 1']);
    expect(told(all, 'ready')).toEqual([' = 0']);
    expect(samplesOf(all, 'start_time_seconds')[0]?.value).toBe(region.startedAt / 1000);
    expect(told(all, 'workers')).toEqual([' = 2']);
  });

  it('tell reloads by how they ended, and ends of processes by their reason', () => {
    [region.reloads, region.reloadsFailed] = [3, 4];
    region.countEnd('maxRequest');
    region.countEnd('hang');
    region.countEnd('hang');
    const all = families();
    expect(told(all, 'reloads_total')).toEqual(['result done = 3', 'result failed = 4']);
    expect(told(all, 'process_ends_total')).toEqual([
      ...['reason exit = 0', 'reason signal = 0', 'reason boot = 0', 'reason hang = 2', 'reason memory = 0'],
      ...[
        'reason max_request = 1',
        'reason asked = 0',
        'reason reload = 0',
        'reason scale = 0',
        'reason max_uptime = 0',
      ],
    ]);
  });

  it('tell the open connections of all reactors and of each', () => {
    const reactors = new ReactorBoard(region);
    reactors.add(0, ReactorCounter.accepted, 5);
    reactors.add(1, ReactorCounter.accepted, 3);
    reactors.add(1, ReactorCounter.closed, 1);
    reactors.addConnections(0, 5);
    reactors.addConnections(1, 2);
    reactors.setUnderWay(1, 6);
    const all = families();
    expect(told(all, 'connections')).toEqual([' = 7']);
    expect(told(all, 'reactor_connections')).toEqual(['reactor 0 = 5', 'reactor 1 = 2']);
    expect(told(all, 'http_under_way')).toEqual(['reactor 0 = 0', 'reactor 1 = 6']);
  });

  it('tell tasks by how they ended, and nothing of tasks where no process takes them', () => {
    const all = families();
    expect(told(all, 'tasks_submitted_total')).toEqual([' = 1']);
    expect(told(all, 'tasks_ended_total')).toEqual(['result done = 4', 'result failed = 5', 'result timed_out = 6']);
    region = Region.create(testShape({ taskWorkerNum: 0 }));
    expect(families().filter(({ name }) => name.includes('task'))).toEqual([]);
  });

  it('are counters where their name ends with _total, and have sentences that say what they are', () => {
    const all = families();
    const isOdd = ({ name, type }: MetricFamily): boolean => (type === 'counter') !== name.endsWith('_total');
    expect(all.filter(isOdd)).toEqual([]);
    expect(all.filter(({ type }) => type === 'histogram').map(({ name }) => name)).toEqual([
      'tswoole_callback_seconds',
      'tswoole_event_loop_delay_seconds',
    ]);
    expect(all.filter(({ help }) => !help.endsWith('.'))).toEqual([]);
    expect(new Set(all.map(({ name }) => name)).size).toBe(all.length);
  });
});

describe('the metrics of workers', () => {
  const everyone = ['worker 0, role worker', 'worker 1, role worker', 'worker 2, role task', 'worker 3, role user'];
  const values = (...given: number[]): string[] => given.map((value, at) => `${everyone[at]} = ${value}`);

  it('tell of each process with an id whether it is there, is busy, and how often it was replaced', () => {
    for (const id of [1, 2]) board.setField(id, WorkerField.pid, 100 + id);
    board.setField(1, WorkerField.busy, 5);
    board.setField(2, WorkerField.room, 1);
    for (const id of [0, 1, 2, 3]) {
      board.setField(id, WorkerField.generation, 10 + id);
      board.setField(id, WorkerField.restarts, 20 + id);
    }
    const all = families();
    expect(told(all, 'worker_up')).toEqual(values(0, 1, 1, 0));
    expect(told(all, 'worker_busy')).toEqual(values(0, 1, 0, 0));
    expect(told(all, 'worker_generation')).toEqual(values(10, 11, 12, 13));
    expect(told(all, 'worker_restarts_total')).toEqual(values(20, 21, 22, 23));
  });

  it('tell what each has sent and failed at, and packets of workers alone', () => {
    for (const id of [0, 1, 2, 3]) {
      const at = board.counterIndex(id, 0);
      for (const counter of Object.values(WorkerCounter)) region.float64[at + counter] = 1000 * id + counter;
      board.setField(id, WorkerField.connections, 30 + id);
      board.setField(id, WorkerField.pending, 40 + id);
    }
    const all = families();
    const each = (counter: number): string[] => values(...[0, 1, 2, 3].map((id) => 1000 * id + counter));
    expect(told(all, 'sends_total')).toEqual(each(WorkerCounter.sent));
    expect(told(all, 'worker_sent_bytes_total')).toEqual(each(WorkerCounter.sentBytes));
    expect(told(all, 'callback_errors_total')).toEqual(each(WorkerCounter.callbackErrors));
    const two = (counter: number): string[] => [`worker 0 = ${counter}`, `worker 1 = ${1000 + counter}`];
    expect(told(all, 'packets_total')).toEqual(two(WorkerCounter.received));
    expect(told(all, 'worker_received_bytes_total')).toEqual(two(WorkerCounter.receivedBytes));
    expect(told(all, 'http_answers_total')).toEqual(
      ([2, 3, 4, 5] as const).flatMap((first) =>
        [0, 1].map((id) => `worker ${id}, status ${first}xx = ${1000 * id + WorkerCounter[`answers${first}xx`]}`),
      ),
    );
    expect(told(all, 'worker_connections')).toEqual(['worker 0 = 30', 'worker 1 = 31']);
    expect(told(all, 'pending_callbacks')).toEqual(['worker 0 = 40', 'worker 1 = 41']);
  });

  it('tell the HTTP/2 of each worker', () => {
    const http2 = new Http2Record(region, 1, 0);
    http2.countUnderWay(1);
    for (let i = 0; i < 2; i++) http2.countRefused();
    for (let i = 0; i < 3; i++) http2.countReset();
    http2.held(4);
    const all = families();
    expect(told(all, 'http2_under_way')).toEqual(['worker 0 = 0', 'worker 1 = 1']);
    expect(told(all, 'http2_refused_total')).toEqual(['worker 0 = 0', 'worker 1 = 2']);
    expect(told(all, 'http2_streams_reset_total')).toEqual(['worker 0 = 0', 'worker 1 = 3']);
    expect(told(all, 'http2_held_bytes')).toEqual(['worker 0 = 0', 'worker 1 = 4']);
    expect(readStats(region, tasks as TaskCounts, 0)).toMatchObject({
      ...{ underWayNum: 1, refusedCount: 2, streamResetCount: 3, bufferedBytes: 4 },
    });
  });

  it('tell the bytes that wait in the rings of all reactors to a worker', () => {
    for (const reactor of [0, 1]) {
      const writer = new RingWriter(region, region.layout.inbound(reactor, 1));
      writer.room(64);
      writer.commit(2, 0, 0, 1, 10);
      writer.publish();
    }
    const [none, some] = told(families(), 'queued_bytes');
    expect(none).toBe('worker 0 = 0');
    expect(Number(some?.slice('worker 1 = '.length))).toBeGreaterThanOrEqual(2 * 10);
  });

  it('have the durations of both processes of an id, and none of the processes of your own', () => {
    ProcessRecord.ofPeer(region, peerOf(1, 0)).callbackTook(1);
    ProcessRecord.ofPeer(region, peerOf(1, 1)).callbackTook(1000);
    ProcessRecord.ofPeer(region, peerOf(2, 0)).callbackTook(2000);
    ProcessRecord.ofPeer(region, peerOf(3, 0)).callbackTook(4000);
    const all = families();
    expect(samplesOf(all, 'callback_seconds').map(({ labels }) => labels)).toEqual([
      ...[0, 1].map((id) => ({ worker: String(id), role: 'worker' })),
      { worker: '2', role: 'task' },
    ]);
    const [zero, one, task] = [0, 1, 2].map((at) => histogramOf(all, 'callback_seconds', at));
    expect([zero?.seconds, one?.seconds, task?.seconds]).toEqual([0, 1.001, 2]);
    expect(one?.counts.reduce((sum, count) => sum + count)).toBe(2);
  });
});

describe('the metrics of processes', () => {
  it('tell memory and CPU of those that run, by the name of their role', () => {
    for (const id of [0, 2, 3]) board.setField(id, WorkerField.pid, process.pid);
    const all = families({ masterPid: process.pid, managerPid: 0 });
    const named = (name: string): unknown[] => samplesOf(all, name).map(({ labels }) => labels.process);
    const isLinux = process.platform === 'linux';
    const running = isLinux ? ['master', 'worker 0', 'task 2', 'user 3'] : [];
    expect(named('process_resident_bytes')).toEqual(running);
    expect(named('process_cpu_seconds_total')).toEqual(running);
    for (const { value } of samplesOf(all, 'process_resident_bytes')) expect(value).toBeGreaterThan(1 << 20);
  });

  it('tell the loops of those that have been seen, reactor threads too', () => {
    const now = monotonicMs();
    const records = {
      ...{ master: peerOfMaster(region.shape), manager: peerOfManager(region.shape) },
      ...{ 'worker 1': peerOf(1, 0), 'task 2': peerOf(2, 0), 'user 3': peerOf(3, 1) },
    };
    const all = Object.entries(records).map(([name, peer]) => [name, ProcessRecord.ofPeer(region, peer)] as const);
    all.push(['reactor 1', ProcessRecord.ofReactor(region, 1)]);
    for (const [at, [, record]] of all.entries()) {
      record.seenAt = now;
      record.loopRan(1000 * (at + 1), 1000 * (at + 1));
      record.loopWasLate(1000 * (at + 1));
    }
    const metrics = families();
    const names = all.map(([name]) => name);
    expect(told(metrics, 'event_loop_utilisation')).toEqual(names.map((name) => `process ${name} = 0.5`));
    expect(told(metrics, 'event_loop_active_seconds_total')).toEqual(
      names.map((name, at) => `process ${name} = ${at + 1}`),
    );
    const seconds = samplesOf(metrics, 'event_loop_delay_seconds').map(({ value }) => (value as Histogram).seconds);
    expect(seconds).toEqual([1, 2, 3, 4, 5, 6]);
  });

  it.each([0, 1])(
    'tell the present loop where both processes of an id have been, as lane %i, and the time of both',
    (lane) => {
      const [present, past] = [lane, 1 - lane].map((of) => ProcessRecord.ofPeer(region, peerOf(0, of)));
      if (present === undefined || past === undefined) throw new Error('two lanes');
      past.loopRan(1000, 0);
      present.loopRan(1000, 3000);
      [past.seenAt, present.seenAt] = [monotonicMs() - 1, monotonicMs()];
      const all = families();
      expect(told(all, 'event_loop_utilisation')).toEqual(['process worker 0 = 0.25']);
      expect(told(all, 'event_loop_active_seconds_total')).toEqual(['process worker 0 = 2']);
    },
  );
});

describe('the health of a worker', () => {
  const first = () => readWorkers(region)[0];
  const live = (lane: number): ProcessRecord => {
    board.setField(0, WorkerField.pid, 4711);
    board.setField(0, WorkerField.lane, lane);
    return ProcessRecord.ofPeer(region, peerOf(0, lane));
  };

  it.each([0, 1])('is that of the process that takes packets, here in lane %i', (lane) => {
    const record = live(lane);
    record.loopRan(1, 3);
    record.residentBytes = 1000 + lane;
    record.seenAt = monotonicMs() - 500;
    expect(first()).toMatchObject({ loopUtilisation: 0.25, residentBytes: 1000 + lane });
    expect(first()?.loopStandsMs).toBeGreaterThanOrEqual(499);
    expect(first()?.loopStandsMs).toBeLessThan(60_000);
  });

  it('says since when a loop stands still, and where, if that is known', () => {
    const record = live(0);
    record.seenAt = monotonicMs() - 1000;
    expect(first()?.standsStill).toBeNull();
    record.seenAt = monotonicMs() - 5000;
    const blocked = first();
    expect(blocked?.standsStill).toEqual({ sinceMs: blocked?.loopStandsMs, stack: '' });
    record.stack = 'at spin (file.js:1:1)';
    expect(first()?.standsStill?.stack).toBe('at spin (file.js:1:1)');
    board.setField(0, WorkerField.pid, 0);
    expect(first()?.standsStill).toBeNull();
  });

  it('is nothing of a process that has gone, and does not say that a new loop stands', () => {
    const record = live(0);
    record.loopRan(1, 0);
    record.residentBytes = 5;
    expect(first()).toMatchObject({ loopStandsMs: 0, residentBytes: 5 });
    record.seenAt = monotonicMs() + 1000; // its clock was read later than ours
    expect(first()?.loopStandsMs).toBe(0);
    record.seenAt = monotonicMs() - 500;
    board.setField(0, WorkerField.pid, 0);
    expect(first()).toMatchObject({ loopUtilisation: 0, loopStandsMs: 0, residentBytes: 0, state: 'absent' });
  });
});

it('a histogram without labels has its bound as the only one', () => {
  const counts = Array.from({ length: BUCKETS }, () => 1);
  const text = toPrometheus([
    { name: 'h', help: 'It.', type: 'histogram', samples: [{ labels: {}, value: { counts, seconds: 2 } }] },
  ]);
  const lines = text.trimEnd().split('\n').slice(2);
  expect(lines[0]).toBe('h_bucket{le="0.000016"} 1');
  expect(lines.slice(-3)).toEqual([`h_bucket{le="+Inf"} ${BUCKETS}`, 'h_sum 2', `h_count ${BUCKETS}`]);
});
