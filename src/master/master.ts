/**
 * The first process: binds, accepts, keeps the reactor threads and the manager. It never runs user code for a
 * connection, so user code cannot crash it.
 */

import type { CrashLoop, ServerPhase as Phase } from '../control/controlled.js';
import { deserializeError, ServerError } from '../errors/index.js';
import { createOutbox, linksOf } from '../ipc/assemble-outbox.js';
import { createBells } from '../ipc/bells.js';
import { killBrokenSender } from '../ipc/broken-sender.js';
import { outputOfManager } from '../ipc/child-output.js';
import type { SharedDescriptors } from '../ipc/inheritance.js';
import type {
  ManagerToMaster,
  MasterToManager,
  ProcessEnd,
  ProfileOrder,
  ProfilePiece,
  ReplaceReason,
} from '../ipc/message.js';
import type { Outbox } from '../ipc/outbox.js';
import { logRefused } from '../ipc/refused-client.js';
import { shareText } from '../ipc/shared-text.js';
import { createFramer } from '../listen/create-framer.js';
import { renewTicketSecret } from '../listen/ticket-keys.js';
import { WorkerBoard, WorkerField } from '../memory/boards.js';
import { peerOfMaster, processNum } from '../memory/layout.js';
import { Region } from '../memory/region.js';
import type { ResolvedListen, ResolvedOptions } from '../options/index.js';
import type { DoorbellDescriptors } from '../os/doorbell.js';
import { createSharedFile } from '../os/memory.js';
import { becomeSubreaper } from '../os/process.js';
import type { DatagramDrops } from '../os/socket-buffers.js';
import { ourArena } from '../shared/objects.js';
import { type Deferred, deferred } from '../util/deferred.js';
import type { Log } from '../util/log.js';
import { within } from '../util/within.js';
import { reapAdopted } from './adopted.js';
import { BoundPorts } from './bound-ports.js';
import type { ConnectionOwners } from './connection-owners.js';
import { CrashWatch, MANAGER_ID } from './crash-watch.js';
import { firstSet } from './first-set.js';
import { ManagerKeeper } from './manager-keeper.js';
import type { MasterMode } from './mode.js';
import { killOrphans } from './orphans.js';
import { Profiles } from './profiles.js';
import { Reloads } from './reloads.js';
import { Scaling } from './scaling.js';
import { needsOf, shapeOf } from './shape.js';

export interface MasterCallbacks {
  readonly beforeShutdown?: (() => unknown) | undefined;
  readonly shutdown?: (() => unknown) | undefined;
}

/** At a start that fails: a reactor that hangs in a user module is left to the exit of the process. */
const REACTOR_GRACE_MS = 1000;
/** Processes of a start that failed have nothing to finish, and end in order within this time. */
const UNDO_MS = 1000;
/** A signal that repeats within this time counts as the same one. */
const HURRY_AFTER_MS = 1000;

export interface MasterParts {
  readonly options: ResolvedOptions;
  /** Of the added processes, in the order of their ids. */
  readonly userProcessNames: readonly string[];
  readonly listens: readonly ResolvedListen[];
  /** For the processes it starts: see `packRunning`. */
  readonly settings: string;
  readonly mode: MasterMode;
  readonly callbacks: MasterCallbacks;
  readonly log: Log;
}

export class Master {
  readonly region: Region;
  readonly outbox: Outbox;
  readonly #parts: MasterParts;
  readonly #bells: readonly DoorbellDescriptors[];
  readonly #overflow: number;
  readonly #settings: number;
  readonly #board: WorkerBoard;
  readonly #ports: BoundPorts;
  readonly #owners: ConnectionOwners;
  readonly #manager: ManagerKeeper;
  readonly #crashes: CrashWatch;
  readonly #reloads: Reloads;
  readonly #profiles: Profiles;
  readonly #scaling: Scaling;
  #phase: Phase = 'starting';
  #hasStarted = false;
  #deadline = Number.POSITIVE_INFINITY;
  readonly #ready = deferred<void>();
  readonly #startEnded = deferred<void>();
  #settled: Deferred<void> | undefined;
  readonly #closed = deferred<void>();
  readonly #hurried = deferred<void>();
  /** Another process of the tree asks for the shutdown of the server. */
  onShutdownRequest: () => void = () => void this.shutdown();
  /** A process of the server has ended, other than in the shutdown. */
  onEnd: (end: ProcessEnd) => void = () => {};
  /** The broker process of a cluster says something. */
  onClusterReport: (said: object) => void = () => {};
  /** The last step of a start, before clients can connect; a rejection ends it. */
  mayServe: () => Promise<void> = async () => {};

