/**
 * Every figure of a server, as families of samples: `/metrics` writes them in the text format of Prometheus, the command
 * `metrics` returns them as JSON. All are read from shared memory (memory and CPU: from the kernel), so they cost no worker
 * anything and are available when one hangs. Runs in the master.
 */

import { queuedBytesAt } from '../ipc/ring.js';
import { ReactorBoard, ReactorCounter, WorkerBoard, WorkerCounter } from '../memory/boards.js';
import { ClusterRecord } from '../memory/cluster-record.js';
import { peerOf, peerOfManager, peerOfMaster } from '../memory/layout.js';
import { addHistograms, bucketBounds, type Histogram, ProcessRecord } from '../memory/process-board.js';
import { endReasons, type Region } from '../memory/region.js';
import type { TaskCounts } from '../messaging/task-queue.js';
import { processUsage } from '../os/other-process.js';
import type { DatagramDrops } from '../os/socket-buffers.js';
import { sharedObjects } from '../shared/registry.js';
import type { NamedJobs, ServerStatus } from './controlled.js';
import { counter, gauge, histogram, type Labels, type MetricFamily, type Sample, sample } from './metric-family.js';
import { type ClusterJobStats, readCloseCodes, readStats, type WorkerInfo } from './stats.js';

export type { Labels, MetricFamily, Sample } from './metric-family.js';

export interface MetricSources {
  readonly region: Region;
  /** Including workers that have gone, because counters must never fall. */
  readonly workers: readonly WorkerInfo[];
  readonly status: ServerStatus;
  readonly tasks: TaskCounts;
  readonly messageCount: number;
  readonly drops: readonly DatagramDrops[];
}

export function readMetrics(sources: MetricSources): MetricFamily[] {
  return [
    ...ofServer(sources),
    ...ofReactors(sources),
    counter(
      'datagrams_dropped_total',
      'UDP: datagrams that the kernel has dropped, because its receive buffer was full (Linux).',
      ...sources.drops.map(({ port, count }) => sample(count, { port: String(port) })),
    ),
    ...ofWebSockets(sources),
    ...ofCluster(sources),
    ...ofSharedObjects(),
    ...ofWorkers(sources),
    ...ofTasks(sources),
    ...ofProcesses(sources),
  ];
}

function ofServer({ region, status, tasks, messageCount }: MetricSources): MetricFamily[] {
  const stats = readStats(region, tasks, messageCount);
  const { name, version, node, mode } = status;
  return [
    gauge('info', 'What runs; always 1.', sample(1, { name, version, node, mode })),
    gauge('ready', '1 while clients are served: not during start and shutdown.', sample(status.ready ? 1 : 0)),
    gauge('start_time_seconds', 'Unix time of the start.', sample(region.startedAt / 1000)),
    gauge('workers', 'Workers that there should be.', sample(region.activeWorkerNum)),
    gauge('connections', 'Open connections.', sample(stats.connectionNum)),
    gauge('buffered_bytes', 'Bytes that wait in the memory of the server, in and out.', sample(stats.bufferedBytes)),
    counter('messages_total', 'Messages between processes (sendMessage).', sample(messageCount)),
    counter(
      'reloads_total',
      'Reloads, by how they ended.',
      sample(stats.reloadCount, { result: 'done' }),
      sample(stats.failedReloadCount, { result: 'failed' }),
    ),
    counter(
      'process_ends_total',
      'Workers, task workers and processes of your own that ended and were replaced, by reason.',
      ...endReasons.map((reason) => sample(region.ends(reason), { reason: snakeCase(reason) })),
    ),
  ];
}

