/** Raw DEFLATE streams, one after another, synchronously: through one kept zlib handle, or else the public API. */
import { constants, createDeflateRaw, createInflateRaw, deflateRawSync, inflateRawSync } from 'node:zlib';

/** Compresses, or decompresses, whole streams. Nothing of one stream is left for the next. */
export interface Engine {
  /** Where the public API does the work, more slowly. */
  readonly isPublic: boolean;
  /** Bytes of the last input that lay behind the end of its stream. */
  readonly unread: number;
  /** @returns the output, in memory of its own; `tooLong` as soon as it has more than `mostBytes` */
  run(input: Buffer, from: number, end: number, mostBytes: number): Buffer | 'tooLong' | 'broken';
  close(): void;
}

/** Opens what `node:zlib` makes; tests hand in others. */
export type OpenStream = () => unknown;

/** What we use of the stream's inside, which is the same from Node 20 to 26. */
interface ZlibHandle {
  onerror: () => void;
  writeSync(...args: [number, Buffer, number, number, Buffer, number, number]): void;
  reset(): void;
}

interface OpenedStream {
  readonly _handle: ZlibHandle;
  /** Written by each `writeSync`: free bytes of the output, unread bytes of the input. */
  readonly _writeState: Uint32Array;
  close(): void;
}

/** A handle of another form than expected may end the process, so a newer Node is served once it has been tested. */
const NEWEST_TESTED_NODE = 26;
/** 1 KiB of JSON: 276 bytes in 5.6 µs; level 6 makes 255 in 7.3. */
const LEVEL = 1;
const CHUNK_BYTES = 65_536;
/** The stream's own buffer, which we do not use, is as small as it may be. */
const SMALLEST_CHUNK = 64;

/** @returns an engine that decompresses streams which end with a final block; `unread` bytes may follow them */
export function openInflate(open: OpenStream = () => createInflateRaw({ chunkSize: SMALLEST_CHUNK })): Engine {
  return openKept(open, constants.Z_FINISH, inflatesRight) ?? new PublicEngine(inflatePublicly);
}

/** @returns an engine whose streams do not end: their last block is empty, `00 00 ff ff` (Z_SYNC_FLUSH) */
export function openDeflate(
  open: OpenStream = () => createDeflateRaw({ level: LEVEL, chunkSize: SMALLEST_CHUNK }),
): Engine {
  return openKept(open, constants.Z_SYNC_FLUSH, deflatesRight) ?? new PublicEngine(deflatePublicly);
}

/**
 * One handle for all streams: the public API sets zlib up anew for each. CPU per 1 KiB of JSON: 5.9 µs to compress (public
 * API 11.4), 2.9 to decompress (5.3), and no garbage that only a collection gives back to zlib; the case "deflate echo" of
 * `bench/websocket` shows it.
 */
class KeptEngine implements Engine {
  readonly isPublic = false;
  unread = 0;
  readonly #stream: OpenedStream;
  readonly #flush: number;
  readonly #chunk = Buffer.allocUnsafeSlow(CHUNK_BYTES);
  #hasFailed = false;

  constructor(stream: OpenedStream, flush: number) {
    this.#stream = stream;
    this.#flush = flush;
    stream._handle.onerror = () => {
      this.#hasFailed = true;
    };
  }

  run(input: Buffer, from: number, end: number, mostBytes: number): Buffer | 'tooLong' | 'broken' {
    this.#hasFailed = false;
    try {
      return this.#write(input, from, end, mostBytes);
    } finally {
      this.#stream._handle.reset();
    }
  }

  close(): void {
    this.#stream.close();
  }

