/**
 * What a listen port speaks: how the bytes of its connections become frames for workers, and frames of workers become
 * bytes. Runs in the reactor.
 */
import type { Frame } from '../ipc/frames/frame.js';
import type { Reply } from '../ipc/reply.js';
import type { Connection } from './connection.js';

/** How a frame that a process has sent for a connection is treated before its protocol gets it. */
export const FrameKind = {
  unknown: 0,
  /** Its payload is for the client. Frames of one type and detail without flags, in a row, come as one. */
  bytes: 1,
  /** Keeps its place behind what the same process has sent before. */
  ordered: 2,
  /** May overtake. */
  urgent: 3,
} as const;
export type FrameKind = (typeof FrameKind)[keyof typeof FrameKind];

export type FrameTypes = readonly (readonly [type: number, kind: FrameKind])[];

/**
 * One object per listen port and reactor (an upgrade's target: one per reactor). Per connection there is only
 * `connection.state`. At most four classes may be alive in one reactor: with five, calls go megamorphic (7–10 ns become
 * 31–41).
 */
export interface Protocol {
  readonly name: string;
  /** The worker of the connection is the only one that can go on with its bytes. */
  readonly isBound: boolean;
  /** Frames of its own. `send`, `sendFile`, `close` … never come here. */
  readonly frames: FrameTypes;
  /** It is a connection now: behind its PROXY header and its handshake; early bytes lie in `input`. */
  open(connection: Connection): void;
  /** There may be bytes: first those in `input`, then those of the transport. */
  readable(connection: Connection): void;
  /** The client has ended its side. */
  peerEnded(connection: Connection): void;
  /** A frame of its own types. @param peer who has sent it */
  frame(connection: Connection, frame: Frame, peer: number): void;
  /** A whole reply of a worker in this process, by hand instead of through the ring (BASE mode). @returns false: the ring takes it */
  reply?(connection: Connection, reply: Reply, peer: number): boolean;
  /** The client has taken all that waited for it. */
  flushed(connection: Connection): void;
  /** Nothing that a worker still does for it has an effect: perhaps several times. @param code CloseCode */
  lost(connection: Connection, code: number): void;
  /** It is `answering`, and nothing of the answer has left for halfCloseTimeoutMs. */
  overdue(connection: Connection): void;
  /** The descriptor is gone. */
  closed(connection: Connection): void;
  /** A worker is at it: heartbeat and quiesce leave it alone. */
  isBusy(connection: Connection): boolean;
  /** It cannot go over to the process that comes next (BASE mode): what has begun is finished, then it is closed. */
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
  stop(): void;
}
