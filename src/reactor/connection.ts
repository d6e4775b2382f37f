import type { Input } from './input.js';
import { CloseSent, checkMove, Hold, Life } from './life.js';
import type { OutQueue } from './out-queue.js';
import type { Protocol } from './protocol.js';
import type { JoinedRoom } from './publication.js';
import type { Speech } from './speech.js';
import type { Secured, Transport } from './transport/transport.js';

export interface ConnectionPlace {
  readonly sessionId: number;
  readonly slot: number;
  readonly descriptor: number;
  readonly worker: number;
  /** Index of the listen port. */
  readonly port: number;
}

/**
 * Times and byte counts begin as −0, which V8 keeps as a floating point number. Begun as 0, an integer, the first time of
 * day would change the form of all connections, and with it discard the machine code of every function that handles one:
 * 13 of them when the first client left a busy server.
 */
const ZERO = -0;

/**
 * Of a connection that ends, or whose client does not take all at once. Most never have any, and each of these numbers has an
 * object of its own in V8.
 */
class Times {
  deadline: number = ZERO;
  sentBefore: number = ZERO;
  waitingSince: number = ZERO;
  acknowledged = Number.NEGATIVE_INFINITY;
}

/** A live socket, as the reactor that owns it sees it. Kept small: there may be a hundred thousand. */
export class Connection {
  readonly sessionId: number;
  readonly slot: number;
  readonly descriptor: number;
  /** Index of the listen port. */
  readonly port: number;
  /** The worker that gets `connect`, `close` and, where the dispatch is sticky, every packet. */
  worker: number;
  /** Where the dispatch is not sticky: the worker of the preceding packet; −1: none. */
  lastWorker = -1;
  /** What the bytes mean. An upgrade replaces it by another protocol. */
  protocol: Protocol;
  /** The protocol's state of this connection. */
  state: unknown = null;
  /** How the bytes travel. */
  readonly transport: Transport;
  /** What `transport` keeps of this connection where it encrypts. */
  readonly secure: Secured | null;
  /** Hold: why it is not read. */
  holds = 0;
  /** The kernel may have bytes for the reactor. */
  readable = false;
  /** The kernel has reported the peer's end, or an error: the reactor reads on until it shows. */
  hangup = false;
  /** Paused since it was accepted: its port delays reading, and no process has confirmed it. */
  unconfirmed = false;
  /** The client seems to have gone while the connection is paused: checked when `deadline` is over. */
  mayBeLeft = false;
  /** Buffered bytes, in and out, as last counted. */
  buffered = 0;
  closeSent: CloseSent = CloseSent.none;
  /** Why it closes, a CloseCode; −1: it stays open. */
  closeCode = -1;
  /** A worker has asked for the close and still holds bytes that go before it. */
  closeAnnounced = false;
  /** The process that is to answer; when its id has another one, only `maxWaitMs` are left. −1: it has. */
  answererPid = 0;
  /** bufferFull was sent, bufferEmpty not yet. */
  full = false;
  out: OutQueue | null = null;
  /** Bytes of the client that the protocol has not taken yet. */
  input: Input | null = null;
  /** An unfinished send in several pieces: its sender, and the frames that wait behind it. */
  speech: Speech | null = null;
  /** Senders that asked to be notified when there is room again: see `watcherOf`. */
  drainWatchers: number[] | null = null;
  /** Bytes that the protocol keeps of the client beside `input`. */
  kept = 0;
  /** What was sent last asks the client to end its side: a plain close might be answered with RST and lose it. */
  awaitsEnd = false;
  /** Where it is a member: its place among the members. */
  rooms: Map<JoinedRoom, number> | null = null;
  #life: Life = Life.open;
  #times: Times | null = null;

  constructor(place: ConnectionPlace, protocol: Protocol, transport: Transport, secure: Secured | null) {
    this.sessionId = place.sessionId;
    this.slot = place.slot;
    this.descriptor = place.descriptor;
    this.worker = place.worker;
    this.port = place.port;
    this.protocol = protocol;
    this.transport = transport;
    this.secure = secure;
  }

  get life(): Life {
    return this.#life;
  }

  /** @throws Error when the move is not legal */
  moveTo(life: Life): void {
    checkMove(this.#life, life);
    this.#life = life;
  }

  /** Restores the state it had in the preceding process. */
  restoreLife(life: Life): void {
    this.#life = life;
  }

  /** In ms of `monotonicMs()`: when lingering, or waiting for the answer, is over. */
  get deadline(): number {
    return this.#times?.deadline ?? 0;
  }

  set deadline(ms: number) {
    this.#ownTimes.deadline = ms;
  }

  /** What had been sent when the deadline was set: an answer that goes on moves it. */
  get sentBefore(): number {
    return this.#times?.sentBefore ?? 0;
  }

  set sentBefore(bytes: number) {
    this.#ownTimes.sentBefore = bytes;
  }

  /** In ms of `monotonicMs()`: when queued bytes last left. */
  get waitingSince(): number {
    return this.#times?.waitingSince ?? 0;
  }

  set waitingSince(ms: number) {
    this.#ownTimes.waitingSince = ms;
  }

  /** What the client had acknowledged at the last look; negative: never looked. */
  get acknowledged(): number {
    return this.#times?.acknowledged ?? Number.NEGATIVE_INFINITY;
  }

  set acknowledged(bytes: number) {
    this.#ownTimes.acknowledged = bytes;
  }

  get #ownTimes(): Times {
    this.#times ??= new Times();
    return this.#times;
  }

  get isClosed(): boolean {
    return this.#life === Life.closed;
  }

  /** The server is ending it: input of the client and requests of processes are ignored. */
  get isClosing(): boolean {
    return this.#life >= Life.closing;
  }

  get isPaused(): boolean {
    return (this.holds & Hold.paused) !== 0;
  }

  get hasNoRoom(): boolean {
    return (this.holds & Hold.noRoom) !== 0;
  }

  /** No bytes are queued for the client. */
  get isFlushed(): boolean {
    return this.out === null && (this.secure === null || this.transport.queuedBytes(this) === 0);
  }
}
