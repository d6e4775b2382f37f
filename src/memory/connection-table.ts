/**
 * One record per connection, written by the reactor that owns it and readable from every process without a call.
 *
 * A session id is `generation × slots + slot`: unique for the life of the server, below 2^53, and the slot (and with it
 * the reactor, `slot % reactorNum`) follows without a search. The generation of a slot grows with each use.
 */

import { formatIPv4, formatIPv6 } from '../os/address.js';
import { AF_INET, AF_UNIX } from '../os/constants.js';
import { CONNECTION_RECORD_BYTES } from './layout.js';
import type { Region } from './region.js';
import { type TlsInfo, TlsRecords } from './tls-records.js';

const INTS = CONNECTION_RECORD_BYTES / 4;
const FLOATS = CONNECTION_RECORD_BYTES / 8;

/** Int32 fields. */
const STATE = 2;
const WORKER = 3;
const REACTOR = 4;
const PORT_INDEX = 5;
const DESCRIPTOR = 6;
const FAMILY = 7;
const ADDRESS = 8; // four int32: 16 bytes
const REMOTE_PORT = 12;
const UID = 13;
const FLAGS = 14;
const SEND_QUEUED = 15;
/** Bytes received, and handled by workers, modulo 2^32; behind the floats. */
const RECEIVED_32 = 26;
const HANDLED_32 = 27;
/** In packets that were given to workers. */
const DISPATCHED_32 = 28;
/** HTTP: the process that has taken the request that is under way; 0: nobody yet. */
const TAKER = 29;
/** Float64 fields. */
const SESSION_ID = 0;
const CONNECTED_AT = 8;
const LAST_RECEIVED_AT = 9;
const LAST_SENT_AT = 10;
const RECEIVED_BYTES = 11;
const SENT_BYTES = 12;

export const SlotState = {
  /** Nobody's. */
  free: 0,
  /** Reads and writes. */
  open: 1,
  /** The server has asked to close it: what is queued still leaves, nothing is taken in. */
  closing: 2,
  /** Gone for the outside; kept until the worker has seen its `close`. */
  closed: 3,
} as const;
export type SlotState = (typeof SlotState)[keyof typeof SlotState];

export const SlotFlag = {
  protected: 1,
  paused: 2,
  /** Its worker was sent `close`. */
  told: 4,
  tls: 8,
  /** Its reactor reads no more until its worker has handled enough. */
  throttled: 16,
} as const;

/** What a user can know of a connection (Swoole: getClientInfo). Times are Unix time in ms, sizes bytes. */
export interface ClientInfo {
  fd: number;
  workerId: number;
  reactorId: number;
  remoteAddress: string;
  remotePort: number;
  /** The server's port the client connected to. */
  serverPort: number;
  portIndex: number;
  /** The kernel's descriptor in the master. */
  socketFd: number;
  uid: number;
  protected: boolean;
  paused: boolean;
  connectedAt: number;
  lastReceivedAt: number;
  lastSentAt: number;
  receivedBytes: number;
  sentBytes: number;
  /** Bytes sent by workers that the kernel has not taken yet. */
  sendQueuedBytes: number;
  closing: boolean;
  /** What the handshake has agreed upon; missing where the port does not speak TLS. */
  tls?: TlsInfo | undefined;
}

export interface NewConnection {
  readonly sessionId: number;
  readonly worker: number;
  readonly reactor: number;
  readonly portIndex: number;
  readonly descriptor: number;
  readonly family: number;
  /** 16 bytes, of which IPv4 uses 4. */
  readonly address: Uint8Array;
  readonly remotePort: number;
  readonly now: number;
}

export class ConnectionTable {
  readonly slots: number;
  readonly #mask: number;
  readonly #region: Region;
  readonly #int32: Int32Array;
  readonly #float64: Float64Array;
  readonly #bytes: Buffer;
  readonly #intsAt: number;
  readonly #floatsAt: number;

