/** What is published to a room, on its way to members. Runs in the reactor. */

/** Publications on their way to the members of a room. Good until the call returns. */
export interface Batch {
  readonly source: Buffer;
  /** Where `source` begins for the kernel. */
  readonly address: number;
  /** WebSocket frames. */
  readonly at: number;
  readonly length: number;
  /** The same, compressed; length 0: they are not. */
  readonly deflatedAt: number;
  readonly deflatedBytes: number;
  /** How many publications it holds. */
  readonly messages: number;
  /** Those that are texts, in order, decoded once for all members that want it. */
  texts(): readonly string[];
  /** The process that has published. */
  readonly peer: number;
}

/** A room, as a member knows it. */
export interface JoinedRoom {
  readonly name: string;
}
