/**
 * Encrypted bytes by Node's `tls`: its streams hold the keys, the descriptor is Node's. Runs in the reactor.
 *
 * Node keeps the bytes of a write until they are encrypted, so they are copied once; a connection gets more to encrypt
 * only below `AHEAD_BYTES`, the rest waits in the connection's queue as elsewhere.
 */
import { readFileAt } from '../../os/file.js';
import { EAGAIN } from '../../os/libc.js';
import { resetOnClose } from '../../os/socket.js';
import { SCRATCH_BYTES } from '../context.js';
import type { FilePart } from '../out-queue.js';
import type { TlsStream } from './tls-stream.js';
import type { Carried, Transport } from './transport.js';

const AHEAD_BYTES = 262_144;

export class NodeTlsTransport implements Transport {
  readonly drainsByShortRead = false;
  readonly isDirect = false;
  readonly isPlain = false;
  readonly canHandOff = false;

  receive(connection: Carried, target: Buffer, at: number, _address: number, limit: number): number {
    return streamOf(connection).receive(target, at, limit);
  }

  send(connection: Carried, source: Buffer, at: number, _address: number, length: number): number {
    const stream = streamOf(connection);
    const room = AHEAD_BYTES - stream.queuedBytes;
    if (room <= 0) return -EAGAIN;
    const taken = Math.min(room, length);
    stream.write(Buffer.from(source.subarray(at, at + taken)));
    return taken;
  }

  sendParts(connection: Carried, parts: readonly Buffer[]): number {
    let taken = 0;
    for (const part of parts) {
      const n = this.send(connection, part, 0, 0, part.length);
      if (n < 0) return taken > 0 ? taken : n;
      taken += n;
      if (n < part.length) break;
    }
    return taken;
  }

  sendFile(connection: Carried, part: FilePart, most: number): number {
    const stream = streamOf(connection);
    if (stream.queuedBytes >= AHEAD_BYTES) return -EAGAIN;
    const bytes = Buffer.allocUnsafe(Math.min(most, SCRATCH_BYTES));
    const read = readFileAt(part.descriptor, bytes, bytes.length, part.offset);
    if (read === 0) throw new Error('it is shorter than it was');
    stream.write(bytes.subarray(0, read));
    return read;
  }

  queuedBytes(connection: Carried): number {
    return streamOf(connection).queuedBytes;
  }

  /** Streams report by themselves. */
  rearm(): void {}

  end(connection: Carried): void {
    streamOf(connection).end();
  }

  flush(): void {}

  /** By the descriptor: Node's `resetAndDestroy` ends the plain socket first, and while that is under way it resets nothing. */
  reset(connection: Carried): void {
    if (this.holdsDescriptor(connection)) resetOnClose(connection.descriptor);
    this.release(connection);
  }

  release(connection: Carried): void {
    streamOf(connection).destroy();
  }

  holdsDescriptor(connection: Carried): boolean {
    return !streamOf(connection).isDestroyed;
  }
}

function streamOf({ secure }: Carried): TlsStream {
  return secure as TlsStream;
}
