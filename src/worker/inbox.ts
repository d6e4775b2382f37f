/**
 * Reads what reactors send to this worker id. Only the process that is attached reads; at `release` the next process
 * goes on at the very next packet. Runs in a worker.
 */
import { detailOf, Event, flagsOf, PieceFlag, typeOf } from '../ipc/frame.js';
import type { RingReader } from '../ipc/ring.js';

export interface InboxHandler {
  /** @param flags PieceFlag: a piece of a longer packet; 0: a packet */
  receive(sessionId: number, data: Buffer, flags: number): void;
  /** An HTTP request: copies what it needs of the ring. @returns what `serve` gets */
  takeRequest(ring: RingReader, sessionId: number): unknown;
  serve(taken: unknown, bytes: number): void;
  /** A piece of the body of an HTTP request. */
  body(sessionId: number, exchange: number, flags: number, data: Buffer): void;
  /** A datagram, or a piece of one. */
  packet(data: Buffer, flags: number): void;
  event(type: number, flags: number, detail: number, sessionId: number, message: string): void;
  /** The reactor waits for room in this ring. */
  ringReactor(reactor: number): void;
}

/** So many packets of one reactor, then the next one's turn. */
const PACKETS_PER_REACTOR = 256;
/** Room is given back to the reactor after every packet; whether it waits for it is looked up this often. */
const BYTES_PER_CHECK = 65536;

export class Inbox {
  readonly #rings: readonly RingReader[];
  readonly #handler: InboxHandler;
  #inPacket = false;

  constructor(rings: readonly RingReader[], handler: InboxHandler) {
    this.#rings = rings;
    this.#handler = handler;
  }

  /** Goes on where the process before this one stopped. */
  resync(): void {
    for (const ring of this.#rings) ring.resync();
  }

  /** @param goOn asked after each packet @returns true when something was there */
  take(goOn: () => boolean): boolean {
    let found = false;
    for (let reactor = 0; reactor < this.#rings.length && goOn(); reactor++) {
      if (this.#takeFrom(reactor, goOn)) found = true;
    }
    return found;
  }

  get hasPackets(): boolean {
    return this.#rings.some((ring) => ring.available());
  }

  #takeFrom(reactor: number, goOn: () => boolean): boolean {
    const ring = this.#rings[reactor];
    if (ring === undefined || !ring.available()) return false;
    let bytes = 0;
    // Never in the middle of a packet whose pieces are all there: this process may be about to let go.
    for (let i = 0; (this.#inPacket || (i < PACKETS_PER_REACTOR && goOn())) && ring.available(); i++) {
      bytes += ring.length;
      this.#takeOne(ring);
      if (bytes < BYTES_PER_CHECK) continue;
      bytes = 0;
      if (ring.writerWantsBell()) this.#handler.ringReactor(reactor);
    }
    if (ring.writerWantsBell()) this.#handler.ringReactor(reactor);
    return true;
  }

  /** The place moves on before the callback runs: a packet whose callback kills the worker is not tried again. */
  #takeOne(ring: RingReader): void {
    const { word, sessionId, length, payloadAt } = ring;
    const type = typeOf(word);
    if (type === Event.request) {
      const taken = this.#handler.takeRequest(ring, sessionId);
      ring.advance();
      ring.release();
      return this.#handler.serve(taken, length);
    }
    if (type === Event.receive || type === Event.packet || type === Event.body) {
      const data = Buffer.allocUnsafe(length);
      ring.bytes.copy(data, 0, payloadAt, payloadAt + length);
      ring.advance();
      ring.release();
      const flags = flagsOf(word);
      if (type === Event.body) return this.#handler.body(sessionId, detailOf(word), flags, data);
      this.#inPacket = (flags & PieceFlag.more) !== 0;
      if (type === Event.packet) this.#handler.packet(data, flags);
      else this.#handler.receive(sessionId, data, flags);
      return;
    }
    const message = length > 0 ? ring.bytes.toString('utf8', payloadAt, payloadAt + length) : '';
    ring.advance();
    if (type !== Event.close) ring.release();
    this.#handler.event(type, flagsOf(word), detailOf(word), sessionId, message);
    if (type === Event.close) ring.release();
  }
}
