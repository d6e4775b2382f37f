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
  /** What members get next that have not taken what came before, by member. */
  readonly #latest = new Map<Connection, Latest>();
  /** Those that have a latest message behind a send in pieces: no queue may become empty that tells of its end. */
  readonly #held = new Set<Connection>();

  constructor(parts: StreamParts) {
    this.#parts = parts;
  }

  publish(connection: Connection, state: SocketState, batch: Batch, limits: WebSocketLimits): void {
    const isDeflated = state.deflate && batch.deflatedBytes > 0;
    const at = isDeflated ? batch.deflatedAt : batch.at;
    const length = isDeflated ? batch.deflatedBytes : batch.length;
    const { fanOut, waitForSpeech, context } = this.#parts;
    if (this.#isSlow(connection, length, limits)) return this.#slow(connection, batch, at, length, limits);
    if (connection.speech !== null) return waitForSpeech(connection, batch, at, length);
    fanOut.write(connection, batch.source, at, batch.address + at, length);
    context.board.add(context.id, ReactorCounter.deliveries, batch.messages);
  }

  /** While a latest message waits, those that follow replace it: else they would overtake it. */
  #isSlow(connection: Connection, length: number, { roomHighWatermark }: WebSocketLimits): boolean {
    const { out, speech } = connection;
    if (out === null && speech === null && this.#latest.size === 0) return false;
    if (this.#latest.has(connection)) return true;
    const waiting = this.#parts.context.queuedBytes(connection) + (speech?.waitingBytes ?? 0);
    return waiting > 0 && waiting + length > roomHighWatermark;
  }

  #slow(connection: Connection, batch: Batch, at: number, length: number, { slowConsumer }: WebSocketLimits): void {
    const { ending } = this.#parts;
    if (slowConsumer !== 'skipToLatest') this.#dropped(batch.messages);
    if (slowConsumer === 'close') return ending.closeWhenFlushed(connection, CloseCode.SLOW_CONSUMER);
    if (slowConsumer === 'drop') return;
    this.forget(connection);
    // Of several gathered ones all stay: they are one piece of bytes, and short.
    const bytes = allocateStable(length);
    batch.source.copy(bytes, 0, at, at + length);
    this.#latest.set(connection, { bytes, messages: batch.messages });
    if (connection.speech !== null) this.#held.add(connection);
  }

  #dropped(messages: number): void {
    const { context } = this.#parts;
    context.board.add(context.id, ReactorCounter.drops, messages);
  }

  /** The client has taken all that was queued. */
  flushed(connection: Connection): void {
    const latest = this.#latest.get(connection);
    if (latest === undefined) return;
    if (connection.speech !== null) return void this.#held.add(connection);
    this.#latest.delete(connection);
    const { sending, context } = this.#parts;
    const { bytes, messages } = latest;
    sending.write(connection, bytes, 0, addressOf(bytes), bytes.length);
    context.board.add(context.id, ReactorCounter.deliveries, messages);
  }

  /** Sends in pieces may have become whole. */
  turnEnd(): void {
    for (const connection of this.#held) {
      if (connection.speech !== null) continue;
      this.#held.delete(connection);
      if (connection.isFlushed) this.flushed(connection);
    }
  }

  /** The latest of this member leaves nothing behind but a count. */
  forget(connection: Connection): void {
    this.#held.delete(connection);
    const latest = this.#latest.get(connection);
    if (latest === undefined) return;
    this.#latest.delete(connection);
    this.#dropped(latest.messages);
  }

  /** For the next process; undefined: nothing waits. */
  save(connection: Connection): SavedLatest | undefined {
    const latest = this.#latest.get(connection);
    return latest && { bytes: latest.bytes.toString('base64'), messages: latest.messages };
  }

  restore(connection: Connection, { bytes: text, messages }: SavedLatest): void {
    const saved = Buffer.from(text, 'base64');
    const bytes = allocateStable(saved.length);
    saved.copy(bytes);
    this.#latest.set(connection, { bytes, messages });
    this.#held.add(connection);
  }
}

/** As JSON. */
export interface SavedLatest {
  /** base64 */
  readonly bytes: string;
  readonly messages: number;
}
