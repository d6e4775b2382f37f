/** A request and its answer as bytes, for code that speaks HTTP itself: Node's own server. Runs in a worker. */
import type { RequestBody } from '../exchange.js';
import type { RequestSpan } from '../request-span.js';

export interface RawExchange {
  readonly fd: number;
  /** Request line and field lines with the empty line, as sent (latin1). */
  readonly head: string;
  /** The body was sent chunked: it comes decoded. */
  readonly isChunked: boolean;
  readonly isUpgrade: boolean;
  readonly isEncrypted: boolean;
  readonly body: RequestBody;
  /** The whole body has come to this process. */
  readonly hasWholeBody: boolean;
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly isGone: boolean;
  /** Where an OpenTelemetry SDK is registered. */
  readonly span?: RequestSpan | undefined;
  /** The connection ends behind the answer, as far as is known before it. */
  readonly mustClose: boolean;
  /** Bytes of the answer as they go on the wire. @returns false: wait for `drain` */
  writeRaw(data: Uint8Array | string, encoding?: 'latin1' | 'utf8'): boolean;
  /** 100 Continue. */
  sendContinue(): void;
  /** The reader of the body sends 100 Continue itself, or does not: reading the body does not send it. */
  leaveContinue(): void;
  /** The answer is complete: the next request of this connection may come. @param close the connection ends behind it */
  finish(close: boolean): void;
  /** Only for `isUpgrade`: from now on bytes go both ways as they come. The connection is this worker's until it ends. */
  tunnel(events: TunnelEvents): Tunnel;
  onGone(listener: () => void): void;
  drain(): Promise<void>;
  abort(): void;
}

export interface TunnelEvents {
  received(data: Buffer): void;
  /** The client has ended its side. */
  ended(): void;
  /** The connection is gone. */
  gone(): void;
}

export interface Tunnel {
  write(data: Uint8Array): boolean;
  drain(): Promise<void>;
  end(): void;
  /** Bytes written before `end` still leave. */
  destroy(): void;
  pause(): void;
  resume(): void;
}
