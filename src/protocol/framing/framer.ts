/**
 * Finds whole packets in a stream of bytes. One framer serves all connections of a port and remembers nothing: what it
 * needs to know of a connection is given. Two and more implementations, one suite: `test/protocol/framing.test.ts`.
 */
export interface Framer {
  /**
   * Looks at the packet that begins at `from`; bytes from `to` on are not there yet. `bytes` belongs to the caller.
   * @param searched how many bytes from `from` on were looked at before, without success
   * @returns the packet's whole length, which may be more than what is there; MORE when it cannot be told yet; MALFORMED
   */
  packetLength(bytes: Buffer, from: number, to: number, searched: number): number;
}

export const MORE = 0;
export const MALFORMED = -1;
