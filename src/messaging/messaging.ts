/**
 * Messaging of this process: the tasks it submits, the messages it sends and receives. The owner of the event loop calls
 * `take` in each turn, and checks `hasWork` after it has announced its sleep. Runs in every process.
 */

import type { Region } from '../memory/region.js';
import type { DoorbellDescriptors } from '../os/doorbell.js';
import { lookAtWaiters, setRinger } from '../shared/waiting/waiting.js';
import { inOwnContext } from '../util/own-context.js';
import { Counter, MessagingMemory } from './memory.js';
import { Messenger } from './messenger.js';
import { Overflow } from './overflow.js';
import { Peers } from './peers.js';
import { Records } from './record.js';
import { SharedTaskKeeper } from './shared-task-keeper.js';
import { SharedTaskQueue } from './shared-task-queue.js';
import { Slots } from './slots.js';
import { type FinishCallback, TaskClient } from './task-client.js';

export interface MessagingOptions {
  readonly taskQueueLimit: number;
  readonly taskRetries: number;
  readonly taskTimeoutMs: number;
  readonly messageBufferSize: number;
}

export interface MessagingParts {
  readonly region: Region;
  readonly overflow: number;
  readonly bells: readonly DoorbellDescriptors[];
  readonly peer: number;
  /** The id of this process when it is a task worker. */
  readonly taskWorkerId?: number;
  readonly options: MessagingOptions;
  /** The `finish` event. */
  readonly finish: FinishCallback | undefined;
  /** A task without a waiting caller has failed, or a callback has, or a message could not be read. */
  failed(what: string, error: unknown): void;
}

export class Messaging {
  /** The file for large data. */
  readonly overflow: Overflow;
  readonly queue: SharedTaskQueue;
  /** For the manager. */
  readonly keeper: SharedTaskKeeper;
  readonly tasks: TaskClient;
  readonly messenger: Messenger;
  readonly #memory: MessagingMemory;
  readonly #peers: Peers;

  constructor(parts: MessagingParts) {
    const { region, options, peer, failed } = parts;
    const memory = new MessagingMemory(region);
    this.overflow = new Overflow(parts.overflow, memory, peer);
    const records = new Records(memory, this.overflow);
    const slots = new Slots(memory, records, peer);
    const peers = new Peers(region, parts.bells);
    this.#memory = memory;
    this.#peers = peers;
    setRinger((bell) => peers.ring(bell), peer);
    const common = { region, memory, records, slots, peers, peer };
    const queueParts = { ...common, limit: options.taskQueueLimit, retries: options.taskRetries };
    this.queue = new SharedTaskQueue(queueParts);
    this.keeper = new SharedTaskKeeper(queueParts);
    const call = (callback: () => unknown): void => callUser("the 'finish' callback failed", callback, failed);
    const { workerNum, taskWorkerNum } = region.shape;
    this.tasks = new TaskClient({
      queue: this.queue,
      firstTaskWorker: workerNum,
      endTaskWorker: workerNum + taskWorkerNum,
      ownTaskWorkerId: parts.taskWorkerId,
      timeoutMs: options.taskTimeoutMs,
      call,
      ended: (taskId, result, error) => {
        if (error !== undefined) failed(`task ${taskId} failed, and nobody waited for it`, error);
        else call(() => parts.finish?.(taskId, result));
      },
    });
    this.messenger = new Messenger({
      ...common,
      limitBytes: options.messageBufferSize,
      failed: (error) => failed('a message of another process could not be read', error),
    });
  }

  /** @returns true when there may be more */
  take(goOn: () => boolean): boolean {
    this.tasks.take();
    this.messenger.flush();
    lookAtWaiters();
    return this.messenger.take(goOn);
  }

  get hasWork(): boolean {
    return this.queue.hasEnded || this.messenger.hasMessages;
  }

  /** It has submitted tasks whose results may come at any moment. */
  get expectsResult(): boolean {
    return this.tasks.pending > 0;
  }

  get hasResult(): boolean {
    return this.queue.hasEnded;
  }

  /** Messages sent by all processes since the start. */
  get messageCount(): number {
    return this.#memory.total(Counter.messages);
  }

  /** Wakes another idle task worker for the waiting tasks. */
  wakeFreeTaskWorker(): void {
    this.#peers.wakeFreeTaskWorker();
  }

  /** Results and messages this process has yet to receive or send before it may end. */
  get pending(): number {
    return this.tasks.pending + this.#messages;
  }

  /** The messages, and the results that a caller awaits. */
  get awaited(): number {
    return this.tasks.awaited + this.#messages;
  }

  /** Those that wait for room, and those that were taken and no callback has yet. */
  get #messages(): number {
    return this.messenger.holding + this.messenger.reading;
  }
}

function callUser(what: string, callback: () => unknown, failed: (what: string, error: unknown) => void): void {
  try {
    const result = inOwnContext(callback, undefined);
    if (result instanceof Promise) result.catch((error: unknown) => failed(what, error));
  } catch (error) {
    failed(what, error);
  }
}
