/**
 * Finds whole packets in a stream of bytes. One framer serves all connections of a port and is stateless: the caller
 * passes the state of the connection. All implementations share one suite: `test/protocol/framing.test.ts`.
 */
export interface Framer {
  /**
   * Measures the packet that begins at `from`; bytes from `to` on have not arrived yet. `bytes` belongs to the caller.
   * @param searched how many bytes from `from` on were searched before, without success
   * @returns the packet's whole length, which may exceed the bytes received; MORE when it is not known yet; MALFORMED
   */
  packetLength(bytes: Buffer, from: number, to: number, searched: number): number;
}

export const MORE = 0;
export const MALFORMED = -1;