function ofReactors({ region }: MetricSources): MetricFamily[] {
  const board = new ReactorBoard(region);
  const each = (index: number): Sample[] =>
    range(region.shape.reactorNum).map((reactor) => sample(board.read(reactor, index), { reactor: String(reactor) }));
  return [
    counter('connections_accepted_total', 'Connections that were accepted.', ...each(ReactorCounter.accepted)),
    counter('connections_closed_total', 'Connections that have ended.', ...each(ReactorCounter.closed)),
    counter('received_bytes_total', 'Bytes received from clients.', ...each(ReactorCounter.receivedBytes)),
    counter('sent_bytes_total', 'Bytes the kernel has taken for clients.', ...each(ReactorCounter.sentBytes)),
    counter('dispatched_total', 'Packets that reactors gave to workers.', ...each(ReactorCounter.dispatched)),
    counter('replies_total', 'Sends that reactors took from workers.', ...each(ReactorCounter.replies)),
    counter(
      'discarded_total',
      'Sends to connections that were gone, and datagrams for which a worker had no room.',
      ...each(ReactorCounter.discarded),
    ),
    counter(
      'stalls_total',
      'How often reading from a client stopped because its worker was behind.',
      ...each(ReactorCounter.stalls),
    ),
    counter('http_refused_total', 'HTTP requests refused without a worker.', ...each(ReactorCounter.httpRefused)),
    counter(
      'http_timed_out_total',
      'HTTP requests that were not whole, or not answered, in time.',
      ...each(ReactorCounter.httpTimedOut),
    ),
    counter('http_bad_gateway_total', 'HTTP requests whose worker has died.', ...each(ReactorCounter.badGateways)),
    counter(
      'http_files_served_total',
      'HTTP requests answered with a file, without a worker.',
      ...each(ReactorCounter.filesServed),
    ),
    gauge(
      'http_under_way',
      'HTTP requests that a worker owes the answer to.',
      ...range(region.shape.reactorNum).map((reactor) => sample(board.underWay(reactor), { reactor: String(reactor) })),
    ),
    counter('reactor_wakeups_total', 'Turns of the event loop of a reactor.', ...each(ReactorCounter.wakeUps)),
    gauge('reactor_buffered_bytes', 'Bytes that wait in the memory of a reactor.', ...each(ReactorCounter.buffered)),
    gauge('reactor_paused', '1 while no client is read: above maxBufferedBytes.', ...each(ReactorCounter.paused)),
    gauge(
      'reactor_connections',
      'Open connections of a reactor.',
      ...range(region.shape.reactorNum).map((reactor) =>
        sample(board.connections(reactor), { reactor: String(reactor) }),
      ),
    ),
  ];
}

/** Where the server is a node of several. */
function ofCluster({ region, status }: MetricSources): MetricFamily[] {
  const figures = new ClusterRecord(region).read();
  if (figures === undefined) return [];
  const { state, nodeNum, followedRooms, published, delivered, lost, reconnects, bufferedBytes, jobs } = figures;
  return [
    gauge('cluster_up', '1 while messages reach other nodes.', sample(state === 'up' ? 1 : 0)),
    gauge('cluster_nodes', 'Living nodes, this one included, as last known.', sample(nodeNum)),
    gauge('cluster_rooms', 'Rooms this node subscribes to.', sample(followedRooms)),
    gauge('cluster_buffered_bytes', 'Bytes the engine has not confirmed yet.', sample(bufferedBytes)),
    counter('cluster_published_total', 'Messages the engine has taken from this node.', sample(published)),
    counter('cluster_delivered_total', 'Messages that came to subscribers of this node.', sample(delivered)),
    counter('cluster_lost_total', 'Messages that are known to be lost.', sample(lost)),
    counter('cluster_reconnects_total', 'Connections to the engine that replaced a lost one.', sample(reconnects)),
    ...(jobs === null ? [] : ofJobs(jobs, status.cluster?.queues ?? [])),
  ];
}

const jobStates = ['waiting', 'delayed', 'running', 'dead'] as const;

function ofJobs({ running, done, failed }: ClusterJobStats, queues: readonly NamedJobs[]): MetricFamily[] {
  return [
    gauge(
      'cluster_jobs_queued',
      'Durable jobs over all nodes by name and state, as counted in the last 5 s.',
      ...queues.flatMap(({ name, ...counts }) => jobStates.map((state) => sample(counts[state], { name, state }))),
    ),
    gauge('cluster_jobs_running', 'Durable jobs that this node runs.', sample(running)),
    counter('cluster_jobs_done_total', 'Durable jobs that this node has done.', sample(done)),
    counter('cluster_jobs_failed_total', 'Attempts of durable jobs that failed on this node.', sample(failed)),
  ];
}

