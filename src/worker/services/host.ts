import type { UserConnection, WorkerCallbacks } from '../callbacks.js';
import type { Calls } from '../calls.js';
import type { Connections } from '../connections.js';
import type { Figures, Sent } from '../figures.js';
import type { ServiceHost } from '../service.js';

/** How `packet` answers; its methods are called by the worker alone. */
export interface DatagramAnswers extends Sent {
  /** The sender of a datagram. */
  peer(portIndex: number, sockaddr: Buffer): unknown;
  /** From here to `endCallback` answers may wait for the end of the turn. */
  beginCallback(): void;
  endCallback(): void;
  endTurn(): void;
}

/** Further dependencies of the protocols in this folder. */
export interface WorkerHost<C extends UserConnection> extends ServiceHost {
  readonly calls: Calls;
  readonly connections: Connections<C>;
  readonly figures: Figures;
  readonly callbacks: WorkerCallbacks<C>;
  /** Unhandled bytes allowed per client; 0: any number. */
  readonly maxQueuedBytes: number;
  /** Reactors count the bytes handled. */
  readonly countsHandled: boolean;
  /** The packets of a connection may go to several workers, whose answers keep the order of the packets. */
  readonly answersInTurn: boolean;
  readonly datagrams: DatagramAnswers;
}
