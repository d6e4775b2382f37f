/**
 * permessage-deflate (RFC 7692 7.2) without context takeover: each message is compressed for itself, so one pair serves
 * all connections of a process. Synchronous, because a turn through zlib's thread pool costs more than 1 KiB does.
 */
import { type Engine, type OpenStream, openDeflate, openInflate } from './zlib-engine.js';

/** Ends each compressed message, and is not sent (7.2.1). */
const TAIL = Buffer.from([0x00, 0x00, 0xff, 0xff]);
/**
 * Behind the tail we put a final block of our own, with this text. It comes out if the message ended between two blocks;
 * a block that was cut takes the bytes of ours for its own.
 */
const MARKER = Buffer.from('end.');
const MARKER_BLOCK = Buffer.from([0x4b, 0xcd, 0x4b, 0xd1, 0x03, 0x00]);
const SUFFIX = Buffer.concat([TAIL, MARKER_BLOCK]);
/** A message up to this size gets the suffix in a kept buffer, a longer one in a buffer of its own. */
const KEPT_BYTES = 65_536;
/** Final blocks inside a message are legal, but each costs a new stream: 500,000 would fit into 1 MiB. */
const MOST_STREAMS = 256;
const EMPTY = Buffer.alloc(0);

/** Decompresses messages. */
export class Inflater {
  readonly #engine: Engine;
  readonly #kept = Buffer.allocUnsafeSlow(KEPT_BYTES);
  /** The last message was one stream without a final block, as nearly all clients send it. */
  wasUsual = false;

  /** @param open for tests: the stream whose handle is kept */
  constructor(open?: OpenStream) {
    this.#engine = openInflate(open);
  }

  /** Where this Node's zlib handle cannot be kept. */
  get isFallback(): boolean {
    return this.#engine.isPublic;
  }

  /**
   * @param data the payload of a whole message, without the tail
   * @returns the message, in memory of its own, or: `tooLong`, it has more than `maxBytes` (no more than that is ever held
   *   of it); `broken`, it is not DEFLATE, or its end is missing
   */
  inflate(data: Buffer, maxBytes: number): Buffer | 'tooLong' | 'broken' {
    this.wasUsual = false;
    // Some clients send nothing at all instead of one empty block.
    if (data.length === 0) return EMPTY;
    const end = data.length + SUFFIX.length;
    return this.#inflateStreams(this.#withSuffix(data), end, maxBytes);
  }

  close(): void {
    this.#engine.close();
  }

  #withSuffix(data: Buffer): Buffer {
    if (data.length + SUFFIX.length > KEPT_BYTES) return Buffer.concat([data, SUFFIX]);
    data.copy(this.#kept);
    SUFFIX.copy(this.#kept, data.length);
    return this.#kept;
  }

  /** A stream ends with each final block (7.2.3.5); the marker block is the last of them. */
  #inflateStreams(input: Buffer, end: number, maxBytes: number): Buffer | 'tooLong' | 'broken' {
    const pieces: Buffer[] = [];
    let total = 0;
    let from = 0;
    for (let streams = 0; streams < MOST_STREAMS; streams++) {
      const output = this.#engine.run(input, from, end, maxBytes - total + MARKER.length);
      if (typeof output === 'string') return output;
      const { unread } = this.#engine;
      if (unread === 0) {
        this.wasUsual = streams === 0;
        return withoutMarker(pieces, output);
      }
      total += output.length;
      if (total > maxBytes) return 'tooLong';
      pieces.push(output);
      // A final block was the message's last, with the tail (an empty one) or without.
      if (unread === MARKER_BLOCK.length || unread === SUFFIX.length) return joined(pieces);
      if (unread < SUFFIX.length) return 'broken';
      from = end - unread;
    }
    return 'broken';
  }
}

/** Compresses messages. */
export class Deflater {
  readonly #engine: Engine;

  /** @param open for tests: the stream whose handle is kept */
  constructor(open?: OpenStream) {
    this.#engine = openDeflate(open);
  }

  /** Where this Node's zlib handle cannot be kept. */
  get isFallback(): boolean {
    return this.#engine.isPublic;
  }

  /** @returns the payload of a whole message, without the tail, in memory of its own */
  deflate(data: Buffer): Buffer {
    if (data.length === 0) return Buffer.alloc(1); // 7.2.3.6
    const output = this.#engine.run(data, 0, data.length, Number.POSITIVE_INFINITY);
    if (typeof output === 'string') throw new Error(`zlib could not compress ${data.length} bytes: ${output}`);
    return output.subarray(0, -TAIL.length);
  }

  close(): void {
    this.#engine.close();
  }
}

function withoutMarker(pieces: Buffer[], last: Buffer): Buffer | 'broken' {
  const bytes = last.length - MARKER.length;
  if (bytes < 0 || MARKER.compare(last, bytes) !== 0) return 'broken';
  return joined([...pieces, last.subarray(0, bytes)]);
}

function joined(pieces: Buffer[]): Buffer {
  const [first = EMPTY] = pieces;
  return pieces.length === 1 ? first : Buffer.concat(pieces);
}
