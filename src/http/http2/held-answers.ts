/**
 * Answers that the clients of HTTP/2 have not taken: how much of them waits in this process, for how long, and what happens
 * when it is too much or too long. Runs in a worker.
 *
 * TCP says nothing about it: a client may take PINGs and other streams, and leave the window of a stream at 0.
 */
import { constants } from 'node:http2';
import type { Http2Record } from '../../memory/boards.js';
import { monotonicMs } from '../../util/clock.js';
import type { Log } from '../../util/log.js';
import type { HeldConnection, HeldStream } from './held-connection.js';

const { NGHTTP2_CANCEL, NGHTTP2_ENHANCE_YOUR_CALM } = constants;

export interface HeldLimits {
  /** A stream that goes on by less than `LEAST_BYTES` in so long is reset; 0: never. */
  readonly writeTimeoutMs: number;
  /** So much waits in this process at most. A single answer may be larger. */
  readonly sendBufferSize: number;
}

export interface HeldParts {
  readonly limits: HeldLimits;
  readonly log: Pick<Log, 'debug' | 'warn'>;
  readonly record: Pick<Http2Record, 'countReset' | 'held'>;
}

/** Above these shares of `sendBufferSize` further requests wait; above the others something has to go. */
const CROWDED_PROCESS = 1 / 2;
const CROWDED_CONNECTION = 1 / 8;
const FULL_CONNECTION = 1 / 2;
/** Where the process is crowded, a connection that holds less may have its requests served. */
const LEAST_SHARE_BYTES = 65_536;
/** When something has to go, those go first that have stood for so long. */
const STANDS_MS = 1000;
const LONGEST_LOOK_MS = 250;
const SHORTEST_LOOK_MS = 10;
/** What is known may be so old before a request is made to wait for it. */
const BELIEVED_MS = 5;

export class HeldAnswers {
  readonly #parts: HeldParts;
  readonly #connections = new Set<HeldConnection>();
  /** Bytes; as they were last looked at. */
  total = 0;
  #timer: NodeJS.Timeout | undefined;
  #lookedAt = 0;
  #waiting = 0;
  #isToBeTold = false;

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

  /** Something was added to the answer of a stream. */
  added(newest: HeldStream): void {
    newest.look(monotonicMs());
    if (newest.held === 0) return;
    this.#timer ??= setInterval(() => this.#sweep(), this.#lookMs).unref();
    const { sendBufferSize } = this.#parts.limits;
    const { connection } = newest;
    if (connection.total > sendBufferSize * FULL_CONNECTION) {
      this.#relieve(newest, [connection], sendBufferSize * FULL_CONNECTION);
    }
    if (this.total > sendBufferSize) this.#relieve(newest, [...this.#connections], sendBufferSize);
  }

  /** So much waits that requests of this connection have to wait too. */
  isCrowded(connection: HeldConnection): boolean {
    if (!this.#seemsCrowded(connection)) return false;
    this.#look(BELIEVED_MS);
    return this.#seemsCrowded(connection);
  }

  /** One request more, or one fewer, waits for room. */
  countWaiting(change: 1 | -1): void {
    this.#waiting += change;
    if (this.#waiting > 0) this.#timer ??= setInterval(() => this.#sweep(), this.#lookMs).unref();
  }

  /** Something has gone out, or away. */
  moved(): void {
    if (this.#waiting === 0 || this.#isToBeTold) return;
    this.#isToBeTold = true;
    setImmediate(() => {
      this.#isToBeTold = false;
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
    if (connection.total >= sendBufferSize * CROWDED_CONNECTION) return true;
    return this.total >= sendBufferSize * CROWDED_PROCESS && connection.total > LEAST_SHARE_BYTES;
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

  /** Too much waits: what has stood longest goes; where nothing stands, the newest. */
  #relieve(newest: HeldStream, connections: readonly HeldConnection[], mostBytes: number): void {
    this.#look(BELIEVED_MS);
    const total = (): number => connections.reduce((sum, connection) => sum + connection.total, 0);
    const before = monotonicMs() - STANDS_MS;
    const standing = connections
      .flatMap(({ holding }) => [...holding])
      .filter((stream) => stream !== newest && stream.since <= before)
      .sort((a, b) => a.since - b.since);
    for (const stream of standing) {
      if (total() <= mostBytes) return;
      this.#resetFull(stream);
    }
    if (total() > mostBytes && total() > newest.held) this.#resetFull(newest);
  }

  #resetFull(stream: HeldStream): void {
    this.#parts.log.warn('a stream of HTTP/2 was reset: more answers wait for slow clients than sendBufferSize allows');
    this.#reset(stream, NGHTTP2_ENHANCE_YOUR_CALM);
  }

  #reset(stream: HeldStream, code: number): void {
    stream.reset(code);
    this.#parts.record.countReset();
    this.moved();
  }
}
