/**
 * How the bytes of a connection travel: recv(2) and send(2), or the same through encryption. One object per
 * reactor and kind; its state of a connection lies in `connection.secure`. Runs in the reactor.
 */
import type { TlsInfo } from '../../memory/tls-records.js';
import type { FilePart } from '../out-queue.js';

/** What a transport that encrypts keeps of a connection. */
export interface Secured {
  /** The protocol that was agreed upon by ALPN, '' for none. */
  readonly alpn: string;
  /** What the handshake has agreed upon, and who the client is if it has said so. */
  info(): TlsInfo;
  /** No connection takes it. */
  free(): void;
  /** Only of a transport that does not read through the poller. */
  listen?(events: TransportEvents): void;
}

export interface TransportEvents {
  /** Bytes, or the client's end. */
  readable(): void;
  /** Some of the queued bytes have reached the kernel. */
  written(): void;
  failed(error: NodeJS.ErrnoException): void;
  /** The descriptor is gone. */
  closed(): void;
}

/** A connection, as a transport sees it. */
export interface Carried {
  readonly descriptor: number;
  readonly secure: Secured | null;
  /** The kernel has reported the client's end: reading goes on until it shows. */
  hangup: boolean;
}

/** Bytes of one connection that are ready for the kernel. */
export interface Staged {
  readonly bytes: number;
  /** Asked when those of all connections are ready. */
  address(): number;
  /** @param sent what the kernel has taken of them, or −errno @returns as `Transport.send` */
  done(sent: number): number;
  /** All connections have been told. */
  end(): void;
}

/** Numbers below 0 are −errno. */
export interface Transport {
  /** A read that gave less than it could has emptied the kernel's buffer. */
  readonly drainsByShortRead: boolean;
  /** Bytes that `send` has taken are with the kernel: `release` right behind it loses nothing. */
  readonly isDirect: boolean;
  /** The descriptor carries the bytes as they are. */
  readonly isPlain: boolean;
  /** Another process can continue with the descriptor (BASE mode): this one holds no keys. */
  readonly canHandOff: boolean;
  /**
   * @param target takes at most `limit` bytes at `at`, which the kernel finds at `address`
   * @returns bytes; 0: the client has ended its side; −EAGAIN: nothing now
   */
  receive(connection: Carried, target: Buffer, at: number, address: number, limit: number): number;
  /** @param source holds the bytes at `at`, the kernel finds them at `address` @returns bytes taken; −EAGAIN: none now */
  send(connection: Carried, source: Buffer, at: number, address: number, length: number): number;
  /**
   * Parts in a row, which are not empty; the caller keeps them.
   * @param more a file follows at once: its bytes may join the last packet of these
   * @returns as `send`
   */
  sendParts(connection: Carried, parts: readonly Buffer[], more?: boolean): number;
  /** @returns bytes of the file taken, of at most `most` @throws Error when the file cannot be read */
  sendFile(connection: Carried, part: FilePart, most: number): number;
  /**
   * For a send of many connections in one call, by `Batch`: makes the bytes ready. No other call of this transport comes before
   * `staged` of all. Missing: its sends cannot be put together. @returns undefined: `send` is to do it
   */
  stage?(connection: Carried, address: number, length: number): Staged | undefined;
  /** Bytes it has taken that have not reached the kernel. */
  queuedBytes(connection: Carried): number;
  /** The reactor wants reports of READABLE or WRITABLE. */
  rearm(connection: Carried, events: number): void;
  /** Ends the writing side behind all bytes sent. */
  end(connection: Carried): void;
  /** The kernel has room again for what `end` could not send. */
  flush(connection: Carried): void;
  /** The descriptor goes, with an RST. */
  reset(connection: Carried): void;
  /** Releases the descriptor. */
  release(connection: Carried): void;
  /** False when the descriptor may belong to another connection by now. */
  holdsDescriptor(connection: Carried): boolean;
}
