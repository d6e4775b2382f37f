/**
 * How a process sends to connections, whoever's they are: one ring to each reactor, and per connection a window of
 * bytes that may be on their way. What does not fit waits here, in the process of the sender, by reference; the
 * reactors' memory stays bounded whatever is sent. Runs in workers; without a way to hear of room (manager, master) it
 * sends what fits and refuses the rest.
 */
import { describe, type ErrorCode, ServerError } from '../errors/index.js';
import type { ConnectionTable } from '../memory/connection-table.js';
import { writeLatin1 } from '../util/latin1.js';
import { AnswerFlag, CloseCode, CloseFlag, frameBytes, MAX_PAYLOAD, Request, SEND_FILE_HEADER_BYTES } from './frame.js';
import type { RingWriter } from './ring.js';
import type { Wakes } from './sleep.js';

export interface ReactorLink {
  readonly ring: RingWriter;
  readonly waker: Wakes;
  /** Was given something since the last flush. */
  touched?: boolean;
  /**
   * Where the reactor is in this process (BASE mode): takes a whole HTTP answer without the ring.
   * @returns false: not this one, it goes through the ring
   */
  readonly direct?: ((answer: WholeAnswer) => boolean) | undefined;
}

export interface WholeAnswer {
  sessionId: number;
  exchange: number;
  flags: number;
  head: Uint8Array | null;
  /** latin1. */
  text: string;
  body: Uint8Array | null;
}

export interface OutboxLimits {
  /** From so many bytes that wait here for one connection `send` says that the client does not keep up. */
  readonly highWatermark: number;
  /** A connection for which more than this waits here is closed: its client does not read, its sender does not wait. */
  readonly limitBytes: number;
}

export interface OutboxOptions extends OutboxLimits {
  /** By listen port, where they differ. */
  readonly ports?: readonly OutboxLimits[];
  /** True where `writable` and `roomAgain` are called. */
  readonly hearsOfRoom: boolean;
}

interface HeldData {
  readonly data: Uint8Array;
  at: number;
  readonly flags: number;
  readonly exchange: number;
}
type HeldItem = HeldData | { request: number; flags: number; code: number; payload?: Uint8Array };

/** What this process has under way to one connection. */
interface OutState {
  readonly sessionId: number;
  readonly limits: OutboxLimits;
  readonly window: number;
  /** Bytes sent since the reactor last said that there is room. */
  unconfirmed: number;
  asked: boolean;
  /** This process has asked for the end: nothing is sent behind it. */
  closing: boolean;
  held: HeldItem[] | null;
  heldBytes: number;
  waiters: (() => void)[] | null;
}

const nothing = new Uint8Array(0);
/** What only the last frame of an answer says. */
const AT_THE_END = AnswerFlag.last | AnswerFlag.close | AnswerFlag.tunnel;
const MIN_WINDOW = 65536;
/** Asking for room and closing must find a place although packets fill the ring. */
const RESERVED_FOR_REQUESTS = 4096;

export class Outbox {
  readonly #table: ConnectionTable;
  readonly #links: readonly ReactorLink[];
  readonly #options: OutboxOptions;
  readonly #states: (OutState | undefined)[] = [];
  readonly #holding = new Set<OutState>();
  #flushScheduled = false;
  /** Used again. */
  readonly #answer: WholeAnswer = { sessionId: 0, exchange: 0, flags: 0, head: null, text: '', body: null };
  /** Why the last call answered false. */
  lastError: ServerError | undefined;
  sentCount = 0;
  sentBytes = 0;
  /** Bytes that wait in this process. */
  heldBytes = 0;
  /** While true the owner calls `flush` at the end of its turn. */
  inTurn = false;

  constructor(table: ConnectionTable, links: readonly ReactorLink[], options: OutboxOptions) {
    this.#table = table;
    this.#links = links;
    this.#options = options;
  }

