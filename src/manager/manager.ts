/**
 * Keeps the right number of healthy workers: spawns them, replaces each that ends, reloads them, and stops them at the
 * end. Runs in the manager process; it never sees a packet.
 *
 * Every wake-up (a message, an exit, a timer) runs the same short list of steps, each of which may be repeated safely:
 * terminate overdue processes, hand over to ready ones, spawn missing ones, check whether the reload or the stop is
 * complete.
 */
import type { SerializedError } from '../errors/index.js';
import { ServerError, serializeError } from '../errors/index.js';
import type { ProcessRole } from '../ipc/inheritance.js';
import type { MasterToManager, ProfileOrder, ReplaceReason, ServerRequest, WorkerToManager } from '../ipc/message.js';
import { WorkerField } from '../memory/boards.js';
import { signalName } from '../util/signal-name.js';
import { Alarm } from './alarm.js';
import { HEALTHY_UPTIME_MS } from './backoff.js';
import { causeOf, endOf, howEnded, reasonOf, whyEnded } from './end-reason.js';
import type { ManagerParts } from './manager-parts.js';
import { callUser, Register } from './register.js';
import { Reload, type ReloadScope, widest } from './reload.js';
import { Scaling } from './scaling.js';
import { Seat } from './seat.js';
import { Shutdown } from './shutdown.js';
import { WorkerHandle } from './worker-handle.js';

/** Between SIGTERM and SIGKILL. */
const KILL_GRACE_MS = 500;
/** A worker that has reported its fatal error dies at once; Node's own teardown can hang. */
const LAST_WORDS_GRACE_MS = 2000;
/** The master is gone: the whole tree has to be gone within a second. */
const ORPHAN_STOP_MS = 300;
const ORPHAN_GRACE_MS = 200;

export class Manager {
  readonly #parts: ManagerParts;
  readonly #seats: Seat[];
  readonly #reload: Reload;
  readonly #scaling: Scaling;
  readonly #shutdown: Shutdown;
  readonly #register: Register;
  readonly #alarm: Alarm;
  #begun = false;
  #started = false;
  #bootFailed = false;
  /** Requested before there was anything to replace: the script may have changed since. */
  #reloadWaits: ReloadScope | undefined;
  #requestWaits = 0;
  /** Requested while a reload was running. */
  #scaleWaits: (() => void) | undefined;
  #killGraceMs = KILL_GRACE_MS;

