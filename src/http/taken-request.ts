/** A request as it lies in a ring. Runs in a worker. */
import { detailOf, flagsOf } from '../ipc/frame.js';
import { REQUEST_PREFIX_BYTES } from '../ipc/frames/http.js';
import type { RingReader } from '../ipc/ring.js';

const nothing = Buffer.alloc(0);

/** Valid only until the room of its frame is given back. A process keeps one and fills it again and again. */
export class TakenRequest {
  fd = 0;
  /** Number of the exchange; each frame of its answer carries it. */
  exchange = 0;
  /** RequestFlag. */
  flags = 0;
  /** The two words that the reactor puts before the head. */
  first = 0;
  second = 0;
  bytes: Buffer = nothing;
  /** Where the head begins, and where the payload ends. */
  at = 0;
  end = 0;

  fill(ring: RingReader): void {
    const { word, payloadAt } = ring;
    this.fd = ring.sessionId;
    this.exchange = detailOf(word);
    this.flags = flagsOf(word);
    this.first = ring.firstWord;
    this.second = ring.secondWord;
    this.bytes = ring.bytes;
    this.at = payloadAt + REQUEST_PREFIX_BYTES;
    this.end = payloadAt + ring.length;
  }
}
