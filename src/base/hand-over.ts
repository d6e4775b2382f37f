/**
 * Hands off the connections of a worker to the next process of its id (BASE mode, at a reload): over a pair of unix
 * sockets that every process of that id holds. Messages outlive the giver, and those that a taker has not taken
 * outlive that taker.
 *
 * A message begins with its kind: a record (JSON, behind its length in four bytes), with the descriptor that belongs to
 * it; the rest of a record that is too long for one message; or bytes of the preceding record.
 */
import { DescriptorMessage, LONGEST_MESSAGE } from '../os/descriptor-passing.js';
import type { Poller, PollerHandler } from '../os/poller.js';
import { READABLE, WRITABLE } from '../os/poller.js';
import { closeDescriptor } from '../os/socket.js';
import type { Snapshot, SnapshotRecord } from '../reactor/handoff/snapshot.js';

export interface HandOverEnds {
  readonly give: number;
  readonly take: number;
}

const RECORD = 1;
const BYTES = 2;
const REST = 3;
const LENGTH_BYTES = 4;

/** Content of a record message. */
interface Head {
  readonly record: SnapshotRecord;
  /** How many bytes follow in other messages. */
  readonly bytes: number;
}

/** Hands off everything; then calls `done`. Runs in the worker that leaves. */
export class Giver implements PollerHandler {
  readonly #channel: number;
  readonly #message = new DescriptorMessage();
  readonly #messages: Iterator<{ length: number; descriptor: number }>;
  readonly #poller: Poller;
  readonly #done: () => void;
  #next: { length: number; descriptor: number } | undefined;

  constructor(
    channel: number,
    snapshots: readonly Snapshot[],
    createPoller: (handler: PollerHandler) => Poller,
    done: () => void,
  ) {
    this.#channel = channel;
    this.#messages = this.#write(snapshots);
    this.#done = done;
    this.#poller = createPoller(this);
    this.#poller.add(channel, 0);
    this.ready();
  }

  ready(): void {
    for (;;) {
      this.#next ??= this.#messages.next().value ?? undefined;
      if (this.#next === undefined) return this.#finish();
      const { length, descriptor } = this.#next;
      if (!this.#message.send(this.#channel, length, descriptor)) return this.#poller.rearm(this.#channel, WRITABLE);
      if (descriptor >= 0) closeDescriptor(descriptor);
      this.#next = undefined;
    }
  }

  turnEnd(): void {}

  #finish(): void {
    this.#poller.abandon(this.#channel);
    this.#done();
  }

  /** Each message is written when the preceding one has left: there is one place to write to. */
  *#write(snapshots: readonly Snapshot[]): Generator<{ length: number; descriptor: number }, undefined> {
    const { bytes: space } = this.#message;
    for (const { record, descriptor, bytes } of snapshots) {
      const head: Head = { record, bytes: bytes.reduce((sum, piece) => sum + piece.length, 0) };
      const text = Buffer.from(JSON.stringify(head));
      space[0] = RECORD;
      space.writeUInt32LE(text.length, 1);
      const written = text.copy(space, 1 + LENGTH_BYTES, 0, LONGEST_MESSAGE - 1 - LENGTH_BYTES);
      yield { length: 1 + LENGTH_BYTES + written, descriptor };
      yield* this.#pieces(REST, text.subarray(written));
      for (const piece of bytes) yield* this.#pieces(BYTES, piece);
    }
  }

  *#pieces(kind: number, bytes: Buffer): Generator<{ length: number; descriptor: number }, undefined> {
    const { bytes: space } = this.#message;
    for (let from = 0; from < bytes.length; from += LONGEST_MESSAGE - 1) {
      space[0] = kind;
      yield { length: 1 + bytes.copy(space, 1, from, from + LONGEST_MESSAGE - 1), descriptor: -1 };
    }
  }
}

interface Incoming {
  readonly descriptor: number;
  readonly text: Buffer[];
  readonly bytes: Buffer[];
  /** Undefined: not all of it has come. */
  record: SnapshotRecord | undefined;
  /** Bytes of the record's text; then of the bytes that follow it. */
  missing: number;
}

/** Takes messages from its boot on, so that the giver need not wait. Runs in the worker that comes. */
export class Taker implements PollerHandler {
  readonly #channel: number;
  readonly #message = new DescriptorMessage();
  readonly #poller: Poller;
  #taken: Snapshot[] = [];
  #incoming: Incoming | undefined;

  constructor(channel: number, createPoller: (handler: PollerHandler) => Poller) {
    this.#channel = channel;
    this.#poller = createPoller(this);
    this.#poller.addReadable(channel, 0);
  }

  ready(): void {
    for (let message = this.#receive(); message !== undefined; message = this.#receive()) this.#take(message);
    this.#poller.rearm(this.#channel, READABLE);
  }

  turnEnd(): void {}

  /** The giver has finished. @returns everything that has come whole */
  finish(): Snapshot[] {
    this.ready();
    this.#poller.abandon(this.#channel);
    const taken = this.#taken;
    if (this.#incoming !== undefined && this.#incoming.descriptor >= 0) closeDescriptor(this.#incoming.descriptor);
    this.#incoming = undefined;
    this.#taken = [];
    return taken;
  }

  #receive(): { length: number; descriptor: number } | undefined {
    return this.#message.receive(this.#channel);
  }

  #take({ length, descriptor }: { length: number; descriptor: number }): void {
    const { bytes: space } = this.#message;
    const [kind] = space;
    if (kind === RECORD) {
      this.#incoming = { descriptor, text: [], bytes: [], record: undefined, missing: space.readUInt32LE(1) };
    }
    const incoming = this.#incoming;
    if (incoming === undefined) return; // an earlier taker has died with the record
    const piece = Buffer.from(space.subarray(kind === RECORD ? 1 + LENGTH_BYTES : 1, length));
    incoming.missing -= piece.length;
    if (kind === BYTES) incoming.bytes.push(piece);
    else incoming.text.push(piece);
    if (incoming.missing === 0 && incoming.record === undefined) this.#read(incoming);
    if (incoming.missing > 0 || incoming.record === undefined) return;
    this.#taken.push({ record: incoming.record, descriptor: incoming.descriptor, bytes: incoming.bytes });
    this.#incoming = undefined;
  }

  #read(incoming: Incoming): void {
    const { record, bytes } = JSON.parse(Buffer.concat(incoming.text).toString()) as Head;
    incoming.record = record;
    incoming.missing = bytes;
  }
}