  constructor(parts: ManagerParts) {
    this.#parts = parts;
    this.#seats = parts.processes.map(
      ({ role, name, outlivesReloads }, id) => new Seat(id, role, name, outlivesReloads),
    );
    this.#register = new Register(parts);
    this.#alarm = new Alarm(parts.clock, () => this.#step());
    this.#shutdown = new Shutdown({
      seats: this.#seats,
      now: () => this.#now(),
      notifyMaster: (message) => parts.notifyMaster(message),
      allEnded: () => void this.#leave(),
    });
    this.#scaling = new Scaling({
      seats: this.#seatsOf('worker'),
      seatNum: parts.region.seatNum,
      maxWaitMs: parts.maxWaitMs,
      log: parts.log,
      now: () => this.#now(),
      isDrained: (workerId) => parts.isDrained(workerId),
      withdrawn: () => parts.notifyMaster({ type: 'withdrawn' }),
      scaled: (request, failed) => {
        parts.notifyMaster({ type: 'scaled', request, ...(failed === undefined ? {} : { failed }) });
        this.#startWaitingReload();
      },
    });
    this.#reload = new Reload({
      seats: () => this.#seats.filter((seat) => !this.#scaling.isGoing(seat)),
      log: parts.log,
      clock: parts.clock,
      callbackTimeoutMs: parts.bootTimeoutMs,
      callbacks: parts.callbacks,
      nextGeneration: () => ++parts.region.generation,
      setRunning: (is) => (parts.region.isReloading = is),
      completed: (request, needsRestart) => {
        parts.region.reloads++;
        parts.notifyMaster({ type: 'reloaded', request, ...(needsRestart.length > 0 && { needsRestart }) });
        this.#startWaitingScale();
      },
      failed: (request, failed, generation) => {
        parts.region.reloadsFailed++;
        parts.notifyMaster({ type: 'reloaded', request, failed, ...(generation !== undefined && { generation }) });
        this.#startWaitingScale();
      },
      changed: () => this.#step(),
    });
  }

  // ——— messages of the master ———

  onMessage(message: MasterToManager): void {
    switch (message.type) {
      case 'begin':
        return this.#begin(message.first);
      case 'reload':
        return this.reload(message.tasksOnly, message.request);
      case 'stopWorker':
        return this.recycle(message.workerId, message.why);
      case 'withdraw':
        return this.#scale(() => this.#scaling.withdraw(message.from));
      case 'scale':
        return this.#scale(() => this.#scaling.scale(message.workerNum, message.request));
      case 'profile':
        return this.#profile(message.workerId, message.profile);
      case 'accept':
        for (const seat of this.#seatsOf('worker')) seat.serving?.accept();
        return;
      case 'closeAll':
        this.#shutdown.closeAll(message.deadlineMs);
        return this.#step();
      case 'settle':
        this.#shutdown.settle();
        return this.#step();
      case 'stop':
        this.#shutdown.stop(message.deadlineMs);
        return this.#step();
    }
  }

  /** The master is gone: no process of its tree may stay. */
  orphaned(): void {
    if (this.#shutdown.isOver) return;
    this.#parts.log.error('the master process is gone; stopping all workers');
    this.#killGraceMs = ORPHAN_GRACE_MS;
    this.#shutdown.stopAtOnce(ORPHAN_STOP_MS);
    this.#step();
  }

  /** @param first if not, the server is up: a worker that does not boot is respawned, and others serve meanwhile */
  #begin(first: boolean): void {
    if (this.#shutdown.isStopping) return;
    this.#begun = true;
    this.#parts.region.isReloading = false; // a manager before this one may have died in a reload
    if (!first) this.#parts.recoverAll();
    this.#step();
    if (!first) this.#becomeStarted();
    const { callbacks, log } = this.#parts;
    callUser('managerStart', () => callbacks.managerStart?.(), log);
  }

  /** Replaces every process (or only the task workers) by one that runs the script as it is now. */
  reload(tasksOnly = false, request = 0): void {
    if (this.#shutdown.isNear) {
      this.#parts.notifyMaster({ type: 'reloaded', request, failed: 'the server is shutting down' });
      return;
    }
    const scope = tasksOnly ? 'tasks' : 'all';
    if (this.#started && !this.#scaling.isRunning) return this.#reload.request(scope, request);
    this.#reloadWaits = widest(this.#reloadWaits, scope);
    this.#requestWaits = Math.max(this.#requestWaits, request);
  }

  /**
   * Replaces one worker: the new one boots first, then the old one ends gracefully. A worker that is already being
   * replaced is left alone; one that boots is replaced when it serves. One that leaves means itself, not its successor.
   * @param by the process that asks
   */
  recycle(workerId: number, why: ReplaceReason = 'asked', by?: WorkerHandle): void {
    const seat = this.#seats[workerId];
    if (seat === undefined || this.#shutdown.isNear || this.#scaling.isGoing(seat)) return;
    if (by !== undefined && seat.leaving.has(by)) return;
    const { serving, coming } = seat;
    if (coming !== undefined && (serving === undefined || coming === by)) coming.recycle = why;
    if (serving === undefined || coming !== undefined) return;
    if (why === 'memory' && seat.recycle === undefined) this.#pause(seat, serving);
    seat.recycle = why;
    this.#step();
  }

  /** A running reload ends first: its list of workers must not change meanwhile. */
  #scale(change: () => void): void {
    if (this.#shutdown.isNear) return;
    if (this.#reload.isRunning) {
      this.#scaleWaits = change;
      return;
    }
    change();
    this.#step();
  }

  #startWaitingScale(): void {
    const change = this.#scaleWaits;
    this.#scaleWaits = undefined;
    if (change !== undefined) this.#scale(change);
  }

  #startWaitingReload(): void {
    const scope = this.#reloadWaits;
    const request = this.#requestWaits;
    this.#reloadWaits = undefined;
    this.#requestWaits = 0;
    if (scope !== undefined) this.#reload.request(scope, request);
  }

  #profile(workerId: number, profile: ProfileOrder): void {
    if (workerId < 0) return this.#parts.profile(profile);
    const { request } = profile;
    const handle = this.#seats[workerId]?.serving;
    if (handle?.process === undefined) return this.#profileFailed(request, 'there is no such process now');
    handle.profiles.add(request);
    handle.process.send({ type: 'profile', profile });
  }

  #profileFailed(request: number, failed: string): void {
    this.#parts.notifyMaster({ type: 'profiled', request, failed });
  }

  /** The processes that the watchdog looks after: booting ones have a deadline of their own. */
  get watched(): WorkerHandle[] {
    return this.#handles().filter(({ state, role }) => state !== 'booting' && state !== 'exited' && role !== 'user');
  }

  /** SIGTERM to the manager is meant for the whole server; a process group receives it in all its processes at once. */
  shutdownAsked(): void {
    this.#shutdown.asked();
    this.#parts.notifyMaster({ type: 'request', action: 'shutdown' });
  }

  #seatsOf(role: ProcessRole): Seat[] {
    return this.#seats.filter((seat) => seat.role === role);
  }

  // ——— the list of verbs ———

  #step(): void {
    if ((!this.#begun && !this.#shutdown.hasBegun) || this.#shutdown.isOver) return;
    const now = this.#now();
    this.#terminateOverdue(now);
    this.#handOver(now);
    this.#spawnMissing(now);
    this.#reload.advance();
    this.#scaling.advance();
    this.#checkStarted();
    this.#shutdown.advance();
    this.#scheduleNext();
  }

  #terminateOverdue(now: number): void {
    for (const handle of this.#handles()) {
      if (now < handle.deadline || handle.growBootTime(now, this.#parts.starvedMs(handle.pid))) continue;
      const booting = handle.state === 'booting';
      if (booting) handle.lastError ??= this.#bootTimeout(handle);
      handle.overdue ??= booting ? 'did not become ready in time' : 'did not end in time';
      const isStuck = handle.sentSignal === 'SIGKILL';
      handle.terminate(now, this.#killGraceMs);
      // An end is logged when the process has ended; this one does not, whatever the manager does.
      if (isStuck) this.#parts.log.error(`${handle.name} is not ended by SIGKILL`, { childPid: handle.pid });
    }
  }

  #bootTimeout(handle: WorkerHandle): SerializedError {
    const timeoutMs = this.#parts.bootTimeoutMs;
    return serializeError(new ServerError('ERR_BOOT_TIMEOUT', { role: 'worker', workerId: handle.id, timeoutMs }));
  }

  /** A ready worker takes over as soon as no other process reads its packets. */
  #handOver(now: number): void {
    if (this.#shutdown.isStopping) return;
    for (const seat of this.#seats) {
      if (seat.coming?.state !== 'ready' || seat.coming.isSurplus || this.#reload.holdsBack(seat)) continue;
      if (seat.serving !== undefined) {
        if (this.#shutdown.isSettling) continue; // the packets that are left are its own
        seat.leaving.add(seat.serving);
        seat.serving.reason ??= seat.recycle ?? 'reload';
        seat.serving.release(now, this.#parts.maxWaitMs);
        seat.serving = undefined;
      }
      if (seat.isHeld) continue;
      seat.serving = seat.coming;
      seat.coming = undefined;
      seat.recycle = seat.serving.recycle;
      this.#register.serving(seat.serving);
      seat.serving.attach(now);
      if (seat.recycle !== undefined) this.#pause(seat, seat.serving);
      this.#scaling.attached(seat, seat.serving);
      this.#shutdown.attached(seat, seat.serving);
    }
  }

  /** A worker that asks for a successor as soon as it serves may always do so: then it is not replaced without end and pause. */
  #pause(seat: Seat, { name, servesSince }: WorkerHandle): void {
    const now = this.#now();
    const uptimeMs = now - servesSince;
    const delayMs = seat.backoff.ended({ wasReady: true, exitCode: 0, signal: 0, uptimeMs });
    seat.spawnAt = now + delayMs;
    if (delayMs === 0) return;
    this.#parts.log.warn(`${name} asks again to be replaced soon after it began to serve; its successor waits`, {
      delayMs,
    });
  }

  #spawnMissing(now: number): void {
    if (!this.#begun || this.#shutdown.isStopping || this.#bootFailed) return;
    for (const seat of this.#seats) {
      const wanted = seat.serving === undefined || seat.recycle !== undefined || this.#reload.wants(seat);
      if (seat.coming !== undefined || !wanted || now < seat.spawnAt || this.#scaling.isClosed(seat)) continue;
      const lane = seat.freeLane;
      if (lane !== undefined) this.#spawn(seat, lane, now);
    }
  }

  #spawn(seat: Seat, lane: number, now: number): void {
    const { region, bootTimeoutMs } = this.#parts;
    const { id, role, name } = seat;
    const handle = new WorkerHandle({ id, role, name, lane, generation: region.generation }, now, bootTimeoutMs);
    seat.coming = handle;
    handle.process = this.#parts.spawn(handle, {
      message: (message) => this.#onWorkerMessage(handle, message),
      exit: (exitCode, signal, wrote = '') => {
        if (!handle.wasReady) handle.wrote = wrote;
        this.#ended(seat, handle, exitCode, signal);
      },
    });
    this.#parts.board.setProcess(seat.id, lane, handle.pid);
  }

  #checkStarted(): void {
    if (!this.#begun || this.#started) return;
    if (this.#seats.some((seat) => seat.serving === undefined && !this.#scaling.isClosed(seat))) return;
    this.#becomeStarted();
  }

  #becomeStarted(): void {
    this.#started = true;
    this.#parts.notifyMaster({ type: 'ready' });
    this.#startWaitingReload();
  }

  async #leave(): Promise<void> {
    try {
      await this.#parts.callbacks.managerStop?.();
    } catch (error) {
      this.#parts.log.error("the 'managerStop' callback failed", { error });
    }
    this.#parts.exit(0);
  }

  #scheduleNext(): void {
    let due = Number.POSITIVE_INFINITY;
    for (const handle of this.#handles()) due = Math.min(due, handle.deadline);
    for (const seat of this.#seats) {
      const isWanted = seat.serving === undefined || seat.recycle !== undefined;
      const isMissing = isWanted && seat.coming === undefined && !this.#scaling.isClosed(seat);
      if (isMissing) due = Math.min(due, seat.spawnAt);
    }
    this.#alarm.setTo(this.#shutdown.isOver ? Number.POSITIVE_INFINITY : due);
  }

  // ——— messages of workers ———

  #onWorkerMessage(handle: WorkerHandle, message: WorkerToManager): void {
    if (!handle.isAlive) return;
    switch (message.type) {
      case 'ready':
        handle.becomeReady();
        if (this.#shutdown.isStopping) this.#shutdown.stopUnused(handle);
        break;
      case 'bootFailed':
      case 'fatal':
        handle.lastError = message.error;
        handle.lastWords(this.#now() + LAST_WORDS_GRACE_MS);
        break;
      case 'needsRestart':
        handle.needsRestart = message.differences;
        return;
      case 'released':
        handle.released();
        break;
      case 'settled':
        handle.settled = true;
        break;
      case 'closed':
        handle.closed = true;
        break;
      case 'profiled':
        handle.profiles.delete(message.request);
        return this.#parts.notifyMaster(message);
      case 'cluster':
        return this.#parts.notifyMaster(message);
      case 'passOn':
        for (const leaving of this.#seats[handle.id]?.leaving ?? []) {
          leaving.process?.send({ type: 'passedOn', packed: message.packed });
        }
        return;
      case 'request':
        return this.#carryOut(message, handle);
    }
    this.#step();
  }

  #carryOut(request: ServerRequest, by: WorkerHandle): void {
    if (request.action === 'reload') this.reload(request.tasksOnly);
    else if (request.action === 'stopWorker') this.recycle(request.workerId, request.why, by);
    else this.#parts.notifyMaster(request);
  }

  /** The process is gone and reaped. */
  #ended(seat: Seat, handle: WorkerHandle, exitCode: number, signal: number): void {
    if (!handle.isAlive) return;
    const wasServing = seat.serving === handle;
    const wasComing = seat.coming === handle;
    const wasBooting = handle.state === 'booting';
    handle.exited(exitCode, signal);
    for (const request of handle.profiles) {
      this.#profileFailed(request, `${handle.name} ${howEnded(handle)} before its profile was complete`);
    }
    seat.forget(handle);
    this.#register.ended(seat, handle);
    if (!this.#shutdown.isStopping) this.#parts.ended(endOf(handle, wasBooting, this.#now()));
    if (!handle.isSurplus && !this.#shutdown.isStopping) this.#parts.region.countEnd(causeOf(handle, wasBooting));
    this.#parts.region.countDeath();
    const why = whyEnded(handle, this.#shutdown.isStopping);
    this.#parts.recover({ pid: handle.pid, id: handle.id, lane: handle.lane, wasServing, exitCode, signal, why });
    const isMissed = wasServing || (wasComing && seat.serving === undefined);
    if (!handle.isSurplus && !this.#shutdown.isStopping) {
      if (wasBooting && !this.#started) return this.#failStart(handle);
      this.#reload.ended(handle, wasBooting);
      if (wasBooting) this.#scaling.bootFailed(handle);
      this.#replace(seat, handle, isMissed, wasComing);
    }
    if (handle.overdue !== undefined && !handle.isEndLogged) this.#register.logEnd(handle);
    if (exitCode !== 0 || signal !== 0) this.#register.notifyUser(handle);
    this.#step();
  }

  #replace(seat: Seat, handle: WorkerHandle, isMissed: boolean, wasComing: boolean): void {
    if (this.#scaling.isClosed(seat)) this.#register.logEnd(handle, 'it is not wanted any more');
    else if (isMissed) this.#planRespawn(seat, handle);
    else if (wasComing) this.#giveUpRecycling(seat, handle);
  }

  /** A reload reports its failure itself. */
  #giveUpRecycling(seat: Seat, handle: WorkerHandle): void {
    if (seat.recycle === undefined) return;
    seat.recycle = undefined;
    seat.serving?.goOn();
    this.#register.logEnd(handle, 'the one it was to replace goes on serving');
  }

  #planRespawn(seat: Seat, handle: WorkerHandle): void {
    const { board } = this.#parts;
    const now = this.#now();
    const { wasReady, exitCode, signal } = handle;
    const delayMs = seat.backoff.ended({ wasReady, exitCode, signal, uptimeMs: now - handle.startedAt });
    seat.spawnAt = now + delayMs;
    const { name, backoff } = seat;
    if (backoff.failures > 0) {
      const when = { nextInMs: delayMs, healthyAfterMs: HEALTHY_UPTIME_MS };
      const crash = { id: seat.id, name, failures: backoff.failures, reason: reasonOf(handle), ...when };
      this.#parts.notifyMaster({ type: 'crashed', crash });
    }
    board.addField(seat.id, WorkerField.restarts, 1);
    if (handle.reason === 'hang' && delayMs === 0) return; // the watchdog has logged it, with the stack
    this.#register.logEnd(handle, delayMs === 0 ? 'starting another one' : `starting another one in ${delayMs} ms`);
  }

  /** At the first start there are no old workers to fall back to. */
  #failStart(handle: WorkerHandle): void {
    if (this.#bootFailed) return this.#step();
    this.#bootFailed = true;
    const { id: workerId, exitCode, signal, wrote, lastError: cause } = handle;
    const detail = { workerId, exitCode, signal: signalName(signal), ...(wrote === '' ? {} : { wrote }) };
    const error = serializeError(new ServerError('ERR_WORKER_BOOT', detail));
    this.#parts.notifyMaster({ type: 'bootFailed', error: cause === undefined ? error : { ...error, cause } });
    this.#shutdown.stopAtOnce(this.#parts.maxWaitMs);
    this.#step();
  }

  #handles(): WorkerHandle[] {
    return this.#seats.flatMap((seat) => seat.all);
  }

  #now(): number {
    return this.#parts.clock.now();
  }
}
