/**
 * What a member gets that its rooms publish, and what becomes of it where the member does not keep up. Runs in the
 * reactor.
 */
import { CloseCode } from '../../../ipc/frame.js';
import { ReactorCounter } from '../../../memory/boards.js';
import { addressOf, allocateStable } from '../../../os/libc.js';
import type { Connection } from '../../connection.js';
import type { WebSocketLimits } from '../../context.js';
import type { Batch } from '../../publication.js';
import type { StreamParts } from '../definition.js';
import type { SocketState } from './socket-state.js';

interface Latest {
  readonly bytes: Buffer;
  readonly messages: number;
}

export class RoomQueue {
  readonly #parts: StreamParts;
  /** The latest that a member has not been sent, by member. */
  readonly #latest = new Map<Connection, Latest>();

  constructor(parts: StreamParts) {
    this.#parts = parts;
  }

  publish(connection: Connection, state: SocketState, batch: Batch, limits: WebSocketLimits): void {
    const isDeflated = state.deflate && batch.deflatedBytes > 0;
    const at = isDeflated ? batch.deflatedAt : batch.at;
    const length = isDeflated ? batch.deflatedBytes : batch.length;
    const { sending, waitForSpeech, context } = this.#parts;
    if (connection.out !== null && context.queuedBytes(connection) + length > limits.roomHighWatermark) {
      return this.#slow(connection, batch, at, length, limits);
    }
    if (connection.speech !== null) return waitForSpeech(connection, batch, at, length);
    sending.write(connection, batch.source, at, batch.address + at, length);
    context.board.add(context.id, ReactorCounter.deliveries, batch.messages);
  }

  #slow(connection: Connection, batch: Batch, at: number, length: number, { slowConsumer }: WebSocketLimits): void {
    if (slowConsumer !== 'skipToLatest') this.#countDrops(batch.messages);
    if (slowConsumer === 'close') return this.#parts.ending.closeWhenFlushed(connection, CloseCode.SLOW_CONSUMER);
    if (slowConsumer === 'drop') return;
    this.forget(connection);
    // Of several gathered ones all stay: they are one piece of bytes, and short.
    const latest = allocateStable(length);
    batch.source.copy(latest, 0, at, at + length);
    this.#latest.set(connection, { bytes: latest, messages: batch.messages });
  }

  /** The client has taken all that was queued. */
  flushed(connection: Connection): void {
    const latest = this.#latest.get(connection);
    if (latest === undefined || connection.speech !== null) return;
    this.#latest.delete(connection);
    const { sending, context } = this.#parts;
    const { bytes, messages } = latest;
    sending.write(connection, bytes, 0, addressOf(bytes), bytes.length);
    context.board.add(context.id, ReactorCounter.deliveries, messages);
  }

  /** What was kept for it will not be sent: it counts as dropped now, since counters never fall. */
  forget(connection: Connection): void {
    this.#countDrops(this.#latest.get(connection)?.messages ?? 0);
    this.#latest.delete(connection);
  }

  #countDrops(messages: number): void {
    const { board, id } = this.#parts.context;
    if (messages > 0) board.add(id, ReactorCounter.drops, messages);
  }
}
