/**
 * Reading where packets are framed: finds whole packets in what clients send and gives each to its worker. What is not
 * whole yet waits here, so a worker never sees half of one, and its successor goes on at the next. Runs in the reactor.
 */
import { CloseCode } from '../ipc/frame.js';
import { type Framer, MALFORMED, MORE } from '../protocol/framing/framer.js';
import type { ReactorConnection } from './connection.js';
import { Input } from './input.js';
import type { WorkerLane } from './worker-lane.js';

export interface PortFraming {
  readonly framer: Framer;
  readonly packageMaxLength: number;
}

/** What one read gave is a packet, but it must be seen before it is in a ring. */
export const rawFraming: PortFraming = {
  framer: { packetLength: (_bytes, from, to) => to - from },
  packageMaxLength: Number.POSITIVE_INFINITY,
};

/** Where a packet goes: to a worker, nowhere, or its connection is to be closed. `wait`: its worker is about to go. */
export type PacketGoal = WorkerLane | 'discard' | 'close' | 'wait';

export interface FramingHost {
  laneFor(connection: ReactorConnection, bytes: Buffer, from: number, length: number): PacketGoal;
  close(connection: ReactorConnection): void;
  laneOf(worker: number): WorkerLane;
  /** A whole packet has gone to its worker. */
  dispatched(connection: ReactorConnection, lane: WorkerLane, bytes: number): void;
  /** The connection is read on when its worker has room. */
  stall(connection: ReactorConnection, lane: WorkerLane): void;
  /** What the client sent cannot be used. */
  refuse(connection: ReactorConnection, code: number, message: string): void;
}

export class Framing {
  readonly #host: FramingHost;

  constructor(host: FramingHost) {
    this.#host = host;
  }

  /** @param bytes the next `count` bytes of the client @returns false: read nothing more now */
  take(connection: ReactorConnection, port: PortFraming, bytes: Buffer, count: number): boolean {
    if (connection.input === null) {
      const input = this.#takeWhole(connection, port, bytes, count);
      if (input === undefined) return !connection.ended && connection.closeCode < 0;
      connection.input = input;
    } else connection.input.append(bytes, count);
    return this.resume(connection, port);
  }

  /** Goes on with what waits. @returns false: read nothing more now */
  resume(connection: ReactorConnection, port: PortFraming): boolean {
    const { input } = connection;
    if (input === null) return true;
    while (input.length > 0) {
      if (input.packetBytes === 0 && !this.#measure(connection, port, input)) return connection.closeCode < 0;
      if (input.packetBytes > input.length) return true;
      if (!this.#send(connection, input)) return false;
      input.shift();
    }
    connection.input = null;
    return true;
  }

  /** Packets that lie whole in `bytes` go straight on. @returns what must wait; undefined when nothing has to */
  #takeWhole(connection: ReactorConnection, port: PortFraming, bytes: Buffer, count: number): Input | undefined {
    let from = 0;
    while (from < count) {
      const length = this.#lengthAt(connection, port, bytes, from, count, 0);
      if (length < 0) return undefined;
      if (length === MORE || from + length > count) return new Input(bytes, from, count);
      const goal = this.#host.laneFor(connection, bytes, from, length);
      if (goal === 'close') return this.#close(connection);
      if (goal === 'wait') return Input.waiting(bytes, from, count, length, 0, -1);
      if (goal !== 'discard') {
        const sent = goal.writePacket(connection.sessionId, bytes, from, length, 0);
        if (sent < length) return Input.waiting(bytes, from, count, length, sent, goal.worker);
        this.#host.dispatched(connection, goal, length);
      }
      from += length;
    }
    return undefined;
  }

  /** @returns true when the length of the next packet is known */
  #measure(connection: ReactorConnection, port: PortFraming, input: Input): boolean {
    const { bytes, from, to, searched } = input;
    const length = this.#lengthAt(connection, port, bytes, from, to, searched);
    if (length > 0) input.packetBytes = length;
    else input.searched = input.length;
    return length > 0;
  }

  #lengthAt(
    connection: ReactorConnection,
    { framer, packageMaxLength }: PortFraming,
    bytes: Buffer,
    from: number,
    to: number,
    searched: number,
  ): number {
    const length = framer.packetLength(bytes, from, to, searched);
    if (length === MALFORMED) {
      this.#host.refuse(connection, CloseCode.PACKET_MALFORMED, '');
      return MALFORMED;
    }
    const known = length === MORE ? to - from : length;
    if (known <= packageMaxLength) return length;
    const what = length === MORE ? `${known} bytes have come and no packet has ended` : `the packet has ${known} bytes`;
    this.#host.refuse(connection, CloseCode.PACKET_TOO_LONG, `${what}, packageMaxLength is ${packageMaxLength}`);
    return MALFORMED;
  }

  /** @returns false when its worker has no room */
  #send(connection: ReactorConnection, input: Input): boolean {
    const { bytes, from, packetBytes } = input;
    const goal =
      input.worker < 0 ? this.#host.laneFor(connection, bytes, from, packetBytes) : this.#host.laneOf(input.worker);
    if (goal === 'discard') return true;
    if (goal === 'wait') return false;
    if (goal === 'close') {
      this.#close(connection);
      return false;
    }
    return this.#write(connection, input, goal);
  }

  #close(connection: ReactorConnection): undefined {
    connection.input = null;
    this.#host.close(connection);
  }

  #write(connection: ReactorConnection, input: Input, lane: WorkerLane): boolean {
    const { bytes, from, packetBytes } = input;
    input.sent = lane.writePacket(connection.sessionId, bytes, from, packetBytes, input.sent);
    // The choice stands also when there was no room for a single byte: a function of the user's is asked once.
    input.worker = lane.worker;
    if (input.sent === packetBytes) {
      this.#host.dispatched(connection, lane, packetBytes);
      return true;
    }
    this.#host.stall(connection, lane);
    return false;
  }
}
