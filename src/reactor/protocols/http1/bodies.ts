/** Passes request bodies to their worker as they come, as many bytes ahead as it allows. Runs in the reactor. */
import { BodyFlag, Event } from '../../../ipc/frame.js';
import { ChunkedDecoder, type ChunkedLimits } from '../../../protocol/http/chunked.js';
import { writeLatin1 } from '../../../util/latin1.js';
import type { Connection } from '../../connection.js';
import type { HttpOptions } from '../../context.js';
import type { WorkerRing } from '../../worker-ring.js';
import type { Answers } from './answers.js';
import type { Cursor } from './cursor.js';
import { BODY_WINDOW, type HttpState, Phase } from './http-state.js';
import { type Http1Parts, stateOf } from './parts.js';

const CHUNK_EXTENSION_BYTES = 4096;

export class Bodies {
  readonly #parts: Http1Parts;
  readonly #answers: Answers;

  constructor(parts: Http1Parts, answers: Answers) {
    this.#parts = parts;
    this.#answers = answers;
  }

  /** The head has gone to a worker, its body follows. */
  begin({ http, head }: Cursor): void {
    http.bodyLeft = head.isChunked ? 0 : head.contentLength;
    http.decoder = head.isChunked ? new ChunkedDecoder(chunkedLimits(this.#parts.options)) : null;
    http.credit = BODY_WINDOW;
    http.pace.begin(this.#parts.context.now);
  }

  /** @returns how many bytes at the cursor were taken */
  take(cursor: Cursor): number {
    const { connection, http } = cursor;
    const ring = this.#parts.context.ring(http.worker);
    const most = Math.min(cursor.length, http.credit, ring.readLimit);
    if (most <= 0) {
      if (http.credit > 0) this.#parts.reading.stall(connection, ring, true);
      return 0;
    }
    http.asksContinue = false; // the client has not waited
    if (http.decoder !== null) return this.#takeDecoded(cursor, ring, http.decoder, most);
    return this.#takeSized(cursor, ring, most);
  }

  #takeSized({ http, connection, bytes, at }: Cursor, ring: WorkerRing, most: number): number {
    const count = Math.min(most, http.bodyLeft);
    bytes.copy(ring.bytes, ring.payloadAt, at, at + count);
    http.since = this.#parts.context.now;
    http.pace.came(count);
    http.bodyLeft -= count;
    http.credit -= count;
    this.#commit(connection, ring, count, http.bodyLeft === 0 ? BodyFlag.last : 0);
    return count;
  }

  #takeDecoded(
    { http, connection, bytes, at }: Cursor,
    ring: WorkerRing,
    decoder: ChunkedDecoder,
    most: number,
  ): number {
    const start = ring.payloadAt;
    let end = start;
    const taken = decoder.decode(bytes, at, at + most, (from, to) => {
      end += bytes.copy(ring.bytes, end, from, to);
    });
    if (taken < 0) {
      this.#answers.breakOff(connection, http, { status: -taken, why: decoder.why, close: true });
      return 0;
    }
    const count = end - start;
    // Chunk framing is not progress of a body: it may not come in drops without end.
    if (count > 0) http.since = this.#parts.context.now;
    http.pace.came(count);
    http.credit -= count;
    this.#give(connection, ring, decoder, count);
    return taken;
  }

  #give(connection: Connection, ring: WorkerRing, { isDone, trailers }: ChunkedDecoder, count: number): void {
    const isLast = isDone && trailers === '';
    if (count > 0 || isLast) this.#commit(connection, ring, count, isLast ? BodyFlag.last : 0);
    if (!isDone || isLast) return;
    const length = writeLatin1(ring.bytes, trailers, ring.payloadAt);
    this.#commit(connection, ring, length, BodyFlag.last | BodyFlag.trailers);
  }

  /** Commits a piece that lies in the ring. @param flags BodyFlag */
  #commit(connection: Connection, ring: WorkerRing, length: number, flags: number): void {
    const http = stateOf(connection);
    ring.commit(Event.body, flags, http.exchange, connection.sessionId, length);
    if (flags !== 0) this.#bodyIsWhole(http);
  }

  #bodyIsWhole(http: HttpState): void {
    http.phase = Phase.owed;
    http.decoder = null;
    http.since = this.#parts.context.now;
  }

  /** The worker has taken `bytes` of the body. */
  taken(connection: Connection, exchange: number, bytes: number): void {
    const http = stateOf(connection);
    if (http.exchange !== exchange || http.phase !== Phase.streaming) return;
    const { now } = this.#parts.context;
    if (http.credit === 0) http.pace.begin(now); // the reactor had stopped reading the client
    http.credit = Math.min(BODY_WINDOW, http.credit + bytes);
    http.since = now;
    this.#parts.reading.readSoon(connection);
  }
}

export function chunkedLimits({ bodyLimit, headerLimit, headerCountLimit }: HttpOptions): ChunkedLimits {
  return {
    ...{ bodyBytes: bodyLimit, extensionBytes: CHUNK_EXTENSION_BYTES },
    ...{ trailerBytes: headerLimit, trailerCount: headerCountLimit },
  };
}
