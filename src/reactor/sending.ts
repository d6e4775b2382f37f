/**
 * Bytes to clients: written to the socket at once; what the kernel does not take waits in the connection's queue, under
 * watermarks. Files wait in the same queue and go by sendfile(2) where there is one. Runs in the reactor.
 */
import { CloseCode, Event } from '../ipc/frame.js';
import { ReactorCounter } from '../memory/boards.js';
import { SlotFlag } from '../memory/connection-table.js';
import { hasSendfile, readFileAt, sendFile } from '../os/file.js';
import { EAGAIN, EINTR } from '../os/libc.js';
import { WRITABLE } from '../os/poller.js';
import { send } from '../os/socket.js';
import { monotonicMs } from '../util/clock.js';
import type { ReactorConnection } from './connection.js';
import { type PortOptions, type ReactorContext, SCRATCH_BYTES } from './context.js';
import type { Ending } from './ending.js';
import { type Chunk, FilePart, OutQueue } from './out-queue.js';
import type { TlsStream } from './tls/tls-stream.js';

/** Of one file in one call, and of one connection until the others have had their turn. */
const FILE_PIECE_BYTES = 262_144;
const FILE_BYTES_PER_TURN = 2 ** 20;
/** An encrypted connection is given more to encrypt below this. */
const TLS_AHEAD_BYTES = 262_144;

export class Sending {
  readonly #context: ReactorContext;
  readonly #ending: Ending;
  /** Called when all that waited for a connection has left. */
  onFlushed: (connection: ReactorConnection) => void = () => {};

  constructor(context: ReactorContext, ending: Ending) {
    this.#context = context;
    this.#ending = ending;
  }

  /** @param source holds the bytes at `at`, the kernel finds them at `address` */
  write(connection: ReactorConnection, source: Buffer, at: number, address: number, length: number): void {
    let sent = 0;
    if (connection.out === null) {
      if (connection.tls !== null) return this.#writeTls(connection, connection.tls, source, at, length);
      sent = send(connection.descriptor, address, length);
      if (sent < 0) {
        if (sent !== -EAGAIN && sent !== -EINTR) return this.#ending.fail(connection, -sent);
        sent = 0;
      }
      this.#count(connection, sent);
      if (sent === length) return;
      connection.out = new OutQueue(this.#context.now);
      this.#context.poller.rearm(connection.descriptor, WRITABLE);
    }
    connection.out.push(source, at + sent, at + length);
    this.#queueChanged(connection, connection.out.bytes);
  }

  writeFile(connection: ReactorConnection, part: FilePart): void {
    const isFirst = connection.out === null;
    connection.out ??= new OutQueue(this.#context.now);
    connection.out.pushFile(part);
    this.#queueChanged(connection, connection.out.bytes);
    if (isFirst && !connection.ended) this.writeQueued(connection);
  }

  /** The kernel has room again. */
  writeQueued(connection: ReactorConnection): void {
    const { out, tls } = connection;
    if (out === null) return;
    const done = tls === null ? this.#writeOut(connection, out) : this.#encryptOut(connection, out, tls);
    if (!done) return;
    if (out.isEmpty) connection.out = null;
    this.#queueChanged(connection, out.bytes + (tls?.queuedBytes ?? 0));
    this.#checkFlushed(connection);
  }

  #checkFlushed(connection: ReactorConnection): void {
    if (!connection.isFlushed || connection.ended) return;
    if (connection.closeCode < 0) this.onFlushed(connection);
    else if (!connection.lingering) this.#ending.finish(connection);
  }

  /** @returns false when the connection has ended over it */
  #writeOut(connection: ReactorConnection, out: OutQueue): boolean {
    let ofFiles = 0;
    for (let { head } = out; head !== undefined; { head } = out) {
      if (!(head instanceof FilePart)) {
        if (!this.#writeChunk(connection, out, head)) break;
        continue;
      }
      if (ofFiles >= FILE_BYTES_PER_TURN) {
        this.#context.writeOn.push(connection);
        break;
      }
      const sent = this.#writeFile(connection, out, head);
      if (sent < 0) break;
      ofFiles += sent;
    }
    return !connection.ended;
  }

  /** @returns true when all of it has left */
  #writeChunk(connection: ReactorConnection, out: OutQueue, { address, start, end }: Chunk): boolean {
    const sent = send(connection.descriptor, address + start, end - start);
    if (sent === -EINTR) return true;
    if (this.#mustWait(connection, sent)) return false;
    this.#left(connection, out, sent);
    out.shift(sent);
    if (sent < end - start) this.#context.poller.rearm(connection.descriptor, WRITABLE);
    return sent === end - start;
  }

  /** @returns bytes that have left; negative: no more can */
  #writeFile(connection: ReactorConnection, out: OutQueue, part: FilePart): number {
    const sent = this.#sendFile(connection, part, Math.min(part.left, FILE_PIECE_BYTES));
    if (connection.ended) return -1;
    if (sent === -EINTR) return 0;
    if (this.#mustWait(connection, sent)) return -1;
    this.#left(connection, out, sent);
    part.sent(sent);
    if (part.left === 0) out.shiftFile();
    return sent;
  }

  /** The socket takes nothing now, or the connection has failed. */
  #mustWait(connection: ReactorConnection, sent: number): boolean {
    if (sent >= 0) return false;
    if (sent === -EAGAIN) this.#context.poller.rearm(connection.descriptor, WRITABLE);
    else this.#ending.fail(connection, -sent);
    return true;
  }

