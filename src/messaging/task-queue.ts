/**
 * Where tasks wait, run and end: the interface of every driver, for its three users. Each process has its own view.
 * `SharedTaskQueue` keeps tasks in the shared memory of one server; every driver must pass the suite
 * `test/messaging/task-queue.conformance.ts`.
 */

/** A submitted task, as its caller sees it. */
export interface GivenTask {
  /** Unique in the server; `task.id` in the task worker. */
  readonly id: number;
  /** A small, reused number: an index into an array. */
  readonly handle: number;
}

/** How a task ended. */
export interface TaskOutcome {
  readonly failed: boolean;
  /** The result, or the error when it failed; a promise where the value is large. */
  readonly value: unknown | Promise<unknown>;
}

/** For callers. */
export interface TaskGiver {
  /**
   * @param target task worker, −1: the first free one
   * @param isJob it runs at most once, and not at all when this process has died
   * @param trace the context of a trace, which `readData` gives back with the data, as a TracedValue
   * @throws ServerError ERR_TASK_QUEUE_FULL, ERR_DATA_NOT_CLONEABLE
   */
  give(data: unknown, target: number, isJob?: boolean, trace?: string): GivenTask;
  /** Its time-out has passed. @returns false when it has ended meanwhile: its outcome follows */
  giveUp(handle: number): boolean;
  /** Calls back once per task that has ended; `release` must follow when the value was read. */
  takeEnded(callback: (handle: number, outcome: TaskOutcome) => void): boolean;
  /** The handle may be reused from now on. */
  release(handle: number): void;
  /** True while ended tasks wait to be taken. */
  readonly hasEnded: boolean;
}

export interface ClaimedTask {
  readonly id: number;
  /** Process id of the caller; −1: the manager or the master. */
  readonly fromWorkerId: number;
  /** It is for the handler of a durable job, not for the `task` callback. */
  readonly isJob: boolean;
  /** A promise where the value is large; a TracedValue where it was given with one. @throws the error of reading it */
  readData(): unknown | Promise<unknown>;
  /** The caller no longer waits, or for a job: no longer lives. It should stop. */
  readonly isAborted: boolean;
}

/** For task workers. */
export interface TaskTaker {
  /** The task that has waited longest among those this task worker may run. No other task worker runs it from now on. */
  claim(): ClaimedTask | undefined;
  /** @returns false when the caller no longer waited: the result was dropped */
  finish(task: ClaimedTask, failed: boolean, value: unknown): boolean;
  readonly hasWaiting: boolean;
}

/** Tasks of the server since its start, as in `stats().tasks`. */
export interface TaskCounts {
  /** Tasks accepted since the start: the sum of the next five. */
  submitted: number;
  /** Tasks waiting for a task worker now. Swoole: tasking_num. */
  queued: number;
  /** Tasks running now. */
  running: number;
  /** Tasks that succeeded. */
  done: number;
  /** Tasks that threw, or lost their task worker. */
  failed: number;
  /** Tasks that their caller gave up before they ended. */
  timedOut: number;
  /** Results that came when the caller no longer waited. */
  dropped: number;
  /** How often a task was retried because its task worker had died. */
  retried: number;
  /** Tasks refused because the queue was full. */
  refused: number;
}

/** For the manager, the only process that knows which processes have died. */
export interface TaskKeeper {
  /** A process is gone: tasks it ran are retried or fail, tasks it waited for are dropped when they end. */
  recover(dead: DeadPeer): void;
  /** A new manager: completes work that its predecessor may have left undone. */
  recoverKeeper(): void;
}

export interface DeadPeer {
  readonly peer: number;
  readonly workerId: number;
  /** How it died, for the error its callers get. */
  readonly exitCode: number;
  readonly signal: string;
  /** What it was ended for; empty: it ended by its own fault. */
  readonly why: string;
}

export interface TaskQueue extends TaskGiver, TaskTaker {
  counts(): TaskCounts;
}
