/**
 * Finds packets in what clients send: each whole packet goes to its worker. Incomplete packets wait here, so a
 * worker never sees half of one, and its successor continues at the next. Runs in the reactor.
 */
import { CloseCode } from '../../ipc/frame.js';
import { MALFORMED, MORE } from '../../protocol/framing/framer.js';
import type { Connection } from '../connection.js';
import { SCRATCH_BYTES } from '../context.js';
import type { PacketGoal } from '../dispatcher.js';
import { Input } from '../input.js';
import { READS_PER_TURN } from '../reading.js';
import type { WorkerRing } from '../worker-ring.js';
import type { PortFraming, ProtocolDefinition, ProtocolPort, StreamParts } from './definition.js';
import { PacketProtocol } from './packets.js';

/** The result of one read is a packet, but a user function sees it before it is in a ring. */
export const rawFraming: PortFraming = {
  framer: { packetLength: (_bytes, from, to) => to - from },
  packageMaxLength: Number.POSITIVE_INFINITY,
};

export class Framed extends PacketProtocol {
  readonly name = 'framed';
  readonly isBound = false;
  readonly #framing: PortFraming;

  constructor(parts: StreamParts, framing: PortFraming) {
    super(parts);
    this.#framing = framing;
  }

  readable(connection: Connection): void {
    const { context, reading } = this.parts;
    const { scratch, scratchAddress } = context;
    if (!this.parts.dispatcher.settle(connection) || !this.#resume(connection)) return;
    for (let i = 0; i < READS_PER_TURN; i++) {
      const n = connection.transport.receive(connection, scratch, 0, scratchAddress, SCRATCH_BYTES);
      if (n > 0) {
        reading.countReceived(connection, n);
        if (!this.#take(connection, scratch, n)) return;
        if (reading.isDry(connection, n, SCRATCH_BYTES)) return;
      } else if (!reading.endOfBytes(connection, n)) return;
    }
    context.again.push(connection);
  }

  /** @param bytes the next `count` bytes of the client @returns false: read nothing more now */
  #take(connection: Connection, bytes: Buffer, count: number): boolean {
    if (connection.input === null) {
      const input = this.#takeWhole(connection, bytes, count);
      if (input === undefined) return !connection.isClosing;
      connection.input = input;
    } else connection.input.append(bytes, count);
    return this.#resume(connection);
  }

  /** Continues with the stored input. @returns false: read nothing more now */
  #resume(connection: Connection): boolean {
    const { input } = connection;
    if (input === null) return true;
    while (input.length > 0) {
      if (input.packetBytes === 0 && !this.#measure(connection, input)) return !connection.isClosing;
      if (input.packetBytes > input.length) return true;
      if (!this.#send(connection, input)) return false;
      input.shift();
    }
    connection.input = null;
    return true;
  }

  /** Dispatches the packets that lie whole in `bytes`. @returns what must wait; undefined when nothing has to */
  #takeWhole(connection: Connection, bytes: Buffer, count: number): Input | undefined {
    let from = 0;
    while (from < count) {
      const length = this.#lengthAt(connection, bytes, from, count, 0);
      if (length < 0) return undefined;
      if (length === MORE || from + length > count) return new Input(bytes, from, count);
      const goal = this.parts.dispatcher.goalFor(connection, bytes, from, length);
      if (goal === 'close') return this.#close(connection);
      if (goal === 'wait') return Input.waiting(bytes, from, count, length, NOTHING_SENT);
      if (goal !== 'discard') {
        const sent = goal.writePacket(connection.sessionId, bytes, from, length, 0);
        if (sent < length) return Input.waiting(bytes, from, count, length, { sent, worker: goal.worker });
        this.parts.dispatcher.dispatched(connection, goal, length);
      }
      from += length;
    }
    return undefined;
  }

  /** @returns true when the length of the next packet is known */
  #measure(connection: Connection, input: Input): boolean {
    const { bytes, from, to, searched } = input;
    const length = this.#lengthAt(connection, bytes, from, to, searched);
    if (length > 0) input.packetBytes = length;
    else input.searched = input.length;
    return length > 0;
  }

  #lengthAt(connection: Connection, bytes: Buffer, from: number, to: number, searched: number): number {
    const { framer, packageMaxLength } = this.#framing;
    const length = framer.packetLength(bytes, from, to, searched);
    if (length === MALFORMED) {
      this.#refuse(connection, CloseCode.PACKET_MALFORMED, '');
      return MALFORMED;
    }
    const known = length === MORE ? to - from : length;
    if (known <= packageMaxLength) return length;
    const what = length === MORE ? `${known} bytes have come and no packet has ended` : `the packet has ${known} bytes`;
    this.#refuse(connection, CloseCode.PACKET_TOO_LONG, `${what}, packageMaxLength is ${packageMaxLength}`);
    return MALFORMED;
  }

  /** @returns false when the worker has no room */
  #send(connection: Connection, input: Input): boolean {
    const goal = this.#goalOf(connection, input);
    if (goal === 'discard') return true;
    if (goal === 'wait') return false;
    if (goal === 'close') {
      this.#close(connection);
      return false;
    }
    return this.#write(connection, input, goal);
  }

  /** The choice that was made for it stands, unless that worker goes and has nothing of it. */
  #goalOf(connection: Connection, { bytes, from, packetBytes, worker, sent }: Input): PacketGoal {
    const { dispatcher, context } = this.parts;
    const stands = worker >= 0 && (sent > 0 || !dispatcher.isDraining(worker));
    return stands ? context.ring(worker) : dispatcher.goalFor(connection, bytes, from, packetBytes);
  }

  #write(connection: Connection, input: Input, ring: WorkerRing): boolean {
    const { bytes, from, packetBytes } = input;
    input.sent = ring.writePacket(connection.sessionId, bytes, from, packetBytes, input.sent);
    // The choice stands also when there was no room for a single byte: a user function is asked once.
    input.worker = ring.worker;
    if (input.sent === packetBytes) {
      this.parts.dispatcher.dispatched(connection, ring, packetBytes);
      return true;
    }
    this.parts.reading.stall(connection, ring, true);
    return false;
  }

  #close(connection: Connection): undefined {
    connection.input = null;
    this.parts.ending.closeWhenFlushed(connection, CloseCode.SERVER_CLOSED);
  }

  /** Closes without a reply: the client's bytes are not a packet. */
  #refuse(connection: Connection, code: number, message: string): void {
    const { refused, ending, reading } = this.parts;
    connection.input = null;
    refused(connection, code, message);
    ending.notifyClose(connection, code, 0, message);
    ending.closeWhenFlushed(connection, code);
    if (!connection.isClosed) reading.readSoon(connection);
  }
}

const NOTHING_SENT = { sent: 0, worker: -1 };

export const framed: ProtocolDefinition = {
  speaks: ({ framing }) => framing !== undefined,
  create: (parts, { framing }: ProtocolPort) => new Framed(parts, framing as PortFraming),
};
