/**
 * Answers that the clients of HTTP/2 have not taken: how much of them waits in this process, for how long, and what
 * happens when it is too much or too long. Runs in a worker.
 *
 * TCP does not show it: a client may take PINGs and other streams, and leave the window of a stream at 0.
 */
import { constants } from 'node:http2';
import type { Http2Record } from '../../memory/boards.js';
import { monotonicMs } from '../../util/clock.js';
import type { Log } from '../../util/log.js';
import type { HeldConnection, HeldStream } from './held-connection.js';

const { NGHTTP2_CANCEL, NGHTTP2_ENHANCE_YOUR_CALM } = constants;

export interface HeldLimits {
  /** A stream that advances by less than `LEAST_BYTES` in this time is reset; 0: never. */
  readonly writeTimeoutMs: number;
  /** The most bytes that wait in this process, beside the largest answer, which may have any size. */
  readonly sendBufferSize: number;
}

export interface HeldParts {
  readonly limits: HeldLimits;
  readonly log: Pick<Log, 'debug' | 'warn'>;
  readonly record: Pick<Http2Record, 'countReset' | 'held'>;
}

/** Above these shares of `sendBufferSize` further requests wait; above the others some answers are reset. */
const CROWDED_PROCESS = 1 / 2;
const CROWDED_CONNECTION = 1 / 8;
const FULL_CONNECTION = 1 / 2;
/** Where the process is crowded, a connection that holds less may have its requests served. */
const LEAST_SHARE_BYTES = 65_536;
/** When answers must be reset, those that have not advanced for this long go first. */
const STANDS_MS = 1000;
/** The next requests of its connection wait this long then, or the same would come again at once. */
const PAUSE_MS = 10_000;
const LONGEST_LOOK_MS = 250;
const SHORTEST_LOOK_MS = 10;
/** Figures of this age are still good enough to make a request wait. */
const BELIEVED_MS = 5;

export class HeldAnswers {
  readonly #parts: HeldParts;
  readonly #connections = new Set<HeldConnection>();
  /** Bytes, at the last look. */
  total = 0;
  #timer: NodeJS.Timeout | undefined;
  #lookedAt = 0;
  #waiting = 0;
  #willLook = false;

  constructor(parts: HeldParts) {
    this.#parts = parts;
  }

  opened(connection: HeldConnection): void {
    this.#connections.add(connection);
  }

  closed(connection: HeldConnection): void {
    this.#connections.delete(connection);
    this.moved();
  }

  /** The answer of a stream has grown. */
  added(newest: HeldStream): void {
    newest.look(monotonicMs());
    if (newest.held === 0) return;
    this.#timer ??= setInterval(() => this.#sweep(), this.#lookMs).unref();
    const { sendBufferSize } = this.#parts.limits;
    const { connection } = newest;
    const most = sendBufferSize * FULL_CONNECTION;
    if (connection.total > most) this.#relieve([connection], most);
    if (this.total > sendBufferSize) this.#relieve([...this.#connections], sendBufferSize);
  }

  /** So many bytes wait that requests of this connection have to wait too. */
  isCrowded(connection: HeldConnection): boolean {
    if (!this.#seemsCrowded(connection)) return false;
    this.#look(BELIEVED_MS);
    return this.#seemsCrowded(connection);
  }

  /** The number of requests that wait for room has changed. */
  countWaiting(change: 1 | -1): void {
    this.#waiting += change;
    if (this.#waiting > 0) this.#timer ??= setInterval(() => this.#sweep(), this.#lookMs).unref();
  }

  /** Bytes have left, or were dropped. */
  moved(): void {
    if (this.#waiting === 0 || this.#willLook) return;
    this.#willLook = true;
    setImmediate(() => {
      this.#willLook = false;
      this.#look(0);
      this.#letIn();
    });
  }

  get #lookMs(): number {
    const { writeTimeoutMs } = this.#parts.limits;
    if (writeTimeoutMs === 0) return LONGEST_LOOK_MS;
    return Math.min(Math.max(writeTimeoutMs / 4, SHORTEST_LOOK_MS), LONGEST_LOOK_MS);
  }

  #seemsCrowded(connection: HeldConnection): boolean {
    const { sendBufferSize } = this.#parts.limits;
    if (connection.waitsUntil > 0 && connection.waitsUntil > monotonicMs()) return true;
    if (this.total >= sendBufferSize * CROWDED_PROCESS) return connection.total > LEAST_SHARE_BYTES;
    const most = sendBufferSize * CROWDED_CONNECTION;
    return connection.total > most && besideLargest(connection.holding) > most;
  }

  #look(notOlderThanMs: number): void {
    const now = monotonicMs();
    if (now - this.#lookedAt < notOlderThanMs) return;
    this.#lookedAt = now;
    for (const connection of this.#connections) connection.look(now);
  }

  #letIn(): void {
    if (this.#waiting === 0) return;
    for (const connection of this.#connections) connection.letIn(() => !this.#seemsCrowded(connection));
  }

  #sweep(): void {
    this.#look(0);
    const { writeTimeoutMs } = this.#parts.limits;
    if (writeTimeoutMs > 0) this.#resetSlow(writeTimeoutMs);
    this.#letIn();
    this.#parts.record.held(this.total);
    if (this.#waiting > 0 || this.total > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #resetSlow(writeTimeoutMs: number): void {
    const before = monotonicMs() - writeTimeoutMs;
    for (const connection of this.#connections) {
      for (const stream of [...connection.holding]) {
        if (stream.since > before || connection.isExcused(stream)) continue;
        this.#parts.log.debug('a stream of HTTP/2 was reset: its client takes nothing', { fd: connection.fd });
        this.#reset(stream, NGHTTP2_CANCEL);
      }
    }
  }

  /**
   * Too many bytes wait: the answers that have stood longest are reset; where none stands, the largest but one,
   * and so on.
   */
  #relieve(connections: readonly HeldConnection[], mostBytes: number): void {
    this.#look(BELIEVED_MS);
    const streams = connections.flatMap(({ holding }) => [...holding]);
    let excess = besideLargest(streams) - mostBytes;
    if (excess <= 0) return;
    const before = monotonicMs() - STANDS_MS;
    const [, ...others] = streams.sort((a, b) => b.held - a.held);
    const standing = others.filter(({ since }) => since <= before).sort((a, b) => a.since - b.since);
    const going = others.filter(({ since }) => since > before);
    for (const stream of [...standing, ...going]) {
      if (excess <= 0) return;
      excess -= stream.held;
      this.#resetFull(stream);
    }
  }

  #resetFull(stream: HeldStream): void {
    this.#parts.log.warn('a stream of HTTP/2 was reset: more answers wait for slow clients than sendBufferSize allows');
    stream.connection.waitsUntil = monotonicMs() + PAUSE_MS;
    this.#reset(stream, NGHTTP2_ENHANCE_YOUR_CALM);
  }

  #reset(stream: HeldStream, code: number): void {
    stream.reset(code);
    this.#parts.record.countReset();
    this.moved();
  }
}

/** Waiting bytes, without those of the largest answer: a download may be of any size, and hinders no other client. */
function besideLargest(streams: Iterable<HeldStream>): number {
  let total = 0;
  let largest = 0;
  for (const { held } of streams) {
    total += held;
    largest = Math.max(largest, held);
  }
  return total - largest;
}
