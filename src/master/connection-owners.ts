/** Whoever accepts clients and owns their connections, as the master sees it: its reactor threads, or (BASE) the workers. */
import type { ListeningPort } from '../listen/bind-port.js';

export interface ConnectionOwners {
  /** Resolves when they could take connections. */
  start(ports: readonly ListeningPort[]): Promise<void>;
  /** Clients may come: every worker is ready, the ports listen. */
  accept(): void;
  /** No client is accepted any more. */
  stopAccepting(): void;
  /** Nothing more is taken in. */
  quiesce(): Promise<void>;
  /** Resolves when what is queued for clients has left and the connections are closed, after `deadlineMs` at the latest. */
  closeAll(deadlineMs: number): Promise<void>;
  /** Certificates are read again, where that does not happen by itself. */
  renew(): void;
  stop(): Promise<void>;
  /** The process ends now. */
  stopAtOnce(): void;
}
