/** One request for Node's own http, and the connection it came by. The worker provides it. */
import type { RequestBody } from '../exchange.js';

export interface RawExchange {
  /** Session id of the connection. */
  readonly fd: number;
  /** Request line and field lines with the empty line, as sent (latin1). */
  readonly head: string;
  /** The body was sent chunked: it comes decoded, and is fed chunked again, with its trailers. */
  readonly isChunked: boolean;
  readonly isUpgrade: boolean;
  readonly isEncrypted: boolean;
  readonly body: RequestBody;
  readonly remoteAddress: string;
  readonly remotePort: number;

  /** Bytes of the answer as they go on the wire. @returns false: wait for `drain` */
  writeRaw(data: Uint8Array | string, encoding?: 'latin1' | 'utf8'): boolean;
  /** The answer is complete: the next request of this connection may come. @param close the connection ends behind it */
  finish(close: boolean): void;
  /** Only for `isUpgrade`: from now on bytes go both ways as they come, and the connection is this worker's until it ends. */
  tunnel(events: TunnelEvents): Tunnel;
  readonly isGone: boolean;
  /** Called when the connection ends before `finish`; at once when it has ended. */
  onGone(listener: () => void): void;
  /** Resolves when more can be written, or the client has gone. */
  drain(): Promise<void>;
  /** The answer cannot be finished: the connection ends at once. */
  abort(): void;
}

export interface TunnelEvents {
  received(data: Buffer): void;
  /** The client sends nothing more. */
  ended(): void;
  /** The connection is no more. */
  gone(): void;
}

export interface Tunnel {
  /** @returns false: wait for `drain` */
  write(data: Uint8Array): boolean;
  drain(): Promise<void>;
  /** Nothing more is written: the client gets what was, and then the end. */
  end(): void;
  /** Ends the connection at once; what was written before `end` still goes. */
  destroy(): void;
  pause(): void;
  resume(): void;
}
