/**
 * Bytes to clients: written to the socket at once; what the kernel does not take waits in the connection's queue, under
 * watermarks. Runs in the reactor.
 */
import { CloseCode, Event } from '../ipc/frame.js';
import { ReactorCounter } from '../memory/boards.js';
import { EAGAIN, EINTR } from '../os/libc.js';
import { WRITABLE } from '../os/poller.js';
import { send } from '../os/socket.js';
import type { ReactorConnection } from './connection.js';
import type { ReactorContext } from './context.js';
import type { Ending } from './ending.js';
import { OutQueue } from './out-queue.js';
import type { TlsStream } from './tls/tls-stream.js';

export class Sending {
  readonly #context: ReactorContext;
  readonly #ending: Ending;

  constructor(context: ReactorContext, ending: Ending) {
    this.#context = context;
    this.#ending = ending;
  }

  /** @param source holds the bytes at `at`, the kernel finds them at `address` */
  write(connection: ReactorConnection, source: Buffer, at: number, address: number, length: number): void {
    if (connection.tls !== null) return this.#writeTls(connection, connection.tls, source, at, length);
    let sent = 0;
    if (connection.out === null) {
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

  /** The kernel has room again. */
  writeQueued(connection: ReactorConnection): void {
    const { out } = connection;
    while (out !== null && out.bytes > 0) {
      const wanted = out.headBytes;
      const sent = send(connection.descriptor, out.headAddress, wanted);
      if (sent === -EINTR) continue;
      if (sent < 0 && sent !== -EAGAIN) return this.#ending.fail(connection, -sent);
      if (sent > 0) {
        out.shift(sent);
        out.since = this.#context.now;
        this.#count(connection, sent);
      }
      if (sent < wanted) {
        this.#context.poller.rearm(connection.descriptor, WRITABLE);
        break;
      }
    }
    if (out?.bytes === 0) connection.out = null;
    this.#queueChanged(connection, out?.bytes ?? 0);
    if (connection.out === null && connection.closeCode >= 0) this.#ending.finish(connection);
  }

  /** A worker wants to know when it may send more: now, unless the queue is above its high watermark. */
  watchDrain(connection: ReactorConnection, worker: number): void {
    if (worker < 0) return;
    if (!connection.full) {
      return this.#context.lane(worker).sendEvent(Event.writable, 0, 0, connection.sessionId);
    }
    connection.drainWatchers ??= [];
    if (!connection.drainWatchers.includes(worker)) connection.drainWatchers.push(worker);
  }

  #writeTls(connection: ReactorConnection, tls: TlsStream, source: Buffer, at: number, length: number): void {
    if (tls.queuedBytes === 0) tls.waitingSince = this.#context.now;
    tls.write(Buffer.from(source.subarray(at, at + length)), () => this.#tlsWritten(connection, tls));
    this.#count(connection, length);
    this.#queueChanged(connection, tls.queuedBytes);
  }

  #tlsWritten(connection: ReactorConnection, tls: TlsStream): void {
    if (connection.ended) return;
    tls.waitingSince = Date.now();
    if (tls.queuedBytes > 0 && !connection.full) return;
    this.#context.wake();
    this.#queueChanged(connection, tls.queuedBytes);
    if (tls.queuedBytes === 0 && connection.closeCode >= 0 && !connection.lingering) this.#ending.finish(connection);
  }

  #count(connection: ReactorConnection, bytes: number): void {
    if (bytes === 0) return;
    const { id, table, board, now } = this.#context;
    table.countSent(connection.slot, bytes, now);
    board.add(id, ReactorCounter.sentBytes, bytes);
  }

  #queueChanged(connection: ReactorConnection, bytes: number): void {
    const { table, options } = this.#context;
    table.setSendQueued(connection.slot, bytes);
    if (!connection.full && bytes >= options.highWatermark) {
      connection.full = true;
      this.#tell(connection, Event.bufferFull);
    } else if (connection.full && bytes <= options.lowWatermark) {
      connection.full = false;
      this.#tell(connection, Event.bufferEmpty);
      this.#ending.tellWatchers(connection);
    }
    if (bytes > options.sendBufferSize) this.#ending.reset(connection, CloseCode.SEND_QUEUE_LIMIT);
  }

  #tell(connection: ReactorConnection, event: number): void {
    if (!connection.told) this.#context.lane(connection.worker).sendEvent(event, 0, 0, connection.sessionId);
  }
}
