import type { UserConnection, WorkerCallbacks } from '../callbacks.js';
import type { Calls } from '../calls.js';
import type { Connections } from '../connections.js';
import type { Figures } from '../figures.js';
import type { ServiceHost } from '../service.js';

/** What the protocols of this folder get besides. */
export interface WorkerHost<C extends UserConnection> extends ServiceHost {
  readonly calls: Calls;
  readonly connections: Connections<C>;
  readonly figures: Figures;
  readonly callbacks: WorkerCallbacks<C>;
  /** What one client may have sent that is not handled yet; 0: any amount. */
  readonly maxQueuedBytes: number;
  /** Reactors want to know what is handled. */
  readonly countsHandled: boolean;
  /** The sender of a datagram. */
  createPeer(portIndex: number, sockaddr: Buffer): unknown;
}
