/**
 * One record per connection, written by the reactor that owns it and readable from every process without a system call.
 *
 * A session id is `generation × slots + slot`: unique for the life of the server, below 2^53, and the slot (and with it
 * the reactor, `slot % reactorNum`) follows without a search. The generation of a slot grows with each use.
 */

import { formatIPv4, formatIPv6 } from '../os/address.js';
import { AF_INET, AF_UNIX } from '../os/constants.js';
import { FLOATS, INTS, record } from './connection-record.js';
import { Holders } from './holders.js';
import type { Region } from './region.js';
import { type TlsInfo, TlsRecords } from './tls-records.js';

export const SlotState = {
  /** Unused. */
  free: 0,
  /** Reads and writes. */
  open: 1,
  /** The server has asked to close it: queued bytes still leave, no new ones are accepted. */
  closing: 2,
  /** The socket is gone; the slot is kept until the worker has seen its `close`. */
  closed: 3,
} as const;
export type SlotState = (typeof SlotState)[keyof typeof SlotState];

export const SlotFlag = {
  protected: 1,
  paused: 2,
  /** Its worker was sent `close`. */
  closeSent: 4,
  tls: 8,
  /** Its reactor stops reading until its worker has handled enough. */
  throttled: 16,
  /** Its queue has passed the high watermark, and has not fallen to the low one since. */
  full: 32,
  /** It speaks WebSocket. */
  webSocket: 64,
  /** It takes compressed messages (RFC 7692). */
  deflate: 128,
} as const;

/** The public facts about a connection (Swoole: getClientInfo). Times are Unix time in ms, sizes bytes. */
export interface ClientInfo {
  /** Session id. */
  fd: number;
  /** The worker that gets its packets. Swoole: worker_id. */
  workerId: number;
  /** The reactor that owns its socket. Swoole: reactor_id. */
  reactorId: number;
  /** IP address of the client; with a PROXY header the address in the header. Swoole: remote_ip. */
  remoteAddress: string;
  /** Port of the client. Swoole: remote_port. */
  remotePort: number;
  /** The server's port the client connected to. Swoole: server_port. */
  serverPort: number;
  /** Index of the listen port: 0 is the server's own address. */
  portIndex: number;
  /** The kernel's descriptor, in the process that holds it. Swoole: socket_fd. */
  socketFd: number;
  /** The number given by `bind`; 0: none. Swoole: uid. */
  uid: number;
  /** True after `protect`: exempt from time-outs for idle clients. */
  protected: boolean;
  /** True between `pause` and `resume`. */
  paused: boolean;
  /** When it was accepted, in ms since 1970. Swoole: connect_time, in seconds. */
  connectedAt: number;
  /** When its last bytes were received, in ms since 1970. Swoole: last_recv_time, in seconds. */
  lastReceivedAt: number;
  /** When it last took bytes, in ms since 1970. Swoole: last_send_time, in seconds. */
  lastSentAt: number;
  /** When its last packet, or HTTP request, was dispatched to a worker; 0: never. Swoole: last_dispatch_time */
  lastDispatchTime: number;
  /** The errno of the socket's failure, such as 104 (ECONNRESET); 0: it has not failed. Swoole: close_errno */
  closeErrno: number;
  /** Bytes received from it. */
  receivedBytes: number;
  /** Bytes the kernel has taken for it. */
  sentBytes: number;
  /** Bytes sent by workers that the kernel has not taken yet. Swoole: send_queued_bytes. */
  sendQueuedBytes: number;
  /** True once it is being closed. */
  closing: boolean;
  /** True once the client has become a WebSocket. Swoole: websocket_status. */
  webSocket: boolean;
  /** The result of the handshake; missing where the port does not speak TLS. */
  tls?: TlsInfo | undefined;
}

export interface NewConnection {
  readonly sessionId: number;
  readonly worker: number;
  readonly portIndex: number;
  readonly descriptor: number;
  readonly family: number;
  /** 16 bytes, of which IPv4 uses 4. */
  readonly address: Uint8Array;
  readonly remotePort: number;
  /** In ms of `monotonicMs()`. */
  readonly now: number;
}

export class ConnectionTable {
  readonly slots: number;
  /** Which processes hold something for a connection. */
  readonly holders: Holders;
  readonly #mask: number;
  readonly #region: Region;
  readonly #int32: Int32Array;
  readonly #float64: Float64Array;
  readonly #bytes: Buffer;
  readonly #intsAt: number;
  readonly #floatsAt: number;

