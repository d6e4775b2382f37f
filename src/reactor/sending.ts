/**
 * Bytes to clients: passed to the transport at once; what it does not take waits in the connection's queue, under
 * watermarks. Files wait in the same queue and leave by sendfile(2) where the system has it. Runs in the reactor.
 */
import { CloseCode, Event } from '../ipc/frame.js';
import { ReactorCounter } from '../memory/boards.js';
import { SlotFlag } from '../memory/connection-table.js';
import { EAGAIN, EINTR } from '../os/libc.js';
import { WRITABLE } from '../os/poller.js';
import { monotonicMs } from '../util/clock.js';
import type { Batch } from './batch.js';
import type { Connection } from './connection.js';
import type { PortOptions, ReactorContext } from './context.js';
import type { Ending } from './ending.js';
import { HeldSends } from './held-sends.js';
import { CloseSent, Life } from './life.js';
import { type Chunk, FilePart, OutQueue } from './out-queue.js';

/** Most bytes of one file in one call, and of one connection before the others have their turn. */
const FILE_PIECE_BYTES = 262_144;
const FILE_BYTES_PER_TURN = 2 ** 20;
/** Answers of one batch of requests that leave together. */
const MOST_HELD_BYTES = 16_384;

export class Sending {
  /** Answers of this turn that leave together. */
  readonly held: HeldSends;
  readonly #context: ReactorContext;
  readonly #ending: Ending;

  /** @param openBatch asked once, when a turn first has answers for several clients */
  constructor(context: ReactorContext, ending: Ending, openBatch: () => Batch | undefined) {
    this.#context = context;
    this.#ending = ending;
    this.held = new HeldSends({
      openBatch,
      write: (connection) => this.writeQueued(connection),
      taken: (connection, out, taken) => this.#heldTaken(connection, out, taken),
      now: monotonicMs,
    });
  }

  /** @param source holds the bytes at `at`, the kernel finds them at `address` */
  write(connection: Connection, source: Buffer, at: number, address: number, length: number): void {
    const { transport } = connection;
    if (connection.out === null) {
      if ((transport.isPlain || transport.stage !== undefined) && this.held.takes(length))
        return this.hold(connection, source, at, length);
      if (!transport.isDirect) this.#noteBeginning(connection);
      return this.taken(connection, transport.send(connection, source, at, address, length), source, at, length);
    }
    connection.out.push(source, at, at + length);
    this.#queueChanged(connection);
  }

  /** @param taken bytes that the transport has taken of these; the rest waits. Negative: −errno */
  taken(connection: Connection, taken: number, source: Buffer, at: number, length: number): void {
    const sent = this.#offered(connection, taken, length);
    if (sent < 0) return;
    connection.out?.push(source, at + sent, at + length);
    this.#queueChanged(connection);
  }

  /** As `write`, but what is held within one turn leaves at its end, in one call. */
  hold(connection: Connection, source: Buffer, at: number, length: number): void {
    const isFirst = connection.out === null;
    const out = connection.out ?? this.#openQueue(connection);
    out.push(source, at, at + length);
    if (out.bytes >= MOST_HELD_BYTES) return this.writeQueued(connection);
    if (!isFirst) return;
    out.isHeld = true;
    this.held.add(connection);
  }

