/**
 * How a process sends to connections, whoever's they are: one ring to each reactor, and per connection a window of
 * bytes that may be on their way. What does not fit waits here, in the process of the sender; the
 * reactors' memory stays bounded whatever is sent. Runs in every process: reactors tell workers of room by events, the
 * others are woken and look into shared memory.
 */
import { describe, type ErrorCode, ServerError } from '../errors/index.js';
import type { ConnectionTable } from '../memory/connection-table.js';
import { afterGone } from '../util/pause.js';
import { CloseCode, CloseFlag, Request, SendFlag } from './frame.js';
import { filePayload } from './frames/file.js';
import { HeldBefore } from './held-before.js';
import { type HeldData, type HeldItem, type NextFrame, type OutboxOptions, OutState, rawFrame } from './out-state.js';
import { commitPiece, keptOf, longestFrame, neededFor, nextFrame, OWN_MARK } from './outbox-pieces.js';
import { passDirectly, passPiece } from './pass-directly.js';
import { type ReactorLink, ReactorLinks } from './reactor-links.js';
import type { LocalLink, Reply } from './reply.js';
import { type RequestFrame, requestFrame } from './request-frame.js';
import { RoomQuestions } from './room-questions.js';
import { RoomRequests } from './room-requests.js';
import { UrgentRequests } from './urgent-requests.js';

/** While something waits: a reactor may have died, or a client's queue may have filled up again, without a word. */
const LOOK_MS = 50;

export class Outbox {
  readonly #table: ConnectionTable;
  readonly #links: ReactorLinks;
  readonly #options: OutboxOptions;
  readonly #states: (OutState | undefined)[] = [];
  readonly #holding = new Set<OutState>();
  /** Someone waits for `drain`. */
  readonly #awaited = new Set<OutState>();
  readonly #questions: RoomQuestions;
  readonly #urgent = new UrgentRequests();
  readonly #heldBefore: HeldBefore;
  /** Joins, leaves and publications of rooms. */
  readonly rooms: RoomRequests;
  #lookTimer: NodeJS.Timeout | undefined;
  /** Why the last call answered false. */
  lastError: ServerError | undefined;
  sentCount = 0;
  sentBytes = 0;
  /** Bytes that wait in this process. */
  heldBytes = 0;

