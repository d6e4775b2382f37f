/**
 * Reads the frames that reactors send to this worker id, and gives each to its protocol. Only the attached process
 * reads; at `release` the next process continues at the very next packet. Runs in a worker.
 */
import { detailOf, Event, flagsOf, typeOf } from '../ipc/frame.js';
import type { RingReader } from '../ipc/ring.js';
import type { Wakes } from '../ipc/sleep.js';
import { inOwnContext } from '../util/own-context.js';
import { runTicks } from '../util/ticks.js';
import { readMessage } from './payload.js';
import type { FrameService } from './service.js';

/** Receives the end of connections, of whatever protocol. */
export interface InboxEnds {
  /** @param flags CloseFlag @param code CloseCode */
  closed(fd: number, flags: number, code: number, message: string): void;
  /** Another process gets what comes from now on. */
  letGo(): void;
}

export interface InboxParts {
  /** One per reactor, with its waker. */
  readonly rings: readonly RingReader[];
  readonly reactorWakers: readonly Pick<Wakes, 'ring'>[];
  /** By type of frame, for each there is. */
  readonly services: readonly FrameService[];
  readonly connections: InboxEnds;
}

/** After N frames of one reactor the next one has its turn. */
const FRAMES_PER_REACTOR = 256;
/** The reactor gets room back after every frame; the inbox checks this often whether it waits for it. */
const BYTES_PER_CHECK = 65536;

export class Inbox {
  readonly #parts: InboxParts;
  readonly #services: readonly FrameService[];
  #inPacket = false;

  constructor(parts: InboxParts) {
    this.#parts = parts;
    this.#services = parts.services;
  }

  /** Continues where the preceding process stopped. */
  resync(): void {
    for (const ring of this.#parts.rings) ring.resync();
  }

  /** The next process continues at the very next frame. */
  letGo(): void {
    this.#parts.connections.letGo();
  }

  /** @param goOn asked after each frame @returns true when there were frames */
  take(goOn: () => boolean): boolean {
    const { rings } = this.#parts;
    let found = false;
    for (let reactor = 0; reactor < rings.length && goOn(); reactor++) {
      if (this.#takeFrom(reactor, goOn)) found = true;
    }
    return found;
  }

  get hasFrames(): boolean {
    return this.#parts.rings.some((ring) => ring.available());
  }

  #takeFrom(reactor: number, goOn: () => boolean): boolean {
    const ring = this.#parts.rings[reactor];
    if (ring === undefined || !ring.available()) return false;
    let bytes = 0;
    // Never stops in the middle of a packet whose pieces are all there: this process may be about to release its
    // packets.
    for (let i = 0; (this.#inPacket || (i < FRAMES_PER_REACTOR && goOn())) && ring.available(); i++) {
      bytes += ring.length;
      this.#takeOne(ring);
      if (bytes < BYTES_PER_CHECK) continue;
      bytes = 0;
      this.#ringIfAwaited(reactor, ring);
    }
    this.#ringIfAwaited(reactor, ring);
    return true;
  }

  /** What its callback puts off runs before the next one, as between the events of Node. */
  #takeOne(ring: RingReader): void {
    if (typeOf(ring.word) === Event.close) this.#takeClose(ring);
    else this.#takeFrame(ring);
    runTicks();
  }

  /** Advances before the callback runs: a packet whose callback kills the worker is not retried by its successor. */
  #takeFrame(ring: RingReader): void {
    const service = this.#services[typeOf(ring.word)] as FrameService;
    const taken = service.take(ring);
    ring.advance();
    ring.release();
    this.#inPacket = inOwnContext(service.deliver, service, taken);
  }

  /** Gives its room back after the callback: only then may the reactor reuse the connection's slot. */
  #takeClose(ring: RingReader): void {
    const { word, sessionId } = ring;
    const message = readMessage(ring);
    ring.advance();
    const { connections } = this.#parts;
    inOwnContext(connections.closed, connections, sessionId, flagsOf(word), detailOf(word), message);
    ring.release();
  }

  #ringIfAwaited(reactor: number, ring: RingReader): void {
    if (ring.writerWantsBell()) this.#parts.reactorWakers[reactor]?.ring();
  }
}