const sharedGauges: Readonly<Record<string, string>> = {
  bytes: 'Address space of a shared object; pages that were never written take no memory.',
  bytesUsed: 'Bytes that a cache holds.',
  rows: 'Rows that a table has room for.',
  rowsUsed: 'Rows that are taken.',
  keys: 'Keys that a cache, a limiter or a Once holds.',
  waiting: 'Callers that wait for a lock, a semaphore, an atomic or a Once.',
  held: 'Acquisitions of locks and semaphores that are held, and calls of Once that compute.',
};

const sharedCounters: Readonly<Record<string, string>> = {
  lockWaits: 'How often a process had to wait for another one.',
  brokenLocks: 'Locks whose holder died.',
  evictions: 'Rows or values that had to make room.',
  hits: 'Values that a cache had.',
  misses: 'Values that a cache did not have.',
  allowed: 'What a limiter let through.',
  refused: 'What a limiter refused.',
  published: 'Values published to a topic.',
  gaps: 'How often a process was overtaken by a topic, and has missed values.',
  unreadable: 'How often a subscriber of a topic could not read a value, and has passed over it.',
};

/** Where the script has declared shared objects. */
function ofSharedObjects(): MetricFamily[] {
  const objects = sharedObjects();
  const each = (name: string): Sample[] =>
    objects
      .filter(({ figures }) => figures[name] !== undefined)
      .map(({ kind, name: object, figures }) => sample(figures[name] ?? 0, { kind, name: object }));
  return [
    ...Object.entries(sharedGauges).map(([name, help]) => gauge(`shared_${snakeCase(name)}`, help, ...each(name))),
    ...Object.entries(sharedCounters).map(([name, help]) =>
      counter(`shared_${snakeCase(name)}_total`, help, ...each(name)),
    ),
  ].filter(({ samples }) => samples.length > 0);
}

function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/** Where a port speaks WebSocket. */
function ofWebSockets({ region, tasks, messageCount }: MetricSources): MetricFamily[] {
  if (region.shape.rooms === 0) return [];
  const { rooms, roomMembers, messagesPublished } = readStats(region, tasks, messageCount);
  const board = new ReactorBoard(region);
  const each = (index: number): Sample[] =>
    range(region.shape.reactorNum).map((reactor) => sample(board.read(reactor, index), { reactor: String(reactor) }));
  return [
    gauge('websockets', 'Open WebSockets.', ...each(ReactorCounter.webSockets)),
    counter('websocket_messages_total', 'Messages that came by WebSocket.', ...each(ReactorCounter.messages)),
    counter(
      'websocket_closes_total',
      'WebSockets that have ended, by the code of the close.',
      ...Array.from(readCloseCodes(region), ([code, count]) => sample(count, { code })),
    ),
    gauge('rooms', 'Rooms that have members.', sample(rooms)),
    gauge('room_members', 'Memberships in rooms.', sample(roomMembers)),
    counter('room_publications_total', 'Messages that processes have published to rooms.', sample(messagesPublished)),
    counter('room_deliveries_total', 'Published messages sent to members.', ...each(ReactorCounter.deliveries)),
    counter(
      'room_drops_total',
      'Published messages that members did not get because they did not keep up.',
      ...each(ReactorCounter.drops),
    ),
  ];
}

const ANSWERS = [
  ['2xx', WorkerCounter.answers2xx],
  ['3xx', WorkerCounter.answers3xx],
  ['4xx', WorkerCounter.answers4xx],
  ['5xx', WorkerCounter.answers5xx],
] as const;

