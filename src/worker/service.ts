/**
 * The worker's half of a protocol: takes its frames out of the rings and runs user code on them. One object per
 * protocol and process; `services/index.ts` lists those that every worker has. Runs in a worker.
 */
import type { Outbox } from '../ipc/outbox.js';
import type { RingReader } from '../ipc/ring.js';
import type { ConnectionTable } from '../memory/connection-table.js';
import type { Region } from '../memory/region.js';
import type { UserConnection } from './callbacks.js';
import type { Calls } from './calls.js';
import type { Figures } from './figures.js';
import type { ByteTaker } from './worker-connection.js';

/**
 * `Taken` goes from `take` to `deliver` as an argument: a new object kept in a field of this old one would cost each frame
 * the garbage collector's bookkeeping for it (3 to 6 % of a request).
 */
export interface FrameService<Taken = unknown> {
  /** Of its frames (`Event`). No two services share one. */
  readonly types: readonly number[];
  /** It holds a part of a packet whose rest no other process could use: a release waits. */
  readonly isIncomplete: boolean;
  /**
   * Copies what it needs of the frame at the front of the ring; the inbox then gives the room back. May not throw.
   * @returns what `deliver` gets
   */
  take(ring: RingReader): Taken;
  /**
   * Runs the user's code on what was taken last. May not throw.
   * @returns true: it was a piece of a packet, and the next one follows at once
   */
  deliver(taken: Taken): boolean;
  /** Of any connection, before `close` is called for it. @param isHalf the client has ended its side only */
  connectionEnded(fd: number, isHalf: boolean): void;
  /**
   * Another process takes over: ends work that cannot be handed off. `done` when none of it is left, at the
   * deadline at the latest; called at once where there is none.
   */
  dismiss(deadlineMs: number, done: () => void): void;
  /** The server is shutting down: asks clients not to come again. */
  drain(): void;
  /**
   * Looks in shared memory whether clients are still there, for nobody may tell this process that they left. Called now
   * and again, while no frame waits: what a frame tells is better known.
   */
  poll(): void;
}

/** What a worker offers to every protocol. */
export interface ServiceHost {
  readonly id: number;
  readonly lane: number;
  readonly region: Region;
  readonly table: ConnectionTable;
  readonly outbox: Outbox;
  readonly calls: Pick<Calls, 'addPending' | 'failed' | 'ended' | 'callFor' | 'failedFor' | 'begin' | 'settled'>;
  readonly figures: Pick<Figures, 'countRequest' | 'countAnswer'>;
  readonly connections: HeldConnections;
}

/** The connections of a process, as protocols see them: their bytes may belong to a protocol and not to `receive`. */
export interface HeldConnections {
  /** The one object per session, the same for every part of this process. */
  of(fd: number): CalledConnection;
  /** From now on this process takes the bytes of the connection, and its `close` waits for `release`. */
  hold(fd: number, taker: ByteTaker): void;
  release(fd: number): void;
  /** For a port whose connections have no `receive`: takes the bytes of connections that no protocol holds. */
  takeBytesOf(portIndex: number, taker: ByteTaker): void;
}

/** A connection that calls are made for. */
export interface CalledConnection {
  /** What callbacks get. */
  readonly user: UserConnection;
  pending: number;
  readonly ended: boolean;
  settled(): void;
}

/** A protocol that not every worker has: the code that starts the process passes it in. */
export type ServiceFactory = (host: ServiceHost) => FrameService;
