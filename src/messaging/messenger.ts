/**
 * Sends and receives the messages of `sendMessage`. One queue per sender and receiver keeps the order; messages that find
 * no room there wait in the sender's process, up to a limit. Of the sender's slots and of its limit one half is for all
 * receivers together, the other is divided among them: those that take nothing leave their share to each of the others.
 * Runs in every process.
 */
import { ServerError } from '../errors/index.js';
import { MESSAGE_SLOTS, queueOfMessages } from '../memory/messaging-layout.js';
import { MOST_LEVELS, OUR_LEVELS } from '../shared/cloned.js';
import { Fifo } from '../util/fifo.js';
import { inOwnContext } from '../util/own-context.js';
import { Counter, type MessagingMemory } from './memory.js';
import type { Peers } from './peers.js';
import { Queue } from './queue.js';
import { notStored, Purpose, type Records } from './record.js';
import { endMessage, type Slots } from './slots.js';
import { type EncodedValue, encodeValue } from './value.js';
import * as Word from './word.js';
import { SlotState } from './word.js';

export interface MessengerParts {
  readonly memory: MessagingMemory;
  readonly records: Records;
  readonly slots: Slots;
  readonly peers: Peers;
  readonly peer: number;
  /** Bytes that may wait in this process for receivers that do not keep up. */
  readonly limitBytes: number;
  /** A message could not be read. */
  failed(error: unknown): void;
}

/** Takes messages in the order each sender has sent them. */
export type MessageHandler = (data: unknown, fromWorkerId: number) => void;

interface Held {
  readonly purpose: Purpose;
  readonly value: EncodedValue;
  readonly taken: () => void;
  readonly failed: (error: unknown) => void;
}

interface Way {
  readonly id: number;
  readonly queue: Queue;
  readonly held: Fifo<Held>;
  heldBytes: number;
}

interface Source {
  readonly queue: Queue;
  readonly peer: number;
  /** A large message is being read: messages after it wait. */
  reading: boolean;
}

const MESSAGES_PER_SOURCE = 256;
/** Of all `MESSAGE_SLOTS`. */
const COMMON_SLOTS = MESSAGE_SLOTS / 2;
/** The overhead of a held message. */
const HELD_BYTES = 100;
const taken = Promise.resolve();

export class Messenger {
  readonly #parts: MessengerParts;
  readonly #ways: (Way | undefined)[] = [];
  #sources: Source[] = [];
  #handler: MessageHandler | undefined;
  /** Messages and bytes that each receiver has room for, whatever waits for others. */
  readonly #shareSlots: number;
  readonly #shareBytes: number;
  /** Beyond the shares. Of slots at least as many as are used: those counted last, and all taken since. */
  #commonSlots = COMMON_SLOTS;
  #commonBytes = 0;
  #holding = 0;
  #reading = 0;
  #delivered: (() => void) | undefined;
  #turnAsked = false;
  /** Requests a turn from the owner of the event loop. */
  wantsTurn: () => void = () => {};
  /** Takes messages of the server's own. */
  service: MessageHandler | undefined;
  /** This process reads the messages for its id from now on. */
  receives: ((id: number) => void) | undefined;

  constructor(parts: MessengerParts) {
    this.#parts = parts;
    const { processes } = parts.memory.shape;
    this.#shareSlots = Math.floor((MESSAGE_SLOTS - COMMON_SLOTS) / processes);
    this.#shareBytes = parts.limitBytes / 2 / processes;
  }

