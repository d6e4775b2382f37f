/**
 * `task`, `taskWait` and `taskWaitMulti`: the pending tasks of a process, with their time-outs. Runs in every process that
 * may submit tasks, which takes the results in its own turns.
 */
import { AsyncResource } from 'node:async_hooks';
import { describe, ServerError } from '../errors/index.js';
import { inSpan, SpanKind, type SpanStart } from '../util/telemetry.js';
import type { GivenTask, TaskGiver, TaskOutcome } from './task-queue.js';

/** Called once in the process that asked. `error` is set when the task failed; then there is no result. */
export type FinishCallback = (taskId: number, result: unknown, error?: Error) => void;

export interface TaskClientParts {
  readonly queue: TaskGiver;
  /** Ids of task workers: the first, and the end (exclusive). */
  readonly firstTaskWorker: number;
  readonly endTaskWorker: number;
  /** The id of this process when it is a task worker itself. */
  readonly ownTaskWorkerId: number | undefined;
  readonly timeoutMs: number;
  /** Ends of tasks without a waiting caller: the `finish` event, or a line in the log. */
  ended(taskId: number, result: unknown, error: Error | undefined): void;
  /** Runs a user's callback; an exception costs only a line in the log. */
  call(callback: () => unknown): void;
}

interface Waiting {
  readonly id: number;
  readonly onFinish: FinishCallback | undefined;
  readonly resolve: ((result: unknown) => void) | undefined;
  readonly reject: ((error: Error) => void) | undefined;
  readonly timer: NodeJS.Timeout | undefined;
}

const LONGEST_TIMER_MS = 0x7fffffff;

const sending: SpanStart = {
  name: 'send task',
  kind: SpanKind.producer,
  parent: 'active',
  attributes: {
    'messaging.system': 'tswoole',
    'messaging.operation.name': 'send',
    'messaging.operation.type': 'send',
    'messaging.destination.name': 'task',
  },
};

export class TaskClient {
  readonly #parts: TaskClientParts;
  /** By handle. */
  readonly #waiting: (Waiting | undefined)[] = [];
  #count = 0;
  #awaited = 0;

  constructor(parts: TaskClientParts) {
    this.#parts = parts;
  }

  /** Tasks whose end this process still waits for. */
  get pending(): number {
    return this.#count;
  }

  /** Those of them that a caller awaits. */
  get awaited(): number {
    return this.#awaited;
  }

  /** @returns the task's id @throws ServerError ERR_NO_TASK_WORKERS, ERR_TASK_IN_TASK_WORKER, ERR_TASK_WORKER_ID, … */
  give(data: unknown, workerId: number | undefined, onFinish: FinishCallback | undefined): number {
    const target = this.#target(workerId);
    const { id, handle } = this.#send(data, target);
    // As callbacks in Node, it finds what was set where it was given.
    const bound = onFinish && AsyncResource.bind(onFinish);
    this.#wait(handle, { id, onFinish: bound, resolve: undefined, reject: undefined, timer: undefined });
    return id;
  }

