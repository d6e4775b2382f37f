/** Requests that do not come, bodies that pause, answers that do not begin, connections without a request. Runs in the reactor. */
import { CloseCode } from '../../ipc/frame.js';
import { ReactorCounter } from '../../memory/boards.js';
import { WINDOW_MS } from '../../protocol/http/pace.js';
import type { ReactorConnection } from '../connection.js';
import type { Answers } from './answers.js';
import { type HttpState, Phase } from './http-state.js';
import type { HttpParts } from './parts.js';
import type { Uploads } from './uploads.js';

interface Wait {
  /** 0: any time. */
  readonly limitMs: number;
  /** It is answered with; 0: the connection ends without a word. */
  readonly status: number;
  readonly why: string;
  /** For more of a body, and the client may send it. */
  readonly isBody?: boolean;
}

const TOO_SLOW = 'The body came too slowly.';

export class Times {
  readonly #parts: HttpParts;
  readonly #answers: Answers;
  readonly #uploads: Uploads;

  constructor(parts: HttpParts, answers: Answers, uploads: Uploads) {
    this.#parts = parts;
    this.#answers = answers;
    this.#uploads = uploads;
  }

  /** How often `checkTimes` has something to look at, in ms; 0: never. */
  get lookMs(): number {
    let shortest = Number.POSITIVE_INFINITY;
    for (const { http } of this.#parts.context.options.ports) {
      if (http === null) continue;
      const times = [http.headersTimeoutMs, http.requestTimeoutMs, http.keepAliveTimeoutMs];
      if (http.minBodyBytesPerSecond > 0) times.push(WINDOW_MS);
      for (const ms of times) if (ms > 0) shortest = Math.min(shortest, ms);
    }
    return shortest === Number.POSITIVE_INFINITY ? 0 : Math.min(1000, Math.max(20, Math.floor(shortest / 4)));
  }

  checkTimes(): void {
    for (const connection of this.#parts.context.connections.list()) {
      if (connection.closeCode >= 0 || connection.told || this.#parts.optionsOf(connection) === null) continue;
      this.#checkTime(connection, this.#parts.stateOf(connection));
    }
  }

  #checkTime(connection: ReactorConnection, http: HttpState): void {
    const wait = this.#waitOf(connection, http);
    if (wait === undefined) return;
    const passed = this.#parts.context.now - http.since;
    if (wait.isBody === true && this.#isTooSlow(connection, http)) this.#timeOut(connection, http, 408, TOO_SLOW);
    else if (wait.limitMs === 0 || passed < wait.limitMs) return;
    else if (wait.status !== 0) this.#timeOut(connection, http, wait.status, wait.why);
    else this.#parts.ending.closeWhenFlushed(connection, CloseCode.KEEP_ALIVE_TIMEOUT);
  }

  #isTooSlow(connection: ReactorConnection, http: HttpState): boolean {
    const { minBodyBytesPerSecond, requestTimeoutMs } = this.#parts.optionsOf(connection);
    if (minBodyBytesPerSecond === 0) return false;
    return http.pace.isTooSlow(this.#parts.context.now, minBodyBytesPerSecond, requestTimeoutMs);
  }

  /** What it waits for; undefined: for nothing that has a limit. */
  #waitOf(connection: ReactorConnection, http: HttpState): Wait | undefined {
    const { headersTimeoutMs, requestTimeoutMs, keepAliveTimeoutMs } = this.#parts.optionsOf(connection);
    if (http.phase === Phase.request) {
      if (!http.hasBegun) return { limitMs: keepAliveTimeoutMs, status: 0, why: '' };
      if (connection.stalled || this.#uploads.waits(connection)) {
        return { limitMs: requestTimeoutMs, status: 503, why: 'No worker has taken the request in time.' };
      }
      const isBody = http.wanted > 0;
      const limitMs = isBody ? requestTimeoutMs : headersTimeoutMs;
      return { limitMs, status: 408, why: 'The request did not come in time.', isBody };
    }
    // A client that has not been told to go on is not late.
    if (http.phase === Phase.streaming && http.credit > 0 && !connection.stalled && !http.asksContinue) {
      return { limitMs: requestTimeoutMs, status: 408, why: 'The body did not come in time.', isBody: true };
    }
    if (!http.isOwed || http.begun) return undefined;
    return { limitMs: requestTimeoutMs, status: 503, why: 'The server could not answer in time.' };
  }

  #timeOut(connection: ReactorConnection, http: HttpState, status: number, why: string): void {
    this.#parts.count(ReactorCounter.httpTimedOut);
    const close = !http.isOwed || http.phase === Phase.streaming || !http.keepAlive || http.http10 || http.halfClosed;
    const answer = { status, why, close, isHead: http.isHead };
    if (http.isOwed) this.#answers.breakOff(connection, http, answer);
    else this.#answers.answer(connection, http, answer);
  }
}