  constructor(region: Region) {
    const { connectionsAt, shape } = region.layout;
    this.slots = shape.slots;
    this.#mask = shape.slots - 1;
    this.#region = region;
    this.#int32 = region.int32;
    this.#float64 = region.float64;
    this.#bytes = region.bytes;
    this.#intsAt = connectionsAt / 4;
    this.#floatsAt = connectionsAt / 8;
  }

  slotOf(sessionId: number): number {
    return (sessionId >>> 0) & this.#mask;
  }

  reactorOf(sessionId: number): number {
    return this.slotOf(sessionId) % this.#region.shape.reactorNum;
  }

  /** The id the slot will have for its next connection. */
  nextSessionId(slot: number): number {
    const last = this.#float64[this.#floatsAt + slot * FLOATS + SESSION_ID] ?? 0;
    return last === 0 ? this.slots + slot : last + this.slots;
  }

  state(slot: number): SlotState {
    return Atomics.load(this.#int32, this.#intsAt + slot * INTS + STATE) as SlotState;
  }

  sessionId(slot: number): number {
    return this.#float64[this.#floatsAt + slot * FLOATS + SESSION_ID] ?? 0;
  }

  /** True while the connection can be written to. */
  isOpen(sessionId: number): boolean {
    const slot = this.slotOf(sessionId);
    return (
      Atomics.load(this.#int32, this.#intsAt + slot * INTS + STATE) === SlotState.open &&
      this.#float64[this.#floatsAt + slot * FLOATS] === sessionId
    );
  }

  /** True while the slot speaks of this session at all (also in and after closing). */
  isKnown(sessionId: number): boolean {
    const slot = this.slotOf(sessionId);
    return this.state(slot) !== SlotState.free && this.sessionId(slot) === sessionId;
  }

  /** True when its socket is gone: nothing that is sent arrives any more. */
  isGone(sessionId: number): boolean {
    const slot = this.slotOf(sessionId);
    const state = this.state(slot);
    return state === SlotState.free || state === SlotState.closed || this.sessionId(slot) !== sessionId;
  }

  worker(slot: number): number {
    return this.#int32[this.#intsAt + slot * INTS + WORKER] ?? 0;
  }

  portIndex(slot: number): number {
    return this.#int32[this.#intsAt + slot * INTS + PORT_INDEX] ?? 0;
  }

  sendQueued(slot: number): number {
    return this.#int32[this.#intsAt + slot * INTS + SEND_QUEUED] ?? 0;
  }

  // ——— written by the owning reactor ———

  setWorker(slot: number, worker: number): void {
    this.#int32[this.#intsAt + slot * INTS + WORKER] = worker;
  }

  open(slot: number, connection: NewConnection): void {
    const i = this.#intsAt + slot * INTS;
    const f = this.#floatsAt + slot * FLOATS;
    const { int32, float64 } = { int32: this.#int32, float64: this.#float64 };
    int32[i + WORKER] = connection.worker;
    int32[i + REACTOR] = connection.reactor;
    int32[i + PORT_INDEX] = connection.portIndex;
    int32[i + DESCRIPTOR] = connection.descriptor;
    int32[i + FAMILY] = connection.family;
    this.#bytes.set(connection.address, (i + ADDRESS) * 4);
    int32[i + REMOTE_PORT] = connection.remotePort;
    int32[i + UID] = 0;
    int32[i + FLAGS] = 0;
    int32[i + SEND_QUEUED] = 0;
    float64[f + CONNECTED_AT] = connection.now;
    float64[f + LAST_RECEIVED_AT] = 0;
    float64[f + LAST_SENT_AT] = 0;
    float64[f + RECEIVED_BYTES] = 0;
    float64[f + SENT_BYTES] = 0;
    int32[i + RECEIVED_32] = 0;
    int32[i + HANDLED_32] = 0;
    int32[i + DISPATCHED_32] = 0;
    int32[i + TAKER] = 0;
    float64[f + SESSION_ID] = connection.sessionId;
    Atomics.store(int32, i + STATE, SlotState.open);
  }

  /** Another process owns the socket from now on. */
  setDescriptor(slot: number, descriptor: number): void {
    this.#int32[this.#intsAt + slot * INTS + DESCRIPTOR] = descriptor;
  }

  setState(slot: number, state: SlotState): void {
    Atomics.store(this.#int32, this.#intsAt + slot * INTS + STATE, state);
  }

  setSendQueued(slot: number, bytes: number): void {
    this.#int32[this.#intsAt + slot * INTS + SEND_QUEUED] = bytes;
  }

  countReceived(slot: number, bytes: number, now: number): void {
    const f = this.#floatsAt + slot * FLOATS;
    this.#float64[f + RECEIVED_BYTES] = (this.#float64[f + RECEIVED_BYTES] ?? 0) + bytes;
    this.#float64[f + LAST_RECEIVED_AT] = now;
    const received = this.#intsAt + slot * INTS + RECEIVED_32;
    this.#int32[received] = ((this.#int32[received] ?? 0) + bytes) | 0;
  }

  countSent(slot: number, bytes: number, now: number): void {
    const f = this.#floatsAt + slot * FLOATS;
    this.#float64[f + SENT_BYTES] = (this.#float64[f + SENT_BYTES] ?? 0) + bytes;
    this.#float64[f + LAST_SENT_AT] = now;
  }

  sentBytes(slot: number): number {
    return this.#float64[this.#floatsAt + slot * FLOATS + SENT_BYTES] ?? 0;
  }

  setTls(slot: number, info: TlsInfo): void {
    new TlsRecords(this.#region).write(slot, info);
    this.setFlag(slot, SlotFlag.tls, true);
  }

  countDispatched(slot: number, bytes: number): void {
    const i = this.#intsAt + slot * INTS + DISPATCHED_32;
    this.#int32[i] = ((this.#int32[i] ?? 0) + bytes) | 0;
  }

  // ——— written by any process ———

  /** Its worker has told the user of the end: nobody sends to it any more. The reactor does the rest. */
  markEnded(sessionId: number): void {
    const slot = this.slotOf(sessionId);
    if (this.sessionId(slot) !== sessionId) return;
    Atomics.compareExchange(this.#int32, this.#intsAt + slot * INTS + STATE, SlotState.open, SlotState.closing);
  }

  /** HTTP: `pid` has taken the request of this connection; 0: it is given out and nobody has taken it. */
  setTaker(slot: number, pid: number): void {
    this.#int32[this.#intsAt + slot * INTS + TAKER] = pid;
  }

  taker(slot: number): number {
    return this.#int32[this.#intsAt + slot * INTS + TAKER] ?? 0;
  }

  /** A worker has handled so much more: the present one, or one that it replaces. @returns what is not handled */
  countHandled(slot: number, bytes: number): number {
    Atomics.add(this.#int32, this.#intsAt + slot * INTS + HANDLED_32, bytes);
    return this.queuedBytes(slot);
  }

  /** True while a worker handles a packet of it, or has one to handle. */
  isBeingHandled(slot: number): boolean {
    const i = this.#intsAt + slot * INTS;
    return this.#int32[i + DISPATCHED_32] !== Atomics.load(this.#int32, i + HANDLED_32);
  }

  /** Received, and not handled. */
  queuedBytes(slot: number): number {
    const i = this.#intsAt + slot * INTS;
    return ((this.#int32[i + RECEIVED_32] ?? 0) - Atomics.load(this.#int32, i + HANDLED_32)) | 0;
  }

  /** What is not handled has gone with a worker that has died. */
  forgetQueued(slot: number): void {
    const i = this.#intsAt + slot * INTS;
    const handled = this.#int32[i + RECEIVED_32] ?? 0;
    Atomics.store(this.#int32, i + HANDLED_32, handled);
    this.#int32[i + DISPATCHED_32] = handled;
  }

  setFlag(slot: number, flag: number, on: boolean): void {
    const i = this.#intsAt + slot * INTS + FLAGS;
    if (on) Atomics.or(this.#int32, i, flag);
    else Atomics.and(this.#int32, i, ~flag);
  }

  /** Unix ms; the time of the connect while nothing was received. */
  lastReceivedAt(slot: number): number {
    const f = this.#floatsAt + slot * FLOATS;
    return Math.max(this.#float64[f + LAST_RECEIVED_AT] ?? 0, this.#float64[f + CONNECTED_AT] ?? 0);
  }

  /** The 16 bytes of a client's address, as long as the slot is not used again. */
  address(slot: number): Buffer {
    const at = (this.#intsAt + slot * INTS + ADDRESS) * 4;
    return this.#bytes.subarray(at, at + 16);
  }

  isUnix(slot: number): boolean {
    return this.#int32[this.#intsAt + slot * INTS + FAMILY] === AF_UNIX;
  }

  hasFlag(slot: number, flag: number): boolean {
    return (Atomics.load(this.#int32, this.#intsAt + slot * INTS + FLAGS) & flag) !== 0;
  }

  uid(slot: number): number {
    return Atomics.load(this.#int32, this.#intsAt + slot * INTS + UID);
  }

  /** @returns false when the connection has a uid already */
  bindUid(slot: number, uid: number): boolean {
    return Atomics.compareExchange(this.#int32, this.#intsAt + slot * INTS + UID, 0, uid) === 0;
  }

  // ——— read by any process ———

  /** @returns undefined when the slot belongs to another session by now */
  info(sessionId: number): ClientInfo | undefined {
    const slot = this.slotOf(sessionId);
    const state = this.state(slot);
    if (state === SlotState.free || this.sessionId(slot) !== sessionId) return undefined;
    const i = this.#intsAt + slot * INTS;
    const f = this.#floatsAt + slot * FLOATS;
    const int = (field: number): number => this.#int32[i + field] ?? 0;
    const float = (field: number): number => this.#float64[f + field] ?? 0;
    const addressAt = (i + ADDRESS) * 4;
    const flags = int(FLAGS);
    const info: ClientInfo = {
      fd: sessionId,
      workerId: int(WORKER),
      reactorId: int(REACTOR),
      remoteAddress: formatAddress(int(FAMILY), this.#bytes, addressAt),
      remotePort: int(REMOTE_PORT),
      serverPort: this.#region.ports[int(PORT_INDEX)] ?? 0,
      portIndex: int(PORT_INDEX),
      socketFd: int(DESCRIPTOR),
      uid: int(UID),
      protected: (flags & SlotFlag.protected) !== 0,
      paused: (flags & SlotFlag.paused) !== 0,
      connectedAt: float(CONNECTED_AT),
      lastReceivedAt: float(LAST_RECEIVED_AT),
      lastSentAt: float(LAST_SENT_AT),
      receivedBytes: float(RECEIVED_BYTES),
      sentBytes: float(SENT_BYTES),
      sendQueuedBytes: int(SEND_QUEUED),
      closing: state !== SlotState.open,
    };
    if ((flags & SlotFlag.tls) !== 0) info.tls = new TlsRecords(this.#region).read(slot);
    return this.sessionId(slot) === sessionId ? info : undefined; // reused while we read?
  }

  /** Open sessions in slot order, beginning behind `after` (0: from the start). */
  *sessions(after = 0): Generator<number> {
    for (let slot = after === 0 ? 0 : this.slotOf(after) + 1; slot < this.slots; slot++) {
      if (this.state(slot) === SlotState.open) yield this.sessionId(slot);
    }
  }
}

/** A client of a unix socket has no address. */
function formatAddress(family: number, bytes: Uint8Array, at: number): string {
  if (family === AF_UNIX) return '';
  return family === AF_INET ? formatIPv4(bytes, at) : formatIPv6(bytes, at);
}