  /** Rejects with the task's error, ERR_TASK_TIMEOUT, ERR_TASK_WORKER_DIED, or an error of `give`. */
  ask(data: unknown, workerId: number | undefined, timeoutMs = this.#parts.timeoutMs): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const target = this.#target(workerId);
      checkTimeout(timeoutMs);
      const { id, handle } = this.#send(data, target);
      const timer = setTimeout(() => this.#timeOut(handle, timeoutMs), Math.min(timeoutMs, LONGEST_TIMER_MS));
      this.#wait(handle, { id, onFinish: undefined, resolve, reject, timer });
    });
  }

  /**
   * Of a durable job: no time limit and no second try. `signal` gives it up: its handler's signal is aborted then.
   * @throws ServerError (rejects) the handler's error, ERR_TASK_WORKER_DIED, errors of `give`; the reason of `signal`
   */
  askJob(data: unknown, signal: AbortSignal): Promise<unknown> {
    return new Promise((resolve, reject) => {
      signal.throwIfAborted();
      const { id, handle } = this.#parts.queue.give(data, this.#target(undefined), true);
      const giveUp = (): void => {
        if (!this.#parts.queue.giveUp(handle)) return;
        this.#forget(handle);
        reject(signal.reason);
      };
      const end = <T>(settle: (value: T) => void) => {
        return (value: T): void => {
          signal.removeEventListener('abort', giveUp);
          settle(value);
        };
      };
      signal.addEventListener('abort', giveUp, { once: true });
      this.#wait(handle, { id, onFinish: undefined, resolve: end(resolve), reject: end(reject), timer: undefined });
    });
  }

  /** Several at once: settled results in the order of `list`. @throws ServerError ERR_TASK_LIST */
  askAll<T>(list: unknown, timeoutMs: number | undefined): Promise<PromiseSettledResult<T>[]> {
    if (!Array.isArray(list)) throw new ServerError('ERR_TASK_LIST', { received: describe(list) });
    return Promise.allSettled(list.map((data) => this.ask(data, undefined, timeoutMs) as Promise<T>));
  }

  /** Takes the tasks that have ended. */
  take(): boolean {
    return this.#parts.queue.takeEnded((handle, outcome) => this.#ended(handle, outcome));
  }

  /** The task worker's span becomes the child of one that ends here. */
  #send(data: unknown, target: number): GivenTask {
    return inSpan(sending, (span) => {
      const given = this.#parts.queue.give(data, target, false, span?.carrier());
      span?.set('messaging.message.id', String(given.id));
      return given;
    });
  }

  #wait(handle: number, waiting: Waiting): void {
    this.#waiting[handle] = waiting;
    this.#count++;
    if (waiting.resolve !== undefined) this.#awaited++;
  }

  #timeOut(handle: number, timeoutMs: number): void {
    const waiting = this.#waiting[handle];
    if (waiting === undefined || !this.#parts.queue.giveUp(handle)) return;
    this.#forget(handle);
    waiting.reject?.(new ServerError('ERR_TASK_TIMEOUT', { taskId: waiting.id, timeoutMs }));
  }

  #ended(handle: number, { failed, value }: TaskOutcome): void {
    const waiting = this.#waiting[handle];
    if (!(value instanceof Promise)) {
      this.#parts.queue.release(handle);
      return this.#settle(handle, waiting, failed, value);
    }
    if (waiting !== undefined) clearTimeout(waiting.timer);
    const settle = (isFailed: boolean) => (read: unknown) => {
      this.#parts.queue.release(handle);
      this.#settle(handle, waiting, isFailed, read);
    };
    value.then(settle(failed), settle(true));
  }

  #settle(handle: number, waiting: Waiting | undefined, failed: boolean, value: unknown): void {
    if (waiting === undefined) return; // the caller was this process's predecessor
    this.#forget(handle);
    const { id, onFinish, resolve, reject } = waiting;
    const error = failed ? (value as Error) : undefined;
    if (error !== undefined && reject !== undefined) return reject(error);
    if (resolve !== undefined) return resolve(value);
    const result = failed ? undefined : value;
    if (onFinish !== undefined) this.#parts.call(() => onFinish(id, result, error));
    else this.#parts.ended(id, result, error);
  }

  #forget(handle: number): void {
    const waiting = this.#waiting[handle];
    clearTimeout(waiting?.timer);
    this.#waiting[handle] = undefined;
    this.#count--;
    if (waiting?.resolve !== undefined) this.#awaited--;
  }

  #target(workerId: number | undefined): number {
    const { firstTaskWorker, endTaskWorker, ownTaskWorkerId } = this.#parts;
    if (firstTaskWorker === endTaskWorker) throw new ServerError('ERR_NO_TASK_WORKERS', {});
    if (workerId === undefined || workerId === -1) {
      if (ownTaskWorkerId === undefined) return -1;
      throw new ServerError('ERR_TASK_IN_TASK_WORKER', { workerId: ownTaskWorkerId });
    }
    if (!Number.isInteger(workerId) || workerId < firstTaskWorker || workerId >= endTaskWorker) {
      const detail = { received: describe(workerId), first: firstTaskWorker, last: endTaskWorker - 1 };
      throw new ServerError('ERR_TASK_WORKER_ID', detail);
    }
    if (workerId === ownTaskWorkerId) throw new ServerError('ERR_TASK_IN_TASK_WORKER', { workerId });
    return workerId;
  }
}

function checkTimeout(timeoutMs: unknown): void {
  if (typeof timeoutMs === 'number' && timeoutMs > 0) return;
  throw new ServerError('ERR_TASK_TIMEOUT_VALUE', { received: describe(timeoutMs) });
}
