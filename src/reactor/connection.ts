import type { HttpState } from './http/http-state.js';
import type { Input } from './input.js';
import type { OutQueue } from './out-queue.js';
import type { Speech } from './speeches.js';
import type { TlsStream } from './tls/tls-stream.js';

/** A live socket, as the reactor that owns it sees it. Kept small: there may be a hundred thousand. */
export class ReactorConnection {
  readonly sessionId: number;
  readonly slot: number;
  readonly descriptor: number;
  /** The worker that gets `connect`, `close` and, where the dispatch is sticky, every packet. */
  worker: number;
  /** Where the dispatch is not sticky: who got the packet before; −1: there was none. */
  lastWorker = -1;
  /** The kernel may have bytes for us. */
  readable = false;
  /** The kernel has reported the peer's end (or an error): read on until it shows. */
  hangup = false;
  paused = false;
  /** It is paused since it came: its port delays reading, and no process has confirmed it. */
  unconfirmed = false;
  /** It seems to have ended its side, or to have gone, while it is paused: looked at when `deadline` is over. */
  left = false;
  /** Its worker has not handled as much as maxQueuedBytes allows to wait. */
  throttled = false;
  /** What waits in memory, in and out, as it was counted last. */
  buffered = 0;
  /** Waits in a worker lane's list for room. */
  stalled = false;
  /** The worker was sent `close`. */
  told = false;
  /** What is queued still leaves, then the socket is closed. −1: not closing, otherwise a CloseCode. */
  closeCode = -1;
  /** A worker has asked for the end and still holds what goes before it. */
  closeAnnounced = false;
  /** The socket has been shut for writing and only waits for the peer's end. */
  lingering = false;
  /** The client has ended its side and the worker may still answer. */
  awaitsAnswer = false;
  /** Unix ms at which lingering, or waiting for the answer, is over. */
  deadline = 0;
  /** What had been sent when the deadline was set: an answer that goes on moves it. */
  sentBefore = 0;
  /** The process that owes the answer; when its id has another one, only `maxWaitMs` are left. −1: it has. */
  answererPid = 0;
  ended = false;
  /** bufferFull was told and bufferEmpty not yet. */
  full = false;
  out: OutQueue | null = null;
  /** Where packets are framed: what is no whole packet yet. */
  input: Input | null = null;
  /** Where the port speaks HTTP and something has come. */
  http: HttpState | null = null;
  /** Where the port speaks TLS; the descriptor is Node's then. */
  tls: TlsStream | null = null;
  /** Index of the listen port. */
  readonly port: number;
  /** A send in several pieces is not whole yet: whose, and what waits behind it. */
  speech: Speech | null = null;
  /** Who asked to hear when there is room again: see `watcherOf`. */
  drainWatchers: number[] | null = null;

  /** Nothing waits to be written. */
  get isFlushed(): boolean {
    return this.out === null && (this.tls === null || this.tls.queuedBytes === 0);
  }

  constructor(sessionId: number, slot: number, descriptor: number, worker: number, port: number) {
    this.port = port;
    this.sessionId = sessionId;
    this.slot = slot;
    this.descriptor = descriptor;
    this.worker = worker;
  }
}
