/**
 * Encrypted bytes by the OpenSSL inside Node, straight from and to the kernel: as `PlainTransport`, without a stream in
 * between. Runs in the reactor.
 */
import { readFileAt } from '../../os/file.js';
import { addressOf, allocateStable, EAGAIN } from '../../os/libc.js';
import type { Poller } from '../../os/poller.js';
import { closeDescriptor, resetConnection, shutdownWrite } from '../../os/socket.js';
import type { FilePart } from '../out-queue.js';
import type { TlsSession } from './openssl/tls-session.js';

/** To be replaced by `../connection.js`. */
export interface SecureConnection {
  readonly descriptor: number;
  readonly secure: TlsSession | null;
  hangup: boolean;
}

/** To be replaced by `./transport.js`. Numbers below 0 are −errno. */
export interface Transport<C> {
  readonly drainsByShortRead: boolean;
  readonly isDirect: boolean;
  readonly canHandOff: boolean;
  receive(connection: C, target: Buffer, at: number, address: number, limit: number): number;
  send(connection: C, source: Buffer, at: number, address: number, length: number): number;
  sendFile(connection: C, part: FilePart, most: number): number;
  queuedBytes(connection: C): number;
  rearm(connection: C, events: number): void;
  end(connection: C): void;
  reset(connection: C): void;
  release(connection: C): void;
  holdsDescriptor(connection: C): boolean;
}

const FILE_PIECE_BYTES = 64 * 1024;

export class OpensslTransport<C extends SecureConnection> implements Transport<C> {
  readonly drainsByShortRead = true;
  readonly isDirect = true;
  readonly canHandOff = false;
  readonly #poller: Poller;
  readonly #piece = allocateStable(FILE_PIECE_BYTES);
  readonly #pieceAddress = addressOf(this.#piece);
  /** The kernel had no room for their close_notify; their FIN comes behind it. */
  readonly #ending = new Set<C>();

  constructor(poller: Poller) {
    this.#poller = poller;
  }

  receive(connection: C, _target: Buffer, _at: number, address: number, limit: number): number {
    if (this.#ending.size > 0) this.flush(connection);
    const session = sessionOf(connection);
    const n = session.read(address, limit);
    // An end, or a failure, that came with the bytes: no edge will tell of it.
    if (n > 0 && session.hasEnded) connection.hangup = true;
    return n;
  }

  /** What it did not take must come again, unchanged (`TlsSession.write`). */
  send(connection: C, _source: Buffer, _at: number, address: number, length: number): number {
    return sessionOf(connection).write(address, length);
  }

  sendFile(connection: C, part: FilePart, most: number): number {
    const read = readFileAt(part.descriptor, this.#piece, Math.min(most, FILE_PIECE_BYTES), part.offset);
    if (read === 0) throw new Error('it is shorter than it was');
    return sessionOf(connection).write(this.#pieceAddress, read);
  }

  /** Bytes are told of as taken when the kernel has them. */
  queuedBytes(): number {
    return 0;
  }

  rearm({ descriptor }: C, events: number): void {
    this.#poller.rearm(descriptor, events);
  }

  /** close_notify and FIN. */
  end(connection: C): void {
    if (sessionOf(connection).shutdown() === -EAGAIN) this.#ending.add(connection);
    else shutdownWrite(connection.descriptor);
  }

  /** The kernel has room again: what `end` could not send. */
  flush(connection: C): void {
    if (!this.#ending.has(connection) || sessionOf(connection).flush() === -EAGAIN) return;
    this.#ending.delete(connection);
    shutdownWrite(connection.descriptor);
  }

  reset(connection: C): void {
    this.#forget(connection);
    resetConnection(connection.descriptor);
  }

  /** A client learns by close_notify that nothing is missing. */
  release(connection: C): void {
    sessionOf(connection).shutdown();
    this.#forget(connection);
    closeDescriptor(connection.descriptor);
  }

  holdsDescriptor(): boolean {
    return true;
  }

  #forget(connection: C): void {
    this.#ending.delete(connection);
    sessionOf(connection).free();
    this.#poller.remove(connection.descriptor);
  }
}

function sessionOf({ secure }: SecureConnection): TlsSession {
  return secure as TlsSession;
}