  constructor(parts: MasterParts) {
    const { options, listens, mode, userProcessNames, log } = parts;
    this.#parts = parts;
    const region = Region.create(shapeOf(options, userProcessNames.length, needsOf(listens)));
    region.activeWorkerNum = options.workerNum;
    region.seatNum = options.workerNum;
    this.region = region;
    this.#bells = createBells(region.shape);
    this.#overflow = createSharedFile('tswoole data', 0);
    this.#settings = shareText('tswoole settings', parts.settings);
    this.#board = new WorkerBoard(region);
    this.#ports = new BoundPorts(listens, options.reusePort, log);
    const peer = peerOfMaster(region.shape);
    const links = linksOf({ region, bells: this.#bells, peer });
    this.outbox = createOutbox({ region, peer }, links, options, listens, false);
    const notify = (message: MasterToManager): boolean => this.#manager.send(message);
    this.#reloads = new Reloads(notify);
    this.#profiles = new Profiles(this.#overflow, notify);
    this.#scaling = new Scaling({ region, owners: () => this.#owners, maxWaitMs: options.maxWaitMs, notify });
    this.#crashes = new CrashWatch((id) =>
      id === MANAGER_ID ? this.#manager.isThere : this.#board.field(id, WorkerField.pid) !== 0,
    );
    this.#manager = this.#keeper();
    this.#owners = mode.createOwners({
      ...{ region, bells: this.#bells, links, options, listens, log },
      brokenSender: (worker) => killBrokenSender(worker, this.#board, log),
      refused: (client) => logRefused(client, log),
      failed: (error) => this.#fatal(error),
      notifyManager: (message) => void notify(message),
      closeByManager: (deadlineMs) => this.#closeByManager(deadlineMs),
    });
  }

  #keeper(): ManagerKeeper {
    const { options, mode, log } = this.#parts;
    return new ManagerKeeper({
      ...{ region: this.region, board: this.#board, crashes: this.#crashes, log },
      bootTimeoutMs: options.bootTimeoutMs,
      start: (events) => {
        const title = `${options.processTitle}: manager`;
        // One that replaces another waits until no process of that is left.
        const isFirst = this.#phase === 'starting' && options.mode === 'process';
        const first = isFirst ? firstSet(options, this.region, this.#parts) : undefined;
        return mode.startManager(title, this.shared, events, { output: outputOfManager(options, log), first });
      },
      phase: () => this.#phase,
      started: () => {
        const held = this.#reloads.takeHeld();
        if (held !== 'no') this.reload(held === 'tasks');
      },
      message: (message) => this.#onMessage(message),
      ended: () => {
        const isLeaving = this.#phase !== 'running';
        const why = isLeaving ? 'the server has shut down' : 'the manager has died meanwhile';
        this.#reloads.allOver(why);
        this.#profiles.allFailed(why);
      },
      bootFailed: (error) => this.#ready.reject(error),
    });
  }

  /** The descriptors that every process of the server holds. */
  get shared(): SharedDescriptors {
    return {
      region: this.region.descriptor,
      overflow: this.#overflow,
      arena: ourArena().descriptor,
      settings: this.#settings,
      datagrams: this.#ports.datagramDescriptors,
      bells: this.#bells,
    };
  }

  // ——— start ———

  /** UDP: what the kernel has dropped, by listen port. */
  get datagramDrops(): DatagramDrops[] {
    return this.#ports.drops((index) => this.#owners.furtherSockets?.(index) ?? []);
  }

  /**
   * Resolves when every worker is ready and clients can connect. When it rejects, nothing is left running; with
   * ERR_START_ENDED where `shutdown()` was called meanwhile.
   */
  async start(): Promise<void> {
    process.on('exit', () => this.#endAtOnce());
    for (const outcome of [this.#ready, this.#startEnded]) outcome.promise.catch(() => {}); // if unawaited
    try {
      this.#renewTickets();
      await this.#unlessEnded(this.#checkModules());
      await this.#unlessEnded(this.#ports.bind());
      this.region.ports = this.#ports.all.map((bound) => bound.port);
      await this.#unlessEnded(this.#owners.start(this.#ports.all));
      becomeSubreaper();
      reapAdopted();
      this.#manager.start();
      await this.#unlessEnded(Promise.all([this.#owners.ready(), this.#ready.promise]));
      await this.#unlessEnded(this.mayServe());
      this.#ports.listen();
      this.#owners.accept();
      this.#phase = 'running';
      this.region.isUp = true;
      this.#hasStarted = true;
    } catch (error) {
      await this.#undoStart();
      throw error;
    }
  }

  /** Loads modules and certificates before anything is bound, so that an unusable one fails first. */
  async #checkModules(): Promise<void> {
    for (const { framing } of this.#parts.listens) await createFramer(framing);
    await this.#readCertificates();
  }

  /** @throws ServerError ERR_TLS_* */
  async #readCertificates(): Promise<void> {
    for (const { tls } of this.#parts.listens) {
      if (tls === null) continue;
      const { loadTls } = await import('../listen/tls-material.js');
      loadTls(tls);
    }
  }

  /** A step of the start, which may take for ever: a request to end the server does not wait for it. */
  async #unlessEnded(step: Promise<unknown>): Promise<void> {
    await Promise.race([step, this.#startEnded.promise]);
    if (this.#shutdownPromise !== undefined) throw new ServerError('ERR_START_ENDED', {});
  }

  async #undoStart(): Promise<void> {
    this.#phase = 'shutting down';
    const wasAsked = this.#shutdownPromise !== undefined;
    const { maxWaitMs } = this.#parts.options;
    const deadlineMs = wasAsked ? maxWaitMs : Math.min(maxWaitMs, UNDO_MS);
    await this.#manager.stop(deadlineMs, this.#hurried.promise);
    this.#stopAccepting();
    await within(this.#owners.stop(), REACTOR_GRACE_MS);
    this.#ports.closeDatagrams();
    this.#phase = 'ended';
  }

  #stopAccepting(): void {
    this.#owners.stopAccepting();
    this.#ports.closeStreams();
  }

  /** Processes that end again and again. */
  get crashLoops(): CrashLoop[] {
    return this.#crashes.loops();
  }

  get phase(): Phase {
    return this.#phase;
  }

  /** False while the server starts, and for good when the start failed. */
  get hasStarted(): boolean {
    return this.#hasStarted;
  }

  // ——— messages of the manager ———

  #onMessage(message: ManagerToMaster): void {
    switch (message.type) {
      case 'crashed':
        return this.#crashes.ended(message.crash);
      case 'ended':
        return this.onEnd(message.end);
      case 'ready':
        this.#scaling.managerIsBack();
        return this.#ready.resolve();
      case 'bootFailed':
        return this.#ready.reject(deserializeError(message.error));
      case 'settled':
        return this.#settled?.resolve();
      case 'closed':
        return this.#closed.resolve();
      case 'reloaded':
        if (message.failed === undefined) this.#crashes.forget();
        return this.#reloads.over(message.request, message);
      case 'withdrawn':
        return this.#scaling.withdrawn();
      case 'scaled':
        return this.#scaling.scaled(message.request, message.failed);
      case 'profiled':
        return this.#profiles.done(message.request, message.failed, message.pieces);
      case 'cluster':
        return this.onClusterReport(message.said);
      case 'request':
        if (message.action === 'shutdown') this.onShutdownRequest();
        return;
    }
  }

  /** Whose ports speak TLS: session tickets given until now are good no more. */
  #renewTickets(): void {
    if (this.region.shape.tlsSlots > 0) renewTicketSecret(this.region);
  }

  // ——— requests of users and signals ———

  /** Workers are replaced also where the owners keep the old certificates, of which the log tells. */
  reload(tasksOnly = false): void {
    if (!tasksOnly) void this.#renewCertificates();
    this.#reloads.ask(tasksOnly, 0);
  }

  #renewCertificates(): Promise<string | undefined> {
    this.#renewTickets();
    return this.#owners.renew();
  }

  /**
   * Resolves when the new workers serve and the old ones have ended. @returns what the script has changed that only a restart
   * applies @throws ServerError ERR_RELOAD
   */
  async reloaded(tasksOnly = false): Promise<readonly string[]> {
    this.#mustBeReloadable();
    if (!tasksOnly && this.#parts.listens.some(({ tls }) => tls !== null)) await this.#mustTakeCertificates();
    const { request, done } = this.#reloads.open();
    this.#reloads.ask(tasksOnly, request);
    return done;
  }

  #mustBeReloadable(): void {
    if (this.#phase !== 'running') throw new ServerError('ERR_RELOAD', { why: `the server is ${this.#phase}` });
    if (!this.#manager.isThere) throw new ServerError('ERR_RELOAD', { why: 'the manager is being replaced' });
  }

  /** Whoever asks for a reload because of new ones hears that they are unusable, before anything is replaced. */
  async #mustTakeCertificates(): Promise<void> {
    try {
      await this.#readCertificates();
    } catch (cause) {
      throw unusableCertificates((cause as Error).message, { cause });
    }
    this.#mustBeReloadable(); // still
    const why = await this.#renewCertificates();
    this.#mustBeReloadable();
    if (why !== undefined) throw unusableCertificates(why);
  }

  stopWorker(workerId: number, why: ReplaceReason = 'asked'): void {
    this.#manager.send({ type: 'stopWorker', workerId, why });
  }

  /** Resolves when `workerNum` workers are there. @throws ServerError ERR_SCALE */
  async scale(workerNum: number): Promise<void> {
    if (this.#phase !== 'running') throw new ServerError('ERR_SCALE', { why: `the server is ${this.#phase}` });
    const { workerNum: most } = this.region.shape;
    if (this.#parts.options.mode === 'base') {
      throw new ServerError('ERR_SCALE', { why: 'in BASE mode workers own their connections' });
    }
    if (workerNum < 1 || workerNum > most) {
      throw new ServerError('ERR_SCALE', {
        why: `it must be from 1 to maxWorkerNum, which is ${most}, received ${workerNum}`,
      });
    }
    await this.#scaling.to(workerNum);
  }

  /**
   * A process of the server takes a profile of itself. @param workerId −1: the manager
   * @returns where it lies in the file for large data; nothing when it was written to a path @throws ServerError
   * ERR_PROFILE
   */
  profile(workerId: number, order: Omit<ProfileOrder, 'request'>): Promise<readonly ProfilePiece[]> {
    return this.#profiles.take(workerId, order);
  }

  #shutdownPromise: Promise<void> | undefined;
  #shutdownAskedAt = 0;

  /**
   * Shuts the server down. A second call hurries the first one, but not at once: `npm start` passes on a signal
   * that the terminal has already sent to the whole process group. Resolves when only this process is left.
   */
  shutdown(): Promise<void> {
    const now = performance.now();
    if (this.#shutdownPromise !== undefined && now - this.#shutdownAskedAt > HURRY_AFTER_MS) this.#hurry();
    if (this.#shutdownPromise === undefined) this.#shutdownAskedAt = now;
    this.#shutdownPromise ??= this.#shutDown();
    return this.#shutdownPromise;
  }

  #hurry(): void {
    this.#deadline = performance.now();
    this.#hurried.resolve();
  }

  /** The ladder: accept no more → finish packets already read → flush and close → stop workers → stop the manager. */
  async #shutDown(): Promise<void> {
    if (this.#phase === 'starting') {
      this.#parts.log.info('shutting down before the start was complete');
      return this.#startEnded.reject(new ServerError('ERR_START_ENDED', {})); // start() undoes its own steps
    }
    if (!this.#hasStarted) return; // that is already happening
    this.#parts.log.info('shutting down');
    this.#phase = 'shutting down';
    this.#deadline = performance.now() + this.#parts.options.maxWaitMs;
    await this.#callUser('beforeShutdown');
    this.#stopAccepting();
    await this.#inTime(this.#owners.quiesce());
    if (this.#manager.isThere) {
      this.#settled = deferred();
      this.#manager.send({ type: 'settle' });
      await this.#inTime(Promise.race([this.#settled.promise, this.#manager.gone]));
    }
    // Closing has a second of its own: after a worker that overran, replies of the others must still leave.
    const closeMs = Math.max(this.#left, 500);
    await within(this.#owners.closeAll(closeMs), closeMs + 500);
    await this.#manager.stop(Math.max(this.#left, 100), this.#hurried.promise);
    await this.#owners.stop();
    this.#ports.closeDatagrams();
    await this.#callUser('shutdown');
    this.#phase = 'ended';
    this.#parts.log.info('the server has shut down');
  }

  #closeByManager(deadlineMs: number): Promise<void> {
    this.#manager.send({ type: 'closeAll', deadlineMs });
    return Promise.race([this.#closed.promise, this.#manager.gone]);
  }

  get #left(): number {
    return Math.max(0, this.#deadline - performance.now());
  }

  /** Waits, but not beyond the deadline of the shutdown. */
  async #inTime(promise: Promise<unknown>): Promise<void> {
    await within(Promise.race([promise, this.#hurried.promise]), this.#left);
  }

  async #callUser(name: 'beforeShutdown' | 'shutdown'): Promise<void> {
    try {
      await this.#inTime(Promise.resolve(this.#parts.callbacks[name]?.()));
    } catch (error) {
      this.#parts.log.error(`the '${name}' callback failed`, { error });
    }
  }

  // ——— sudden ends ———

  #fatal(error: unknown): void {
    this.#parts.log.error('a reactor thread failed, the server cannot continue', { error });
    if (this.#phase === 'starting') this.#ready.reject(error);
    else process.exit(70);
  }

  /** process.exit() or an uncaught error in the master: children notice by their channels; the threads need help. */
  #endAtOnce(): void {
    this.#owners.stopAtOnce();
    if (this.#phase === 'starting' || this.#phase === 'running')
      killOrphans(this.#board, processNum(this.region.shape));
    this.#manager.killAtOnce();
  }
}

function unusableCertificates(reason: string, options?: ErrorOptions): ServerError {
  return new ServerError(
    'ERR_RELOAD',
    { why: `the certificates cannot be used, the old ones stay (${reason})` },
    options,
  );
}
