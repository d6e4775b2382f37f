/**
 * A server as one node of several: what `server.cluster` is in each process, and the broker process, which the manager keeps as
 * it keeps a user process. What needs an engine is loaded by the broker process alone.
 */
import { hostname } from 'node:os';
import { ofAddress } from '../cluster/address.js';
import type { BrokerJobs } from '../cluster/broker/jobs.js';
import type { MasterLink } from '../cluster/broker/master-link.js';
import type { LocalRooms } from '../cluster/broker/rooms.js';
import { Cluster, NOT_YET } from '../cluster/cluster.js';
import type { NodeInfo } from '../cluster/driver.js';
import { EarlyMessages } from '../cluster/early-messages.js';
import type { JobQueueOptions } from '../cluster/jobs/queue.js';
import type { JobHandlers } from '../cluster/jobs-client/handlers.js';
import { Jobs } from '../cluster/jobs-client/jobs.js';
import type { ConnectionCall, FromBroker, ToBroker } from '../cluster/messages.js';
import { ServerError, told } from '../errors/index.js';
import { ClusterRecord } from '../memory/cluster-record.js';
import { Purpose } from '../messaging/record.js';
import type { ResolvedOptions } from '../options/index.js';
import { drainMsOf, type ResolvedJobsOptions } from '../options/jobs.js';
import type { Log } from '../util/log.js';
import { version } from '../version.js';
import { hasServerDied } from './cluster-end.js';
import type { AddedProcess, Runtime } from './context.js';
import type { ServerEvents } from './events.js';
import { inherited } from './inherited.js';
import { runningServer } from './running-server.js';

/** The server, as far as other nodes may call it. */
export interface CalledServer {
  send(fd: number, data: string | Uint8Array): boolean;
  close(fd: number, options: { readonly reset: boolean }): boolean;
  getClientInfo(fd: number): unknown;
  readonly lastError: ServerError | undefined;
}

export interface ClusterNodeParts {
  options(): ResolvedOptions;
  readonly callbacks: Partial<ServerEvents>;
  /** How many processes the user has added. */
  userProcessNum(): number;
  readonly server: CalledServer;
  rooms(): LocalRooms | undefined;
  readonly log: Log;
}

/** A reload that has not ended by then does not end: new workers boot, then old ones finish. */
export const reloadTimeoutMs = ({ bootTimeoutMs, maxWaitMs }: ResolvedOptions): number =>
  bootTimeoutMs + maxWaitMs + 5000;

/** What the user's code has called where nothing can be said yet. */
const CALLS: { readonly [say: string]: string } = {
  publish: 'cluster.publish',
  present: 'cluster.presence.put',
  absent: 'cluster.presence.drop',
};

/** Its name in `ps` and in the log. */
const BROKER_NAME = 'cluster';