  /**
   * @returns true: go on. false: see `lastError`; ERR_SEND_BUFFER_FULL means that the data was taken but the client does
   * not keep up (wait for `drain`), anything else that it was not taken
   * @throws ServerError ERR_DATA_TYPE
   */
  send(sessionId: number, data: string | Uint8Array): boolean {
    if (typeof data !== 'string' && !(data instanceof Uint8Array)) {
      throw new ServerError('ERR_DATA_TYPE', { received: describe(data) });
    }
    if (!this.#table.isOpen(sessionId)) return this.#refuse(this.#goneCode(sessionId), { fd: sessionId });
    if (data.length === 0) return true;
    const state = this.#stateOf(sessionId);
    if (state.closing) return this.#refuse('ERR_SESSION_CLOSED', { fd: sessionId });
    if (state.held === null && state.unconfirmed < state.window && this.#sendNow(state, data)) return true;
    return this.#hold(state, typeof data === 'string' ? Buffer.from(data) : data);
  }

  /**
   * Bytes of an HTTP answer: `head`, then `text` (latin1), then `body`.
   * @param flags AnswerFlag @returns as `send`
   */
  answer(
    sessionId: number,
    exchange: number,
    flags: number,
    head: Uint8Array | null,
    text: string,
    body: Uint8Array | null,
  ): boolean {
    if (!this.#table.isOpen(sessionId)) return this.#refuse(this.#goneCode(sessionId), { fd: sessionId });
    const state = this.#stateOf(sessionId);
    if (state.closing) return this.#refuse('ERR_SESSION_CLOSED', { fd: sessionId });
    const textAt = head === null ? 0 : head.length;
    const bodyAt = textAt + text.length;
    const bytes = bodyAt + (body === null ? 0 : body.length);
    if (state.held !== null || state.unconfirmed >= state.window || bytes > MAX_PAYLOAD) {
      return this.#holdAnswer(state, exchange, flags, head, text, body);
    }
    const link = this.#linkOf(sessionId);
    const { ring } = link;
    // What was sent before goes first.
    const isFirst = link.direct !== undefined && (flags & AnswerFlag.last) !== 0 && ring.isConsumed(ring.position);
    if (isFirst && this.#answerDirectly(link, sessionId, exchange, flags, head, text, body)) {
      this.sentBytes += bytes;
      this.sentCount++;
      return true;
    }
    const needed = frameBytes(bytes) + RESERVED_FOR_REQUESTS;
    if (ring.room(needed) < needed) return this.#holdAnswer(state, exchange, flags, head, text, body);
    const at = ring.payloadAt;
    if (head !== null) ring.bytes.set(head, at);
    if (text !== '') writeLatin1(ring.bytes, text, at + textAt);
    if (body !== null) ring.bytes.set(body, at + bodyAt);
    this.#committed(state, link, bytes, flags, exchange);
    return true;
  }

  /** HTTP: a part of a file as (the end of) an answer. */
  answerFile(sessionId: number, exchange: number, flags: number, path: string, offset: number, bytes: number): boolean {
    if (!this.#table.isOpen(sessionId)) return this.#refuse(this.#goneCode(sessionId), { fd: sessionId });
    return this.#request(this.#stateOf(sessionId), Request.sendFile, flags, exchange, filePayload(path, offset, bytes));
  }

  /** HTTP: so many bytes of a request's body were taken: the reactor may send so many more. */
  taken(sessionId: number, exchange: number, bytes: number): void {
    if (!this.#table.isOpen(sessionId)) return;
    const payload = Buffer.allocUnsafe(8);
    payload.writeDoubleLE(bytes);
    this.#push(this.#linkOf(sessionId), Request.taken, 0, exchange, sessionId, payload);
  }

  close(
    sessionId: number,
    reset: boolean,
    code: number = reset ? CloseCode.SERVER_RESET : CloseCode.SERVER_CLOSED,
  ): boolean {
    if (!this.#table.isOpen(sessionId)) return this.#refuse(this.#goneCode(sessionId), { fd: sessionId });
    const state = this.#stateOf(sessionId);
    if (state.closing && !reset) return this.#refuse('ERR_SESSION_CLOSED', { fd: sessionId });
    state.closing = true;
    if (reset) this.#dropHeld(state);
    // The reactor hears of it now: a client that takes nothing would hold back the request behind what waits here.
    else if (state.held !== null) this.#push(this.#linkOf(sessionId), Request.closing, 0, 0, sessionId);
    return this.#request(state, Request.close, reset ? CloseFlag.reset : 0, code);
  }

  /** A part of a file, behind what was sent before. @param bytes of the file from `offset` on; both were checked */
  sendFile(sessionId: number, path: string, offset: number, bytes: number): boolean {
    if (!this.#table.isOpen(sessionId)) return this.#refuse(this.#goneCode(sessionId), { fd: sessionId });
    const state = this.#stateOf(sessionId);
    if (state.closing) return this.#refuse('ERR_SESSION_CLOSED', { fd: sessionId });
    return this.#request(state, Request.sendFile, 0, 0, filePayload(path, offset, bytes));
  }

  /** The worker has seen the client's end; whatever is held still goes first. */
  finish(sessionId: number): void {
    this.#request(this.#stateOf(sessionId), Request.closed, 0, 0);
  }

  /** Enough of what the client has sent was handled: it may be read on. */
  readOn(sessionId: number): void {
    if (this.#table.isOpen(sessionId)) this.#push(this.#linkOf(sessionId), Request.readOn, 0, 0, sessionId);
  }

  setPaused(sessionId: number, paused: boolean): boolean {
    if (!this.#table.isOpen(sessionId)) return this.#refuse(this.#goneCode(sessionId), { fd: sessionId });
    return this.#push(this.#linkOf(sessionId), paused ? Request.pause : Request.resume, 0, 0, sessionId);
  }

  /** Resolves when nothing is held here and the reactor's queue is below the high watermark, or the connection is gone. */
  drain(sessionId: number): Promise<void> {
    if (!this.#table.isOpen(sessionId) || !this.#options.hearsOfRoom) return Promise.resolve();
    const state = this.#stateOf(sessionId);
    return new Promise((resolve) => {
      state.waiters ??= [];
      state.waiters.push(resolve);
      this.#askForRoom(state);
      if (!state.asked) this.#holdItem(state, { request: Request.watchDrain, flags: 0, code: 0 });
    });
  }

  /** True while the connection can be sent to. */
  isOpen(sessionId: number): boolean {
    return this.#table.isOpen(sessionId);
  }

  /** This process ends: a stream of which a part would be missing must not go on. */
  giveUp(): void {
    for (const { sessionId, heldBytes } of [...this.#holding]) {
      if (heldBytes > 0) this.close(sessionId, true, CloseCode.WORKER_REPLACED);
    }
    this.flush();
  }

  /** True when nothing waits in this process. */
  get isEmpty(): boolean {
    return this.#holding.size === 0;
  }

  // ——— news from the reactors ———

  /** The reactor has room for this connection again (or it is gone). */
  writable(sessionId: number): void {
    const state = this.#states[this.#table.slotOf(sessionId)];
    if (state === undefined || state.sessionId !== sessionId) return;
    state.unconfirmed = 0;
    state.asked = false;
    if (this.#table.isGone(sessionId)) return this.forget(sessionId);
    this.#pump(state);
    if (state.held === null && !state.asked) this.#resolveWaiters(state);
  }

  /** A ring has room again. */
  roomAgain(): void {
    for (const state of this.#holding) if (state.unconfirmed < state.window) this.#pump(state);
  }

  /** For a process that hears no news any more: looks into the connection table instead. */
  poll(): void {
    for (const state of this.#holding) {
      const slot = this.#table.slotOf(state.sessionId);
      const gone = this.#table.isGone(state.sessionId);
      if (gone || this.#table.sendQueued(slot) < state.limits.highWatermark) this.writable(state.sessionId);
    }
  }

  /** The connection is gone; what was held for it is dropped. */
  forget(sessionId: number): void {
    const slot = this.#table.slotOf(sessionId);
    const state = this.#states[slot];
    if (state === undefined || state.sessionId !== sessionId) return;
    this.#states[slot] = undefined;
    this.#dropHeld(state);
    this.#resolveWaiters(state);
  }

  /** Wakes the reactors that were given something, if they sleep. */
  flush(): void {
    this.#flushScheduled = false;
    for (const link of this.#links) {
      if (link.touched) link.waker.wake();
      link.touched = false;
    }
  }

  // ——— inside ———

  #stateOf(sessionId: number): OutState {
    const slot = this.#table.slotOf(sessionId);
    const known = this.#states[slot];
    if (known !== undefined && known.sessionId === sessionId) return known;
    if (known !== undefined) this.forget(known.sessionId);
    const limits = this.#options.ports?.[this.#table.portIndex(slot)] ?? this.#options;
    const state: OutState = {
      sessionId,
      limits,
      window: Math.max(MIN_WINDOW, limits.highWatermark / 2),
      unconfirmed: 0,
      asked: false,
      closing: false,
      held: null,
      heldBytes: 0,
      waiters: null,
    };
    this.#states[slot] = state;
    return state;
  }

  #linkOf(sessionId: number): ReactorLink {
    const link = this.#links[this.#table.reactorOf(sessionId)];
    if (link === undefined) throw new ServerError('ERR_SESSION_ID', { received: describe(sessionId) });
    return link;
  }

  #sendNow(state: OutState, data: string | Uint8Array): boolean {
    const mostBytes = typeof data === 'string' ? data.length * 3 : data.length;
    if (mostBytes > MAX_PAYLOAD) return false;
    const link = this.#linkOf(state.sessionId);
    const { ring } = link;
    const needed = frameBytes(mostBytes) + RESERVED_FOR_REQUESTS;
    if (ring.room(needed) < needed) return false;
    let bytes = mostBytes;
    if (typeof data === 'string') bytes = ring.bytes.write(data, ring.payloadAt);
    else ring.bytes.set(data, ring.payloadAt);
    this.#committed(state, link, bytes);
    return true;
  }

  #committed(state: OutState, link: ReactorLink, bytes: number, flags = 0, exchange = 0): void {
    link.ring.commit(Request.send, flags, exchange, state.sessionId, bytes);
    this.#publish(link);
    this.sentBytes += bytes;
    this.sentCount++;
    state.unconfirmed += bytes;
    if (state.unconfirmed >= state.window / 2 && this.#options.hearsOfRoom) this.#askForRoom(state);
  }

  #publish(link: ReactorLink): void {
    link.ring.publish();
    link.touched = true;
    if (this.inTurn || this.#flushScheduled) return;
    this.#flushScheduled = true;
    queueMicrotask(() => this.flush());
  }

  #push(
    link: ReactorLink,
    type: number,
    flags: number,
    code: number,
    sessionId: number,
    payload: Uint8Array = nothing,
  ): boolean {
    const needed = frameBytes(payload.length);
    if (link.ring.room(needed) < needed) {
      return this.#refuse('ERR_CHANNEL_BROKEN', { why: 'the reactor does not take requests' });
    }
    link.ring.bytes.set(payload, link.ring.payloadAt);
    link.ring.commit(type, flags, code, sessionId, payload.length);
    this.#publish(link);
    return true;
  }

  #askForRoom(state: OutState): void {
    if (state.asked) return;
    state.asked = this.#push(this.#linkOf(state.sessionId), Request.watchDrain, 0, 0, state.sessionId);
  }

  #hold(state: OutState, data: Uint8Array, flags = 0, exchange = 0): boolean {
    const { hearsOfRoom } = this.#options;
    const { sessionId: fd, limits } = state;
    const { highWatermark, limitBytes } = limits;
    if (!hearsOfRoom) return this.#refuse('ERR_CHANNEL_BROKEN', { why: 'the channel to the reactor is full' });
    if (state.heldBytes > 0 && state.heldBytes + data.length > limitBytes) {
      this.close(fd, true, CloseCode.SEND_QUEUE_LIMIT);
      return this.#refuse('ERR_SESSION_CLOSED', { fd });
    }
    state.heldBytes += data.length;
    this.heldBytes += data.length;
    this.#holdItem(state, { data, at: 0, flags, exchange });
    if (state.heldBytes < highWatermark) return true;
    return this.#refuse('ERR_SEND_BUFFER_FULL', { fd, queuedBytes: state.heldBytes, limitBytes });
  }

  #answerDirectly(
    link: ReactorLink,
    sessionId: number,
    exchange: number,
    flags: number,
    head: Uint8Array | null,
    text: string,
    body: Uint8Array | null,
  ): boolean {
    const answer = this.#answer;
    answer.sessionId = sessionId;
    answer.exchange = exchange;
    answer.flags = flags;
    answer.head = head;
    answer.text = text;
    answer.body = body;
    return link.direct?.(answer) ?? false;
  }

  #holdAnswer(
    state: OutState,
    exchange: number,
    flags: number,
    head: Uint8Array | null,
    text: string,
    body: Uint8Array | null,
  ): boolean {
    const pieces = [head, text === '' ? null : Buffer.from(text, 'latin1'), body].filter((piece) => piece !== null);
    const last = pieces.pop() ?? nothing;
    for (const piece of pieces) {
      this.#hold(state, piece, flags & ~AT_THE_END, exchange);
      if (state.closing) return false;
    }
    return this.#hold(state, last, flags, exchange);
  }

  #holdItem(state: OutState, item: HeldItem): void {
    state.held ??= [];
    state.held.push(item);
    this.#holding.add(state);
    if (state.held.length === 1) this.#pump(state);
  }

  /** Requests keep their place behind data that is held. */
  #request(state: OutState, type: number, flags: number, code: number, payload: Uint8Array = nothing): boolean {
    if (state.held !== null) {
      this.#holdItem(state, { request: type, flags, code, payload });
      return true;
    }
    return this.#push(this.#linkOf(state.sessionId), type, flags, code, state.sessionId, payload);
  }

  /** Sends of what is held as much as window and ring allow. */
  #pump(state: OutState): void {
    const link = this.#linkOf(state.sessionId);
    while (state.held !== null) {
      const item = state.held[0];
      if (item === undefined) {
        state.held = null;
        this.#holding.delete(state);
        return;
      }
      if ('request' in item) {
        if (this.#push(link, item.request, item.flags, item.code, state.sessionId, item.payload)) state.held.shift();
        else if (link.ring.waitForRoom()) return;
      } else if (!this.#sendPiece(state, link, item)) return;
    }
  }

  #sendPiece(state: OutState, link: ReactorLink, item: HeldData): boolean {
    if (state.unconfirmed >= state.window) {
      this.#askForRoom(state);
      return !state.asked && !link.ring.waitForRoom();
    }
    const { ring } = link;
    const left = Math.min(item.data.length - item.at, MAX_PAYLOAD);
    const needed = frameBytes(left) + RESERVED_FOR_REQUESTS;
    if (ring.room(needed) < needed && ring.waitForRoom()) return false;
    ring.bytes.set(item.data.subarray(item.at, item.at + left), ring.payloadAt);
    item.at += left;
    state.heldBytes -= left;
    this.heldBytes -= left;
    const isLast = item.at === item.data.length;
    this.#committed(state, link, left, isLast ? item.flags : item.flags & ~AT_THE_END, item.exchange);
    if (item.at === item.data.length) state.held?.shift();
    return true;
  }

  #dropHeld(state: OutState): void {
    state.held = null;
    this.heldBytes -= state.heldBytes;
    state.heldBytes = 0;
    this.#holding.delete(state);
  }

  #resolveWaiters(state: OutState): void {
    const waiters = state.waiters ?? [];
    state.waiters = null;
    for (const resolve of waiters) resolve();
  }

  #goneCode(sessionId: number): 'ERR_SESSION_NOT_FOUND' | 'ERR_SESSION_CLOSED' {
    return this.#table.isKnown(sessionId) ? 'ERR_SESSION_CLOSED' : 'ERR_SESSION_NOT_FOUND';
  }

  #refuse(code: ErrorCode, detail: Record<string, unknown>): false {
    this.lastError = new ServerError(code, detail as never);
    return false;
  }
}

function filePayload(path: string, offset: number, bytes: number): Buffer {
  const name = Buffer.from(path);
  const payload = Buffer.alloc(SEND_FILE_HEADER_BYTES + name.length);
  payload.writeDoubleLE(offset, 0);
  payload.writeDoubleLE(bytes, 8);
  name.copy(payload, SEND_FILE_HEADER_BYTES);
  return payload;
}
