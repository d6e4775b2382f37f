/**
 * Runs the `task` callback. Runs in a task worker: it takes a task whenever it has room, so no task ever waits behind a
 * busy task worker while another one is idle.
 */
import { ServerError } from '../errors/index.js';
import type { ClaimedTask, TaskTaker } from '../messaging/task-queue.js';
import { TracedValue } from '../messaging/value.js';
import type { WorkSource } from '../messaging/work-source.js';
import { inOwnContext } from '../util/own-context.js';
import { carrierOf, inSpan, isTracing, SpanKind } from '../util/telemetry.js';
import { isThenable } from '../util/thenable.js';

/** A task, as passed to the `task` callback: `server.on('task', (task: Task<Job>) => …)`. */
export interface Task<T = unknown> {
  /** Unique in the server; `task()` returned it to the caller. */
  readonly id: number;
  /** The worker that asked; −1: the manager or the master. */
  readonly fromWorkerId: number;
  /** A copy of the caller's data. */
  readonly data: T;
  /** Aborts when the caller no longer waits (its time-out has passed) and when the server shuts down. */
  readonly signal: AbortSignal;
}

export interface TaskRunnerParts {
  readonly queue: TaskTaker;
  /** How many tasks run at once. */
  readonly concurrency: number;
  /** Tasks after which this process asks to be replaced; 0: never. */
  readonly maxTasks: number;
  run(task: Task): unknown;
  /** The handler of a durable job. */
  runJob(task: Task): unknown;
  /** Publishes how many tasks it could take now. */
  setRoom(count: number): void;
  /** Publishes whether it finds a task without being woken. */
  setLooking(looks: boolean): void;
  setRunning(count: number): void;
  /** How long a task ran, in ms. */
  took(ms: number): void;
  /** Wakes another task worker to check the queue. */
  wakeAnother(): void;
  /** Requests a turn of the event loop. */
  wakeSoon(): void;
  /** It has run `maxTasks`: requests its own replacement. */
  retire(): void;
}

/** It takes no more tasks for so long, to be replaced while it runs none. Then it takes some, and hopes on. */
const RESTRAINT_MS = 10_000;
/** Where tasks take so long, none begins any more once the successor has been asked for: it could be cut. */
const LONG_MS = 500;
/** At the end of the server a handler whose job was given back has this time to see it and to clean up. */
const CLEAN_UP_MS = 500;
/** After this time the event loop gets a turn, even if tasks follow each other without waiting. */
const TURN_MS = 10;

class RunningTask implements Task {
  readonly id: number;
  readonly fromWorkerId: number;
  readonly claimed: ClaimedTask;
  readonly startedAt = performance.now();
  data: unknown;
  #controller: AbortController | undefined;
  #reason: Error | undefined;

  constructor(claimed: ClaimedTask) {
    this.claimed = claimed;
    this.id = claimed.id;
    this.fromWorkerId = claimed.fromWorkerId;
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#reason !== undefined) this.#controller.abort(this.#reason);
    }
    return this.#controller.signal;
  }

  abort(reason: Error): void {
    if (this.#reason !== undefined) return;
    this.#reason = reason;
    this.#controller?.abort(reason);
  }
}

export class TaskRunner implements WorkSource {
  readonly holdsUntilFinished = false;
  readonly #parts: TaskRunnerParts;
  readonly #running: RunningTask[] = [];
  #attached = false;
  #isReleased = false;
  #stopping = false;
  /** Monotonic; until then jobs that were given back are waited for. */
  #cleanUpBy = 0;
  #whenFree: (() => void) | undefined;
  /** Running: no task is taken. */
  #restraint: NodeJS.Timeout | undefined;
  #taken = 0;
  #longestMs = 0;
  #turnStarted = 0;
  /** The last look at the clock: when a task began or ended. */
  #lookedAt = 0;

  constructor(parts: TaskRunnerParts) {
    this.#parts = parts;
  }

  attach(): void {
    this.#attached = true;
    this.#parts.setLooking(false); // its predecessor may have died looking
    this.#tell();
  }

  take(goOn: () => boolean): boolean {
    this.#turnStarted = performance.now();
    this.#lookedAt = this.#turnStarted;
    this.#abortGivenUp();
    this.#claim(() => goOn() && this.#hasTime);
    return this.hasWork;
  }

  get hasWork(): boolean {
    return this.#hasRoom && this.#parts.queue.hasWaiting;
  }

  get isFree(): boolean {
    return this.#attached && this.#running.length === 0;
  }

  look(looks: boolean): void {
    this.#parts.setLooking(looks);
  }