  /** @param peer of this process, where it sends to connections */
  constructor(region: Region, peer?: number) {
    const { connectionsAt, shape } = region.layout;
    this.slots = shape.slots;
    this.#mask = shape.slots - 1;
    this.#region = region;
    this.#int32 = region.int32;
    this.#float64 = region.float64;
    this.#bytes = region.bytes;
    this.#intsAt = connectionsAt / 4;
    this.#floatsAt = connectionsAt / 8;
    this.holders = new Holders(region, peer);
  }

  slotOf(sessionId: number): number {
    return (sessionId >>> 0) & this.#mask;
  }

  reactorOf(sessionId: number): number {
    return this.slotOf(sessionId) % this.#region.shape.reactorNum;
  }

  /** The id the slot will have for its next connection. */
  nextSessionId(slot: number): number {
    const last = this.#float64[this.#floatsAt + slot * FLOATS + record.sessionId] ?? 0;
    return last === 0 ? this.slots + slot : last + this.slots;
  }

  state(slot: number): SlotState {
    return Atomics.load(this.#int32, this.#intsAt + slot * INTS + record.state) as SlotState;
  }

  sessionId(slot: number): number {
    return this.#float64[this.#floatsAt + slot * FLOATS + record.sessionId] ?? 0;
  }

  /** True while the connection can be written to. */
  isOpen(sessionId: number): boolean {
    const slot = this.slotOf(sessionId);
    return (
      Atomics.load(this.#int32, this.#intsAt + slot * INTS + record.state) === SlotState.open &&
      this.#float64[this.#floatsAt + slot * FLOATS] === sessionId &&
      !this.isClosedByServer(sessionId)
    );
  }

  /** True as soon as a process of the server has closed it: the client's bytes are discarded from then on. */
  isClosedByServer(sessionId: number): boolean {
    return (
      this.#int32[this.#intsAt + this.slotOf(sessionId) * INTS + record.closedGeneration] ===
      this.#generationOf(sessionId)
    );
  }

  #generationOf(sessionId: number): number {
    return Math.floor(sessionId / this.slots) | 0;
  }

  /** True while the slot belongs to this session (during and after closing too). */
  isKnown(sessionId: number): boolean {
    const slot = this.slotOf(sessionId);
    return this.state(slot) !== SlotState.free && this.sessionId(slot) === sessionId;
  }

  /** True while what was sent before it was closed still leaves: its reactor discards what comes now. */
  isEnding(sessionId: number): boolean {
    const slot = this.slotOf(sessionId);
    return this.state(slot) === SlotState.closing && this.sessionId(slot) === sessionId;
  }

  /** True when its socket is gone: sends no longer arrive. */
  isGone(sessionId: number): boolean {
    const slot = this.slotOf(sessionId);
    const state = this.state(slot);
    return state === SlotState.free || state === SlotState.closed || this.sessionId(slot) !== sessionId;
  }

  worker(slot: number): number {
    return this.#int32[this.#intsAt + slot * INTS + record.worker] ?? 0;
  }

  portIndex(slot: number): number {
    return this.#int32[this.#intsAt + slot * INTS + record.portIndex] ?? 0;
  }

  sendQueued(slot: number): number {
    return this.#int32[this.#intsAt + slot * INTS + record.sendQueued] ?? 0;
  }

  // ——— written by the owning reactor ———

  setWorker(slot: number, worker: number): void {
    this.#int32[this.#intsAt + slot * INTS + record.worker] = worker;
  }

  open(slot: number, connection: NewConnection): void {
    const i = this.#intsAt + slot * INTS;
    const f = this.#floatsAt + slot * FLOATS;
    const { int32, float64 } = { int32: this.#int32, float64: this.#float64 };
    int32[i + record.worker] = connection.worker;
    int32[i + record.portIndex] = connection.portIndex;
    int32[i + record.descriptor] = connection.descriptor;
    int32[i + record.family] = connection.family;
    this.#bytes.set(connection.address, (i + record.address) * 4);
    int32[i + record.remotePort] = connection.remotePort;
    int32[i + record.uid] = 0;
    int32[i + record.flags] = 0;
    int32[i + record.closeErrno] = 0;
    int32[i + record.sendQueued] = 0;
    float64[f + record.connectedAt] = connection.now;
    float64[f + record.lastReceivedAt] = 0;
    float64[f + record.lastSentAt] = 0;
    float64[f + record.lastDispatchedAt] = 0;
    float64[f + record.receivedBytes] = 0;
    float64[f + record.sentBytes] = 0;
    int32[i + record.received32] = 0;
    int32[i + record.handled32] = 0;
    int32[i + record.dispatched32] = 0;
    int32[i + record.taker] = 0;
    this.holders.clear(connection.sessionId);
    float64[f + record.sessionId] = connection.sessionId;
    Atomics.store(int32, i + record.state, SlotState.open);
  }

  /** Another process owns the socket from now on. */
  setDescriptor(slot: number, descriptor: number): void {
    this.#int32[this.#intsAt + slot * INTS + record.descriptor] = descriptor;
  }

  setState(slot: number, state: SlotState): void {
    Atomics.store(this.#int32, this.#intsAt + slot * INTS + record.state, state);
  }

  setSendQueued(slot: number, bytes: number): void {
    this.#int32[this.#intsAt + slot * INTS + record.sendQueued] = bytes;
  }

  countReceived(slot: number, bytes: number, now: number): void {
    const f = this.#floatsAt + slot * FLOATS;
    this.#float64[f + record.receivedBytes] = (this.#float64[f + record.receivedBytes] ?? 0) + bytes;
    this.#float64[f + record.lastReceivedAt] = now;
    const received = this.#intsAt + slot * INTS + record.received32;
    this.#int32[received] = ((this.#int32[received] ?? 0) + bytes) | 0;
  }

  countSent(slot: number, bytes: number, now: number): void {
    const f = this.#floatsAt + slot * FLOATS;
    this.#float64[f + record.sentBytes] = (this.#float64[f + record.sentBytes] ?? 0) + bytes;
    this.#float64[f + record.lastSentAt] = now;
  }

  sentBytes(slot: number): number {
    return this.#float64[this.#floatsAt + slot * FLOATS + record.sentBytes] ?? 0;
  }

  setTls(slot: number, info: TlsInfo): void {
    new TlsRecords(this.#region).write(slot, info);
    this.setFlag(slot, SlotFlag.tls, true);
  }

  countDispatched(slot: number, bytes: number): void {
    const i = this.#intsAt + slot * INTS + record.dispatched32;
    this.#int32[i] = ((this.#int32[i] ?? 0) + bytes) | 0;
  }

  dispatched(slot: number, now: number): void {
    this.#float64[this.#floatsAt + slot * FLOATS + record.lastDispatchedAt] = now;
  }

  setCloseErrno(slot: number, errno: number): void {
    this.#int32[this.#intsAt + slot * INTS + record.closeErrno] = errno;
  }

  // ——— written by any process ———

  /** Holds in all processes at once, before the reactor knows. By generation, so a late mark hits no other session. */
  markClosedByServer(sessionId: number): void {
    const i = this.#intsAt + this.slotOf(sessionId) * INTS + record.closedGeneration;
    Atomics.store(this.#int32, i, this.#generationOf(sessionId));
  }

  /** Its worker has called the user's `close`: no more sends are accepted. The reactor does the rest. */
  markEnded(sessionId: number): void {
    const slot = this.slotOf(sessionId);
    if (this.sessionId(slot) !== sessionId) return;
    Atomics.compareExchange(this.#int32, this.#intsAt + slot * INTS + record.state, SlotState.open, SlotState.closing);
  }

  /** HTTP: `pid` has taken the request of this connection; 0: it is dispatched, and not taken yet. */
  setTaker(slot: number, pid: number): void {
    this.#int32[this.#intsAt + slot * INTS + record.taker] = pid;
  }

  taker(slot: number): number {
    return this.#int32[this.#intsAt + slot * INTS + record.taker] ?? 0;
  }

  /** A worker has handled `bytes` more: the current one, or its predecessor. @returns bytes still to be handled */
  countHandled(slot: number, bytes: number): number {
    Atomics.add(this.#int32, this.#intsAt + slot * INTS + record.handled32, bytes);
    return this.queuedBytes(slot);
  }

  /** True while a worker handles a packet of it, or has one waiting. */
  isBeingHandled(slot: number): boolean {
    const i = this.#intsAt + slot * INTS;
    return this.#int32[i + record.dispatched32] !== Atomics.load(this.#int32, i + record.handled32);
  }

  /** Bytes received and not handled. */
  queuedBytes(slot: number): number {
    const i = this.#intsAt + slot * INTS;
    return ((this.#int32[i + record.received32] ?? 0) - Atomics.load(this.#int32, i + record.handled32)) | 0;
  }

  /** The unhandled bytes are lost with a worker that has died. */
  forgetQueued(slot: number): void {
    const i = this.#intsAt + slot * INTS;
    const handled = this.#int32[i + record.received32] ?? 0;
    Atomics.store(this.#int32, i + record.handled32, handled);
    this.#int32[i + record.dispatched32] = handled;
  }

  setFlag(slot: number, flag: number, on: boolean): void {
    const i = this.#intsAt + slot * INTS + record.flags;
    if (on) Atomics.or(this.#int32, i, flag);
    else Atomics.and(this.#int32, i, ~flag);
  }

  /** In ms of `monotonicMs()`; the time of the connect until bytes are received. */
  lastReceivedAt(slot: number): number {
    const f = this.#floatsAt + slot * FLOATS;
    return Math.max(this.#float64[f + record.lastReceivedAt] ?? 0, this.#float64[f + record.connectedAt] ?? 0);
  }

  /** In ms of `monotonicMs()`: when bytes last came from it, or left for it. */
  lastMovedAt(slot: number): number {
    const f = this.#floatsAt + slot * FLOATS;
    return Math.max(this.lastReceivedAt(slot), this.#float64[f + record.lastSentAt] ?? 0);
  }

  /** The 16 bytes of a client's address, valid until the slot is reused. */
  address(slot: number): Buffer {
    const at = (this.#intsAt + slot * INTS + record.address) * 4;
    return this.#bytes.subarray(at, at + 16);
  }

  isUnix(slot: number): boolean {
    return this.#int32[this.#intsAt + slot * INTS + record.family] === AF_UNIX;
  }

  hasFlag(slot: number, flag: number): boolean {
    return (Atomics.load(this.#int32, this.#intsAt + slot * INTS + record.flags) & flag) !== 0;
  }

  uid(slot: number): number {
    return Atomics.load(this.#int32, this.#intsAt + slot * INTS + record.uid);
  }

  /** @returns false when the connection has a uid already */
  bindUid(slot: number, uid: number): boolean {
    return Atomics.compareExchange(this.#int32, this.#intsAt + slot * INTS + record.uid, 0, uid) === 0;
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
    const addressAt = (i + record.address) * 4;
    const flags = int(record.flags);
    const info: ClientInfo = {
      fd: sessionId,
      workerId: int(record.worker),
      reactorId: this.reactorOf(sessionId),
      remoteAddress: formatAddress(int(record.family), this.#bytes, addressAt),
      remotePort: int(record.remotePort),
      serverPort: this.#region.ports[int(record.portIndex)] ?? 0,
      portIndex: int(record.portIndex),
      socketFd: int(record.descriptor),
      uid: int(record.uid),
      protected: (flags & SlotFlag.protected) !== 0,
      paused: (flags & SlotFlag.paused) !== 0,
      connectedAt: this.#region.unixMs(float(record.connectedAt)),
      lastReceivedAt: this.#region.unixMs(float(record.lastReceivedAt)),
      lastSentAt: this.#region.unixMs(float(record.lastSentAt)),
      lastDispatchTime: this.#region.unixMs(float(record.lastDispatchedAt)),
      closeErrno: int(record.closeErrno),
      receivedBytes: float(record.receivedBytes),
      sentBytes: float(record.sentBytes),
      sendQueuedBytes: int(record.sendQueued),
      closing: state !== SlotState.open || this.isClosedByServer(sessionId),
      webSocket: (flags & SlotFlag.webSocket) !== 0,
    };
    if ((flags & SlotFlag.tls) !== 0) info.tls = new TlsRecords(this.#region).read(slot);
    return this.sessionId(slot) === sessionId ? info : undefined; // reused while we read?
  }

  /** Open sessions in slot order, beginning after `after` (0: from the start). */
  *sessions(after = 0): Generator<number> {
    const end = this.#touchedSlots();
    for (let slot = after === 0 ? 0 : this.slotOf(after) + 1; slot < end; slot++) {
      if (this.#hasOpen(slot)) yield this.sessionId(slot);
    }
  }

  /** The number of sessions that `sessions` yields. */
  countOpen(): number {
    const end = this.#touchedSlots();
    let count = 0;
    for (let slot = 0; slot < end; slot++) if (this.#hasOpen(slot)) count++;
    return count;
  }

  /** No slot from this one on has ever been used: each reactor takes its slots in order, and the table is mostly empty. */
  #touchedSlots(): number {
    const { reactorNum } = this.#region.shape;
    let low = 0;
    let high = Math.ceil(this.slots / reactorNum);
    while (low < high) {
      const row = (low + high) >> 1;
      if (this.#isTouched(row * reactorNum, reactorNum)) low = row + 1;
      else high = row;
    }
    return Math.min(low * reactorNum, this.slots);
  }

  #isTouched(first: number, count: number): boolean {
    const end = Math.min(first + count, this.slots);
    for (let slot = first; slot < end; slot++) if (this.sessionId(slot) !== 0) return true;
    return false;
  }

  #hasOpen(slot: number): boolean {
    return this.state(slot) === SlotState.open && !this.isClosedByServer(this.sessionId(slot));
  }
}

/** A client of a unix socket has no address. */
function formatAddress(family: number, bytes: Uint8Array, at: number): string {
  if (family === AF_UNIX) return '';
  return family === AF_INET ? formatIPv4(bytes, at) : formatIPv6(bytes, at);
}
