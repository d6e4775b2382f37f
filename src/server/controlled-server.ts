/** What commands can see of the running server, and do to it. Runs in the master. */
import type {
  ClusterControl,
  ClusterStatus,
  ConnectionFilter,
  ConnectionPage,
  Controlled,
  CrashLoop,
  DeadJob,
  JobControl,
  LogFilter,
  NamedJobs,
  NamedWorkerInfo,
  NodesReload,
  ProfileRequest,
  Reloaded,
  RemovedDead,
  RoomReport,
  ServerState,
  ServerStatus,
  ShownJob,
  ShownSchedule,
  TakenProfile,
  Traffic,
} from '../control/controlled.js';
import { type Doing, DoingWatch } from '../control/dashboard/doing.js';
import { type EndReport, Ends } from '../control/dashboard/ends.js';
import { type History, HistoryMeter, type Rates } from '../control/dashboard/history.js';
import { selectLines } from '../control/dashboard/select-lines.js';
import { LatencyMeter } from '../control/latency-meter.js';
import { type MetricFamily, readMetrics } from '../control/metrics.js';
import { RateMeter } from '../control/rate-meter.js';
import {
  type ReactorState,
  readEveryWorker,
  readReactors,
  readRooms,
  readStats,
  readTraffic,
  readWorkers,
  type ServerStats,
} from '../control/stats.js';
import { ServerError } from '../errors/index.js';
import type { Outbox } from '../ipc/outbox.js';
import type { Master } from '../master/master.js';
import { WorkerBoard, WorkerField } from '../memory/boards.js';
import { type ClientInfo, ConnectionTable } from '../memory/connection-table.js';
import { LogBoard, type LogLines } from '../memory/log-board.js';
import { checkProcessId, nameOfProcess } from '../memory/process-id.js';
import type { Region } from '../memory/region.js';
import { RoomBoard } from '../memory/room-board.js';
import { LeftProfile, leaveProfile } from '../messaging/left-profile.js';
import type { Messaging } from '../messaging/messaging.js';
import {
  type ResolvedFraming,
  type ResolvedListen,
  type ResolvedOptions,
  speaksHttp,
  withoutSecrets,
} from '../options/index.js';
import { type SharedObjectDetails, sharedObjectDetails } from '../shared/registry.js';
import { monotonicMs } from '../util/clock.js';
import type { LogLevel } from '../util/log.js';
import { writeProfile } from '../util/profile.js';
import { nameOfScript, scriptPath } from '../util/script.js';
import { version } from '../version.js';

export interface ControlledParts {
  readonly master: Master;
  readonly options: ResolvedOptions;
  readonly listens: readonly ResolvedListen[];
  /** Of `addProcess`, in the order of their ids. */
  readonly userProcessNames?: readonly string[];
  /** In BASE mode with one process: set when the worker has been assembled. */
  messaging(): Messaging | undefined;
  outbox(): Outbox;
  /** Publishes a text to a room, from this process; undefined: no part of this program knows rooms. */
  readonly publish: ((room: string, text: string) => void) | undefined;
  /** Undefined: this server is alone. */
  readonly cluster?: ClusterControl | undefined;
  shutdown(): void;
  reopenLogs(): void;
  adminUrl(): string;
}

/** How many slots of the table one page looks at, so that the master's loop stays responsive. */
const LOOK_AT_MOST = 20_000;

export class ControlledServer implements Controlled {
  readonly #parts: ControlledParts;
  readonly #region: Region;
  readonly #table: ConnectionTable;
  readonly #meter: RateMeter;
  readonly #latencies: LatencyMeter;
  readonly #history: HistoryMeter;
  readonly #ends: Ends;
  readonly #doing: DoingWatch;
  #board: LogBoard | undefined;

