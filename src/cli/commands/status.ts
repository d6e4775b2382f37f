import type { Command } from 'commander';
import { ControlClient } from '../../control/client.js';
import type { ClusterStatus, CrashLoop, NamedJobs, ServerStatus } from '../../control/controlled.js';
import type { RunEntry } from '../../control/run-dir.js';
import type { ServerStats, WorkerInfo } from '../../control/stats.js';
import { isSecret } from '../../options/index.js';
import type { SharedObjectStats } from '../../shared/registry.js';
import { monotonicMs } from '../../util/clock.js';
import { ExitCode } from '../exit.js';
import { ask, runningServers, scriptOf } from '../servers.js';
import { onEach, type TargetFlags, type Targets, targetsOf, withTarget } from '../target.js';
import {
  bytes,
  count,
  duration,
  latency,
  list,
  paint,
  print,
  printJson,
  seconds,
  table,
  visible,
} from '../terminal.js';
import { describeEngine } from './nodes.js';

interface Flags extends TargetFlags {
  readonly json?: boolean;
}

export function addStatus(program: Command): void {
  withTarget(program.command('status').alias('show'))
    .summary('what runs, and how it does')
    .argument('[servers...]', 'names or pids; without one all apps of the config file')
    .option('--json', 'everything, for programs: {status, stats, workers}; of several a list of these')
    .action(async (servers: string[], flags: Flags) =>
      showStatus(await targetsOf(flags, servers), flags.json === true),
    );
}

interface Report {
  readonly status: ServerStatus;
  readonly stats: ServerStats;
  readonly workers: readonly WorkerInfo[];
}

async function showStatus(targets: Targets, asJson: boolean): Promise<void> {
  const reports: Report[] = [];
  await onEach({ ...targets, absent: [] }, async ({ choice }) => {
    const all = await ask(choice, async ({ call }) => ({
      status: await call<ServerStatus>('status'),
      stats: await call<ServerStats>('stats'),
      workers: await call<WorkerInfo[]>('workers'),
    }));
    reports.push(all);
    if (!asJson) print(`${describeStatus(all.status, all.stats)}${targets.areSeveral ? '\n' : ''}`);
    if (all.status.crashLoops.length > 0 || all.status.state === 'starting') process.exitCode = ExitCode.unwell;
  });
  if (asJson) printJson(targets.areSeveral ? reports : reports[0]);
  for (const name of targets.absent) {
    process.stderr.write(`tswoole: ${name}: it does not run.\n`);
    process.exitCode ??= ExitCode.notRunning;
  }
}

export function addList(program: Command): void {
  program
    .command('list')
    .alias('ls')
    .summary('the servers of this user')
    .option('--json', 'for programs')
    .option('--run-dir <folder>', 'where control sockets are, unless at the usual place')
    .action(async (flags: { json?: boolean; runDir?: string }) => {
      const servers = await Promise.all(runningServers({ runDir: flags.runDir }).map(lookAt));
      if (flags.json === true) printJson(servers.map(withoutSecrets));
      else print(servers.length === 0 ? 'No server of this user runs.' : listOf(servers));
    });
}

/** The entry keeps the flags for `tswoole restart`, but users paste lists anywhere. */
function withoutSecrets<E extends RunEntry>(entry: E): E {
  const flags = Object.entries(entry.flags).map(([name, value]) => [name, isSecret(name) ? '(hidden)' : value]);
  return { ...entry, flags: Object.fromEntries(flags) as Record<string, string> };
}

