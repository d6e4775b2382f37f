/**
 * Where tasks wait, run and end: what every driver must be able to do, for the three who use it. Each process has a view
 * of its own. `SharedTaskQueue` keeps tasks in the memory the processes of one server share; the suite every driver must
 * pass is `test/messaging/task-queue.conformance.ts`.
 */

/** A task that was given away, as its caller knows it. */
export interface GivenTask {
  /** Unique in the server; what the task worker sees as `task.id`. */
  readonly id: number;
  /** Small and used again: a place in an array. */
  readonly handle: number;
}

/** How a task ended. */
export interface TaskOutcome {
  readonly failed: boolean;
  /** The result, or the error when it failed; a promise where the value is large. */
  readonly value: unknown | Promise<unknown>;
}

/** For whoever gives tasks. */
export interface TaskGiver {
  /** @param target id of a task worker, −1: whoever is free first @throws ServerError ERR_TASK_QUEUE_FULL, ERR_DATA_NOT_CLONEABLE */
  give(data: unknown, target: number): GivenTask;
  /** Its time is over. @returns false when it has ended meanwhile: its outcome comes */
  giveUp(handle: number): boolean;
  /** Calls back once per task that has ended; `release` must follow when the value was read. */
  takeEnded(callback: (handle: number, outcome: TaskOutcome) => void): boolean;
  /** The handle is used again from now on. */
  release(handle: number): void;
  /** True while something has ended that was not taken. */
  readonly hasEnded: boolean;
}

export interface ClaimedTask {
  readonly id: number;
  /** Process id of the caller; −1: the manager or the master. */
  readonly fromWorkerId: number;
  /** A promise where the value is large. @throws what reading it throws */
  readData(): unknown | Promise<unknown>;
  /** The caller does not wait any more; what runs should stop. */
  readonly isAborted: boolean;
}

/** For task workers. */
export interface TaskTaker {
  /** The task that has waited longest among those this task worker may run. It is run by nobody else from now on. */
  claim(): ClaimedTask | undefined;
  /** @returns false when nobody waited: the result was dropped */
  finish(task: ClaimedTask, failed: boolean, value: unknown): boolean;
  readonly hasWaiting: boolean;
}

/** Tasks of the server since its start, as `stats().tasks` tells them. */
export interface TaskCounts {
  /** Tasks that were taken in, since the start: the sum of the next five. */
  submitted: number;
  /** Wait for a task worker now. Swoole: tasking_num. */
  queued: number;
  /** Run now. */
  running: number;
  /** Have ended well. */
  done: number;
  /** Have thrown, or lost their task worker. */
  failed: number;
  /** Were given up by their caller before they had ended. */
  timedOut: number;
  /** Results that came when nobody waited any more. */
  dropped: number;
  /** How often a task was run again because its task worker had died. */
  retried: number;
  /** Tasks that were not taken in because the queue was full. */
  refused: number;
}

/** For the manager, which alone knows who has died. */
export interface TaskKeeper {
  /** A process is gone: what it ran runs again or fails, what it waited for is dropped when it ends. */
  recover(dead: DeadPeer): void;
  /** A new manager: what the one before it may have left undone. */
  recoverKeeper(): void;
}

export interface DeadPeer {
  readonly peer: number;
  readonly workerId: number;
  /** Why it died, for the error its callers get. */
  readonly exitCode: number;
  readonly signal: string;
}

export interface TaskQueue extends TaskGiver, TaskTaker {
  counts(): TaskCounts;
}