function ofWorkers({ region, workers }: MetricSources): MetricFamily[] {
  const ofRole = (role: WorkerInfo['role'], read: (worker: WorkerInfo) => number): Sample[] =>
    workers
      .filter((worker) => worker.role === role)
      .map((worker) => sample(read(worker), { worker: String(worker.id) }));
  const all = (read: (worker: WorkerInfo) => number): Sample[] =>
    workers.map((worker) => sample(read(worker), { worker: String(worker.id), role: worker.role }));
  const board = new WorkerBoard(region);
  const http2 = (read: (of: ReturnType<WorkerBoard['http2']>) => number): Sample[] =>
    ofRole('worker', ({ id }) => read(board.http2(id)));
  const answers = ANSWERS.flatMap(([status, index]) =>
    workers
      .filter(({ role }) => role === 'worker')
      .map(({ id }) => sample(board.read(id, index), { worker: String(id), status })),
  );
  return [
    gauge(
      'worker_up',
      '1 while a process of this id takes packets or tasks.',
      ...all(({ pid }) => (pid === 0 ? 0 : 1)),
    ),
    gauge(
      'worker_busy',
      '1 while it runs callbacks, or as many tasks as it may.',
      ...all(({ state }) => (state === 'busy' ? 1 : 0)),
    ),
    gauge('worker_generation', 'Which reload it belongs to.', ...all(({ generation }) => generation)),
    counter(
      'worker_restarts_total',
      'How often a process of this id was started again after it had ended by itself.',
      ...all(({ restarts }) => restarts),
    ),
    gauge('worker_connections', 'Open connections of a worker.', ...ofRole('worker', ({ connections }) => connections)),
    counter(
      'packets_total',
      'Packets that a worker has called a callback for.',
      ...ofRole('worker', ({ requestCount }) => requestCount),
    ),
    counter(
      'worker_received_bytes_total',
      'Bytes of those packets.',
      ...ofRole('worker', ({ receivedBytes }) => receivedBytes),
    ),
    counter('sends_total', 'Sends of a process.', ...all(({ responseCount }) => responseCount)),
    counter('worker_sent_bytes_total', 'Bytes of those sends.', ...all(({ sentBytes }) => sentBytes)),
    counter(
      'callback_errors_total',
      'Callbacks that threw or rejected.',
      ...all(({ callbackErrors }) => callbackErrors),
    ),
    counter('http_answers_total', 'Answers of workers to HTTP requests, by the class of their status.', ...answers),
    gauge(
      'pending_callbacks',
      'Callbacks whose promise has not settled.',
      ...ofRole('worker', ({ pendingCallbacks }) => pendingCallbacks),
    ),
    gauge(
      'queued_bytes',
      'Bytes that reactors have written and a worker has not taken yet.',
      ...ofRole('worker', ({ id }) => queuedBytes(region, id)),
    ),
    gauge('http2_under_way', 'HTTP/2 requests that a worker owes the answer to.', ...http2(({ underWay }) => underWay)),
    counter(
      'http2_refused_total',
      'HTTP/2 requests that the server has answered in place of a handler: 4xx, 501, 503.',
      ...http2(({ refused }) => refused),
    ),
    counter(
      'http2_streams_reset_total',
      'HTTP/2 streams that were reset because their client did not take the answer.',
      ...http2(({ reset }) => reset),
    ),
    gauge(
      'http2_held_bytes',
      'Bytes of answers that clients of HTTP/2 have not taken.',
      ...http2(({ heldBytes }) => heldBytes),
    ),
    histogram(
      'callback_seconds',
      'Duration of callbacks: receive and packet of a worker, task of a task worker; until their promise has settled.',
      ...workers
        .filter(({ role }) => role !== 'user')
        .map(({ id, role }) =>
          sample(
            bothLanes(region, id, (record) => record.callbacks),
            { worker: String(id), role },
          ),
        ),
    ),
  ];
}

function ofTasks({ tasks, region }: MetricSources): MetricFamily[] {
  if (region.shape.taskWorkerNum === 0) return [];
  return [
    counter('tasks_submitted_total', 'Tasks that were taken in.', sample(tasks.submitted)),
    counter(
      'tasks_ended_total',
      'Tasks that have ended, by how.',
      sample(tasks.done, { result: 'done' }),
      sample(tasks.failed, { result: 'failed' }),
      sample(tasks.timedOut, { result: 'timed_out' }),
    ),
    counter(
      'tasks_retried_total',
      'Tasks that were run again because their task worker had died.',
      sample(tasks.retried),
    ),
    counter('tasks_refused_total', 'Tasks that found the queue full.', sample(tasks.refused)),
    gauge('tasks_queued', 'Tasks that wait for a task worker.', sample(tasks.queued)),
    gauge('tasks_running', 'Tasks that run.', sample(tasks.running)),
  ];
}

interface ProcessFigures {
  readonly labels: Labels;
  readonly pid: number;
  readonly records: readonly ProcessRecord[];
}