export function describeStatus(status: ServerStatus, stats: ServerStats): string {
  const head = `${paint('bold', status.name)}  ${paintState(status.state)}, pid ${status.masterPid}, up ${duration(status.uptimeMs)}`;
  const { tasks } = stats;
  const entries: [string, string][] = [
    ...(status.state === 'starting'
      ? [['starting', 'clients are served when its workers are ready'] as [string, string]]
      : []),
    ...status.crashLoops.map((loop): [string, string] => [loop.name, describeLoop(loop)]),
    ...describePause(stats),
    ['listening', status.listening.join(', ')],
    ...(status.admin === '' ? [] : [['admin', status.admin] as [string, string]]),
    ['script', status.script],
    ['versions', `tswoole ${status.version}, Node ${status.node}, ${status.mode} mode`],
    [
      'workers',
      `${status.workerNum} (${stats.idleWorkerNum} idle), generation ${status.generation}, ${stats.workerRestarts} restarts`,
    ],
    ['connections', `${stats.connectionNum} open, ${count(stats.acceptCount)} accepted`],
    trafficOf(status, stats),
    [
      'traffic',
      `${bytes(stats.receivedBytes)} in, ${bytes(stats.sentBytes)} out, ${bytes(stats.bufferedBytes)} waiting`,
    ],
  ];
  const { cluster } = status; // undefined: a server of an earlier version
  if (cluster !== null && cluster !== undefined) entries.push(...describeCluster(cluster, stats));
  if (status.speaksWebSocket) entries.push(...describeSockets(stats));
  // A server of an earlier version has none.
  entries.push(...(stats.shared ?? []).map(describeShared));
  if (stats.taskWorkerNum > 0) {
    const { queued, running, done, failed, timedOut } = tasks;
    const numbers = `${queued} waiting, ${running} running, ${count(done)} done, ${failed} failed, ${timedOut} timed out`;
    entries.push(['tasks', `${stats.taskWorkerNum} task workers (${stats.idleTaskWorkerNum} idle), ${numbers}`]);
  }
  if (stats.failedReloadCount > 0) entries.push(['reloads', `${stats.failedReloadCount} failed, see the log`]);
  entries.push(['log', `level ${status.logLevel}, ${whereTo(status)}`]);
  if (status.pidFile !== '') entries.push(['pid file', status.pidFile]);
  return `${head}\n${list(entries)}`;
}

/** A server of an earlier version does not say it. */
function describePause({ pausedReactorNum = 0, pausedMs, bufferedBytes, reactorNum }: ServerStats): [string, string][] {
  if (pausedReactorNum === 0) return [];
  const who = `${pausedReactorNum} of ${reactorNum} reactors read no client, for ${duration(pausedMs)} now`;
  return [
    ['paused', paint('red', `${who}: ${bytes(bufferedBytes)} wait, and maxBufferedBytes is reached; see the log`)],
  ];
}

function describeCluster(cluster: ClusterStatus, stats: ServerStats): [string, string][] {
  const { published = 0, delivered = 0, lost = 0, reconnects = 0 } = stats.cluster ?? {};
  const jobs = stats.cluster?.jobs ?? null; // undefined: a server of an earlier version
  const nodes = cluster.nodes.map(({ id, self }) => (self ? `${visible(id)} (this one)` : visible(id)));
  const figures = `${count(published)} published, ${count(delivered)} delivered, ${count(lost)} lost, ${reconnects} reconnects`;
  const entries: [string, string][] = [
    ['nodes', nodes.length === 0 ? 'none known' : nodes.join(', ')],
    ['cluster', `${describeEngine(cluster)}; ${figures}`],
  ];
  if (jobs === null) return entries;
  entries.push([
    'jobs',
    `${jobs.running} running, ${count(jobs.done)} done, ${count(jobs.failed)} failed on this node`,
  ]);
  const { queues = [], jobsWhy = '' } = cluster;
  if (jobsWhy !== '') entries.push(['', paint('red', `no jobs run: ${jobsWhy}`)]);
  for (const queue of queues.slice(0, MOST_QUEUES)) entries.push(['', describeQueue(queue)]);
  if (queues.length > MOST_QUEUES) entries.push(['', `and ${queues.length - MOST_QUEUES} more: "tswoole jobs"`]);
  return entries;
}

const MOST_QUEUES = 10;

/** Over all nodes. */
function describeQueue({ name, waiting, delayed, running, dead }: NamedJobs): string {
  return `${visible(name)}: ${count(waiting)} waiting, ${count(delayed)} delayed, ${count(running)} running, ${count(dead)} dead`;
}