  #write(input: Buffer, from: number, end: number, mostBytes: number): Buffer | 'tooLong' | 'broken' {
    const { _handle: handle, _writeState: state } = this.#stream;
    const pieces: Buffer[] = [];
    let total = 0;
    this.unread = end - from;
    for (;;) {
      // One byte more than allowed shows that there is more.
      const room = Math.min(CHUNK_BYTES, mostBytes - total + 1);
      handle.writeSync(this.#flush, input, end - this.unread, this.unread, this.#chunk, 0, room);
      if (this.#hasFailed) return 'broken';
      const free = state[0] ?? 0;
      this.unread = state[1] ?? 0;
      total += room - free;
      if (total > mostBytes) return 'tooLong';
      const piece = copyOf(this.#chunk, room - free);
      // zlib has more output only where it left no room.
      if (free > 0) return pieces.length === 0 ? piece : Buffer.concat([...pieces, piece], total);
      pieces.push(piece);
    }
  }
}

class PublicEngine implements Engine {
  readonly isPublic = true;
  unread = 0;
  readonly #run: (input: Buffer, mostBytes: number) => Whole;

  constructor(run: (input: Buffer, mostBytes: number) => Whole) {
    this.#run = run;
  }

  run(input: Buffer, from: number, end: number, mostBytes: number): Buffer | 'tooLong' | 'broken' {
    try {
      const { output, readBytes } = this.#run(input.subarray(from, end), mostBytes);
      this.unread = end - from - readBytes;
      return output.length > mostBytes ? 'tooLong' : output;
    } catch (error) {
      return isTooLong(error) ? 'tooLong' : 'broken';
    }
  }

  close(): void {
    // It keeps nothing.
  }
}

interface Whole {
  readonly output: Buffer;
  readonly readBytes: number;
}

function inflatePublicly(input: Buffer, mostBytes: number): Whole {
  const options = { info: true, maxOutputLength: Math.max(1, mostBytes) };
  const { buffer, engine } = inflateRawSync(input, options) as unknown as Informed;
  return { output: buffer, readBytes: engine.bytesWritten };
}

function deflatePublicly(input: Buffer): Whole {
  const output = deflateRawSync(input, { level: LEVEL, finishFlush: constants.Z_SYNC_FLUSH });
  return { output, readBytes: input.length };
}

/** What zlib returns with the option `info`. */
interface Informed {
  readonly buffer: Buffer;
  readonly engine: { readonly bytesWritten: number };
}

function isTooLong(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ERR_BUFFER_TOO_LARGE';
}

function copyOf(chunk: Buffer, bytes: number): Buffer {
  const copy = Buffer.allocUnsafe(bytes);
  chunk.copy(copy, 0, 0, bytes);
  return copy;
}

/** @returns undefined where the stream's inside is not of the form we know, or does not do what we expect of it */
function openKept(open: OpenStream, flush: number, isRight: (engine: Engine) => boolean): Engine | undefined {
  if (Number.parseInt(process.versions.node, 10) > NEWEST_TESTED_NODE) return undefined;
  let engine: KeptEngine | undefined;
  try {
    const stream = open();
    if (!isOpenedStream(stream)) return undefined;
    engine = new KeptEngine(stream, flush);
    if (isRight(engine)) return engine;
  } catch {
    // Another form: the public API serves.
  }
  engine?.close();
  return undefined;
}

function isOpenedStream(stream: unknown): stream is OpenedStream {
  const { _handle: handle, _writeState: state, close } = stream as Partial<OpenedStream>;
  const isFunction = (value: unknown): boolean => typeof value === 'function';
  return (
    state instanceof Uint32Array && isFunction(close) && isFunction(handle?.writeSync) && isFunction(handle?.reset)
  );
}

const KNOWN = Buffer.from('Hello');
/** "Hello" with a final block (RFC 7692 7.2.3.5). */
const KNOWN_STREAM = Buffer.from([0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]);
const BROKEN_STREAM = Buffer.from([0x07]);

/** Right, too long, broken, cut, longer than a chunk, with bytes behind; and after each of them right again. */
function inflatesRight(engine: Engine): boolean {
  const gives = (input: Buffer, most: number, expected: Buffer | string, unread = 0): boolean => {
    const output = engine.run(input, 0, input.length, most);
    if (typeof expected === 'string') return output === expected;
    return typeof output !== 'string' && output.equals(expected) && engine.unread === unread;
  };
  const isRight = (): boolean => gives(KNOWN_STREAM, KNOWN.length, KNOWN);
  const long = Buffer.alloc(CHUNK_BYTES + 1);
  return (
    isRight() &&
    gives(KNOWN_STREAM, KNOWN.length - 1, 'tooLong') &&
    isRight() &&
    gives(BROKEN_STREAM, KNOWN.length, 'broken') &&
    isRight() &&
    gives(KNOWN_STREAM.subarray(0, -2), KNOWN.length, 'broken') &&
    isRight() &&
    gives(deflateRawSync(long), long.length, long) &&
    gives(Buffer.concat([KNOWN_STREAM, KNOWN_STREAM]), KNOWN.length, KNOWN, KNOWN_STREAM.length) &&
    isRight()
  );
}

/** What it made can be read, by the public API, twice the same. */
function deflatesRight(engine: Engine): boolean {
  const made = [0, 1].map(() => engine.run(KNOWN, 0, KNOWN.length, CHUNK_BYTES));
  return made.every((output) => {
    if (typeof output === 'string' || engine.unread !== 0 || !output.equals(made[0] as Buffer)) return false;
    return inflateRawSync(output, { finishFlush: constants.Z_SYNC_FLUSH }).equals(KNOWN);
  });
}
