import type { Input } from './input.js';
import { CloseSent, checkMove, Hold, Life } from './life.js';
import type { OutQueue } from './out-queue.js';
import type { Protocol } from './protocol.js';
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

/** A live socket, as the reactor that owns it sees it. Kept small: there may be a hundred thousand. */
export class Connection {
  readonly sessionId: number;
  readonly slot: number;
  readonly descriptor: number;
  /** Index of the listen port. */
  readonly port: number;
  /** The worker that gets `connect`, `close` and, where the dispatch is sticky, every packet. */
  worker: number;
  /** Where the dispatch is not sticky: the worker of the packet before; −1: there was none. */
  lastWorker = -1;
  /** What the bytes mean. An upgrade is another protocol. */
  protocol: Protocol;
  /** What `protocol` keeps of this connection. */
  state: unknown = null;
  /** How the bytes travel. */
  readonly transport: Transport;
  /** What `transport` keeps of this connection where it encrypts. */
  readonly secure: Secured | null;
  /** Hold: why it is not read. */
  holds = 0;
  /** The kernel may have bytes for us. */
  readable = false;
  /** The kernel has reported the peer's end (or an error): read on until it shows. */
  hangup = false;
  /** It is paused since it came: its port delays reading, and no process has confirmed it. */
  unconfirmed = false;
  /** The client seems to have gone while the connection is paused: looked at when `deadline` is over. */
  mayBeLeft = false;
  /** What waits in memory, in and out, as it was counted last. */
  buffered = 0;
  closeSent: CloseSent = CloseSent.none;
  /** Why it closes, a CloseCode; −1: it does not. */
  closeCode = -1;
  /** A worker has asked for the end and still holds what goes before it. */
  closeAnnounced = false;
  /** In ms of `monotonicMs()`: when lingering, or waiting for the answer, is over. */
  deadline: number = ZERO;
  /** What had been sent when the deadline was set: an answer that goes on moves it. */
  sentBefore: number = ZERO;
  /** The process that is to answer; when its id has another one, only `maxWaitMs` are left. −1: it has. */
  answererPid = 0;
  /** bufferFull was sent and bufferEmpty not yet. */
  full = false;
  /** In ms of `monotonicMs()`: when something of what waits for the client left last. */
  waitingSince: number = ZERO;
  /** What the client had acknowledged when it was looked at last; negative: not yet. */
  acknowledged = Number.NEGATIVE_INFINITY;
  out: OutQueue | null = null;
  /** Bytes of the client that the protocol has not taken yet. */
  input: Input | null = null;
  /** A send in several pieces is not whole yet: whose, and what waits behind it. */
  speech: Speech | null = null;
  /** Who asked to be notified when there is room again: see `watcherOf`. */
  drainWatchers: number[] | null = null;
  #life: Life = Life.open;

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

  /** As the process before this one had it. */
  restoreLife(life: Life): void {
    this.#life = life;
  }

  get isClosed(): boolean {
    return this.#life === Life.closed;
  }

  /** The server ends it: nothing that comes from the client, or from a process, counts any more. */
  get isClosing(): boolean {
    return this.#life >= Life.closing;
  }

  get isPaused(): boolean {
    return (this.holds & Hold.paused) !== 0;
  }

  get hasNoRoom(): boolean {
    return (this.holds & Hold.noRoom) !== 0;
  }

  /** Nothing waits to be written. */
  get isFlushed(): boolean {
    return this.out === null && (this.secure === null || this.transport.queuedBytes(this) === 0);
  }
}
