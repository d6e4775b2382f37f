/** The answers of one connection of HTTP/2 that its client has not taken yet. Runs in a worker. */
import type { ServerHttp2Stream } from 'node:http2';
import { inOwnContext } from '../../util/own-context.js';
import type { DataMeter } from './data-meter.js';
import type { HeldAnswers } from './held-answers.js';

/** A stream that advances by less than this in `writeTimeoutMs` stands: windows may be opened by a byte at a time. */
const LEAST_BYTES = 4096;
/**
 * A stream lets this many bytes of its neighbours' answers pass while the client's TCP is slow. Then it is not TCP
 * that it waits for, as all streams with a window have their turn.
 */
const PASSED_BYTES = 2 ** 20;

/** One answer. */
export class HeldStream {
  readonly connection: HeldConnection;
  readonly stream: ServerHttp2Stream;
  /** Bytes not passed to Node yet. */
  queued = 0;
  /** Waiting bytes, at the last look. */
  held = 0;
  /** When it last advanced by `LEAST_BYTES`, in ms of `monotonicMs()`. */
  since = 0;
  /** Bytes that its connection had sent then. */
  passed = 0;
  /** The server has reset it, not its client. */
  isReset = false;
  /** Its answer is whole: a client that resets it now only sends no more of its body. */
  isAnswered = false;
  #sent = 0;
  #mark = 0;

  constructor(connection: HeldConnection, stream: ServerHttp2Stream) {
    this.connection = connection;
    this.stream = stream;
  }

  /** The answer has grown. */
  added(): void {
    this.connection.answers.added(this);
  }

  /** Too many bytes wait in this process, or for this client. */
  get isCrowded(): boolean {
    return this.connection.answers.isCrowded(this.connection);
  }

  sent(bytes: number): void {
    this.#sent += bytes;
  }

  /** Of the answer's body, passed on to the client. */
  get sentBytes(): number {
    return this.#sent;
  }

  look(now: number): void {
    const { connection } = this;
    const held = this.stream.destroyed ? 0 : this.stream.writableLength + this.queued;
    if (held > 0 && (this.held === 0 || this.#sent - this.#mark >= LEAST_BYTES)) {
      this.#mark = this.#sent;
      this.since = now;
      this.passed = connection.meter.dataBytes;
    }
    if (held > 0 && this.held === 0) connection.holding.add(this);
    else if (held === 0 && this.held > 0) connection.holding.delete(this);
    connection.total += held - this.held;
    connection.answers.total += held - this.held;
    this.held = held;
  }

  /** Waiting bytes are discarded. */
  reset(code: number): void {
    this.isReset = true;
    if (!this.stream.closed) this.stream.close(code);
    this.stream.destroy();
    this.look(0);
  }
}

export class HeldConnection {
  readonly answers: HeldAnswers;
  readonly fd: number;
  readonly meter: DataMeter;
  readonly #isBlocked: () => boolean;
  readonly #streams = new Map<number, HeldStream>();
  /** Streams with waiting bytes. */
  readonly holding = new Set<HeldStream>();
  /** Bytes, at the last look. */
  total = 0;
  /** In ms of `monotonicMs()`: its requests are not served before. */
  waitsUntil = 0;
  readonly #waiting: (() => void)[] = [];

  /** @param isBlocked the client takes none of the bytes sent to it: its TCP is slow */
  constructor(answers: HeldAnswers, fd: number, meter: DataMeter, isBlocked: () => boolean) {
    this.answers = answers;
    this.fd = fd;
    this.meter = meter;
    this.#isBlocked = isBlocked;
    answers.opened(this);
  }

  add(stream: ServerHttp2Stream): HeldStream {
    const id = stream.id ?? 0;
    const held = new HeldStream(this, stream);
    this.#streams.set(id, held);
    stream.once('close', () => {
      held.look(0);
      setImmediate(() => this.#streams.delete(id)); // its last bytes are about to leave
      this.answers.moved();
    });
    return held;
  }

  sent(stream: number, bytes: number): void {
    this.#streams.get(stream)?.sent(bytes);
  }

  look(now: number): void {
    for (const stream of [...this.holding]) stream.look(now);
  }

  /** The stream waits for TCP, as its neighbours do; the reactor limits how long. */
  isExcused(stream: HeldStream): boolean {
    if (!this.#isBlocked() || !this.meter.isMostlyData) return false;
    return this.meter.dataBytes - stream.passed < PASSED_BYTES;
  }

  /** @param serve called once there is room; at once where there is */
  whenRoom(serve: () => void): void {
    if (this.#waiting.length === 0 && !this.answers.isCrowded(this)) return serve();
    this.#waiting.push(serve);
    this.answers.countWaiting(1);
  }

  isWaiting(serve: () => void): boolean {
    return this.#waiting.includes(serve);
  }

  /** The request has waited for too long, or has gone. @returns false: it does not wait any more */
  leave(serve: () => void): boolean {
    const at = this.#waiting.indexOf(serve);
    if (at < 0) return false;
    this.#waiting.splice(at, 1);
    this.answers.countWaiting(-1);
    return true;
  }

  letIn(hasRoom: () => boolean): void {
    while (this.#waiting.length > 0 && hasRoom()) {
      const serve = this.#waiting.shift();
      this.answers.countWaiting(-1);
      if (serve !== undefined) inOwnContext(serve, undefined); // here another request has made room
    }
  }

  close(): void {
    for (const _waiting of this.#waiting.splice(0)) this.answers.countWaiting(-1);
    this.answers.closed(this);
  }
}
