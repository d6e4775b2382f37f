/** The states of a connection, and what may stop its reading. Runs in the reactor. */

/**
 * ```
 *            the client ended its side, or the connection is dismissed
 *  open ───────────────────────────────────────────────▶ answering
 *   │ ▲                                                  │   │
 *   │ └── HTTP/1: the answer is whole, requests that ────┘   │
 *   │     were read before the end of the client come next   │
 *   ├──────────────────▶ closing ◀───────────────────────────┤
 *   │                      │   queued bytes still leave      │
 *   │                      ▼                                 │
 *   │                   lingering    waits for the client's end
 *   │                      │                                 │
 *   └──────────────────▶ closed ◀────────────────────────────┘
 * ```
 */
export const Life = {
  /** Bytes go both ways. */
  open: 0,
  /** Further input of the client is ignored; a worker may still reply. */
  answering: 1,
  /** Queued bytes leave, then the socket is shut down for writing. */
  closing: 2,
  /**
   * The socket is shut down for writing; the reactor waits for the client's end, so that no RST overtakes the last
   * bytes.
   */
  lingering: 3,
  /** The descriptor is gone. */
  closed: 4,
} as const;
export type Life = (typeof Life)[keyof typeof Life];

const names = Object.keys(Life) as (keyof typeof Life)[];

/** By state: its legal successors. */
const legalMoves: readonly (readonly Life[])[] = [
  [Life.answering, Life.closing, Life.closed],
  [Life.open, Life.closing, Life.closed],
  [Life.lingering, Life.closed],
  [Life.closed],
  [],
];

/** @throws Error when the move is not legal: a defect of this program */
export function checkMove(from: Life, to: Life): void {
  if (legalMoves[from]?.includes(to)) return;
  throw new Error(`a connection cannot go from ${names[from]} to ${names[to]}`);
}

/** Which `close` event the reactor has sent to the connection's worker. */
export const CloseSent = {
  none: 0,
  /** The client has ended its side; the worker may still answer. */
  half: 1,
  /** The last event of the connection. */
  whole: 2,
} as const;
export type CloseSent = (typeof CloseSent)[keyof typeof CloseSent];

/**
 * Why the reactor does not read a connection; reading resumes when no bit is left. Bytes of a closing connection
 * are still read, and discarded.
 */
export const Hold = {
  /** A process has paused it, or the port delays reading until `confirm`. */
  paused: 1,
  /** Its worker has `maxQueuedBytes` of it in flight. */
  inflight: 2,
  /** The ring of its worker has no room. */
  noRoom: 4,
  /** The server holds more than `maxBufferedBytes`. */
  budget: 8,
  /** Its worker is draining: see `WorkerDrain`. */
  draining: 16,
  /** The server takes nothing more in: it is shutting down. */
  quiet: 32,
} as const;
