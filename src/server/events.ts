/** The events of a server: their callbacks, and the process each runs in. */
import { describe, ServerError } from '../errors/index.js';
import type { HttpRequest } from '../http/request.js';
import type { HttpResponse } from '../http/response.js';
import type { CloseReason } from '../ipc/frame.js';
import type { WorkerErrorInfo } from '../manager/manager.js';
import { nearest } from '../options/index.js';
import type { Task } from '../task/task-runner.js';
import type { Connection } from './connection.js';
import type { DatagramPeer } from './datagrams.js';

type Result = void | Promise<void> | unknown;

/** Events of one listen port. All run in a worker; for one connection `connect` < every `receive` in order < `close`. */
export interface PortEvents {
  /** Worker: a client has connected. Swoole: onConnect */
  connect(conn: Connection): Result;
  /**
   * Worker: one whole packet; with raw framing what one read gave (at most 64 KiB). The buffer is the callback's own.
   * Swoole: onReceive
   */
  receive(conn: Connection, data: Buffer): Result;
  /**
   * Worker: one datagram, of a port of type 'udp' or 'unix-dgram'. The buffer is the callback's own.
   * Swoole: onPacket
   */
  packet(data: Buffer, peer: DatagramPeer): Result;
  /** Worker: one request over HTTP, of a port that speaks it; a throw is answered 500. Swoole: onRequest. */
  request(request: HttpRequest, response: HttpResponse): Result;
  /**
   * Worker: once per connection that had `connect`. Sending is over; what is known of the connection can still be asked.
   * Swoole: onClose
   */
  close(conn: Connection, reason: CloseReason): Result;
  /** Worker: at least `highWatermark` bytes wait to be sent: the client does not keep up. Swoole: onBufferFull */
  bufferFull(conn: Connection): Result;
  /** Worker: after `bufferFull`, at most `lowWatermark` bytes wait. Swoole: onBufferEmpty */
  bufferEmpty(conn: Connection): Result;
}

/** Events of the server. */
export interface ServerEvents extends PortEvents {
  /** Master: every worker is ready and clients can connect. Swoole: onStart */
  start(): Result;
  /** Master: shutdown begins; everything still works. Swoole: onBeforeShutdown */
  beforeShutdown(): Result;
  /** Master: nothing is left but this process. Swoole: onShutdown */
  shutdown(): Result;
  /**
   * Manager: the workers have been started. Fires again in a manager that replaces one that died.
   * Swoole: onManagerStart
   */
  managerStart(): Result;
  /** Manager: all workers have ended. Swoole: onManagerStop */
  managerStop(): Result;
  /** Manager: a reload begins; it waits for a promise. Swoole: onBeforeReload */
  beforeReload(): Result;
  /** Manager: new workers serve and the old ones are gone. Swoole: onAfterReload */
  afterReload(): Result;
  /** Manager: a worker ended with a code other than 0 or by a signal. Swoole: onWorkerError */
  workerError(info: WorkerErrorInfo): Result;
  /** Worker, task worker: before its first packet or task; it waits for a promise. Swoole: onWorkerStart */
  workerStart(workerId: number): Result;
  /**
   * Worker, task worker: it has finished what it owed and is about to stop; release timers and connections of your
   * own. Swoole: onWorkerExit
   */
  workerExit(workerId: number): Result;
  /** Worker, task worker: the last callback of an orderly end. Swoole: onWorkerStop */
  workerStop(workerId: number): Result;
  /** Task worker: what it returns, or resolves to, is the result; what it throws is the caller's error. Swoole: onTask. */
  task(task: Task): Result;
  /** The process that asked by `task()`: the task has ended well, and had no `onFinish` of its own. Swoole: onFinish. */
  finish(taskId: number, result: unknown): Result;
  /**
   * Worker, task worker, user process: another process sent this by `sendMessage`; −1: the manager or the master.
   * Swoole: onPipeMessage
   */
  pipeMessage(data: unknown, fromWorkerId: number): Result;
}

export const portEventNames = [
  'connect',
  'receive',
  'packet',
  'request',
  'close',
  'bufferFull',
  'bufferEmpty',
] as const;

export const serverEventNames = [
  ...portEventNames,
  'start',
  'beforeShutdown',
  'shutdown',
  'managerStart',
  'managerStop',
  'beforeReload',
  'afterReload',
  'workerError',
  'workerStart',
  'workerExit',
  'workerStop',
  'task',
  'finish',
  'pipeMessage',
] as const satisfies readonly (keyof ServerEvents)[];

type Callback = (...args: unknown[]) => unknown;

/** What asks for an answer is told that there is none the second time. */
const without: Readonly<Record<string, Callback>> = {
  request: (_request, response) => {
    const answer = response as HttpResponse;
    answer.statusCode = 404;
    answer.end();
  },
  task: () => {
    throw new ServerError('ERR_CALLBACK_MISSING', {
      event: 'task',
      where: 'each task after the first, as it was registered by once()',
    });
  },
};

function onlyOnce(event: string, callback: Callback): Callback {
  let isCalled = false;
  return (...args) => {
    if (isCalled) return without[event]?.(...args);
    isCalled = true;
    return callback(...args);
  };
}

/** One callback per event; a later one replaces the earlier. */
export class CallbackTable<E extends object> {
  readonly #names: readonly string[];
  readonly #replaced: (event: string) => void;
  readonly callbacks: Partial<E> = {};

  /** @param replaced an event that has a callback is given another one */
  constructor(names: readonly (keyof E & string)[], replaced: (event: string) => void) {
    this.#names = names;
    this.#replaced = replaced;
  }

  /** @throws ServerError ERR_EVENT_UNKNOWN, ERR_CALLBACK_TYPE */
  on<K extends keyof E & string>(event: K, callback: E[K]): void {
    this.#check(event);
    if (typeof callback !== 'function')
      throw new ServerError('ERR_CALLBACK_TYPE', { event, received: describe(callback) });
    const before = this.callbacks[event];
    if (before !== undefined && before !== callback) this.#replaced(event);
    this.callbacks[event] = callback;
  }

  /** @throws ServerError ERR_EVENT_UNKNOWN, ERR_CALLBACK_TYPE */
  once<K extends keyof E & string>(event: K, callback: E[K]): void {
    this.on(event, typeof callback === 'function' ? (onlyOnce(event, callback as Callback) as E[K]) : callback);
  }

  off(event: keyof E & string): void {
    this.#check(event);
    delete this.callbacks[event];
  }

  #check(event: string): void {
    if (this.#names.includes(event)) return;
    const near = nearest(String(event), this.#names);
    throw new ServerError('ERR_EVENT_UNKNOWN', {
      name: String(event),
      ...(near === undefined ? {} : { nearest: near }),
    });
  }
}