export class ClusterNode {
  readonly cluster: Cluster;
  readonly #parts: ClusterNodeParts;
  readonly #jobs: Jobs | undefined;
  #runtime: Runtime | undefined;
  #record: ClusterRecord | undefined;
  /** In the broker process: what others say to it. */
  #toBroker: ((message: ToBroker, from: number) => void) | undefined;
  /** What came while its modules were still being loaded. */
  readonly #early = new EarlyMessages((message, to) => {
    try {
      this.#sendTo(message, to);
    } catch {
      // No room: the asker has its time limit.
    }
  });
  #toMaster: MasterLink | undefined;
  /** In the broker process, where there are durable jobs. */
  #brokerJobs: BrokerJobs | undefined;

  constructor(parts: ClusterNodeParts) {
    this.#parts = parts;
    const { requestTimeoutMs, resolved, jobs } = this.#options;
    if (jobs !== null) this.#jobs = this.#makeJobs(jobs);
    this.cluster = new Cluster({
      self: () => this.#self(),
      requestTimeoutMs,
      heartbeatMs: resolved.heartbeatMs,
      ttlMs: resolved.ttlMs,
      passOn: (answer) => this.#runtime?.passOn?.(answer),
      mayAsk: () => this.#mayAsk,
      known: () => ({
        state: this.#record?.read()?.state ?? 'down',
        nodes: this.#runtime?.clusterNodes?.() ?? [],
      }),
      maxPayload: () => this.#record?.maxPayload ?? Number.POSITIVE_INFINITY,
      isSilent: () => this.#record?.isSilent === true,
      isBroker: () => this.#toBroker !== undefined,
      tellsAgain: () => this.#jobs?.hear(),
      callbacks: parts.callbacks,
      say: (message) => this.#say(message),
      failed: (event, error) => parts.log.error(`the callback of "${event}" failed`, { error }),
    });
  }

  /** @throws ServerError ERR_NO_JOBS */
  get jobs(): Jobs {
    if (this.#jobs === undefined) throw told(new ServerError('ERR_NO_JOBS', { method: 'server.jobs' }));
    return this.#jobs;
  }

  /** For the role that this process becomes. */
  get jobHandlers(): JobHandlers | undefined {
    return this.#jobs?.handlers;
  }

  /** This process has become what it is. */
  running(runtime: Runtime): void {
    this.#runtime = runtime;
    this.#record = new ClusterRecord(runtime.region);
    const { messaging, outbox } = runtime;
    messaging.messenger.service = (message, from) => this.#heard(message, from);
    messaging.messenger.receives = (id) => {
      if (id === this.#brokerId) this.#toBroker ??= (message, from) => this.#early.keep(message, from);
      else this.#hear();
    };
    outbox.rooms.joined = (room) => this.cluster.joined(room);
  }

  /** A call on a connection of any node. Rejects with ERR_CLUSTER_ADDRESS, ERR_SESSION_NOT_FOUND, ERR_SESSION_CLOSED, or as `cluster.request` */
  async call(address: string, call: Omit<ConnectionCall, 'incarnation' | 'fd'>): Promise<unknown> {
    const { incarnation } = this.#self();
    const here = (fd: number): unknown => callHere(this.#parts.server, { ...call, incarnation, fd });
    try {
      return await this.cluster.call(address, call, here);
    } catch (error) {
      throw ofAddress(error, address);
    }
  }

  /** Behind those of the user. */
  get process(): AddedProcess {
    return {
      name: BROKER_NAME,
      run: (_server, signal) => this.#runBroker(signal),
      settle: () => this.#brokerJobs?.settle(),
    };
  }

  get #options() {
    const { cluster } = this.#parts.options();
    if (cluster === null) throw new ServerError('ERR_NO_CLUSTER', { method: 'cluster' });
    return cluster;
  }

  get #mayAsk(): boolean {
    const role = inherited()?.role;
    return role !== undefined && role !== 'manager';
  }

  get #ownId(): number {
    const given = inherited();
    return given === undefined || given.role === 'manager' ? -1 : given.id;
  }

  get #brokerId(): number {
    const { maxWorkerNum, taskWorkerNum } = this.#parts.options();
    // The last one that the server was started with.
    const place = (runningServer()?.processes.length ?? this.#parts.userProcessNum() + 1) - 1;
    return maxWorkerNum + taskWorkerNum + place;
  }

  #self(): NodeInfo {
    const { nodeId, address } = this.#options;
    const region = this.#runtime?.region;
    const port = region?.ports[0] ?? this.#parts.options().port;
    return {
      ...{
        id: nodeId === '' ? ownName(region?.masterPid ?? 0) : nodeId,
        incarnation: region?.incarnation ?? NOT_YET,
        version,
      },
      address: address === '' ? `${hostname()}:${port}` : address,
    };
  }

  #say(message: ToBroker): void {
    const runtime = this.#running(CALLS[message.say] ?? 'cluster');
    const toBroker = this.#toBroker;
    if (toBroker !== undefined) return queueMicrotask(() => toBroker(message, this.#brokerId));
    const { messenger } = runtime.messaging;
    messenger.send(message, this.#brokerId, Purpose.service).catch(() => this.cluster.notTaken(message));
  }

  #heard(message: unknown, from: number): void {
    if (this.#toMaster?.onMessage(message as ToBroker) === true) return;
    if (this.#toBroker !== undefined) return this.#toBroker(message as ToBroker, from);
    // From its own id: the successor has passed it on.
    this.cluster.onMessage(message as FromBroker, from === this.#ownId);
  }

  #hear(): void {
    this.cluster.hear();
    this.#jobs?.hear();
  }

  #makeJobs({ deadlineMs, maxJobBytes }: ResolvedJobsOptions): Jobs {
    const role = inherited()?.role;
    return new Jobs({
      ...{ deadlineMs, maxJobBytes },
      mayAsk: (method) => {
        this.#running(`jobs.${method}`);
        return this.#mayAsk;
      },
      state: () => this.cluster.state,
      ask: (question, timeoutMs) => this.cluster.askBroker(question, timeoutMs),
      offer: (offers) => role === 'task' && this.#say({ say: 'works', offers }),
      isRunning: () => this.#runtime !== undefined,
    });
  }

  #sendTo(message: FromBroker, to: number): void {
    const { messenger } = this.#running('cluster').messaging;
    void messenger.send(message, to, Purpose.service).catch(() => {});
  }

  #running(method: string): Runtime {
    if (this.#runtime === undefined) throw told(new ServerError('ERR_NOT_STARTED', { method }));
    return this.#runtime;
  }

  // ——— the broker process ———

  async #runBroker(signal: AbortSignal): Promise<void> {
    const [{ Broker }, { MasterLink }, { createDriver }] = await Promise.all([
      import('../cluster/broker/broker.js'),
      import('../cluster/broker/master-link.js'),
      import('../cluster/create-driver.js'),
    ]);
    const { region } = this.#running('cluster');
    const { driver, given, resolved, requestTimeoutMs } = this.#options;
    const id = this.#brokerId;
    this.#brokerJobs = await this.#makeBrokerJobs();
    const parentPid = process.ppid;
    const broker = new Broker({
      changed: () => this.#toMaster?.changed(),
      tried: (refused) => this.#toMaster?.tried(refused),
      ...{ self: this.#self(), ttlMs: resolved.ttlMs, requestTimeoutMs, log: this.#parts.log },
      createDriver: () => createDriver(driver, given),
      rooms: this.#parts.rooms(),
      processes: Array.from({ length: id }, (_, each) => each),
      workerNum: () => region.activeWorkerNum,
      seatNum: () => Math.max(region.seatNum, region.activeWorkerNum),
      maxWorkerNum: this.#parts.options().maxWorkerNum,
      send: (message, to) => {
        if (to === id) return queueMicrotask(() => this.cluster.onMessage(message));
        this.#sendTo(message, to);
      },
      callConnection: (call) => this.#callHere(call),
      jobs: this.#brokerJobs,
      isSuccessor: region.countBroker() > 0,
      copy: {
        tellPresent: (changes) => this.#toMaster?.tellPresent(changes),
        presentBefore: async (page) => (await this.#toMaster?.presentBefore(page)) ?? { members: [], next: 0 },
      },
      hasServerDied: () => hasServerDied(region.masterPid, parentPid),
      reload: () => this.#reload(),
    });
    this.#toMaster = new MasterLink(broker, {
      ...{ self: this.#self().id, record: new ClusterRecord(region) },
      reloadTimeoutMs: reloadTimeoutMs(this.#parts.options()),
      tell: (message) => this.#running('cluster').tellMaster?.(message),
    });
    this.#toBroker = (message, from) => broker.onMessage(message, from);
    this.cluster.hear();
    signal.addEventListener('abort', () => this.#toMaster?.close());
    const end = broker.run(signal);
    this.#early.handTo(broker);
    await end;
  }

  async #makeBrokerJobs(): Promise<BrokerJobs | undefined> {
    const { cluster, maxWorkerNum, taskWorkerNum, taskConcurrency, maxWaitMs } = this.#parts.options();
    const jobs = cluster?.jobs ?? null;
    if (jobs === null) return undefined;
    const [{ BrokerJobs }, { openJobQueue }] = await Promise.all([
      import('../cluster/broker/jobs.js'),
      import('../cluster/jobs/bull.js'),
    ]);
    const { log } = this.#parts;
    const { tasks } = this.#running('jobs').messaging;
    const onProblem = (error: Error): void => log.warn('durable jobs: a problem with the engine', { error });
    return new BrokerJobs({
      ...{ leaseMs: jobs.leaseMs, maxLeaseLosses: jobs.maxLeaseLosses, log },
      open: () => openJobQueue({ ...engineOf(jobs), onProblem, onFailed: (...failed) => logFailed(log, ...failed) }),
      run: (task, signal) => tasks.askJob(task, signal),
      taskWorkers: Array.from({ length: taskWorkerNum }, (_, nth) => maxWorkerNum + nth),
      places: taskWorkerNum * taskConcurrency,
      drainMs: drainMsOf(jobs, maxWaitMs),
    });
  }

  /** For another node. */
  #callHere(call: ConnectionCall): unknown {
    const { region } = this.#running('cluster');
    if (call.incarnation !== region.incarnation) throw new ServerError('ERR_SESSION_NOT_FOUND', { fd: call.fd });
    return callHere(this.#parts.server, call);
  }

  /** For another node: resolves when this one's workers are new. */
  #reload(): Promise<void> {
    if (this.#toMaster === undefined) throw failedReload('its broker process is still starting');
    return this.#toMaster.reloadHere();
  }
}

type FailedJob = Parameters<NonNullable<JobQueueOptions['onFailed']>>;

function logFailed(log: Log, ...[{ id, attempt }, error, isLast]: FailedJob): void {
  if (isLast) log.warn('a durable job is dead: its last attempt has failed', { job: id, attempt, error });
  else log.info('an attempt of a durable job has failed; there will be another', { job: id, attempt, error });
}

function engineOf({ username, password, tls, ...options }: ResolvedJobsOptions): JobQueueOptions {
  const { url, prefix, deadlineMs, maxJobBytes } = options;
  return {
    ...{ url, prefix, deadlineMs, maxJobBytes },
    ...(tls !== null && { tls }),
    ...(username !== undefined && { username }),
    ...(password !== undefined && { password }),
  };
}

/** Of this server among all that use the engine, those of the same machine too. */
const ownName = (masterPid: number): string =>
  `${hostname()
    .replace(/[^A-Za-z0-9._-]/g, '-')
    .slice(0, 100)}-${masterPid}`;

const failedReload = (why: string): ServerError => new ServerError('ERR_RELOAD_FAILED', { why });

/**
 * The caller has no `lastError` to look at: what was not taken throws it.
 * @returns as the method; false: taken, but the client does not keep up
 * @throws ServerError ERR_SESSION_NOT_FOUND, ERR_SESSION_CLOSED, ERR_CHANNEL_BROKEN, ERR_NOT_WEBSOCKET
 */
function callHere(server: CalledServer, { method, fd, data = '', reset = false }: ConnectionCall): unknown {
  if (method === 'getClientInfo') return server.getClientInfo(fd);
  const isDone = method === 'send' ? server.send(fd, data) : server.close(fd, { reset });
  const { lastError } = server;
  if (!isDone && lastError !== undefined && lastError.code !== 'ERR_SEND_BUFFER_FULL') throw lastError;
  return isDone;
}
