/**
 * Time limits of HTTP: requests that do not come, bodies that pause, replies that do not begin, connections
 * without a request. Runs in the reactor.
 */
import { CloseCode } from '../../../ipc/frame.js';
import { ReactorCounter } from '../../../memory/boards.js';
import { WINDOW_MS } from '../../../protocol/http/pace.js';
import type { Connection } from '../../connection.js';
import { CloseSent } from '../../life.js';
import type { Answers } from './answers.js';
import { type HttpState, Phase } from './http-state.js';
import { type Http1Parts, stateOf } from './parts.js';
import type { Uploads } from './uploads.js';

interface Wait {
  /** 0: any time. */
  readonly limitMs: number;
  /** Status of the reply; 0: the connection ends without one. */
  readonly status: number;
  readonly why: string;
  /** Waits for more of a body that the client may send. */
  readonly isBody?: boolean;
}

const TOO_SLOW = 'The body came too slowly.';

export class Times {
  readonly #parts: Http1Parts;
  readonly #answers: Answers;
  readonly #uploads: Uploads;

  constructor(parts: Http1Parts, answers: Answers, uploads: Uploads) {
    this.#parts = parts;
    this.#answers = answers;
    this.#uploads = uploads;
  }

  /** How often `check` has something to look at, in ms; 0: never. */
  get lookMs(): number {
    const { headersTimeoutMs, requestTimeoutMs, keepAliveTimeoutMs, minBodyBytesPerSecond } = this.#parts.options;
    const paceMs = minBodyBytesPerSecond > 0 ? WINDOW_MS : 0;
    const times = [headersTimeoutMs, requestTimeoutMs, keepAliveTimeoutMs, paceMs].filter((ms) => ms > 0);
    return times.length === 0 ? 0 : Math.min(1000, Math.max(20, Math.floor(Math.min(...times) / 4)));
  }

  check(connection: Connection): void {
    if (connection.isClosing || connection.closeSent !== CloseSent.none) return;
    this.#checkTime(connection, stateOf(connection));
  }

  #checkTime(connection: Connection, http: HttpState): void {
    const wait = this.#waitOf(connection, http);
    if (wait === undefined) return;
    const passed = this.#parts.context.now - http.since;
    if (wait.isBody === true && this.#isTooSlow(http)) this.#timeOut(connection, http, 408, TOO_SLOW);
    else if (wait.limitMs === 0 || passed < wait.limitMs) return;
    else if (wait.status !== 0) this.#timeOut(connection, http, wait.status, wait.why);
    else this.#parts.ending.closeWhenFlushed(connection, CloseCode.KEEP_ALIVE_TIMEOUT);
  }

  #isTooSlow(http: HttpState): boolean {
    const { minBodyBytesPerSecond, requestTimeoutMs } = this.#parts.options;
    if (minBodyBytesPerSecond === 0) return false;
    return http.pace.isTooSlow(this.#parts.context.now, minBodyBytesPerSecond, requestTimeoutMs);
  }

  /** What the connection waits for; undefined: nothing that has a limit. */
  #waitOf(connection: Connection, http: HttpState): Wait | undefined {
    const { headersTimeoutMs, requestTimeoutMs, keepAliveTimeoutMs } = this.#parts.options;
    if (http.phase === Phase.request) {
      if (!http.hasBegun) return { limitMs: keepAliveTimeoutMs, status: 0, why: '' };
      if (connection.hasNoRoom || this.#uploads.waits(connection)) {
        return { limitMs: requestTimeoutMs, status: 503, why: 'No worker has taken the request in time.' };
      }
      if (connection.holds !== 0) return this.#stopTime(http);
      const isBody = http.wanted > 0;
      const limitMs = isBody ? requestTimeoutMs : headersTimeoutMs;
      return { limitMs, status: 408, why: 'The request did not come in time.', isBody };
    }
    // A client that was not sent 100 Continue is not late.
    if (http.phase === Phase.streaming && http.credit > 0 && !connection.hasNoRoom && !http.asksContinue) {
      if (connection.holds !== 0) return this.#stopTime(http);
      return { limitMs: requestTimeoutMs, status: 408, why: 'The body did not come in time.', isBody: true };
    }
    if (!http.isOwed || http.begun) return undefined;
    return { limitMs: requestTimeoutMs, status: 503, why: 'The server could not answer in time.' };
  }

  /** The server does not read: it is overloaded, say, or a worker drains. That is no time of the client's. */
  #stopTime(http: HttpState): undefined {
    const { now } = this.#parts.context;
    http.since = now;
    http.pace.begin(now);
  }

  #timeOut(connection: Connection, http: HttpState, status: number, why: string): void {
    this.#parts.count(ReactorCounter.httpTimedOut);
    const close = !http.isOwed || this.#answers.closesBehind(connection, http);
    const answer = { status, why, close, isHead: http.isHead };
    if (http.isOwed) this.#answers.breakOff(connection, http, answer);
    else this.#answers.answer(connection, http, answer);
  }
}
