/**
 * What a listen port speaks: how the bytes of its connections become frames for workers, and frames of workers become
 * bytes. Runs in the reactor.
 */
import type { Frame } from '../ipc/frames/frame.js';
import type { Reply } from '../ipc/reply.js';
import type { Connection } from './connection.js';
import type { Batch } from './publication.js';

/** How the reactor treats a frame from a process before the connection's protocol gets it. */
export const FrameKind = {
  unknown: 0,
  /** Its payload is for the client. Frames of one type and detail without flags, in a row, come as one. */
  bytes: 1,
  /** Keeps its place behind what the same process sent before. */
  ordered: 2,
  /** May overtake. */
  urgent: 3,
  /** For no connection in particular. */
  wide: 4,
} as const;
export type FrameKind = (typeof FrameKind)[keyof typeof FrameKind];

export type FrameTypes = readonly (readonly [type: number, kind: FrameKind])[];

/**
 * One object per listen port and reactor (an upgrade's target: one per reactor). Per connection there is only
 * `connection.state`. At most four classes may be alive in one reactor: with five, calls go megamorphic (7–10 ns
 * become 31–41).
 */
export interface Protocol {
  readonly name: string;
  /** Only the connection's worker can continue with its bytes. */
  readonly isBound: boolean;
  /** The protocol's own frames. `send`, `sendFile`, `close` … never come here. */
  readonly frames: FrameTypes;
  /** The connection begins, behind its PROXY header and its handshake; early bytes lie in `input`. */
  open(connection: Connection): void;
  /** There may be bytes: first those in `input`, then those of the transport. */
  readable(connection: Connection): void;
  /** The client has ended its side. */
  peerEnded(connection: Connection): void;
  /** A frame of the protocol's own types. @param peer its sender */
  frame(connection: Connection, frame: Frame, peer: number): void;
  /** A whole reply of a worker in this process, passed directly instead of through the ring (BASE mode). @returns false: the ring takes it */
  reply?(connection: Connection, reply: Reply, peer: number): boolean;
  /** The connection is about to become a member of a room. Missing: it may. @param as JoinAs @returns false: it may not */
  joins?(connection: Connection, as: number): boolean;
  /** Something was published to a room of the connection. Missing: connections of this protocol are in no rooms. */
  publish?(connection: Connection, batch: Batch): void;
  /** The client has taken all queued bytes. */
  flushed(connection: Connection): void;
  /** Its worker is told of its end, by the next frame. */
  beforeClose?(connection: Connection): void;
  /** Further work of a worker for it has no effect: may be called several times. @param code CloseCode */
  lost(connection: Connection, code: number): void;
  /** The connection is `answering`, and nothing of the reply has left for halfCloseTimeoutMs. */
  overdue(connection: Connection): void;
  /** The descriptor is gone. */
  closed(connection: Connection): void;
  /** A worker is handling it: heartbeat and quiesce leave it alone. */
  isBusy(connection: Connection): boolean;
  /** The client has just been answered, or has just come: it may have a request on the way. Missing: it has none. */
  expectsRequest?(connection: Connection): boolean;
  /** The head of a request has come whole, and the reactor waits for its body before a worker gets it. Missing: it never does. */
  collectsBody?(connection: Connection): boolean;
  /** The worker that is to answer: what others send waits for what it has sent. −1, or missing: none. */
  answeringWorker?(connection: Connection): number;
  /** It cannot be handed off to the next process (BASE mode): work that has begun is finished, then it is closed. */
  dismiss(connection: Connection): void;
  /** Another process can go on with it as it stands (BASE mode). Missing: always. */
  canGoOver?(connection: Connection): boolean;
  /** What another process needs to go on (BASE mode), as JSON. */
  save(connection: Connection): unknown;
  restore(connection: Connection, saved: unknown): void;
  /** At the end of each turn. */
  turnEnd?(): void;
  /** How often `tick` looks at deadlines, in ms; 0: never. */
  readonly tickMs: number;
  tick(): void;
  /** Processes have ended, and all that they had sent was taken. */
  workerDied(): void;
  /** After `workerDied`: what a dead process still held for the connection will never come. */
  sendsLost(connection: Connection): void;
  stop(): void;
}