  /** @param id the process id whose messages this process reads from now on */
  receive(id: number, handler: MessageHandler): void {
    const { memory } = this.#parts;
    const queue = queueOfMessages(memory.shape, id);
    this.#handler = handler;
    this.#sources = Array.from({ length: memory.shape.peers }, (_, peer) => ({
      queue: new Queue(memory, queue, peer),
      peer,
      reading: false,
    }));
    this.receives?.(id);
  }

  /** Another process reads them, once what this one has taken was delivered: see `whenDelivered`. */
  stopReceiving(): void {
    this.#sources = [];
  }

  /** Large messages that were taken, and are being read. */
  get reading(): number {
    return this.#reading;
  }

  /** After `stopReceiving`: calls back when no message is being read any more, at once or later. */
  whenDelivered(callback: () => void): void {
    if (this.#reading === 0) callback();
    else this.#delivered = callback;
  }

  /**
   * @returns a promise that resolves when the message lies in the receiver's queue: awaiting it keeps pace with the receiver
   * @throws ServerError ERR_DATA_NOT_CLONEABLE, ERR_MESSAGE_QUEUE_FULL
   */
  send(data: unknown, id: number, purpose: Purpose = Purpose.message): Promise<void> {
    const value = encodeValue(data, purpose === Purpose.service ? OUR_LEVELS : MOST_LEVELS);
    const way = this.#way(id);
    if (way.held.size === 0 && this.#put(way, value, purpose)) return taken;
    const { limitBytes } = this.#parts;
    if (this.#holding > 0 && !this.#mayHold(way, value.length + HELD_BYTES)) {
      throw new ServerError('ERR_MESSAGE_QUEUE_FULL', { workerId: id, limitBytes });
    }
    // The slots of taken messages are freed in a later turn.
    if (!this.#turnAsked) this.wantsTurn();
    this.#turnAsked = true;
    const { kind, content, length } = value;
    const copy = typeof content === 'string' ? content : Uint8Array.from(content);
    return this.#hold(way, { kind, content: copy, length }, purpose);
  }

  /** Messages that wait in this process. */
  get holding(): number {
    return this.#holding;
  }

  /** Sends held messages as far as there is room. */
  flush(): void {
    this.#turnAsked = false;
    if (this.#holding === 0) return;
    for (const way of this.#ways) if (way !== undefined) this.#flushWay(way);
  }

  /** @returns true when there may be more */
  take(goOn: () => boolean): boolean {
    let more = false;
    for (const source of this.#sources) {
      if (source.reading || source.queue.isEmpty) continue;
      for (let i = 0; i < MESSAGES_PER_SOURCE && goOn() && !source.reading; i++) if (!this.#takeOne(source)) break;
      if (source.queue.takeWaiting()) this.#parts.peers.ring(source.peer);
      more ||= !source.reading && !source.queue.isEmpty;
    }
    return more;
  }

  get hasMessages(): boolean {
    return this.#sources.some((source) => !source.reading && !source.queue.isEmpty);
  }

  // ——— sending ———

  #way(id: number): Way {
    const known = this.#ways[id];
    if (known !== undefined) return known;
    const { memory, peer } = this.#parts;
    const way = {
      id,
      queue: new Queue(memory, queueOfMessages(memory.shape, id), peer),
      held: new Fifo<Held>(),
      heldBytes: 0,
    };
    this.#ways[id] = way;
    return way;
  }

  #mayQueue(way: Way): boolean {
    if (way.queue.length < this.#shareSlots) return true;
    if (!way.queue.hasRoom()) return false;
    if (this.#commonSlots >= COMMON_SLOTS) this.#commonSlots = this.#countCommonSlots();
    return this.#commonSlots++ < COMMON_SLOTS;
  }

  /** With those that the predecessor of this process has left. */
  #countCommonSlots(): number {
    let used = 0;
    for (let id = 0; id < this.#parts.memory.shape.processes; id++) {
      used += Math.max(0, this.#way(id).queue.length - this.#shareSlots);
    }
    return used;
  }

  #mayHold(way: Way, bytes: number): boolean {
    const beyond = this.#beyondShare(way, bytes);
    return beyond === 0 || this.#commonBytes + beyond <= this.#parts.limitBytes / 2;
  }

  /** How many of these bytes are beyond the receiver's share. */
  #beyondShare({ heldBytes }: Way, bytes: number): number {
    return Math.max(0, heldBytes + bytes - this.#shareBytes) - Math.max(0, heldBytes - this.#shareBytes);
  }

  #addHeld(way: Way, bytes: number): void {
    this.#commonBytes += this.#beyondShare(way, bytes);
    way.heldBytes += bytes;
  }

  #put(way: Way, value: EncodedValue, purpose: Purpose): boolean {
    const { memory, slots, records, peer, peers } = this.#parts;
    if (!this.#mayQueue(way)) {
      way.queue.waitForRoom();
      if (!this.#mayQueue(way)) return false; // nothing was taken before the receiver could see that this one waits
    }
    const slot = slots.take();
    if (slot < 0) {
      for (const each of this.#ways) each?.queue.waitForRoom(); // a receiver that takes one of ours rings
      return false;
    }
    const index = memory.wordIndex(peer, slot);
    try {
      records.describe(peer, slot, purpose, way.id);
      records.writeData(peer, slot, value);
    } catch (error) {
      slots.release(slot);
      throw notStored(value.length, error);
    }
    memory.int32[memory.ticketIndex(peer, slot)] = memory.nextTicket();
    const queued = Word.inState(Atomics.load(memory.int32, index), SlotState.queued);
    Atomics.store(memory.int32, index, queued);
    way.queue.push(Word.entryOf(peer, slot, queued));
    const counter = memory.counterIndex(peer, Counter.messages);
    memory.float64[counter] = (memory.float64[counter] ?? 0) + 1;
    peers.wakeProcess(way.id);
    return true;
  }

  #hold(way: Way, value: EncodedValue, purpose: Purpose): Promise<void> {
    this.#addHeld(way, value.length + HELD_BYTES);
    this.#holding++;
    const promise = new Promise<void>((resolve, reject) => {
      way.held.push({ value, purpose, taken: resolve, failed: reject });
    });
    return promise;
  }

  #flushWay(way: Way): void {
    for (let held = way.held.peek(); held !== undefined; held = way.held.peek()) {
      try {
        if (!this.#put(way, held.value, held.purpose)) return;
        held.taken();
      } catch (error) {
        held.failed(error);
      }
      way.held.shift();
      this.#holding--;
      this.#addHeld(way, -held.value.length - HELD_BYTES);
    }
  }

  // ——— receiving ———

  #takeOne(source: Source): boolean {
    const { memory, peer, peers } = this.#parts;
    const entry = source.queue.peek();
    if (entry === 0) return false;
    const owner = Word.ownerOfEntry(entry);
    const slot = Word.slotOfEntry(entry);
    const index = memory.wordIndex(owner, slot);
    const word = Atomics.load(memory.int32, index);
    if (Atomics.compareExchange(memory.int32, index, word, Word.runBy(word, peer)) !== word) return true;
    source.queue.shift(entry);
    const from = peers.idOf(owner);
    const data = this.#read(owner, slot);
    if (data instanceof Promise) void this.#readOn(source, owner, slot, data, from);
    else this.#deliver(owner, slot, data, from);
    return true;
  }

  /** Frees the slot first, so that a callback that kills the process does not get the message again. */
  #deliver(owner: number, slot: number, data: unknown, from: number): void {
    const { memory, records, failed } = this.#parts;
    const handler = records.isService(owner, slot) ? this.service : this.#handler;
    endMessage(memory, records, owner, slot);
    if (data instanceof Unreadable) failed(data.reason);
    else if (handler !== undefined) inOwnContext(handler, undefined, data, from);
  }

  #read(owner: number, slot: number): unknown {
    try {
      const data = this.#parts.records.readData(owner, slot);
      return data instanceof Promise ? data.catch((error: unknown) => new Unreadable(error)) : data;
    } catch (error) {
      return new Unreadable(error);
    }
  }

  async #readOn(source: Source, owner: number, slot: number, data: Promise<unknown>, from: number): Promise<void> {
    source.reading = true;
    this.#reading++;
    const value = await data;
    this.#reading--;
    source.reading = false;
    this.#deliver(owner, slot, value, from);
    this.wantsTurn();
    if (this.#reading === 0) this.#delivered?.();
  }
}

class Unreadable {
  readonly reason: unknown;

  constructor(reason: unknown) {
    this.reason = reason;
  }
}
