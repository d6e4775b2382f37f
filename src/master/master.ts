/**
 * The first process: binds, accepts, keeps the reactor threads and the manager. It never runs user code for a
 * connection, so it has no reason to fall.
 */

import type { CrashLoop, ServerPhase as Phase } from '../control/controlled.js';
import { deserializeError, ServerError } from '../errors/index.js';
import { createOutbox, linksOf } from '../ipc/assemble-outbox.js';
import { createBells } from '../ipc/bells.js';
import { outputOfManager } from '../ipc/child-output.js';
import { closeReason } from '../ipc/frame.js';
import type { SharedDescriptors } from '../ipc/inheritance.js';
import type { ManagerToMaster, MasterToManager, ProfileOrder, ProfilePiece, ReplaceReason } from '../ipc/message.js';
import type { Outbox } from '../ipc/outbox.js';
import { Activation } from '../listen/activation.js';
import { type BoundPort, bindPort, isDatagram, listenOn, unbindPort } from '../listen/bind-port.js';
import { createFramer } from '../listen/create-framer.js';
import { loadTls } from '../listen/tls-material.js';
import { WorkerBoard, WorkerField } from '../memory/boards.js';
import { peerOfMaster, processNum } from '../memory/layout.js';
import { Region } from '../memory/region.js';
import { freeParts } from '../messaging/overflow.js';
import type { ResolvedListen, ResolvedOptions } from '../options/index.js';
import { createSharedFile } from '../os/memory.js';
import { becomeSubreaper } from '../os/process.js';
import { type Deferred, deferred } from '../util/deferred.js';
import type { Log } from '../util/log.js';
import { signalName } from '../util/signal-name.js';
import { within } from '../util/within.js';
import { reapAdopted } from './adopted.js';
import type { ConnectionOwners } from './connection-owners.js';
import { CrashWatch } from './crash-watch.js';
import type { ManagerEvents, ManagerLink, MasterMode } from './mode.js';
import { endOrphans, killOrphans } from './orphans.js';
import type { RefusedClient } from './reactor-handle.js';
import { Scaling } from './scaling.js';
import { shapeOf, tlsRecordBytesFor } from './shape.js';

export interface MasterCallbacks {
  readonly beforeShutdown?: (() => unknown) | undefined;
  readonly shutdown?: (() => unknown) | undefined;
}

interface ManagerEnd {
  readonly exitCode: number;
  /** 0: it ended by itself. */
  readonly signal: number;
  readonly wrote: string;
}

/** A manager that dies again within this time is started again after a pause. */
const HEALTHY_MANAGER_MS = 5000;
/** Beyond the workers' deadline: the time the manager needs to kill and reap them. */
const MANAGER_GRACE_MS = 2000;
/** At a start that fails: a reactor that hangs in a module of the user's is left to the end of the process. */
const REACTOR_GRACE_MS = 1000;
/** What is left to whom, when a second signal hurries. */
const HURRIED_STOP_MS = 100;
/** A signal that comes again within this time is taken for the same one. */
const HURRY_AFTER_MS = 1000;
/** A manager that has said why it dies dies at once; Node's own teardown can hang. */
const LAST_WORDS_GRACE_MS = 1000;
/** Writing a large heap to a file takes its time. */
const PROFILE_GRACE_MS = 60_000;
/** Among the ids of crash loops. */
const MANAGER_ID = -1;
const MANAGER_PAUSES_MS = [0, 200, 1000, 5000];

export class Master {
  readonly region: Region;
  readonly outbox: Outbox;
  readonly #options: ResolvedOptions;
  readonly #mode: MasterMode;
  readonly #listens: readonly ResolvedListen[];
  readonly #callbacks: MasterCallbacks;
  readonly #log: Log;
  readonly #bells;
  readonly #overflow: number;
  readonly #board: WorkerBoard;
  #bound: BoundPort[] = [];
  readonly #owners: ConnectionOwners;
  #manager: ManagerLink | undefined;
  #managerStartedAt = 0;
  #managerDeaths = 0;
  #managerTimer: NodeJS.Timeout | undefined;
  #managerLastError: Error | undefined;
  #phase: Phase = 'starting';
  #hasStarted = false;
  #deadline = Number.POSITIVE_INFINITY;
  readonly #ready = deferred<void>();
  readonly #startEnded = deferred<void>();
  #managerHasBegun = false;
  #settled: Deferred<void> | undefined;
  readonly #closed = deferred<void>();
  readonly #managerGone = deferred<void>();
  readonly #hurried = deferred<void>();
  /** Asked for while there was no manager. */
  #reloadWaits: 'no' | 'tasks' | 'all' = 'no';
  readonly #reloads = new Map<number, Deferred<void>>();
  readonly #scaling: Scaling;
  readonly #crashes: CrashWatch;
  readonly #profiles = new Map<number, Deferred<readonly ProfilePiece[]>>();
  #lastProfile = 0;
  #lastReload = 0;
  /** Another process of the tree asks for the end of all. */
  onShutdownRequest: () => void = () => void this.shutdown();

