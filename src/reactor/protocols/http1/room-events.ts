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
    const { context, fanOut } = this.#parts;
    const { webSocket } = context.options.ports[connection.port] as PortOptions;
    const isSlow = webSocket !== null && context.queuedBytes(connection) + bytes.length > webSocket.roomHighWatermark;
    if (isSlow && connection.out !== null) return context.board.add(context.id, ReactorCounter.drops, batch.messages);
    this.#parts.access?.sentBody(http, bytes.length);
    fanOut.write(connection, bytes, 0, address, bytes.length);
    context.board.add(context.id, ReactorCounter.deliveries, batch.messages);
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
