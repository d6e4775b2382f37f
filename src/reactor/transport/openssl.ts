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
import type { Carried, Staged, Transport } from './transport.js';

const FILE_PIECE_BYTES = 64 * 1024;

export class OpensslTransport implements Transport {
  readonly drainsByShortRead = true;
  readonly isDirect = true;
  readonly isPlain = false;
  readonly canHandOff = false;
  readonly #poller: Poller;
  readonly #piece = allocateStable(FILE_PIECE_BYTES);
  readonly #pieceAddress = addressOf(this.#piece);
  /** The kernel had no room for their close_notify; their FIN comes behind it. */
  readonly #ending = new Set<Carried>();

  constructor(poller: Poller) {
    this.#poller = poller;
  }

  receive(connection: Carried, _target: Buffer, _at: number, address: number, limit: number): number {
    if (this.#ending.size > 0) this.flush(connection);
    const session = sessionOf(connection);
    const n = session.read(address, limit);
    // An end, or a failure, that came with the bytes: no edge will tell of it.
    if (n > 0 && session.hasEnded) connection.hangup = true;
    return n;
  }

  /** What it did not take must come again, unchanged (`TlsSession.write`). */
  send(connection: Carried, _source: Buffer, _at: number, address: number, length: number): number {
    return sessionOf(connection).write(address, length);
  }

  stage(connection: Carried, address: number, length: number): Staged | undefined {
    const session = sessionOf(connection);
    const output = session.stage(address, length);
    if (output === undefined) return undefined;
    return {
      bytes: output.bytes,
      address: () => session.addressOfStaged(output),
      done: (sent) => session.staged(output, sent, length),
      end: () => session.endStaging(),
    };
  }

  /** A small part goes into a record with what follows it: a head and its body begin in one. */
  sendParts(connection: Carried, parts: readonly Buffer[]): number {
    let taken = 0;
    let at = 0;
    for (let i = 0; i < parts.length; ) {
      const part = parts[i] as Buffer;
      const isJoined = part.length - at < FILE_PIECE_BYTES && i < parts.length - 1;
      const length = isJoined ? this.#join(parts, i, at) : part.length - at;
      const n = sessionOf(connection).write(isJoined ? this.#pieceAddress : addressOf(part) + at, length);
      if (n < 0) return taken > 0 ? taken : n;
      taken += n;
      if (n < length) return taken;
      at += n;
      while (i < parts.length && at >= (parts[i] as Buffer).length) at -= (parts[i++] as Buffer).length;
    }
    return taken;
  }

  /** Copies as much as `#piece` holds. @returns how much */
  #join(parts: readonly Buffer[], from: number, at: number): number {
    let length = 0;
    for (let i = from; i < parts.length && length < FILE_PIECE_BYTES; i++) {
      length += (parts[i] as Buffer).copy(this.#piece, length, i === from ? at : 0);
    }
    return length;
  }

  sendFile(connection: Carried, part: FilePart, most: number): number {
    const read = readFileAt(part.descriptor, this.#piece, Math.min(most, FILE_PIECE_BYTES), part.offset);
    if (read === 0) throw new Error('it is shorter than it was');
    return sessionOf(connection).write(this.#pieceAddress, read);
  }

  /** Bytes are told of as taken when the kernel has them. */
  queuedBytes(): number {
    return 0;
  }

  rearm({ descriptor }: Carried, events: number): void {
    this.#poller.rearm(descriptor, events);
  }

  /** close_notify and FIN. */
  end(connection: Carried): void {
    if (sessionOf(connection).shutdown() === -EAGAIN) this.#ending.add(connection);
    else shutdownWrite(connection.descriptor);
  }

  /** The kernel has room again: what `end` could not send. */
  flush(connection: Carried): void {
    if (!this.#ending.has(connection) || sessionOf(connection).flush() === -EAGAIN) return;
    this.#ending.delete(connection);
    shutdownWrite(connection.descriptor);
  }

  reset(connection: Carried): void {
    this.#forget(connection);
    resetConnection(connection.descriptor);
  }

  /** A client learns by close_notify that nothing is missing. */
  release(connection: Carried): void {
    sessionOf(connection).shutdown();
    this.#forget(connection);
    closeDescriptor(connection.descriptor);
  }

  holdsDescriptor(): boolean {
    return true;
  }

  #forget(connection: Carried): void {
    this.#ending.delete(connection);
    sessionOf(connection).free();
    this.#poller.remove(connection.descriptor);
  }
}

function sessionOf({ secure }: Carried): TlsSession {
  return secure as TlsSession;
}
