/** One HTTP/2 connection, and its limits. Runs in a worker. */
import {
  constants,
  type IncomingHttpHeaders,
  performServerHandshake,
  type ServerHttp2Session,
  type ServerHttp2Stream,
  type ServerSessionOptions,
} from 'node:http2';
import type { Http2Source } from '../http-requests.js';
import { DataMeter } from './data-meter.js';
import type { HeldAnswers } from './held-answers.js';
import { HeldConnection, type HeldStream } from './held-connection.js';
import { TunnelSocket } from './tunnel-socket.js';

const { NGHTTP2_ENHANCE_YOUR_CALM, NGHTTP2_NO_ERROR } = constants;

export interface ConnectionLimits {
  readonly headerLimit: number;
  readonly headerCountLimit?: number;
  readonly headersTimeoutMs: number;
  readonly keepAliveTimeoutMs: number;
  readonly sendBufferSize: number;
  /** A process that leaves does so within this time. Missing: it has any. */
  readonly maxWaitMs?: number;
}

type StreamListener = (
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
  flags: number,
  raw: readonly string[],
) => void;

export interface ConnectionEvents {
  stream(held: HeldStream, headers: IncomingHttpHeaders, raw: readonly string[]): void;
  failed(error: unknown): void;
  closed(): void;
}

const MAX_STREAMS = 128;
/** For everything but answers. */
const SESSION_MB = 32;
/** Limit of streams that the client breaks within a second: beyond it, it keeps the server busy for nothing. */
const MAX_RESETS_PER_SECOND = 200;
/** A client that takes nothing is not waited for. */
const ROUNDS_TO_SEND = 10;
/** For a connection that ends in good order, and whose client prevents it. */
const LINGER_MS = 5000;
/** A client that does not answer PING is not waited for any longer before it is told which streams are served. */
const NOTICE_MS = 1000;
/** So much of `maxWaitMs` at most goes by with that. */
const NOTICE_SHARE = 1 / 4;
/**
 * GOAWAY with the last possible stream and NO_ERROR. Node's own would not do: with no stream under way it reads nothing
 * behind a GOAWAY.
 */
const NOTICE = Buffer.from([0, 0, 8, 7, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0]);
/** With the four pseudo fields. */
const DEFAULT_HEADER_COUNT = 104;

export class Http2Connection {
  readonly fd: number;
  readonly isEncrypted: boolean;
  readonly #events: ConnectionEvents;
  readonly #limits: ConnectionLimits;
  readonly #socket: TunnelSocket;
  readonly #session: ServerHttp2Session;
  readonly held: HeldConnection;
  #streams = 0;
  #timer: NodeJS.Timeout | undefined;
  /** It is told to go elsewhere. */
  #noticeTimer: NodeJS.Timeout | undefined;
  #resets = 0;
  #second = 0;
  #isExpelled = false;

