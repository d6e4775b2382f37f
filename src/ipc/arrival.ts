/** A newly accepted connection, on its way to the reactor that will own it. */
export interface Arrival {
  readonly descriptor: number;
  readonly portIndex: number;
  readonly family: number;
  /** 16 bytes, of which IPv4 uses 4. */
  readonly address: Buffer;
  readonly remotePort: number;
}
