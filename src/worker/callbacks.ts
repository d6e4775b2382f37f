/** The user's functions that a worker calls, by listen port. The types are the surface's; nothing here imports it. */
import type { CloseReason } from '../ipc/frame.js';
import type { ClientInfo } from '../memory/connection-table.js';

/** What the worker needs of the object it passes to callbacks. */
export interface UserConnection {
  readonly fd: number;
  /** Called before `close`: from here on the object answers from its last state. */
  ended(info: ClientInfo | undefined): void;
}

export interface PortCallbacks<C extends UserConnection> {
  readonly connect?: ((connection: C) => unknown) | undefined;
  readonly receive?: ((connection: C, data: Buffer) => unknown) | undefined;
  readonly close?: ((connection: C, reason: CloseReason) => unknown) | undefined;
  readonly bufferFull?: ((connection: C) => unknown) | undefined;
  readonly packet?: ((data: Buffer, peer: never) => unknown) | undefined;
  readonly bufferEmpty?: ((connection: C) => unknown) | undefined;
}

export interface WorkerCallbacks<C extends UserConnection> {
  /** By the port's index. */
  readonly ports: readonly PortCallbacks<C>[];
  readonly workerStart?: ((workerId: number) => unknown) | undefined;
  readonly workerExit?: ((workerId: number) => unknown) | undefined;
  readonly workerStop?: ((workerId: number) => unknown) | undefined;
  readonly pipeMessage?: ((data: unknown, fromWorkerId: number) => unknown) | undefined;
}