  constructor(source: Http2Source, limits: ConnectionLimits, answers: HeldAnswers, events: ConnectionEvents) {
    this.fd = source.fd;
    this.isEncrypted = source.isEncrypted;
    this.#events = events;
    this.#limits = limits;
    const meter = new DataMeter((stream, bytes) => this.held.sent(stream, bytes));
    const moved = (): void => answers.moved();
    this.#socket = new TunnelSocket(source, { passed: (bytes) => meter.passed(bytes), moved });
    this.held = new HeldConnection(answers, source.fd, meter, () => this.#socket.isBlocked);
    this.#socket.on('error', (error) => events.failed(error));
    this.#session = performServerHandshake(this.#socket, sessionOptions(limits));
    this.#session.on('error', (error) => events.failed(error));
    const onStream: StreamListener = (stream, headers, _flags, raw) => this.#opened(stream, headers, raw);
    this.#session.on('stream', onStream);
    this.#session.on('close', () => this.#closed());
    exposeClient(this.#session, this.#socket);
    this.#expectStream(limits.headersTimeoutMs);
  }

  /**
   * Asks the client to go elsewhere, then closes. In two steps, as what it has sent before it knows is still served (RFC
   * 9113, 6.8): GOAWAY for streams to come, and when PING has come back, which no earlier stream can come behind, the
   * last one.
   */
  leave(): void {
    if (this.#session.closed || this.#session.destroyed || this.#noticeTimer !== undefined) return;
    const { maxWaitMs = Number.POSITIVE_INFINITY } = this.#limits;
    this.#noticeTimer = setTimeout(() => this.close(), Math.min(NOTICE_MS, maxWaitMs * NOTICE_SHARE));
    // SETTINGS are the first frame.
    if (this.#session.pendingSettingsAck) this.#session.once('localSettings', () => this.#notify());
    else this.#notify();
  }

  #notify(): void {
    if (this.#session.closed || this.#session.destroyed) return;
    this.#socket.write(NOTICE); // Node writes whole frames
    this.#session.ping(() => this.close());
  }

  /** Takes no new streams; ends after those under way. */
  close(): void {
    clearTimeout(this.#noticeTimer);
    if (this.#session.closed || this.#session.destroyed) return;
    this.#session.close();
    if (this.#streams === 0) this.#linger();
  }

  /** At once. */
  kill(): void {
    if (!this.#session.destroyed) this.#session.destroy();
    this.#socket.kill();
  }

  #opened(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, raw: readonly string[]): void {
    stream.on('error', (error) => this.#events.failed(error));
    if (this.#isExpelled) return;
    // The client has opened and broken it at once.
    if (stream.destroyed || stream.closed) return this.#wasReset();
    this.#streams++;
    clearTimeout(this.#timer);
    const held = this.held.add(stream);
    stream.once('close', () => this.#streamClosed(stream, held));
    this.#events.stream(held, headers, raw);
  }

  #streamClosed(stream: ServerHttp2Stream, { isReset, isAnswered }: HeldStream): void {
    this.#streams--;
    // By the client itself, or because of its bytes; other faults of the server are few.
    if (stream.rstCode !== NGHTTP2_NO_ERROR && !isReset && !isAnswered) this.#wasReset();
    if (this.#streams > 0 || this.#session.destroyed) return;
    if (this.#session.closed) this.#linger();
    else this.#expectStream(this.#limits.keepAliveTimeoutMs);
  }

  #wasReset(): void {
    if (this.#session.destroyed || this.#isExpelled) return;
    const second = Math.floor(performance.now() / 1000);
    if (second !== this.#second) this.#resets = 0;
    this.#second = second;
    if (++this.#resets > MAX_RESETS_PER_SECOND) this.#expel();
  }

  #expel(): void {
    const why = `the client has reset more than ${MAX_RESETS_PER_SECOND} streams in a second`;
    this.#isExpelled = true;
    this.#session.goaway(NGHTTP2_ENHANCE_YOUR_CALM);
    this.#destroyWhenSent(new Error(why), ROUNDS_TO_SEND);
  }

  /** The GOAWAY of `destroy` itself, and that before it, are lost while bytes are being written, which takes rounds of the loop. */
  #destroyWhenSent(error: Error, rounds: number): void {
    setImmediate(() => {
      if (this.#session.destroyed) return;
      const isSent = this.#session.state.outboundQueueSize === 0;
      if (isSent || rounds === 0) this.#session.destroy(error, NGHTTP2_ENHANCE_YOUR_CALM);
      else this.#destroyWhenSent(error, rounds - 1);
    });
  }

  #expectStream(ms: number): void {
    clearTimeout(this.#timer);
    if (ms > 0) this.#timer = setTimeout(() => this.close(), ms);
  }

  #linger(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.kill(), LINGER_MS);
  }

  #closed(): void {
    clearTimeout(this.#timer);
    clearTimeout(this.#noticeTimer);
    this.held.close();
    this.#events.closed();
  }
}

function sessionOptions({ headerLimit, headerCountLimit, sendBufferSize }: ConnectionLimits): ServerSessionOptions {
  return {
    settings: { maxConcurrentStreams: MAX_STREAMS, maxHeaderListSize: headerLimit, enablePush: false },
    maxHeaderListPairs: headerCountLimit === undefined ? DEFAULT_HEADER_COUNT : headerCountLimit + 4,
    // In MB. Node refuses streams above it; answers are bounded by `HeldAnswers`, which lets their requests wait.
    maxSessionMemory: SESSION_MB + Math.ceil((sendBufferSize * 2) / 1e6),
    maxSessionInvalidFrames: 32,
    maxSessionRejectedStreams: 64,
    maxOutstandingPings: 10,
    maxSettings: 32,
  };
}

/** Node wraps its own socket around this one: code that reads `request.socket` finds the client's address there. */
function exposeClient(session: ServerHttp2Session, socket: TunnelSocket): void {
  // `session.socket` is a stand-in; the methods of an emitter return the emitter itself.
  const inner = session.socket.once('close', () => {});
  const { encrypted, alpnProtocol, remoteAddress, remotePort, remoteFamily } = socket;
  for (const [name, value] of Object.entries({ encrypted, alpnProtocol, remoteAddress, remotePort, remoteFamily })) {
    Object.defineProperty(inner, name, { value, configurable: true, enumerable: true });
  }
}