  constructor(
    options: ResolvedOptions,
    userProcessNum: number,
    listens: readonly ResolvedListen[],
    mode: MasterMode,
    callbacks: MasterCallbacks,
    log: Log,
  ) {
    this.#options = options;
    this.#mode = mode;
    this.#listens = listens;
    this.#callbacks = callbacks;
    this.#log = log;
    this.region = Region.create(shapeOf(options, userProcessNum, tlsRecordBytesFor(listens)));
    const { region } = this;
    region.activeWorkerNum = options.workerNum;
    region.seatNum = options.workerNum;
    this.#scaling = new Scaling({
      region,
      owners: () => this.#owners,
      tell: (message) => this.#tellManager(message),
    });
    this.#bells = createBells(region.shape);
    this.#overflow = createSharedFile('tswoole data', 0);
    this.#board = new WorkerBoard(region);
    this.#crashes = new CrashWatch((id) =>
      id === MANAGER_ID ? this.#manager !== undefined : this.#board.field(id, WorkerField.pid) !== 0,
    );
    const bells = this.#bells;
    const links = linksOf({ region, bells, peer: peerOfMaster(region.shape) });
    this.outbox = createOutbox(region, links, options, listens, false);
    this.#owners = mode.createOwners({
      region,
      bells,
      links,
      options,
      listens,
      log,
      brokenSender: (worker) => this.#killBroken(worker),
      refused: (client) => this.#logRefused(client),
      failed: (error) => this.#fatal(error),
      tellManager: (message) => this.#manager?.send(message),
      closeByManager: (deadlineMs) => this.#closeByManager(deadlineMs),
    });
  }

  /** What every process of the server holds. */
  get shared(): SharedDescriptors {
    return {
      region: this.region.descriptor,
      overflow: this.#overflow,
      datagrams: this.#datagramDescriptors,
      bells: this.#bells,
    };
  }

  /** By listen port; −1 where it is a stream's. */
  get #datagramDescriptors(): number[] {
    return this.#bound.map((bound) => (isDatagram(bound) ? bound.descriptor : -1));
  }

  // ——— start ———

  /**
   * Resolves when every worker is ready and clients can connect. When it rejects, nothing is left running; with
   * ERR_START_ENDED where `shutdown()` was called meanwhile.
   */
  async start(): Promise<void> {
    process.on('exit', () => this.#endAtOnce());
    for (const told of [this.#ready, this.#startEnded]) told.promise.catch(() => {}); // also where nobody waits for it
    try {
      await this.#unlessEnded(this.#checkModules());
      await this.#unlessEnded(this.#bindPorts());
      await this.#unlessEnded(this.#owners.start(this.#bound));
      becomeSubreaper();
      reapAdopted();
      this.#startManager();
      await this.#unlessEnded(Promise.all([this.#owners.ready(), this.#ready.promise]));
      for (const bound of this.#bound) if (!isDatagram(bound)) listenOn(bound);
      this.#owners.accept();
      this.#phase = 'running';
      this.#hasStarted = true;
    } catch (error) {
      await this.#undoStart();
      throw error;
    }
  }

  /** What cannot be used says so before anything is bound: a module, a certificate. */
  async #checkModules(): Promise<void> {
    for (const { framing } of this.#listens) await createFramer(framing);
    for (const { tls } of this.#listens) if (tls !== null) loadTls(tls);
  }

  /** A step of the start, which may take for ever: a wish to end the server does not wait for it. */
  async #unlessEnded(step: Promise<unknown>): Promise<void> {
    await Promise.race([step, this.#startEnded.promise]);
    if (this.#shutdownPromise !== undefined) throw new ServerError('ERR_START_ENDED', {});
  }

  async #bindPorts(): Promise<void> {
    const activation = Activation.take();
    for (const listen of this.#listens) {
      this.#bound.push(await bindPort(listen, this.#options.reusePort, activation));
    }
    activation.refuseRest(this.#listens);
    this.region.ports = this.#bound.map((bound) => bound.port);
  }

  async #undoStart(): Promise<void> {
    this.#phase = 'shutting down';
    const wasAsked = this.#shutdownPromise !== undefined;
    if (this.#manager !== undefined) await this.#stopManager(wasAsked ? this.#options.maxWaitMs : 0);
    this.#stopAccepting();
    await within(this.#owners.stop(), REACTOR_GRACE_MS);
    this.#closeDatagrams();
    this.#phase = 'ended';
  }

  #stopAccepting(): void {
    this.#owners.stopAccepting();
    for (const bound of this.#bound) if (!isDatagram(bound)) unbindPort(bound);
  }

  #closeDatagrams(): void {
    for (const bound of this.#bound) if (isDatagram(bound)) unbindPort(bound);
  }

  /** Processes that end again and again. */
  get crashLoops(): CrashLoop[] {
    return this.#crashes.loops();
  }

  get phase(): Phase {
    return this.#phase;
  }

  /** False while it starts, and for good when that failed. */
  get hasStarted(): boolean {
    return this.#hasStarted;
  }

  // ——— the manager ———

  #startManager(): void {
    this.#managerStartedAt = performance.now();
    this.#managerHasBegun = false;
    const title = `${this.#options.processTitle}: manager`;
    const events: ManagerEvents = {
      message: (message) => this.#hear(manager, message),
      exit: (exitCode, signal, wrote = '') => this.#managerEnded(manager, { exitCode, signal, wrote }),
    };
    const output = outputOfManager(this.#options, this.#log);
    const manager: ManagerLink = this.#mode.startManager(title, this.shared, events, output);
    this.#manager = manager;
    this.region.managerPid = manager.pid;
    if (this.#reloadWaits !== 'no') this.reload(this.#reloadWaits === 'tasks');
    this.#reloadWaits = 'no';
    this.#managerLastError = undefined;
    this.#watchManagerBoot(manager);
  }

  #watchManagerBoot(manager: ManagerLink): void {
    const timeoutMs = this.#options.bootTimeoutMs;
    const timer = setTimeout(() => {
      const error = new ServerError('ERR_BOOT_TIMEOUT', { role: 'manager', timeoutMs });
      this.#ready.reject(error); // at the start only; later it is the reason in the log
      this.#managerLastError = error;
      manager.kill('SIGKILL');
    }, timeoutMs);
    this.#managerTimer = timer;
  }

  #hear(manager: ManagerLink, message: ManagerToMaster): void {
    switch (message.type) {
      case 'started':
        clearTimeout(this.#managerTimer);
        return void this.#begin(manager);
      case 'crashed':
        return this.#crashes.ended(message.crash);
      case 'ready':
        this.#scaling.managerIsBack();
        return this.#ready.resolve();
      case 'bootFailed':
        return this.#ready.reject(deserializeError(message.error));
      case 'fatal':
        this.#managerLastError = deserializeError(message.error);
        setTimeout(() => manager.kill('SIGKILL'), LAST_WORDS_GRACE_MS).unref();
        return;
      case 'settled':
        return this.#settled?.resolve();
      case 'closed':
        return this.#closed.resolve();
      case 'reloaded':
        return this.#reloadOver(message.request, message.failed);
      case 'withdrawn':
        return this.#scaling.withdrawn();
      case 'scaled':
        return this.#scaling.scaled(message.request, message.failed);
      case 'profiled':
        return this.#profileDone(message.request, message.failed, message.pieces);
      case 'request':
        if (message.action === 'shutdown') this.onShutdownRequest();
        return;
    }
  }

  /** A manager begins when no worker of the one before it is left: two processes must not read the same packets. */
  async #begin(manager: ManagerLink): Promise<void> {
    await endOrphans(this.#board, processNum(this.region.shape));
    this.#managerHasBegun = true;
    manager.send({ type: 'begin', first: this.#phase === 'starting' });
  }

  #managerEnded(manager: ManagerLink, { exitCode, signal, wrote }: ManagerEnd): void {
    if (this.#manager !== manager) return;
    this.#manager = undefined;
    clearTimeout(this.#managerTimer);
    const isLeaving = this.#phase !== 'running';
    this.#reloadOver(this.#lastReload, isLeaving ? 'the server has shut down' : 'the manager has died meanwhile');
    if (this.#phase === 'shutting down' || this.#phase === 'ended') return this.#managerGone.resolve();
    if (this.#phase === 'starting') {
      const detail = { exitCode, signal: signalName(signal), ...(wrote === '' ? {} : { wrote }) };
      this.#ready.reject(new ServerError('ERR_MANAGER_BOOT', detail, { cause: this.#managerLastError }));
      return;
    }
    this.#forgetWorkers();
    const uptimeMs = performance.now() - this.#managerStartedAt;
    this.#managerDeaths = uptimeMs >= HEALTHY_MANAGER_MS ? 0 : this.#managerDeaths + 1;
    const pause = MANAGER_PAUSES_MS[Math.min(this.#managerDeaths, MANAGER_PAUSES_MS.length) - 1] ?? 0;
    const how = signal === 0 ? `exited with code ${exitCode}` : `was killed by ${signalName(signal)}`;
    const fields: Record<string, unknown> = { childPid: manager.pid, uptimeMs: Math.round(uptimeMs) };
    const threw = this.#managerLastError === undefined ? '' : `: ${this.#managerLastError.message}`;
    const said = wrote === '' ? '' : `\nIt wrote to standard error:\n${wrote}`;
    this.#crashes.ended({
      ...{
        id: MANAGER_ID,
        name: 'the manager',
        failures: this.#managerDeaths,
        reason: `the manager ${how}${threw}${said}`,
      },
      ...{ nextInMs: pause, healthyAfterMs: HEALTHY_MANAGER_MS },
    });
    if (this.#managerLastError !== undefined) fields['reason'] = this.#managerLastError.message;
    this.#log.error(`the manager ${how}; starting another one`, fields);
    setTimeout(() => {
      if (this.#phase === 'running') this.#startManager();
    }, pause);
  }

  /** Until a new manager has new workers nobody takes packets; they wait in the rings. */
  #forgetWorkers(): void {
    for (let worker = 0; worker < processNum(this.region.shape); worker++) {
      this.#board.setField(worker, WorkerField.pid, 0);
      this.#board.setField(worker, WorkerField.busy, 0);
    }
  }

  #logRefused({ sessionId, code, message, others }: RefusedClient): void {
    const reason = closeReason(code, message);
    const fields = { fd: sessionId, code: reason.code, ...(others > 0 ? { othersBefore: others } : {}) };
    this.#log.warn(`a client was disconnected: ${reason.message}`, fields);
  }

  #killBroken(worker: number): void {
    this.#log.error(`worker ${worker} wrote a frame that cannot be read; it is killed`);
    const pid = worker < 0 ? 0 : this.#board.field(worker, WorkerField.pid);
    if (pid !== 0) process.kill(pid, 'SIGKILL');
  }

  // ——— what users and signals ask for ———

  reload(tasksOnly = false, request = 0): void {
    if (!tasksOnly) this.#owners.renew();
    if (this.#manager !== undefined) this.#manager.send({ type: 'reload', tasksOnly, request });
    else this.#reloadWaits = tasksOnly && this.#reloadWaits !== 'all' ? 'tasks' : 'all';
  }

  /** Resolves when the new workers serve and the old ones have ended. @throws ServerError ERR_RELOAD */
  async reloaded(tasksOnly = false): Promise<void> {
    if (this.#phase !== 'running') throw new ServerError('ERR_RELOAD', { why: `the server is ${this.#phase}` });
    if (this.#manager === undefined) throw new ServerError('ERR_RELOAD', { why: 'the manager is being replaced' });
    const request = ++this.#lastReload;
    const done = deferred<void>();
    this.#reloads.set(request, done);
    this.reload(tasksOnly, request);
    await done.promise;
  }

  #reloadOver(upTo: number, failed: string | undefined): void {
    if (failed === undefined) this.#crashes.forget();
    for (const [request, done] of this.#reloads) {
      if (request > upTo) continue;
      this.#reloads.delete(request);
      if (failed === undefined) done.resolve();
      else done.reject(new ServerError('ERR_RELOAD', { why: failed }));
    }
  }

  stopWorker(workerId: number, why: ReplaceReason = 'asked'): void {
    this.#tellManager({ type: 'stopWorker', workerId, why });
  }

  #tellManager(message: MasterToManager): boolean {
    this.#manager?.send(message);
    return this.#manager !== undefined;
  }

  /** Resolves when there are so many workers. @throws ServerError ERR_SCALE */
  async scale(workerNum: number): Promise<void> {
    if (this.#phase !== 'running') throw new ServerError('ERR_SCALE', { why: `the server is ${this.#phase}` });
    const { workerNum: most } = this.region.shape;
    if (this.#options.mode === 'base') {
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
   * @returns where it lies in the file for large data; nothing when it was written to a path @throws ServerError ERR_PROFILE
   */
  async profile(workerId: number, order: Omit<ProfileOrder, 'request'>): Promise<readonly ProfilePiece[]> {
    const request = ++this.#lastProfile;
    const done = deferred<readonly ProfilePiece[]>();
    this.#profiles.set(request, done);
    const late = setTimeout(
      () => this.#profileDone(request, 'the process does not answer: its event loop may stand still'),
      order.durationMs + PROFILE_GRACE_MS,
    );
    if (!this.#tellManager({ type: 'profile', workerId, profile: { ...order, request } })) {
      this.#profileDone(request, 'the manager is being replaced');
    }
    try {
      return await done.promise;
    } finally {
      clearTimeout(late);
    }
  }

  #profileDone(request: number, failed: string | undefined, pieces: readonly ProfilePiece[] = []): void {
    const done = this.#profiles.get(request);
    this.#profiles.delete(request);
    if (done === undefined) freeParts(this.#overflow, pieces); // too late: no command waits for it any more
    if (failed === undefined) done?.resolve(pieces);
    else done?.reject(new ServerError('ERR_PROFILE', { why: failed }));
  }

  #shutdownPromise: Promise<void> | undefined;
  #shutdownAskedAt = 0;

  /**
   * A second call hurries the first one, but not at once: `npm start` passes on a signal that the terminal has sent to
   * the whole process group already. Resolves when nothing is left but this process.
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

  /** The ladder: accept no more → finish what was read → flush and close → stop workers → stop the manager. */
  async #shutDown(): Promise<void> {
    if (this.#phase === 'starting') {
      this.#log.info('shutting down before the start was complete');
      return this.#startEnded.reject(new ServerError('ERR_START_ENDED', {})); // start() undoes what it has done
    }
    if (!this.#hasStarted) return; // that is happening already
    this.#log.info('shutting down');
    this.#phase = 'shutting down';
    this.#deadline = performance.now() + this.#options.maxWaitMs;
    await this.#callUser('beforeShutdown');
    this.#stopAccepting();
    await this.#inTime(this.#owners.quiesce());
    if (this.#manager !== undefined) {
      this.#settled = deferred();
      this.#manager.send({ type: 'settle' });
      await this.#inTime(Promise.race([this.#settled.promise, this.#managerGone.promise]));
    }
    // Closing has a second of its own: after a worker that overran, replies of the others must still leave.
    const closeMs = Math.max(this.#left, 500);
    await within(this.#owners.closeAll(closeMs), closeMs + 500);
    await this.#stopManager(Math.max(this.#left, 100));
    await this.#owners.stop();
    this.#closeDatagrams();
    await this.#callUser('shutdown');
    this.#phase = 'ended';
    this.#log.info('the server has shut down');
  }

  #closeByManager(deadlineMs: number): Promise<void> {
    this.#manager?.send({ type: 'closeAll', deadlineMs });
    return Promise.race([this.#closed.promise, this.#managerGone.promise]);
  }

  async #stopManager(deadlineMs: number): Promise<void> {
    if (this.#manager !== undefined) {
      const stopBy = (ms: number): NodeJS.Timeout => {
        this.#manager?.send({ type: 'stop', deadlineMs: ms });
        return setTimeout(() => this.#manager?.kill('SIGKILL'), ms + MANAGER_GRACE_MS);
      };
      // It has no workers yet, and may never come so far as to hear of it.
      if (!this.#managerHasBegun) this.#manager.kill('SIGKILL');
      const timers = [stopBy(deadlineMs)];
      const isOver = (): boolean => this.#manager === undefined;
      void this.#hurried.promise.then(() => isOver() || timers.push(stopBy(HURRIED_STOP_MS)));
      await this.#managerGone.promise;
      for (const timer of timers) clearTimeout(timer);
    }
    await endOrphans(this.#board, processNum(this.region.shape));
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
      await this.#inTime(Promise.resolve(this.#callbacks[name]?.()));
    } catch (error) {
      this.#log.error(`the '${name}' callback failed`, { error });
    }
  }

  // ——— sudden ends ———

  #fatal(error: unknown): void {
    this.#log.error('a reactor thread failed, the server cannot go on', { error });
    if (this.#phase === 'starting') this.#ready.reject(error);
    else process.exit(70);
  }

  /** process.exit() or an uncaught error in the master: children notice by their channels; the threads need help. */
  #endAtOnce(): void {
    this.#owners.stopAtOnce();
    if (this.#phase === 'running') killOrphans(this.#board, processNum(this.region.shape));
    this.#manager?.kill('SIGKILL');
  }
}