  /** At a stop jobs are not waited for longer than it takes to clean up: their queue gives them to another node. */
  get pending(): number {
    if (!this.#stopping || performance.now() < this.#cleanUpBy) return this.#running.length;
    return this.#running.reduce((count, { claimed }) => count + (claimed.isJob ? 0 : 1), 0);
  }

  whenFree(then: () => void): void {
    this.#whenFree = then;
    if (this.#running.length === 0) this.#becomeFree();
    else this.#restrain();
  }

  release(): void {
    this.#attached = false;
    this.#parts.setRoom(0);
    this.#isReleased = true;
  }

  settle(): void {
    this.#stopping = true;
    for (const task of this.#running) this.#abortAtStop(task);
  }

  stop(): void {
    this.settle();
    this.#abortGivenUp();
    if (!this.#running.some(({ claimed }) => claimed.isJob)) return;
    this.#cleanUpBy = performance.now() + CLEAN_UP_MS;
    setTimeout(() => this.#parts.wakeSoon(), CLEAN_UP_MS);
  }

  get #hasRoom(): boolean {
    return this.#attached && !this.#isRestrained && this.#running.length < this.#parts.concurrency;
  }

  get #isRestrained(): boolean {
    return this.#restraint !== undefined;
  }

  #restrain(): void {
    clearTimeout(this.#restraint);
    this.#restraint = setTimeout(() => this.#unrestrain(), RESTRAINT_MS).unref();
    this.#tell();
  }

  #unrestrain(): void {
    if (!this.#isRestrained) return;
    clearTimeout(this.#restraint);
    this.#restraint = undefined;
    this.#tell();
    this.#parts.wakeSoon();
  }

  #becomeFree(): void {
    const then = this.#whenFree;
    if (then === undefined) return;
    this.#whenFree = undefined;
    then();
    if (this.#longestMs >= LONG_MS) this.#restrain();
    else this.#unrestrain();
  }

  get #hasTime(): boolean {
    return this.#lookedAt - this.#turnStarted <= TURN_MS;
  }

  #claim(goOn: () => boolean): void {
    while (this.#hasRoom && goOn()) {
      const claimed = this.#parts.queue.claim();
      if (claimed === undefined) return;
      inOwnContext(this.#begin, this, new RunningTask(claimed));
    }
  }

  #begin(task: RunningTask): void {
    this.#running.push(task);
    this.#lookedAt = task.startedAt;
    this.#tell();
    if (this.#stopping) this.#abortAtStop(task);
    // This task may keep the processor for long: another idle task worker should take the waiting ones.
    if (this.#parts.queue.hasWaiting) this.#parts.wakeAnother();
    this.#taken++;
    if (this.#taken % this.#parts.maxTasks === 0) this.#parts.retire();
    try {
      if (task.claimed.isJob && task.claimed.isAborted) throw new ServerError('ERR_TASK_GIVEN_UP', { taskId: task.id });
      const data = task.claimed.readData();
      const result = data instanceof Promise ? this.#runLater(task, data) : this.#run(task, data);
      if (isThenable(result)) void this.#await(task, result);
      else this.#end(task, false, result);
    } catch (error) {
      this.#end(task, true, error);
    }
  }

  #run(task: RunningTask, data: unknown): unknown {
    const traced = data instanceof TracedValue ? data : undefined;
    task.data = traced === undefined ? data : traced.value;
    return task.claimed.isJob ? this.#parts.runJob(task) : this.#runInSpan(task, traced?.trace);
  }

  #runInSpan(task: RunningTask, trace: string | undefined): unknown {
    if (!isTracing()) return this.#parts.run(task);
    const attributes = {
      'messaging.system': 'tswoole',
      'messaging.operation.name': 'process',
      'messaging.operation.type': 'process',
      'messaging.destination.name': 'task',
      'messaging.message.id': String(task.id),
    };
    const start = { name: 'process task', kind: SpanKind.consumer, parent: carrierOf(trace), attributes };
    return inSpan(start, () => this.#parts.run(task));
  }

  async #runLater(task: RunningTask, data: Promise<unknown>): Promise<unknown> {
    const read = await data;
    if (task.claimed.isAborted) throw new ServerError('ERR_TASK_GIVEN_UP', { taskId: task.id });
    return this.#run(task, read);
  }

  async #await(task: RunningTask, result: PromiseLike<unknown>): Promise<void> {
    try {
      this.#end(task, false, await result);
    } catch (error) {
      this.#end(task, true, error);
    }
    this.#claim(() => this.#hasTime);
    // A turn is where it waits for the next task, also where there is none yet.
    if (this.#running.length === 0 || this.hasWork || !this.#attached || this.#stopping) this.#parts.wakeSoon();
  }

  #end(task: RunningTask, failed: boolean, value: unknown): void {
    if (!this.#running.includes(task)) return;
    // Before it leaves the list: if this throws, the task ends with that error.
    this.#parts.queue.finish(task.claimed, failed, value);
    const at = this.#running.indexOf(task);
    const last = this.#running.pop() as RunningTask;
    if (last !== task) this.#running[at] = last;
    this.#lookedAt = performance.now();
    const tookMs = this.#lookedAt - task.startedAt;
    this.#longestMs = Math.max(this.#longestMs, tookMs);
    this.#parts.took(tookMs);
    this.#tell();
    if (this.#running.length === 0) this.#becomeFree();
  }

  /** A job ends well, or until its queue gives it up. */
  #abortAtStop(task: RunningTask): void {
    if (!task.claimed.isJob) task.abort(new ServerError('ERR_SHUTTING_DOWN', {}));
  }

  #abortGivenUp(): void {
    for (const task of this.#running) {
      if (task.claimed.isAborted) task.abort(this.#givenUp(task));
    }
  }

  /** Why the queue no longer waits for a job, it says nowhere: at the end of a server it gives back what is left. */
  #givenUp({ claimed, id: taskId, data }: RunningTask): ServerError {
    if (!claimed.isJob) return new ServerError('ERR_TASK_GIVEN_UP', { taskId });
    const { id = '' } = (data ?? {}) as { id?: string }; // none: it is still being read
    return new ServerError(this.#stopping ? 'ERR_JOB_GIVEN_BACK' : 'ERR_JOB_LEASE_LOST', { id });
  }

  /** Once it is released its place is another's: what it says then would be taken for what that one says. */
  #tell(): void {
    if (this.#isReleased) return;
    const { length } = this.#running;
    this.#parts.setRunning(length);
    this.#parts.setRoom(this.#attached && !this.#isRestrained ? this.#parts.concurrency - length : 0);
  }
}
