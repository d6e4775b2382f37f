/** Datagrams: the user's `packet`. Runs in a worker. */
import { Event, flagsOf, PieceFlag } from '../../ipc/frame.js';
import { DATAGRAM_HEADER_BYTES, readDatagram } from '../../ipc/frames/datagram.js';
import type { RingReader } from '../../ipc/ring.js';
import type { UserConnection } from '../callbacks.js';
import { copyPayload } from '../payload.js';
import type { FrameService } from '../service.js';
import type { WorkerHost } from './host.js';

export class DatagramService<C extends UserConnection> implements FrameService<Buffer> {
  readonly types = [Event.packet];
  readonly #host: WorkerHost<C>;
  #flags = 0;
  /** Pieces of a datagram that is not whole yet. */
  #pieces: Buffer[] = [];

  constructor(host: WorkerHost<C>) {
    this.#host = host;
  }

  get isIncomplete(): boolean {
    return this.#pieces.length > 0;
  }

  take(ring: RingReader): Buffer {
    this.#flags = flagsOf(ring.word);
    return copyPayload(ring);
  }

  deliver(data: Buffer): boolean {
    const flags = this.#flags;
    const packet = flags === 0 ? data : this.#assemble(data, flags);
    // A short one: its beginning went to a process that has died.
    if (packet !== undefined && packet.length >= DATAGRAM_HEADER_BYTES) this.#received(packet);
    return (flags & PieceFlag.more) !== 0;
  }

  connectionEnded(): void {}

  dismiss(_deadlineMs: number, done: () => void): void {
    done();
  }

  drain(): void {}

  poll(): void {}

  /** @returns the packet, once it is whole */
  #assemble(piece: Buffer, flags: number): Buffer | undefined {
    if ((flags & PieceFlag.continued) === 0) this.#pieces = [];
    this.#pieces.push(piece);
    if ((flags & PieceFlag.more) !== 0) return undefined;
    const whole = Buffer.concat(this.#pieces);
    this.#pieces = [];
    return whole;
  }

  #received(packet: Buffer): void {
    const { callbacks, datagrams, calls, figures } = this.#host;
    const { portIndex, sockaddr, data } = readDatagram(packet);
    figures.countPacket(data.length);
    datagrams.beginCallback();
    calls.call('packet', () =>
      callbacks.ports[portIndex]?.packet?.(data, datagrams.peer(portIndex, sockaddr) as never),
    );
    datagrams.endCallback();
    calls.ended();
  }
}