  #left(connection: ReactorConnection, out: OutQueue, bytes: number): void {
    out.since = this.#context.now;
    this.#count(connection, bytes);
  }

  /** @returns as send(2) */
  #sendFile(connection: ReactorConnection, part: FilePart, wanted: number): number {
    try {
      const { descriptor } = part;
      const { scratch, scratchAddress } = this.#context;
      if (hasSendfile) {
        const sent = sendFile(connection.descriptor, descriptor, part.offset, wanted);
        if (sent === 0) throw new Error('it is shorter than it was');
        return sent;
      }
      const read = readFileAt(descriptor, scratch, Math.min(wanted, SCRATCH_BYTES), part.offset);
      if (read === 0) throw new Error('it is shorter than it was');
      return send(connection.descriptor, scratchAddress, read);
    } catch (error) {
      this.#fileFailed(connection, part, error);
      return -EAGAIN;
    }
  }

  /** What was announced cannot be sent: only the end of the connection tells the client. */
  #fileFailed(connection: ReactorConnection, { path }: FilePart, error: unknown): void {
    const why = error instanceof Error ? error.message : String(error);
    this.#ending.tell(connection, CloseCode.FILE_FAILED, 0, `${path}: ${why}`);
    this.#ending.release(connection, true);
  }

  /** A process wants to know when it may send more: now, unless the queue is above its high watermark. */
  watchDrain(connection: ReactorConnection, watcher: number): void {
    if (!connection.full) return this.#context.tellRoom(watcher, connection.sessionId);
    connection.drainWatchers ??= [];
    if (!connection.drainWatchers.includes(watcher)) connection.drainWatchers.push(watcher);
  }

  // ——— encrypted ———

  #writeTls(connection: ReactorConnection, tls: TlsStream, source: Buffer, at: number, length: number): void {
    this.#encrypt(connection, tls, Buffer.from(source.subarray(at, at + length)));
    this.#queueChanged(connection, tls.queuedBytes);
  }

  #encrypt(connection: ReactorConnection, tls: TlsStream, bytes: Buffer): void {
    if (tls.queuedBytes === 0) tls.waitingSince = this.#context.now;
    tls.write(bytes, () => this.#tlsWritten(connection, tls));
    this.#count(connection, bytes.length);
  }

  /** Gives TLS of what waits as much as it takes at once. @returns false when the connection has ended over it */
  #encryptOut(connection: ReactorConnection, out: OutQueue, tls: TlsStream): boolean {
    while (tls.queuedBytes < TLS_AHEAD_BYTES) {
      const { head } = out;
      if (head === undefined) return true;
      if (head instanceof FilePart) {
        const bytes = this.#readFile(connection, head);
        if (bytes === undefined) return false;
        this.#encrypt(connection, tls, bytes);
        head.sent(bytes.length);
        if (head.left === 0) out.shiftFile();
      } else {
        const bytes = head.end - head.start;
        this.#encrypt(connection, tls, Buffer.from(head.buffer.subarray(head.start, head.end)));
        out.shift(bytes);
      }
    }
    return true;
  }

  #readFile(connection: ReactorConnection, part: FilePart): Buffer | undefined {
    try {
      const bytes = Buffer.allocUnsafe(Math.min(part.left, SCRATCH_BYTES));
      const read = readFileAt(part.descriptor, bytes, bytes.length, part.offset);
      if (read === 0) throw new Error('it is shorter than it was');
      return bytes.subarray(0, read);
    } catch (error) {
      this.#fileFailed(connection, part, error);
      return undefined;
    }
  }

  #tlsWritten(connection: ReactorConnection, tls: TlsStream): void {
    if (connection.ended) return;
    tls.waitingSince = monotonicMs();
    const { out } = connection;
    if (tls.queuedBytes > 0 && !connection.full && out === null) return;
    this.#context.wake();
    if (out !== null) return this.writeQueued(connection);
    this.#queueChanged(connection, tls.queuedBytes);
    this.#checkFlushed(connection);
  }

  // ——— figures and watermarks ———

  #count(connection: ReactorConnection, bytes: number): void {
    if (bytes === 0) return;
    const { id, table, board, now } = this.#context;
    table.countSent(connection.slot, bytes, now);
    board.add(id, ReactorCounter.sentBytes, bytes);
  }

  #queueChanged(connection: ReactorConnection, bytes: number): void {
    const { table, options } = this.#context;
    const port = options.ports[connection.port] as PortOptions;
    table.setSendQueued(connection.slot, bytes);
    this.#context.account(connection, bytes + (connection.input?.length ?? 0));
    if (!connection.full && bytes >= port.highWatermark) {
      connection.full = true;
      table.setFlag(connection.slot, SlotFlag.full, true);
      this.#tell(connection, Event.bufferFull);
    } else if (connection.full && bytes <= port.lowWatermark) {
      connection.full = false;
      table.setFlag(connection.slot, SlotFlag.full, false);
      this.#tell(connection, Event.bufferEmpty);
      this.#ending.tellWatchers(connection);
    }
    if (bytes > port.sendBufferSize) this.#ending.reset(connection, CloseCode.SEND_QUEUE_LIMIT);
  }

  #tell(connection: ReactorConnection, event: number): void {
    if (!connection.told) this.#context.lane(connection.worker).sendEvent(event, 0, 0, connection.sessionId);
  }
}