  constructor(table: ConnectionTable, links: readonly ReactorLink[], options: OutboxOptions) {
    this.#table = table;
    this.#links = new ReactorLinks(links);
    this.#heldBefore = new HeldBefore(links.length);
    this.#options = options;
    this.rooms = new RoomRequests(table, this.#links, {
      hasRooms: options.hasRooms === true,
      limitBytes: options.limitBytes,
      isDead: (reactor) => options.isDead?.(reactor) === true,
      takeHeld: (reactor) => this.#heldBefore.take(reactor),
      waits: () => this.#startLooking(),
      refused: (error) => {
        this.lastError = error;
      },
    });
    this.#questions = new RoomQuestions(table, {
      writable: (sessionId) => this.writable(sessionId),
      forget: (sessionId) => this.forget(sessionId),
      ask: (state) => {
        state.asked = false;
        this.#askForRoom(state);
      },
    });
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
    if (!this.#table.isOpen(sessionId)) return this.#refuseGone(sessionId);
    if (data.length === 0) return true;
    const state = this.#stateOf(sessionId);
    const isFree = state.held === null && state.unconfirmed < state.window && !this.#waitsForRooms(sessionId);
    if (isFree && this.#sendNow(state, data)) return true;
    return this.#hold(state, typeof data === 'string' ? Buffer.from(data) : data);
  }

  /** A protocol's own bytes for its client. @param reply is filled again afterwards @returns as `send` */
  reply(reply: Reply): boolean {
    const { sessionId, bytes } = reply;
    if (!this.#table.isOpen(sessionId)) return this.#refuseGone(sessionId);
    const state = this.#stateOf(sessionId);
    const link = this.#linkOf(sessionId);
    const { ring } = link;
    const mustWait = state.held !== null || state.unconfirmed >= state.window || this.#waitsForRooms(sessionId);
    if (mustWait) return this.#holdReply(state, reply);
    if (link.direct !== undefined && passDirectly(link, reply)) return this.#passed(state, link.direct, bytes);
    if (bytes > longestFrame(ring, state)) return this.#holdReply(state, reply);
    if (!ring.hasRoom(neededFor(bytes))) return this.#holdReply(state, reply);
    reply.writeTo(ring.bytes, ring.payloadAt);
    ring.commit(reply.type, reply.flags, reply.detail, sessionId, bytes);
    this.#committed(state, link, bytes);
    return true;
  }

  /** A request of a protocol, behind what was sent before. @returns false: the connection takes nothing more */
  request(request: RequestFrame): boolean {
    const { sessionId } = request;
    if (!this.#table.isOpen(sessionId)) return this.#refuseGone(sessionId);
    return this.#request(this.#stateOf(sessionId), request);
  }

  /** A request that does not wait behind what was sent before. @returns false: see `lastError` */
  notify(request: RequestFrame): boolean {
    const { sessionId } = request;
    if (!this.#table.isOpen(sessionId)) return this.#refuseGone(sessionId);
    return this.#pushSoon(request);
  }

  /** From here on no process of the server is given what this client sends, and nothing more is sent to it. */
  close(
    sessionId: number,
    reset: boolean,
    code: number = reset ? CloseCode.SERVER_RESET : CloseCode.SERVER_CLOSED,
  ): boolean {
    // One that waits for what was sent to leave may still be ended at once.
    const canBeClosed = this.#table.isOpen(sessionId) || (reset && !this.#table.isGone(sessionId));
    if (!canBeClosed) return this.#refuseGone(sessionId);
    const state = this.#stateOf(sessionId);
    this.#table.markClosedByServer(sessionId);
    if (reset) this.#dropHeld(state);
    // The reactor hears of it now: a client that takes nothing would hold back the request behind what waits here.
    else if (state.held !== null) this.#pushSoon(requestFrame(Request.closing, sessionId));
    return this.#request(state, requestFrame(Request.close, sessionId, reset ? CloseFlag.reset : 0, code));
  }

  /** A part of a file, behind what was sent before. @param bytes of the file from `offset` on; both were checked */
  sendFile(sessionId: number, path: string, offset: number, bytes: number): boolean {
    return this.request(requestFrame(Request.sendFile, sessionId, 0, 0, filePayload(path, offset, bytes)));
  }

  /** The worker has seen the client's end; whatever is held still goes first. */
  finish(sessionId: number): void {
    this.#request(this.#stateOf(sessionId), requestFrame(Request.closed, sessionId));
  }

  /** Enough of what the client has sent was handled: it may be read on. */
  readOn(sessionId: number): void {
    if (this.#table.isOpen(sessionId)) this.#pushSoon(requestFrame(Request.readOn, sessionId));
  }

  setPaused(sessionId: number, paused: boolean): boolean {
    return this.notify(requestFrame(paused ? Request.pause : Request.resume, sessionId));
  }

  /** Resolves when nothing is held here and the reactor's queue is below the high watermark, or the connection is gone. */
  drain(sessionId: number): Promise<void> {
    if (this.#table.isGone(sessionId)) return afterGone();
    const state = this.#stateOf(sessionId);
    return new Promise((resolve) => {
      state.waiters ??= [];
      state.waiters.push(resolve);
      this.#awaited.add(state);
      this.#askForRoom(state);
      if (!state.asked) this.#wait(state);
    });
  }

  /** Bytes for this connection that wait in this process. */
  heldBytesOf(sessionId: number): number {
    const state = this.#states[this.#table.slotOf(sessionId)];
    return state?.sessionId === sessionId ? state.heldBytes : 0;
  }

  /** True while the connection can be sent to. */
  isOpen(sessionId: number): boolean {
    return this.#table.isOpen(sessionId);
  }

  /** This process ends: a stream of which a part would be missing must not go on. What is closing takes nothing more anyway. */
  giveUp(): void {
    for (const { sessionId, heldBytes } of [...this.#holding]) {
      if (heldBytes > 0 && !this.#table.isEnding(sessionId)) this.close(sessionId, true, CloseCode.WORKER_REPLACED);
    }
    this.flush();
  }

  /**
   * The successor of this process may reply from now on: to the reactor all that is held here becomes one send, and
   * frames of others wait until it is whole.
   */
  keepPlaces(): void {
    for (const state of this.#holding) {
      const { held, sessionId } = state;
      if (!held?.some((item) => 'data' in item && item.frame.type === Request.send)) continue;
      const begin = requestFrame(Request.send, sessionId, SendFlag.more, OWN_MARK);
      const hasBegun = this.#links.push(this.#linkOf(sessionId), begin);
      state.keepPlace(hasBegun ? null : begin, requestFrame(Request.send, sessionId, 0, OWN_MARK));
    }
    this.flush();
  }

  /** True when nothing waits in this process. */
  get isEmpty(): boolean {
    return this.#holding.size === 0 && this.#urgent.isEmpty && this.rooms.isEmpty;
  }

  /** True when `roomAgain` should be called in the next turn. */
  get waitsForRoom(): boolean {
    return !this.isEmpty || !this.#questions.isEmpty;
  }

  // ——— news from the reactors ———

  /** The reactor has room for this connection again (or it is gone). */
  writable(sessionId: number): void {
    const state = this.#states[this.#table.slotOf(sessionId)];
    if (state === undefined || state.sessionId !== sessionId) return;
    state.unconfirmed = 0;
    state.asked = false;
    this.#questions.forget(state);
    if (this.#table.isGone(sessionId)) return this.forget(sessionId);
    this.#pump(state);
    if (!this.rooms.isEmpty) this.#pumpAll();
    if (state.held === null && !state.asked) this.#resolveWaiters(state);
  }

  /** A ring has room again, or (where reactors tell by no event) a connection may have. */
  roomAgain(): void {
    this.#urgent.flush(
      (request) => this.#table.isGone(request.sessionId) || this.#links.push(this.#linkOf(request.sessionId), request),
    );
    if (!this.#questions.isEmpty) this.#questions.look(false);
    this.#pumpAll();
  }

  /** What waits for rooms and what waits for connections leaves in the order in which it came: each may wait for the other. */
  #pumpAll(): void {
    for (let before = Number.NaN; before !== this.#links.written; ) {
      before = this.#links.written;
      this.rooms.pump();
      this.#links.lookAnew();
      for (const state of this.#holding) {
        if (state.unconfirmed >= state.window) continue;
        if (this.#links.mayTake(this.#linkOf(state.sessionId), neededFor(state.nextBytes))) this.#pump(state);
      }
      if (this.rooms.isEmpty) return;
    }
  }

  /** For a process that hears no news any more: looks into the connection table instead. */
  poll(): void {
    for (const state of new Set([...this.#holding, ...this.#awaited])) {
      const queued = this.#table.sendQueued(this.#table.slotOf(state.sessionId));
      const hasRoom = queued < state.limits.highWatermark || this.#table.isGone(state.sessionId);
      if (hasRoom) this.writable(state.sessionId);
    }
  }

  /** The connection is gone; what was held for it is dropped. */
  forget(sessionId: number): void {
    const slot = this.#table.slotOf(sessionId);
    const state = this.#states[slot];
    if (state === undefined || state.sessionId !== sessionId) return;
    this.#states[slot] = undefined;
    this.#questions.forget(state);
    this.#dropHeld(state);
    this.#resolveWaiters(state);
  }

  /** While true the owner calls `flush` at the end of its turn. */
  set inTurn(on: boolean) {
    this.#links.inTurn = on;
  }

  /** Wakes the reactors that were given something, if they sleep. */
  flush(): void {
    this.#links.flush();
  }

  // ——— inside ———

  #resolveWaiters(state: OutState): void {
    this.#awaited.delete(state);
    state.resolveWaiters();
  }

  #stateOf(sessionId: number): OutState {
    const slot = this.#table.slotOf(sessionId);
    const known = this.#states[slot];
    if (known !== undefined && known.sessionId === sessionId) return known;
    if (known !== undefined) this.forget(known.sessionId);
    const limits = this.#options.ports?.[this.#table.portIndex(slot)] ?? this.#options;
    const state = new OutState(sessionId, limits);
    this.#states[slot] = state;
    return state;
  }

  /** What was sent to rooms before has not left. */
  #waitsForRooms(sessionId: number): boolean {
    return !this.rooms.isEmpty && this.rooms.mark(this.#table.reactorOf(sessionId)) > 0;
  }

  #linkOf(sessionId: number): ReactorLink {
    return this.#links.of(this.#table.reactorOf(sessionId));
  }

  #sendNow(state: OutState, data: string | Uint8Array): boolean {
    const mostBytes = typeof data === 'string' ? data.length * 3 : data.length;
    const link = this.#linkOf(state.sessionId);
    const { ring } = link;
    if (mostBytes > longestFrame(ring, state)) return false;
    if (!ring.hasRoom(neededFor(mostBytes))) return false;
    let bytes = mostBytes;
    if (typeof data === 'string') bytes = ring.bytes.write(data, ring.payloadAt);
    else ring.bytes.set(data, ring.payloadAt);
    ring.commit(Request.send, 0, 0, state.sessionId, bytes);
    this.#committed(state, link, bytes);
    return true;
  }

  /** A frame with bytes for the client is in the ring. */
  #committed(state: OutState, link: ReactorLink, bytes: number): void {
    this.#links.publish(link);
    this.#countSent(bytes);
    state.unconfirmed += bytes;
    if (state.unconfirmed >= state.window / 2) this.#askForRoom(state);
  }

  /** A reactor in this thread has taken a reply. */
  #passed({ sessionId: fd, limits }: OutState, direct: LocalLink, bytes: number): boolean {
    this.#countSent(bytes);
    if (!direct.isFull(fd)) return true;
    const { highWatermark: queuedBytes, limitBytes } = limits;
    return this.#refuse('ERR_SEND_BUFFER_FULL', { fd, queuedBytes, limitBytes });
  }

  #countSent(bytes: number): void {
    this.sentBytes += bytes;
    this.sentCount++;
  }

  /** Does not wait behind data. @returns false when more requests wait than a healthy reactor would let */
  #pushSoon(request: RequestFrame): boolean {
    if (this.#urgent.isEmpty && this.#links.push(this.#linkOf(request.sessionId), request)) return true;
    this.#startLooking();
    if (this.#urgent.add(request)) return true;
    return this.#refuse('ERR_CHANNEL_BROKEN', { why: 'its reactor takes no requests' });
  }

  // ——— asking for room ———

  #askForRoom(state: OutState): void {
    if (state.asked) return;
    const { sessionId } = state;
    state.asked = this.#links.push(this.#linkOf(sessionId), requestFrame(Request.watchDrain, sessionId));
    if (!state.asked || this.#options.hearsOfRoom) return;
    this.#questions.asked(state, this.#linkOf(sessionId).ring);
    this.#startLooking();
  }

  #startLooking(): void {
    this.#lookTimer ??= setInterval(() => this.#look(), LOOK_MS).unref();
  }

  #look(): void {
    for (const { sessionId } of [...this.#holding]) if (this.#table.isGone(sessionId)) this.forget(sessionId);
    this.#questions.look(true);
    this.roomAgain();
    if (this.waitsForRoom) return;
    clearInterval(this.#lookTimer);
    this.#lookTimer = undefined;
  }

  // ——— holding ———

  #hold(state: OutState, data: Uint8Array | string, frame = rawFrame): boolean {
    const { sessionId: fd, limits } = state;
    if (state.heldBytes > 0 && state.heldBytes + data.length > limits.limitBytes) {
      this.close(fd, true, CloseCode.SEND_QUEUE_LIMIT);
      return this.#refuse('ERR_SESSION_CLOSED', { fd });
    }
    const item = state.itemOf(data, frame);
    this.heldBytes += data.length;
    this.#holdItem(state, item);
    if (state.keepsUp(item)) return true;
    return this.#refuse('ERR_SEND_BUFFER_FULL', { fd, queuedBytes: state.heldBytes, limitBytes: limits.limitBytes });
  }

  #holdReply(state: OutState, reply: Reply): boolean {
    const { type, flags, lastFlags, detail } = reply;
    const { areThere } = this.rooms;
    const moreFlags = areThere ? reply.moreFlags : 0;
    const parts = keptOf(reply, this.#linkOf(state.sessionId).ring, areThere);
    const last = parts.pop() ?? new Uint8Array(0);
    for (const piece of parts) {
      this.#hold(state, piece, { type, flags: (flags & ~lastFlags) | moreFlags, lastFlags, moreFlags, detail });
      if (!this.#table.isOpen(state.sessionId)) return false;
    }
    return this.#hold(state, last, { type, flags, lastFlags, moreFlags, detail });
  }

  #holdItem(state: OutState, item: HeldItem): void {
    const held = this.#wait(state);
    held.push(item);
    const reactor = this.#table.reactorOf(state.sessionId);
    state.enter(this.rooms.mark(reactor));
    if (this.rooms.areThere) this.#heldBefore.add(reactor, state);
    if (held.length === 1) this.#pump(state);
    if (state.held !== null) state.tell(this.#table.holders);
  }

  /** What is sent from now on goes behind what is held; when that has left, whoever waits for it asks for room. */
  #wait(state: OutState): HeldItem[] {
    state.held ??= [];
    this.#holding.add(state);
    this.#startLooking();
    return state.held;
  }

  /** Requests keep their place behind data that is held. */
  #request(state: OutState, request: RequestFrame): boolean {
    const isFree = state.held === null && !this.#waitsForRooms(state.sessionId);
    const goesNow = isFree && this.#links.push(this.#linkOf(state.sessionId), request);
    if (!goesNow) this.#holdItem(state, request);
    return true;
  }

  /** Sends of what is held as much as window and ring allow. */
  #pump(state: OutState): void {
    const link = this.#linkOf(state.sessionId);
    while (state.held !== null) {
      const item = state.held[0];
      if (item === undefined) {
        if (state.waiters !== null) this.#askForRoom(state);
        if (state.waiters !== null && !state.asked) return void link.ring.waitForRoom();
        return this.#dropHeld(state);
      }
      if (this.rooms.areThere && state.mustWait(this.rooms.left(this.#table.reactorOf(state.sessionId)))) return;
      const hasLeft = 'payload' in item ? this.#sendRequest(state, link, item) : this.#sendPiece(state, link, item);
      if (!hasLeft) return;
    }
  }

  /** @returns false when it waits for room */
  #sendRequest(state: OutState, link: ReactorLink, request: RequestFrame): boolean {
    if (!this.#links.push(link, request)) return !link.ring.waitForRoom();
    state.shift();
    if (request.type === Request.send && request.flags === 0) state.keepsPlace = false;
    return true;
  }

  #sendPiece(state: OutState, link: ReactorLink, item: HeldData): boolean {
    if (state.isDetached) return !this.close(state.sessionId, true, CloseCode.DATA_DETACHED);
    const { ring, direct } = link;
    const isOwn = direct !== undefined && item.frame.type !== Request.send;
    if (state.unconfirmed >= state.window || (isOwn && direct.isFull(state.sessionId))) {
      this.#askForRoom(state);
      return !state.asked && !ring.waitForRoom();
    }
    const passed = isOwn ? passPiece(link, state.sessionId, item, state.window) : -1;
    if (passed >= 0) {
      this.#countSent(passed);
      return this.#haveLeft(state, { items: 1, bytes: passed });
    }
    const next = nextFrame(state, longestFrame(ring, state), !this.rooms.areThere);
    if (!this.#links.hasRoom(link, neededFor(next.bytes))) return false;
    commitPiece(ring, state, next);
    this.#committed(state, link, next.bytes);
    this.sentCount += next.items - 1;
    return this.#haveLeft(state, next, true);
  }

  #haveLeft(state: OutState, next: NextFrame, areInRing = false): true {
    this.heldBytes -= next.bytes;
    state.haveLeft(next, areInRing);
    return true;
  }

  /** Nothing is held for it any more. */
  #dropHeld(state: OutState): void {
    this.heldBytes -= state.heldBytes;
    state.drop(this.#table.holders);
    this.#holding.delete(state);
    this.#heldBefore.forget(this.#table.reactorOf(state.sessionId), state);
  }

  #refuseGone(fd: number): false {
    if (!this.#table.isKnown(fd)) return this.#refuse('ERR_SESSION_NOT_FOUND', { fd });
    if (!this.#options.isDead?.(this.#table.reactorOf(fd))) return this.#refuse('ERR_SESSION_CLOSED', { fd });
    return this.#refuse('ERR_CHANNEL_BROKEN', { why: `the worker that owned connection ${fd} has ended` });
  }

  #refuse(code: ErrorCode, detail: Record<string, unknown>): false {
    this.lastError = new ServerError(code, detail as never);
    return false;
  }
}
