/** The owners of connections, as the master sees them: its reactor threads, or (BASE) the workers. */
import type { ListeningPort } from '../listen/bind-port.js';

export interface ConnectionOwners {
  /** Resolves when the manager may be started: both come up side by side. */
  start(ports: readonly ListeningPort[]): Promise<void>;
  /** Resolves when the owners could take connections. */
  ready(): Promise<void>;
  /** Sockets of a listen port that some owners have, beside the one of the port. Missing: there are none. */
  furtherSockets?(port: number): readonly number[];
  /** Clients may come: every worker is ready, the ports listen. */
  accept(): void;
  /** No client is accepted any more. */
  stopAccepting(): void;
  /** Nothing more is taken in. */
  quiesce(): Promise<void>;
  /** Resolves when queued bytes have left and the connections are closed, after `deadlineMs` at the latest. */
  closeAll(deadlineMs: number): Promise<void>;
  /** Reads certificates again, where that does not happen by itself. @returns why the old ones stay; undefined: they do not */
  renew(): Promise<string | undefined>;
  /** New connections and packets go to the first `workerNum` workers. */
  useWorkers(workerNum: number): void;
  /** Sends nothing to workers from this id on. Resolves when nothing is on its way to them either. */
  withhold(from: number): Promise<void>;
  /** Those workers have finished: their connections go to others. */
  rebind(): Promise<void>;
  stop(): Promise<void>;
  /** The process exits now. */
  stopAtOnce(): void;
}
