/**
 * Keeps one manager: starts it, lets it begin when no worker of the preceding one is left, replaces one that has
 * died, and stops the last one. Runs in the master.
 */

import type { ServerPhase } from '../control/controlled.js';
import { deserializeError, ServerError } from '../errors/index.js';
import type { ManagerToMaster, MasterToManager } from '../ipc/message.js';
import { type WorkerBoard, WorkerField } from '../memory/boards.js';
import { processNum } from '../memory/layout.js';
import type { Region } from '../memory/region.js';
import { starvedMs } from '../os/other-process.js';
import { processDied } from '../shared/registry.js';
import { monotonicMs } from '../util/clock.js';
import { deferred } from '../util/deferred.js';
import type { Log } from '../util/log.js';
import { signalName } from '../util/signal-name.js';
import { type CrashWatch, MANAGER_ID } from './crash-watch.js';
import type { ManagerEvents } from './manager-handle.js';
import type { ManagerLink } from './mode.js';
import { endOrphans } from './orphans.js';

export interface ManagerKeeperParts {
  readonly region: Region;
  readonly board: WorkerBoard;
  readonly bootTimeoutMs: number;
  readonly crashes: CrashWatch;
  readonly log: Log;
  start(events: ManagerEvents): ManagerLink;
  phase(): ServerPhase;
  /** A new manager can receive the pending requests. */
  started(): void;
  /** Its messages to other parts than this keeper. */
  message(message: ManagerToMaster): void;
  /** The manager is gone, and its work under way. */
  ended(): void;
  /** At the start only. */
  bootFailed(error: Error): void;
}

interface ManagerEnd {
  readonly exitCode: number;
  /** 0: it exited by itself. */
  readonly signal: number;
  readonly wrote: string;
}

/** A manager that dies again within this time is started again after a pause. */
const HEALTHY_MS = 5000;
/** By the number of deaths in a row. */
const PAUSES_MS = [0, 200, 1000, 5000];
/** Beyond the workers' deadline: the time the manager needs to kill and reap them. */
const GRACE_MS = 2000;
/** Time left to each process, when a second signal hurries the shutdown. */
const HURRIED_STOP_MS = 100;
/** A manager that has reported its fatal error dies at once; Node's own teardown can hang. */
const LAST_WORDS_GRACE_MS = 1000;

export class ManagerKeeper {
  readonly #parts: ManagerKeeperParts;
  #manager: ManagerLink | undefined;
  #startedAt = 0;
  #deaths = 0;
  #bootTimer: NodeJS.Timeout | undefined;
  #lastError: Error | undefined;
  #hasBegun = false;
  readonly #gone = deferred<void>();

  constructor(parts: ManagerKeeperParts) {
    this.#parts = parts;
  }

  get isThere(): boolean {
    return this.#manager !== undefined;
  }

  /** Resolves when the last manager has ended, in the shutdown. */
  get gone(): Promise<void> {
    return this.#gone.promise;
  }

  /** @returns false while there is none */
  send(message: MasterToManager): boolean {
    this.#manager?.send(message);
    return this.#manager !== undefined;
  }

  killAtOnce(): void {
    this.#manager?.kill('SIGKILL');
  }

