/** The events of a server: their callbacks, and the process each runs in. */
import type { DriverState, NodeInfo } from '../cluster/driver.js';
import type { WorkerErrorInfo } from '../manager/manager-parts.js';
import type { Task } from '../task/task-runner.js';
import { type PortEvents, portEventNames } from './listen-port.js';

type Result = void | Promise<void> | unknown;

/** Events of the server. */
export interface ServerEvents extends PortEvents, ProcessEvents {}

/** Events that are no listen port's. */
export interface ProcessEvents {
  /** Master: every worker is ready and clients can connect. Swoole: onStart */
  start(): Result;
  /** Master: shutdown begins; everything still works. Swoole: onBeforeShutdown */
  beforeShutdown(): Result;
  /** Master: all other processes have ended. Swoole: onShutdown */
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
   * Worker, task worker: it has finished its pending work and is about to stop; release timers and connections of
   * your own. Swoole: onWorkerExit
   */
  workerExit(workerId: number): Result;
  /** Worker, task worker: the last callback of an orderly end. Swoole: onWorkerStop */
  workerStop(workerId: number): Result;
  /** Task worker: what it returns, or resolves to, is the result; what it throws is the caller's error. Swoole: onTask. */
  task(task: Task): Result;
  /**
   * The process that asked by `task()`: the task has ended well, and had no `onFinish` of its own. Swoole: onFinish.
   */
  finish(taskId: number, result: unknown): Result;
  /**
   * Worker, task worker, user process: another process sent this by `sendMessage`; −1: the manager or the master.
   * Swoole: onPipeMessage
   */
  pipeMessage(data: unknown, fromWorkerId: number): Result;
  /** Worker: another node asks by `cluster.request`; what it returns, or resolves to, is the answer, what it throws the error. */
  clusterRequest(data: unknown, fromNode: string): Result;
  /** Worker, task worker, user process: a node has joined the cluster. */
  nodeUp(node: NodeInfo): Result;
  /** Worker, task worker, user process: `'left'`: it has said goodbye; `'lost'`: it has not been heard of for `ttlMs`. */
  nodeDown(nodeId: string, why: 'left' | 'lost'): Result;
  /** Worker, task worker, user process: whether messages reach other nodes. */
  clusterState(state: DriverState): Result;
  /** Worker, task worker, user process: messages to that room or subject may have been missed. */
  clusterGap(roomOrSubject: string): Result;
}

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
  'clusterRequest',
  'nodeUp',
  'nodeDown',
  'clusterState',
  'clusterGap',
] as const satisfies readonly (keyof ServerEvents)[];