function describeSockets(stats: ServerStats): [string, string][] {
  const closes = Object.entries(stats.closeCodes).map(([code, times]) => `${code} ${count(times)}×`);
  const ended = closes.length === 0 ? '' : `; ended: ${closes.join(', ')}`;
  const { rooms, roomMembers, messagesPublished, roomDeliveries, roomDrops } = stats;
  const published = `${count(messagesPublished)} published, ${count(roomDeliveries)} delivered, ${count(roomDrops)} dropped`;
  return [
    ['sockets', `${stats.webSockets} open, ${count(stats.messagesReceived)} messages received${ended}`],
    ['rooms', `${rooms} with ${roomMembers} members; ${published}`],
  ];
}

/** Figures that say nothing yet are left out. */
function describeShared({ kind, name, figures }: SharedObjectStats): [string, string] {
  const told = Object.entries(figures).filter(([figure, value]) => figure !== 'bytes' && value !== 0);
  const words = told.map(
    ([figure, value]) => `${count(value)} ${figure.replace(/[A-Z]/g, (c) => ` ${c.toLowerCase()}`)}`,
  );
  return [`${kind} ${name}`, [...words, bytes(figures.bytes)].join(', ')];
}

function paintState(state: string): string {
  const isBad = state === 'crash-looping' || state === 'degraded';
  return paint(isBad ? 'red' : state === 'running' ? 'green' : 'yellow', state);
}

function describeLoop({ failures, reason, nextAttemptAt }: CrashLoop): string {
  const inMs = nextAttemptAt - Date.now();
  const next = inMs > 0 ? `next attempt in ${seconds(inMs / 1000)}` : 'it has been started again';
  return `crash-looping: ended ${failures} times in a row; ${next}\nlast reason: ${reason}`.replaceAll('\n', '\n  ');
}

function trafficOf({ traffic }: ServerStatus, stats: ServerStats): [string, string] {
  const { unit, perSecond, latencyP50, latencyP99, latencyMax } = traffic;
  const latencies = `p50 ${latency(latencyP50)}, p99 ${latency(latencyP99)}, max ${latency(latencyMax)}`;
  const rate = `${count(perSecond)}/s, ${latencies}`;
  const errors = `${stats.callbackErrors} callback errors`;
  if (unit === 'packets')
    return [unit, `${count(stats.requestCount)} received, ${count(stats.responseCount)} sent (${rate}), ${errors}`];
  const byItself = `${count(stats.filesServedCount)} files, ${stats.refusedCount} refused, ${stats.timedOutCount} timed out, ${count(stats.serverErrorCount)} answered 5xx`;
  return [unit, `${count(stats.requestCount)} to workers (${rate}), ${byItself}, ${errors}`];
}

/** A server of the list, with its own status; null: it does not answer. */
type Listed = RunEntry & Partial<Pick<ServerStatus, 'state' | 'ready' | 'crashLoops' | 'traffic'>>;

const LOOK_TIMEOUT_MS = 2000;

async function lookAt(entry: RunEntry): Promise<Listed> {
  try {
    const client = await ControlClient.connect(entry.socket);
    try {
      const status = (await client.call('status', {}, LOOK_TIMEOUT_MS)) as ServerStatus;
      const { state, ready, crashLoops, traffic } = status;
      return { ...entry, state, ready, crashLoops, traffic };
    } finally {
      client.close();
    }
  } catch {
    return entry; // the list shows it all the same
  }
}

function listOf(servers: readonly Listed[]): string {
  const rows = servers.map(({ state, traffic, ...entry }) => {
    const rate =
      traffic === undefined ? '' : `${count(traffic.perSecond)} ${traffic.unit === 'requests' ? 'req' : 'pkt'}/s`;
    const latencies = traffic === undefined ? ['', ''] : [latency(traffic.latencyP50), latency(traffic.latencyP99)];
    const up = duration(monotonicMs() - entry.startedAtMonotonic);
    const told = paintState(state ?? 'does not answer');
    return [entry.name, entry.pid, entry.mode, told, up, rate, ...latencies, scriptOf(entry)];
  });
  return table(['NAME', 'PID', 'MODE', 'STATE', 'UP', 'RATE', 'P50', 'P99', 'SCRIPT'], rows);
}

function whereTo({ logFile, isDaemon }: ServerStatus): string {
  if (logFile !== '') return logFile;
  return isDaemon ? 'nowhere: a daemon needs a log file (--log-file)' : 'standard error';
}