  start(): void {
    const { region, started } = this.#parts;
    this.#startedAt = performance.now();
    this.#hasBegun = false;
    const manager: ManagerLink = this.#parts.start({
      message: (message) => this.#onMessage(manager, message),
      exit: (exitCode, signal, wrote = '') => this.#ended(manager, { exitCode, signal, wrote }),
    });
    this.#manager = manager;
    region.managerPid = manager.pid;
    started();
    this.#lastError = undefined;
    this.#watchBoot(manager);
  }

  /** @param hurried resolves when the stop is to be faster than `deadlineMs` */
  async stop(deadlineMs: number, hurried: Promise<void>): Promise<void> {
    if (this.#manager !== undefined) {
      const stopBy = (ms: number): NodeJS.Timeout => {
        this.#manager?.send({ type: 'stop', deadlineMs: ms });
        return setTimeout(() => this.#manager?.kill('SIGKILL'), ms + GRACE_MS);
      };
      // It may never come so far as to receive the message; workers that it has already end without it.
      if (!this.#hasBegun) {
        this.#letOrphansStop(deadlineMs, hurried);
        this.#manager.kill('SIGKILL');
      }
      const timers = [stopBy(deadlineMs)];
      void hurried.then(() => !this.isThere || timers.push(stopBy(HURRIED_STOP_MS)));
      await this.#gone.promise;
      for (const timer of timers) clearTimeout(timer);
    }
    await this.#endOrphans();
  }

  #letOrphansStop(deadlineMs: number, hurried: Promise<void>): void {
    const { region } = this.#parts;
    region.stopBy = monotonicMs() + deadlineMs;
    void hurried.then(() => {
      region.stopBy = Math.min(region.stopBy, monotonicMs() + HURRIED_STOP_MS);
    });
  }

  #watchBoot(manager: ManagerLink): void {
    const { bootTimeoutMs: timeoutMs, bootFailed } = this.#parts;
    const overdue = (): void => {
      // The time in which it got no CPU does not count.
      const leftMs = this.#startedAt + timeoutMs + starvedMs(manager.pid) - performance.now();
      if (leftMs > 0) {
        this.#bootTimer = setTimeout(overdue, Math.ceil(leftMs));
        return;
      }
      const error = new ServerError('ERR_BOOT_TIMEOUT', { role: 'manager', timeoutMs });
      bootFailed(error); // later it is the reason in the log
      this.#lastError = error;
      manager.kill('SIGKILL');
    };
    this.#bootTimer = setTimeout(overdue, timeoutMs);
  }

  #onMessage(manager: ManagerLink, message: ManagerToMaster): void {
    switch (message.type) {
      case 'spawned':
        for (const [id, pid] of message.pids) this.#parts.board.setProcess(id, 0, pid);
        return;
      case 'started':
        clearTimeout(this.#bootTimer);
        return void this.#begin(manager);
      case 'fatal':
        this.#lastError = deserializeError(message.error);
        setTimeout(() => manager.kill('SIGKILL'), LAST_WORDS_GRACE_MS).unref();
        return;
      default:
        return this.#parts.message(message);
    }
  }

  /** A manager begins when no worker of the preceding one is left: two processes must not read the same packets. */
  async #begin(manager: ManagerLink): Promise<void> {
    const first = this.#parts.phase() === 'starting';
    if (!first) await this.#endOrphans();
    this.#hasBegun = true;
    manager.send({ type: 'begin', first });
  }

  #ended(manager: ManagerLink, end: ManagerEnd): void {
    if (this.#manager !== manager) return;
    this.#manager = undefined;
    clearTimeout(this.#bootTimer);
    const { phase, ended } = this.#parts;
    ended();
    switch (phase()) {
      case 'shutting down':
      case 'ended':
        return this.#gone.resolve();
      case 'starting':
        return this.#failStart(end);
      default:
        return this.#replace(manager.pid, end);
    }
  }

  #failStart({ exitCode, signal, wrote }: ManagerEnd): void {
    const detail = { exitCode, signal: signalName(signal), ...(wrote === '' ? {} : { wrote }) };
    this.#parts.bootFailed(new ServerError('ERR_MANAGER_BOOT', detail, { cause: this.#lastError }));
  }

  #replace(pid: number, { exitCode, signal, wrote }: ManagerEnd): void {
    this.#forgetWorkers();
    processDied(pid);
    const uptimeMs = performance.now() - this.#startedAt;
    this.#deaths = uptimeMs >= HEALTHY_MS ? 0 : this.#deaths + 1;
    const nextInMs = PAUSES_MS[Math.min(this.#deaths, PAUSES_MS.length) - 1] ?? 0;
    const how = signal === 0 ? `exited with code ${exitCode}` : `was killed by ${signalName(signal)}`;
    const threw = this.#lastError === undefined ? '' : `: ${this.#lastError.message}`;
    const said = wrote === '' ? '' : `\nIt wrote to standard error:\n${wrote}`;
    const crash = { id: MANAGER_ID, name: 'the manager', failures: this.#deaths };
    const reason = `the manager ${how}${threw}${said}`;
    this.#parts.crashes.ended({ ...crash, reason, nextInMs, healthyAfterMs: HEALTHY_MS });
    this.#parts.message({
      type: 'ended',
      end: {
        ...{ kind: 'manager', id: MANAGER_ID, name: 'the manager', pid, cause: signal === 0 ? 'exit' : 'signal' },
        ...{ reason, code: exitCode, signal: signalName(signal), uptimeMs: Math.round(uptimeMs) },
        stack: this.#lastError?.stack ?? '',
      },
    });
    const fields: Record<string, unknown> = { childPid: pid, uptimeMs: Math.round(uptimeMs) };
    if (this.#lastError !== undefined) fields['reason'] = this.#lastError.message;
    this.#parts.log.error(`the manager ${how}; starting another one`, fields);
    setTimeout(() => {
      if (this.#parts.phase() === 'running') this.start();
    }, nextInMs);
  }

  /** Until a new manager has new workers no process takes packets; they wait in the rings. */
  #forgetWorkers(): void {
    const { board, region } = this.#parts;
    for (let worker = 0; worker < processNum(region.shape); worker++) {
      board.setField(worker, WorkerField.pid, 0);
      board.setField(worker, WorkerField.busy, 0);
    }
  }

  async #endOrphans(): Promise<void> {
    const { board, region } = this.#parts;
    await endOrphans(board, processNum(region.shape), () => region.stopBy);
  }
}
