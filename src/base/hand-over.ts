/**
 * Hands off the connections of a worker to the next process of its id (BASE mode, at a reload): over a pair of unix
 * sockets that every process of that id holds. Messages outlive the giver, and those that a taker has not taken
 * outlive that taker.
 *
 * A message begins with its kind: the beginning of a record (JSON), with the descriptor that belongs to it, or what follows:
 * the rest of the record, as long as it may be, and its bytes.
 *
 * ```
 *  0      1                  5                9                       0      1
 * ┌──────┬──────────────────┬────────────────┬─────────────────┐    ┌──────┬──────┐
 * │ 1 u8 │ record bytes u32 │ more bytes u32 │ record          │    │ 2 u8 │ rest │
 * └──────┴──────────────────┴────────────────┴─────────────────┘    └──────┴──────┘
 * ```
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

const HEAD_BYTES = 9;

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
    for (const { record, descriptor, bytes } of snapshots) {
      const json = Buffer.from(JSON.stringify(record));
      yield { length: this.#writeHead(json, bytes), descriptor };
      yield* this.#writeRest(json, LONGEST_MESSAGE - HEAD_BYTES);
      for (const piece of bytes) yield* this.#writeRest(piece, 0);
    }
  }

  #writeHead(json: Buffer, bytes: readonly Buffer[]): number {
    const { bytes: space } = this.#message;
    space[0] = RECORD;
    space.writeUInt32LE(json.length, 1);
    space.writeUInt32LE(
      bytes.reduce((sum, piece) => sum + piece.length, 0),
      5,
    );
    return HEAD_BYTES + json.copy(space, HEAD_BYTES);
  }

  *#writeRest(piece: Buffer, begin: number): Generator<{ length: number; descriptor: number }, undefined> {
    const { bytes: space } = this.#message;
    for (let from = begin; from < piece.length; from += LONGEST_MESSAGE - 1) {
      space[0] = BYTES;
      yield { length: 1 + piece.copy(space, 1, from, from + LONGEST_MESSAGE - 1), descriptor: -1 };
    }
  }
}

interface Incoming {
  readonly descriptor: number;
  readonly recordBytes: number;
  /** Of the record first. */
  readonly pieces: Buffer[];
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
    const isBeginning = space[0] === RECORD;
    if (isBeginning) {
      const recordBytes = space.readUInt32LE(1);
      this.#incoming = { descriptor, recordBytes, pieces: [], missing: recordBytes + space.readUInt32LE(5) };
    }
    const incoming = this.#incoming;
    if (incoming === undefined) return; // an earlier taker has died with the beginning
    const piece = Buffer.from(space.subarray(isBeginning ? HEAD_BYTES : 1, length));
    incoming.pieces.push(piece);
    incoming.missing -= piece.length;
    if (incoming.missing > 0) return;
    this.#taken.push(snapshotOf(incoming));
    this.#incoming = undefined;
  }
}

function snapshotOf({ pieces, recordBytes, descriptor }: Incoming): Snapshot {
  const all = Buffer.concat(pieces);
  const record = JSON.parse(all.toString('utf8', 0, recordBytes)) as SnapshotRecord;
  return { record, descriptor, bytes: [all.subarray(recordBytes)] };
}