  /** @param taken of the only chunk, by the kernel */
  #heldTaken(connection: Connection, out: OutQueue, taken: number): void {
    out.isHeld = false;
    const { bytes } = out;
    if (taken < 0 && taken !== -EAGAIN && taken !== -EINTR) return this.#ending.fail(connection, -taken);
    const sent = Math.max(taken, 0);
    this.#left(connection, sent);
    out.shift(sent);
    if (sent === bytes) connection.out = null;
    else connection.transport.rearm(connection, WRITABLE);
    this.#queueChanged(connection);
    this.#checkFlushed(connection);
  }

  /**
   * Bytes that lie in this process (BASE mode), in one call.
   * @param lent what the kernel does not take stays there until it does; else it is copied
   */
  writeParts(connection: Connection, parts: readonly Buffer[], length: number, lent: boolean): void {
    let sent = 0;
    const { transport } = connection;
    if (connection.out === null) {
      if (!transport.isDirect) this.#noteBeginning(connection);
      sent = this.#offered(connection, transport.sendParts(connection, parts), length);
      if (sent < 0) return;
    }
    if (lent) connection.out?.lend(parts, sent);
    else connection.out?.pushParts(parts, sent);
    this.#queueChanged(connection);
  }

  /** As much as may lie in the queue by way of a worker's ring: its window, behind a queue that is not full. */
  hasRoomFor(connection: Connection, length: number): boolean {
    const { highWatermark, sendBufferSize } = this.#context.options.ports[connection.port] as PortOptions;
    const bytes = this.#context.queuedBytes(connection);
    return bytes < highWatermark && bytes + length <= Math.min(highWatermark * 1.5, sendBufferSize);
  }

  /** @param taken as `Transport.send` @returns bytes that have left; −1: nothing is to be queued */
  #offered(connection: Connection, taken: number, length: number): number {
    if (taken < 0 && taken !== -EAGAIN && taken !== -EINTR) {
      this.#ending.fail(connection, -taken);
      return -1;
    }
    const sent = Math.max(taken, 0);
    this.#count(connection, sent);
    if (sent === length) {
      if (!connection.transport.isDirect) this.#queueChanged(connection);
      return -1;
    }
    this.#openQueue(connection);
    connection.transport.rearm(connection, WRITABLE);
    return sent;
  }

  /** @param head of bytes that leave before it, in one packet with its beginning where the transport can */
  writeFile(connection: Connection, part: FilePart, head?: Buffer): void {
    const isFirst = connection.out === null;
    const out = connection.out ?? this.#openQueue(connection);
    if (head !== undefined) out.push(head, 0, head.length);
    out.pushFile(part);
    this.#queueChanged(connection);
    if (isFirst && !connection.isClosed) this.writeQueued(connection);
  }

  /** The kernel has room again. */
  hasRoom(connection: Connection): void {
    if (connection.out !== null) this.writeQueued(connection);
    else if (connection.life === Life.lingering) connection.transport.flush(connection);
  }

  /** The transport has room again. */
  writeQueued(connection: Connection): void {
    const { out } = connection;
    if (out === null) return;
    out.isHeld = false;
    if (!this.#writeOut(connection, out)) return;
    if (out.isEmpty) connection.out = null;
    this.#queueChanged(connection);
    this.#checkFlushed(connection);
  }

  /** Writes for connections that had more than one turn's share. */
  writeAgain(): void {
    const { writeOn } = this.#context;
    this.#context.writeOn = [];
    for (const connection of writeOn) if (!connection.isClosed) this.writeQueued(connection);
  }

  /** A transport that holds bytes back has passed some of them to the kernel. */
  transportDrained(connection: Connection): void {
    if (connection.isClosed) return;
    connection.waitingSince = monotonicMs();
    const { out, full, transport } = connection;
    if (out === null && !full && transport.queuedBytes(connection) > 0) return;
    this.#context.wake();
    if (out !== null) return this.writeQueued(connection);
    this.#queueChanged(connection);
    this.#checkFlushed(connection);
  }

  /** Notifies a process when it may send more: now, unless the queue is above its high watermark. */
  watchDrain(connection: Connection, watcher: number): void {
    if (!connection.full) return this.#context.notifyRoom(watcher, connection.sessionId);
    connection.drainWatchers ??= [];
    if (!connection.drainWatchers.includes(watcher)) connection.drainWatchers.push(watcher);
  }

  #openQueue(connection: Connection): OutQueue {
    this.#noteBeginning(connection);
    const out = new OutQueue();
    connection.out = out;
    return out;
  }

  /** Bytes are queued for the client from now on, if none were before. */
  #noteBeginning(connection: Connection): void {
    if (!connection.isFlushed) return;
    connection.waitingSince = this.#context.now;
    connection.acknowledged = -1;
  }

  #checkFlushed(connection: Connection): void {
    if (!connection.isFlushed || connection.isClosed) return;
    if (connection.closeCode < 0) connection.protocol.flushed(connection);
    else this.#ending.flushed(connection);
  }

  /** @returns false when the connection has ended over it */
  #writeOut(connection: Connection, out: OutQueue): boolean {
    let ofFiles = 0;
    for (let { head } = out; head !== undefined; { head } = out) {
      if (!(head instanceof FilePart)) {
        if (!this.#writeChunks(connection, out)) break;
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
    return !connection.isClosed;
  }

  /** @returns true when all that was offered has left */
  #writeChunks(connection: Connection, out: OutQueue): boolean {
    if (out.isTakenAway) return this.#takenAway(connection);
    const { leading } = out;
    let bytes = 0;
    for (const { start, end } of leading) bytes += end - start;
    const sent = sendChunks(connection, leading, out.items[leading.length] instanceof FilePart);
    if (sent === -EINTR) return true;
    if (this.#mustWait(connection, sent)) return false;
    this.#left(connection, sent);
    out.shift(sent);
    if (sent < bytes) connection.transport.rearm(connection, WRITABLE);
    return sent === bytes;
  }

  /** Bytes that were announced cannot be sent: only the end of the connection shows that to the client. */
  #takenAway(connection: Connection): false {
    const why = 'the memory of an answer was transferred or shrunk before the client had taken it';
    this.#ending.reset(connection, CloseCode.DATA_DETACHED, why);
    return false;
  }

  /** @returns bytes sent; negative: no more can be sent */
  #writeFile(connection: Connection, out: OutQueue, part: FilePart): number {
    const sent = this.#sendFile(connection, part, Math.min(part.left, FILE_PIECE_BYTES));
    if (connection.isClosed) return -1;
    if (sent === -EINTR) return 0;
    if (this.#mustWait(connection, sent)) return -1;
    this.#left(connection, sent);
    part.sent(sent);
    if (part.left === 0) out.shiftFile();
    return sent;
  }

  /** The transport takes nothing now, or the connection has failed. */
  #mustWait(connection: Connection, sent: number): boolean {
    if (sent >= 0) return false;
    if (sent === -EAGAIN) connection.transport.rearm(connection, WRITABLE);
    else this.#ending.fail(connection, -sent);
    return true;
  }

  #left(connection: Connection, bytes: number): void {
    if (connection.out !== null && connection.transport.isDirect) connection.waitingSince = this.#context.now;
    this.#count(connection, bytes);
  }

  #sendFile(connection: Connection, part: FilePart, most: number): number {
    try {
      return connection.transport.sendFile(connection, part, most);
    } catch (error) {
      this.#fileFailed(connection, part, error);
      return -EAGAIN;
    }
  }

  /** Bytes that the head has announced cannot be sent: only the end of the connection shows that to the client. */
  #fileFailed(connection: Connection, { path }: FilePart, error: unknown): void {
    const why = error instanceof Error ? error.message : String(error);
    this.#ending.reset(connection, CloseCode.FILE_FAILED, `${path}: ${why}`);
  }

  // ——— figures and watermarks ———

  #count(connection: Connection, bytes: number): void {
    if (bytes === 0) return;
    const { id, table, board, now } = this.#context;
    table.countSent(connection.slot, bytes, now);
    board.add(id, ReactorCounter.sentBytes, bytes);
  }

  #queueChanged(connection: Connection): void {
    const { table, options } = this.#context;
    const port = options.ports[connection.port] as PortOptions;
    const bytes = this.#context.queuedBytes(connection);
    table.setSendQueued(connection.slot, bytes);
    this.#context.countBuffered(connection);
    if (!connection.full && bytes >= port.highWatermark) {
      connection.full = true;
      table.setFlag(connection.slot, SlotFlag.full, true);
      this.#notify(connection, Event.bufferFull);
    } else if (connection.full && bytes <= port.lowWatermark) {
      connection.full = false;
      table.setFlag(connection.slot, SlotFlag.full, false);
      this.#notify(connection, Event.bufferEmpty);
      this.#ending.notifyWatchers(connection);
    }
    if (bytes > port.sendBufferSize) this.#ending.reset(connection, CloseCode.SEND_QUEUE_LIMIT);
  }

  #notify(connection: Connection, event: number): void {
    if (connection.closeSent !== CloseSent.none) return;
    this.#context.ring(connection.worker).sendEvent(event, 0, 0, connection.sessionId);
  }
}

/** @param more a file follows */
function sendChunks(connection: Connection, chunks: readonly Chunk[], more: boolean): number {
  const [first] = chunks;
  if (first === undefined) return 0;
  const { transport } = connection;
  const parts = (): Buffer[] => chunks.map(({ rest }) => rest);
  if (chunks.length > 1 || more) return transport.sendParts(connection, parts(), more);
  return transport.send(connection, first.buffer, first.start, first.address + first.start, first.end - first.start);
}
