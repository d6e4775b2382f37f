/**
 * Bytes as they come: the result of one read is a packet, and goes straight into the ring of its worker. Serves
 * raw ports, and every tunnel: a connection that an upgrade has given to one worker. Runs in the reactor.
 */
import { CloseCode } from '../../ipc/frame.js';
import type { Connection } from '../connection.js';
import { READS_PER_TURN } from '../reading.js';
import type { WorkerRing } from '../worker-ring.js';
import type { ProtocolDefinition, StreamParts } from './definition.js';
import { PacketProtocol } from './packets.js';

export class Stream extends PacketProtocol {
  readonly name: string;
  readonly isBound: boolean;

  /** @param isBound a tunnel: its bytes are not packets to be dispatched, they belong to the connection's worker */
  constructor(parts: StreamParts, isBound = false) {
    super(parts);
    this.name = isBound ? 'tunnel' : 'stream';
    this.isBound = isBound;
  }

  readable(connection: Connection): void {
    const { reading, dispatcher, context } = this.parts;
    if (!this.isBound && (dispatcher.mustWait(connection) || !dispatcher.settle(connection))) return;
    if (connection.input !== null && !this.#takeInput(connection)) return;
    for (let i = 0; i < READS_PER_TURN; i++) {
      const ring = this.#ringFor(connection);
      const limit = ring.readLimit;
      if (limit === 0) return reading.stall(connection, ring, false);
      const n = connection.transport.receive(connection, ring.bytes, ring.payloadAt, ring.packetAddress, limit);
      if (n > 0) {
        this.#give(connection, ring, n);
        reading.countReceived(connection, n);
        if (reading.isDry(connection, n, limit)) return;
      } else if (!reading.endOfBytes(connection, n)) return;
    }
    context.again.push(connection);
  }

  /** The worker of a tunnel ends it. */
  override dismiss(connection: Connection): void {
    if (!this.isBound) super.dismiss(connection);
  }

  /** The bytes of a tunnel mean nothing to the worker's successor. One that it has ended needs it no more. */
  override workerDied(): void {
    if (!this.isBound) return;
    const { context, ending } = this.parts;
    for (const connection of context.connections.list()) {
      if (connection.protocol !== this || connection.isClosing) continue;
      const pid = context.table.taker(connection.slot);
      const isGone = pid !== 0 && context.processes.isGoneFrom(connection.worker, pid);
      if (isGone) ending.reset(connection, CloseCode.WORKER_DIED);
    }
  }

  #ringFor(connection: Connection): WorkerRing {
    const { context, dispatcher } = this.parts;
    return this.isBound ? context.ring(connection.worker) : dispatcher.ringFor(connection);
  }

  #give(connection: Connection, ring: WorkerRing, bytes: number): void {
    ring.commitPacket(connection.sessionId, bytes);
    if (!this.isBound) this.parts.dispatcher.dispatched(connection, ring, bytes);
  }

  /** Takes bytes that were read before. @returns false: there is no room for all of them */
  #takeInput(connection: Connection): boolean {
    const { input } = connection;
    while (input !== null && input.length > 0) {
      const ring = this.#ringFor(connection);
      const count = Math.min(ring.readLimit, input.length);
      if (count === 0) {
        this.parts.reading.stall(connection, ring, false);
        return false;
      }
      input.bytes.copy(ring.bytes, ring.payloadAt, input.from, input.from + count);
      this.#give(connection, ring, count);
      input.from += count;
    }
    connection.input = null;
    return true;
  }
}

export const stream: ProtocolDefinition = {
  speaks: ({ framing }) => framing === undefined,
  create: (parts) => new Stream(parts),
};
