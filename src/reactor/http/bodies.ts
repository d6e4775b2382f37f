/** Bodies that are given to their worker as they come, as many bytes ahead as it allows. Runs in the reactor. */
import { BodyFlag } from '../../ipc/frame.js';
import { ChunkedDecoder, type ChunkedLimits } from '../../protocol/http/chunked.js';
import type { RequestHead } from '../../protocol/http/head.js';
import { writeLatin1 } from '../../util/latin1.js';
import type { ReactorConnection } from '../connection.js';
import type { HttpOptions } from '../context.js';
import type { WorkerLane } from '../worker-lane.js';
import type { Answers } from './answers.js';
import { BODY_WINDOW, type HttpState, Phase } from './http-state.js';
import type { HttpParts } from './parts.js';

const CHUNK_EXTENSION_BYTES = 4096;

export class Bodies {
  readonly #parts: HttpParts;
  readonly #answers: Answers;

  constructor(parts: HttpParts, answers: Answers) {
    this.#parts = parts;
    this.#answers = answers;
  }

  /** The head has gone to a worker, its body follows. */
  begin(connection: ReactorConnection, http: HttpState, head: RequestHead): void {
    http.bodyLeft = head.isChunked ? 0 : head.contentLength;
    http.decoder = head.isChunked ? new ChunkedDecoder(chunkedLimits(this.#parts.optionsOf(connection))) : null;
    http.credit = BODY_WINDOW;
    http.pace.begin(this.#parts.context.now);
  }

  /** @returns how many bytes of [at, to) were taken */
  take(connection: ReactorConnection, http: HttpState, bytes: Buffer, at: number, to: number): number {
    const lane = this.#parts.context.lane(http.worker);
    const most = Math.min(to - at, http.credit, lane.readLimit);
    if (most <= 0) {
      if (http.credit > 0) this.#parts.host.stall(connection, lane);
      return 0;
    }
    http.asksContinue = false; // it has not waited
    return http.decoder === null
      ? this.#takeSized(connection, http, lane, bytes, at, most)
      : this.#takeDecoded(connection, http, lane, http.decoder, bytes, at, most);
  }

  #takeSized(
    connection: ReactorConnection,
    http: HttpState,
    lane: WorkerLane,
    bytes: Buffer,
    at: number,
    most: number,
  ): number {
    const count = Math.min(most, http.bodyLeft);
    bytes.copy(lane.bytes, lane.payloadAt, at, at + count);
    http.since = this.#parts.context.now;
    http.pace.came(count);
    http.bodyLeft -= count;
    http.credit -= count;
    this.#commitBody(connection, http, lane, count, http.bodyLeft === 0);
    return count;
  }

  #takeDecoded(
    connection: ReactorConnection,
    http: HttpState,
    lane: WorkerLane,
    decoder: ChunkedDecoder,
    bytes: Buffer,
    at: number,
    most: number,
  ): number {
    const start = lane.payloadAt;
    let end = start;
    const taken = decoder.decode(bytes, at, at + most, (from, to) => {
      end += bytes.copy(lane.bytes, end, from, to);
    });
    if (taken < 0) {
      this.#answers.breakOff(connection, http, { status: -taken, why: decoder.why, close: true });
      return 0;
    }
    // What frames a body is no progress of it: it may not come in drops without end.
    if (end > start) http.since = this.#parts.context.now;
    http.pace.came(end - start);
    http.credit -= end - start;
    const { isDone, trailers } = decoder;
    if (end > start || (isDone && trailers === '')) {
      this.#commitBody(connection, http, lane, end - start, isDone && trailers === '');
    }
    if (isDone && trailers !== '') {
      const length = writeLatin1(lane.bytes, trailers, lane.payloadAt);
      const flags = BodyFlag.last | BodyFlag.trailers;
      lane.commitBody(connection.sessionId, http.exchange, flags, length);
      this.#bodyIsWhole(http);
    }
    return taken;
  }

  #commitBody(connection: ReactorConnection, http: HttpState, lane: WorkerLane, count: number, isLast: boolean): void {
    lane.commitBody(connection.sessionId, http.exchange, isLast ? BodyFlag.last : 0, count);
    if (isLast) this.#bodyIsWhole(http);
  }

  #bodyIsWhole(http: HttpState): void {
    http.phase = Phase.owed;
    http.decoder = null;
    http.since = this.#parts.context.now;
  }

  /** The worker has taken so much of the body. */
  taken(connection: ReactorConnection, exchange: number, bytes: number): void {
    const { http } = connection;
    if (http === null || http.exchange !== exchange || http.phase !== Phase.streaming) return;
    const { now } = this.#parts.context;
    if (http.credit === 0) http.pace.begin(now); // the client was not read on
    http.credit = Math.min(BODY_WINDOW, http.credit + bytes);
    http.since = now;
    this.#parts.readSoon(connection);
  }
}

export function chunkedLimits({ bodyLimit, headerLimit, headerCountLimit }: HttpOptions): ChunkedLimits {
  return {
    ...{ bodyBytes: bodyLimit, extensionBytes: CHUNK_EXTENSION_BYTES },
    ...{ trailerBytes: headerLimit, trailerCount: headerCountLimit },
  };
}