  constructor(parts: ControlledParts) {
    this.#parts = parts;
    this.#region = parts.master.region;
    this.#table = new ConnectionTable(this.#region);
    this.#meter = new RateMeter(() => {
      const { requestCount, filesServedCount } = readTraffic(this.#region);
      return requestCount + filesServedCount;
    });
    this.#latencies = new LatencyMeter(this.#region);
    this.#doing = new DoingWatch(this.#region, () => this.now());
    this.#history = new HistoryMeter({
      region: this.#region,
      endedTasks: () => this.#endedTasks(),
      sampled: () => {
        this.#doing.now(); // it must see each manager, and when a reload begins
        this.#latencies.sample();
      },
    });
    this.#ends = new Ends(() => this.now());
    parts.master.onEnd = (end) => this.#ends.add(end);
  }

  /** From now on it measures rates per second, and latencies. */
  start(): void {
    this.#meter.start();
    this.#history.start();
  }

  status(): ServerStatus {
    const { master, options } = this.#parts;
    const region = this.#region;
    const { crashLoops } = master;
    const { connectionNum, requestCount } = readTraffic(region);
    const cluster = this.#parts.cluster?.status() ?? null;
    const lacksEngine = cluster?.readyNeedsEngine === true && cluster.state !== 'up';
    return {
      name: nameOf(options),
      version,
      node: process.version,
      mode: options.mode,
      phase: master.phase,
      state: this.#state(crashLoops),
      crashLoops,
      traffic: this.#traffic(),
      ready: master.phase === 'running' && this.#someWorkerStays(crashLoops) && !lacksEngine,
      script: scriptPath() ?? '',
      masterPid: process.pid,
      managerPid: region.managerPid,
      startedAt: region.startedAt,
      uptimeMs: region.uptimeMs,
      listening: this.#listening(),
      generation: region.generation,
      workerNum: region.activeWorkerNum,
      maxWorkerNum: options.maxWorkerNum,
      connectionNum,
      requestCount,
      logLevel: region.logLevel ?? options.logLevel,
      isDaemon: options.daemonize,
      pidFile: options.pidFile,
      logFile: options.logFile,
      admin: this.#parts.adminUrl(),
      speaksWebSocket: region.shape.rooms > 0,
      cluster,
    };
  }

  stats(): ServerStats {
    const messaging = this.#parts.messaging();
    return readStats(this.#region, messaging?.queue.counts() ?? NO_TASKS, messaging?.messageCount ?? 0);
  }

  workers(): NamedWorkerInfo[] {
    const { userProcessNames = [] } = this.#parts;
    return readWorkers(this.#region).map((worker) => ({
      ...worker,
      ...this.#latencies.of(worker.id),
      name: nameOfProcess(this.#region.shape, worker.id, userProcessNames),
    }));
  }

  metrics(): MetricFamily[] {
    const messaging = this.#parts.messaging();
    return readMetrics({
      region: this.#region,
      workers: readEveryWorker(this.#region),
      status: this.status(),
      tasks: messaging?.queue.counts() ?? NO_TASKS,
      messageCount: messaging?.messageCount ?? 0,
      drops: this.#parts.master.datagramDrops,
    });
  }

  connections({ after, count, workerId, address, port }: ConnectionFilter): ConnectionPage {
    const connections: ClientInfo[] = [];
    let looked = 0;
    for (const fd of this.#table.sessions(after)) {
      const info = this.#table.info(fd);
      if (info === undefined) continue;
      const fits =
        (workerId === undefined || info.workerId === workerId) &&
        (address === undefined || info.remoteAddress === address) &&
        (port === undefined || info.serverPort === port);
      if (fits) connections.push(info);
      if (connections.length >= count || ++looked >= LOOK_AT_MOST) return { connections, next: fd };
    }
    return { connections, next: 0 };
  }

  rooms(count: number): RoomReport {
    this.#mustSpeakWebSocket('rooms');
    return { total: readRooms(this.#region), rooms: new RoomBoard(this.#region).largest(count) };
  }

  publish(room: string, text: string): { readonly members: number } {
    this.#mustSpeakWebSocket('publish')(room, text);
    return { members: new RoomBoard(this.#region).size(room) };
  }

  settings(): Readonly<Record<string, unknown>> {
    const { options } = this.#parts;
    const { logger, framing } = options;
    return {
      ...withoutSecrets(options),
      framing: readable(framing),
      logger: logger === null ? null : '(an object)',
    };
  }

  async reload(tasksOnly: boolean): Promise<Reloaded> {
    if (tasksOnly && this.#region.shape.taskWorkerNum === 0) {
      throw new ServerError('ERR_RELOAD', { why: 'there are no task workers' });
    }
    const needsRestart = await this.#parts.master.reloaded(tasksOnly);
    return { generation: this.#region.generation, ...(needsRestart.length > 0 && { needsRestart }) };
  }

  nodes(): ClusterStatus {
    return this.#mustBeNode('The command "nodes"').status();
  }

  reloadNodes(): Promise<NodesReload> {
    const { phase } = this.#parts.master;
    const cluster = this.#mustBeNode('A reload of all nodes');
    if (phase !== 'running') throw new ServerError('ERR_RELOAD', { why: `the server is ${phase}` });
    return cluster.reload();
  }

  async countJobs(): Promise<readonly NamedJobs[]> {
    return this.#jobs('jobs').count();
  }

  async findJob(job: string): Promise<ShownJob | null> {
    return (await this.#jobs('findJob').find(job)) ?? null;
  }

  async deadJobs(name: string, offset: number, limit: number): Promise<readonly DeadJob[]> {
    return this.#jobs('deadJobs').dead(name, offset, limit);
  }

  async retryJob(job: string): Promise<void> {
    await this.#jobs('retryJob').retry(job);
  }

  async jobSchedules(name: string, offset: number, limit: number): Promise<readonly ShownSchedule[]> {
    return this.#jobs('jobSchedules').schedules(name, offset, limit);
  }

  async unschedule(name: string, key: string): Promise<{ readonly unscheduled: boolean }> {
    return { unscheduled: await this.#jobs('unschedule').unschedule(name, key) };
  }

  async removeJob(job: string): Promise<{ readonly removed: boolean }> {
    return { removed: await this.#jobs('removeJob').remove(job) };
  }

  async removeDeadJobs(name: string): Promise<RemovedDead> {
    return this.#jobs('removeDeadJobs').removeDead(name);
  }

  shutdown(): void {
    // The reply leaves first.
    setImmediate(() => this.#parts.shutdown());
  }

  stopWorker(workerId: number, byForce: boolean): { readonly pid: number } {
    checkProcessId(this.#region, workerId);
    const pid = new WorkerBoard(this.#region).field(workerId, WorkerField.pid);
    if (byForce && pid !== 0) process.kill(pid, 'SIGKILL');
    else this.#parts.master.stopWorker(workerId);
    return { pid };
  }

  closeConnection(fd: number, reset: boolean): void {
    const outbox = this.#parts.outbox();
    if (!outbox.close(fd, reset)) throw outbox.lastError ?? new ServerError('ERR_SESSION_NOT_FOUND', { fd });
  }

  async scale(workerNum: number): Promise<{ readonly workerNum: number }> {
    await this.#doing.scaling(workerNum, () => this.#parts.master.scale(workerNum));
    return { workerNum: this.#region.activeWorkerNum };
  }

  async profile({ target, ...order }: ProfileRequest): Promise<{ readonly path: string }> {
    const { path } = order;
    if (target === 'master') await asProfileError(writeProfile(order, path));
    else await this.#parts.master.profile(this.#profileId(target), order);
    return { path };
  }

  async takeProfile({ target, ...order }: Omit<ProfileRequest, 'path'>): Promise<TakenProfile> {
    const overflow = this.#parts.messaging()?.overflow;
    if (overflow === undefined) throw new ServerError('ERR_PROFILE', { why: 'the server is still starting' });
    const pieces =
      target === 'master'
        ? await asProfileError(leaveProfile(order, overflow))
        : await this.#parts.master.profile(this.#profileId(target), { ...order, path: '' });
    const left = new LeftProfile(pieces, overflow);
    const who = typeof target === 'number' ? `worker-${target}` : target;
    const name = `${who}.${order.kind === 'heap' ? 'heapsnapshot' : 'cpuprofile'}`;
    return { name, bytes: left.bytes, read: () => left.read(), free: () => left.free() };
  }

  /** The id, as the manager knows it. @throws ServerError ERR_WORKER_ID */
  #profileId(target: number | 'manager'): number {
    if (target === 'manager') return -1;
    checkProcessId(this.#region, target);
    return target;
  }

  /** @throws ServerError ERR_NO_CLUSTER */
  /** @throws ServerError ERR_NO_CLUSTER, ERR_NO_JOBS */
  #jobs(command: string): JobControl {
    return this.#mustBeNode(`The command "${command}"`).jobs;
  }

  #mustBeNode(method: string): ClusterControl {
    const { cluster } = this.#parts;
    if (cluster === undefined) throw new ServerError('ERR_NO_CLUSTER', { method });
    return cluster;
  }

  /** @returns how to publish @throws ServerError ERR_NO_WEBSOCKET */
  #mustSpeakWebSocket(command: string): (room: string, text: string) => void {
    const { publish } = this.#parts;
    if (publish === undefined || this.#region.shape.rooms === 0) throw new ServerError('ERR_NO_WEBSOCKET', { command });
    return publish;
  }

  /** A worker that receives packets, and was not just respawned after several deaths. */
  #someWorkerStays(loops: readonly CrashLoop[]): boolean {
    const board = new WorkerBoard(this.#region);
    const inLoop = new Set(loops.map(({ id }) => id));
    for (let id = 0; id < this.#region.shape.workerNum; id++) {
      if (board.field(id, WorkerField.pid) !== 0 && !inLoop.has(id)) return true;
    }
    return false;
  }

  #state(loops: readonly CrashLoop[]): ServerState {
    const { phase } = this.#parts.master;
    if (phase !== 'running' || loops.length === 0) return phase;
    const isManager = loops.some(({ id }) => id < 0);
    return isManager || !this.#someWorkerStays(loops) ? 'crash-looping' : 'degraded';
  }

  #traffic(): Traffic {
    const unit = this.#parts.listens.some(({ protocol }) => speaksHttp(protocol)) ? 'requests' : 'packets';
    return { unit, perSecond: this.#meter.perSecond, ...this.#latencies.ofWorkers() };
  }

  reopenLogs(): void {
    this.#parts.reopenLogs();
  }

  setLogLevel(level: string): void {
    this.#region.logLevel = level as LogLevel;
  }

  log({ after, ...filter }: LogFilter): LogLines {
    if (this.#region.shape.logSlots === 0) throw new ServerError('ERR_NO_DASHBOARD', { command: 'log' });
    this.#board ??= new LogBoard(this.#region);
    return selectLines(this.#board.read(after), filter);
  }

  history(): History {
    return this.#history.report();
  }

  rates(): Rates | null {
    return this.#history.newest ?? null;
  }

  ends(count: number): EndReport {
    return this.#ends.report(count);
  }

  objects(): { readonly objects: readonly SharedObjectDetails[] } {
    return { objects: sharedObjectDetails() };
  }

  reactors(): ReactorState[] {
    return this.#parts.options.mode === 'base' ? [] : readReactors(this.#region);
  }

  doing(): Doing | null {
    return this.#doing.now();
  }

  now(): number {
    return Math.round(this.#region.unixMs(monotonicMs()));
  }

  #endedTasks(): number {
    const { done, failed, timedOut } = this.#parts.messaging()?.queue.counts() ?? NO_TASKS;
    return done + failed + timedOut;
  }

  #listening(): string[] {
    const bound = this.#region.ports;
    return this.#parts.listens.map(({ type, host, path }, index) => {
      if (path !== '') return type === 'unix' ? path : `${type} ${path}`;
      const address = `${host.includes(':') ? `[${host}]` : host}:${bound[index] ?? 0}`;
      return type === 'tcp' ? address : `${type} ${address}`;
    });
  }
}

/** Delimiters are bytes inside. */
function readable(framing: ResolvedFraming): object {
  return 'delimiter' in framing ? { ...framing, delimiter: Buffer.from(framing.delimiter).toString() } : framing;
}

async function asProfileError<T>(taking: Promise<T>): Promise<T> {
  try {
    return await taking;
  } catch (error) {
    throw new ServerError('ERR_PROFILE', { why: (error as Error).message });
  }
}

const NO_TASKS = {
  ...{ submitted: 0, queued: 0, running: 0, done: 0, failed: 0, timedOut: 0 },
  ...{ dropped: 0, retried: 0, refused: 0 },
};

/** The server's name for people. */
export function nameOf({ name }: ResolvedOptions): string {
  return name !== '' ? name : nameOfScript(scriptPath() ?? 'server');
}
