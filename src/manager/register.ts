/**
 * Publishes which process serves and which has ended: in shared memory, in the log, by the callback `workerError`.
 * Runs in the manager.
 */
import { WorkerField } from '../memory/boards.js';
import { Holders } from '../memory/holders.js';
import { peerOf } from '../memory/layout.js';
import { monotonicMs } from '../util/clock.js';
import type { Log } from '../util/log.js';
import { signalName } from '../util/signal-name.js';
import { howEnded } from './end-reason.js';
import type { ManagerParts } from './manager-parts.js';
import type { Seat } from './seat.js';
import type { WorkerHandle } from './worker-handle.js';

export class Register {
  readonly #parts: Pick<ManagerParts, 'board' | 'region' | 'clock' | 'log' | 'callbacks'>;

  constructor(parts: Pick<ManagerParts, 'board' | 'region' | 'clock' | 'log' | 'callbacks'>) {
    this.#parts = parts;
  }

  /** The process has taken over. */
  serving(handle: WorkerHandle): void {
    const { board } = this.#parts;
    board.setField(handle.id, WorkerField.generation, handle.generation);
    board.setStartedAt(handle.id, monotonicMs());
    board.setField(handle.id, WorkerField.pid, handle.pid);
  }

  /** The process is gone: none of its records may be taken for its successor's. */
  ended(seat: Seat, handle: WorkerHandle): void {
    const { board, region } = this.#parts;
    board.setProcess(seat.id, handle.lane, 0);
    board.forgetHeld(seat.id, handle.lane);
    new Holders(region).reaped(peerOf(seat.id, handle.lane));
    board.setField(seat.id, WorkerField.lastExitCode, handle.exitCode);
    board.setField(seat.id, WorkerField.lastSignal, handle.signal);
    if (board.field(seat.id, WorkerField.pid) !== handle.pid) return;
    board.setField(seat.id, WorkerField.pid, 0);
    board.setField(seat.id, WorkerField.busy, 0);
    board.setField(seat.id, WorkerField.pending, 0);
    board.setField(seat.id, WorkerField.room, 0);
    board.setLooking(seat.id, false);
  }

  /** One line for each process that ends unexpectedly. */
  logEnd(handle: WorkerHandle, then = ''): void {
    handle.isEndLogged = true;
    const inOrder = handle.wasReady && handle.exitCode === 0 && handle.signal === 0 && handle.overdue === undefined;
    const level = inOrder ? 'info' : 'warn';
    const fields: Record<string, unknown> = {
      childPid: handle.pid,
      uptimeMs: Math.round(this.#uptimeOf(handle)),
    };
    if (handle.lastError !== undefined) fields.reason = handle.lastError.message;
    this.#parts.log[level](`${handle.name} ${howEnded(handle)}${then === '' ? '' : `; ${then}`}`, fields);
  }

  /** Calls `workerError`. */
  notifyUser(handle: WorkerHandle): void {
    const { callbacks, log } = this.#parts;
    const { id: workerId, pid, exitCode, signal } = handle;
    const bySignal = { signal: signalName(signal), signalNumber: signal };
    const info = { workerId, pid, exitCode, ...bySignal, uptimeMs: this.#uptimeOf(handle) };
    callUser('workerError', () => callbacks.workerError?.(info), log);
  }

  #uptimeOf({ startedAt }: WorkerHandle): number {
    return this.#parts.clock.now() - startedAt;
  }
}

/** Calls a user callback in the manager: an error it throws, or rejects with, is logged. */
export function callUser(name: string, call: () => unknown, log: Log): void {
  const failed = (error: unknown): void => log.error(`the '${name}' callback failed`, { error });
  try {
    Promise.resolve(call()).catch(failed);
  } catch (error) {
    failed(error);
  }
}