/** Master, manager, and every process with an id; reactor threads by their loops only. */
function ofProcesses({ region, workers, status }: MetricSources): MetricFamily[] {
  const { shape } = region;
  const lanes = (id: number): ProcessRecord[] => [0, 1].map((lane) => ProcessRecord.ofPeer(region, peerOf(id, lane)));
  const processes: ProcessFigures[] = [
    {
      labels: { process: 'master' },
      pid: status.masterPid,
      records: [ProcessRecord.ofPeer(region, peerOfMaster(shape))],
    },
    {
      labels: { process: 'manager' },
      pid: status.managerPid,
      records: [ProcessRecord.ofPeer(region, peerOfManager(shape))],
    },
    ...workers.map(({ id, role, pid }) => ({
      labels: { process: `${role} ${id}` },
      pid,
      records: lanes(id),
    })),
  ];
  const threads: ProcessFigures[] = range(shape.reactorNum).map((reactor) => ({
    labels: { process: `reactor ${reactor}` },
    pid: 0,
    records: [ProcessRecord.ofReactor(region, reactor)],
  }));
  const usage = processes.map(({ labels, pid }) => ({ labels, used: pid === 0 ? undefined : processUsage(pid) }));
  const loops = [...processes, ...threads].filter(({ records }) => records.some(({ seenAt }) => seenAt !== 0));
  return [
    gauge(
      'process_resident_bytes',
      'Resident memory of a process.',
      ...usage.map(({ labels, used }) => used && sample(used.residentBytes, labels)),
    ),
    counter(
      'process_cpu_seconds_total',
      'CPU time of the present process of a role.',
      ...usage.map(({ labels, used }) => used && sample(used.cpuSeconds, labels)),
    ),
    gauge(
      'event_loop_utilisation',
      'Share of the last second in which an event loop was at work.',
      ...loops.map(({ labels, records }) => sample(newest(records).loopUtilisation, labels)),
    ),
    counter(
      'event_loop_active_seconds_total',
      'Time an event loop was at work.',
      ...loops.map(({ labels, records }) => sample(sum(records.map((record) => record.loopActiveSeconds)), labels)),
    ),
    histogram(
      'event_loop_delay_seconds',
      'How late a timer of an event loop was, ten times a second.',
      ...loops.map(({ labels, records }) => sample(addHistograms(records.map((record) => record.loopDelays)), labels)),
    ),
  ];
}

/** The record of the process that was seen last: the process of the other lane has gone, or is coming. */
function newest(records: readonly ProcessRecord[]): ProcessRecord {
  return records.reduce((best, record) => (record.seenAt > best.seenAt ? record : best));
}

function bothLanes(region: Region, id: number, read: (record: ProcessRecord) => Histogram): Histogram {
  return addHistograms([0, 1].map((lane) => read(ProcessRecord.ofPeer(region, peerOf(id, lane)))));
}

function queuedBytes(region: Region, worker: number): number {
  return sum(
    range(region.shape.reactorNum).map((reactor) => queuedBytesAt(region, region.layout.inbound(reactor, worker))),
  );
}

function range(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index);
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

// ——— the text format ———

export const PROMETHEUS_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

/** Prometheus text format 0.0.4: prometheus.io/docs/instrumenting/exposition_formats */
export function toPrometheus(families: readonly MetricFamily[]): string {
  const lines: string[] = [];
  for (const { name, help, type, samples } of families) {
    if (samples.length === 0) continue;
    lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`);
    for (const { labels, value } of samples) {
      if (typeof value === 'number') lines.push(`${name}${labelText(labels)} ${value}`);
      else lines.push(...histogramLines(name, labels, value));
    }
  }
  return `${lines.join('\n')}\n`;
}

function histogramLines(name: string, labels: Labels, { counts, seconds }: Histogram): string[] {
  const text = labelText(labels);
  const before = text === '' ? '{' : `${text.slice(0, -1)},`;
  let total = 0;
  const lines = counts.map((count, bucket) => {
    total += count;
    return `${name}_bucket${before}${boundTexts[bucket]}} ${total}`;
  });
  return [...lines, `${name}_sum${text} ${seconds}`, `${name}_count${text} ${total}`];
}

const boundTexts = [...bucketBounds.map((bound) => `le="${bound}"`), 'le="+Inf"'];

function labelText(labels: Labels): string {
  const entries = Object.entries(labels);
  if (entries.length === 0) return '';
  return `{${entries.map(([name, value]) => `${name}="${escaped(value)}"`).join(',')}}`;
}

function escaped(value: string): string {
  if (!/[\\"\n]/.test(value)) return value;
  return value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
}
