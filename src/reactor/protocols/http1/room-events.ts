/**
 * What is published to rooms, for members that are answers of server-sent events: each text as one event. Runs in the
 * reactor.
 */
import { JoinAs } from '../../../ipc/frame.js';
import { ReactorCounter } from '../../../memory/boards.js';
import { addressOf, allocateStable } from '../../../os/libc.js';
import type { Connection } from '../../connection.js';
import type { PortOptions } from '../../context.js';
import type { Batch } from '../../publication.js';
import type { HttpState } from './http-state.js';
import type { Http1Parts } from './parts.js';

interface Events {
  readonly bytes: Buffer;
  readonly address: number;
}

const LINE_BREAK = /\r\n|\r|\n/;

export class RoomEvents {
  readonly #parts: Http1Parts;
  /** Made once for all members of a batch. */
  #batch: Batch | undefined;
  readonly #made = new Map<number, Events>();

  constructor(parts: Http1Parts) {
    this.#parts = parts;
  }

  publish(connection: Connection, http: HttpState, batch: Batch): void {
    if (http.joinedAs === 0 || !http.isOwed || connection.isClosing) return;
    const { bytes, address } = this.#eventsOf(batch, http.joinedAs);
    if (bytes.length === 0) return;
    const { messages } = batch;
    if (this.#isSlow(connection, http, bytes.length)) return this.#count(ReactorCounter.drops, messages);
    if (http.isWithinPiece) {
      http.waitingEvents ??= [];
      http.waitingEvents.push({ bytes, address, messages });
      return;
    }
    this.#parts.access?.sentBody(http, bytes.length);
    this.#parts.fanOut.write(connection, bytes, 0, address, bytes.length);
    this.#count(ReactorCounter.deliveries, messages);
  }

  /** A frame of the answer has been written: what was published in the midst of a piece leaves behind it. */
  sendWaiting(connection: Connection, http: HttpState): void {
    if (http.waitingEvents === null || http.isWithinPiece) return;
    const waiting = http.waitingEvents;
    http.waitingEvents = null;
    for (const { bytes, address, messages } of waiting) {
      if (http.joinedAs === 0 || connection.isClosing) this.#count(ReactorCounter.drops, messages);
      else {
        this.#parts.access?.sentBody(http, bytes.length);
        this.#parts.sending.write(connection, bytes, 0, address, bytes.length);
        this.#count(ReactorCounter.deliveries, messages);
      }
    }
  }

  /** The client takes nothing, and what waits for it would be more than may wait. */
  #isSlow(connection: Connection, { waitingEvents }: HttpState, length: number): boolean {
    if (connection.out === null && waitingEvents === null) return false;
    const { context } = this.#parts;
    const { webSocket } = context.options.ports[connection.port] as PortOptions;
    const waiting = (waitingEvents ?? []).reduce((sum, { bytes }) => sum + bytes.length, 0);
    return webSocket !== null && context.queuedBytes(connection) + waiting + length > webSocket.roomHighWatermark;
  }

  #count(counter: (typeof ReactorCounter)[keyof typeof ReactorCounter], messages: number): void {
    const { context } = this.#parts;
    context.board.add(context.id, counter, messages);
  }

  #eventsOf(batch: Batch, joinedAs: number): Events {
    if (this.#batch !== batch) this.#made.clear();
    this.#batch = batch;
    const known = this.#made.get(joinedAs);
    if (known !== undefined) return known;
    const text = Buffer.from(batch.texts().map(eventOf).join(''));
    const isChunk = joinedAs === JoinAs.chunkedEvents && text.length > 0;
    const framed = isChunk ? Buffer.concat([Buffer.from(`${text.length.toString(16)}\r\n`), text, CRLF]) : text;
    const bytes = allocateStable(framed.length);
    framed.copy(bytes);
    const events = { bytes, address: addressOf(bytes) };
    this.#made.set(joinedAs, events);
    return events;
  }
}

const CRLF = Buffer.from('\r\n');

function eventOf(text: string): string {
  const lines = text.split(LINE_BREAK).map((line) => `data: ${line}\n`);
  return `${lines.join('')}\n`;
}
