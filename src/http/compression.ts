/**
 * Content codings of answers (RFC 9110, 8.4 and 12.5.3): the choice of a coding, the bodies it applies to, and the
 * encoders.
 */
import * as zlib from 'node:zlib';
import { describe, ServerError } from '../errors/index.js';
import type { ContentEncoding } from '../options/compression.js';
import { chooseEncoding } from '../protocol/http/accept-encoding.js';

export type Encoding = ContentEncoding;

export interface CompressionOptions {
  /**
   * Among codings that a client ranks equally, br before zstd, gzip and deflate; codings that this Node lacks are
   * left out (zstd before Node 22.15).
   */
  readonly encodings?: readonly Encoding[] | undefined;
  /** Bytes: smaller bodies are sent as they are. */
  readonly threshold?: number | undefined;
  /** Media types, `text/*` for all of a kind, or a function that decides. Default: text, JSON, XML, scripts, SVG. */
  readonly types?: readonly string[] | ((mediaType: string) => boolean) | undefined;
  /** Default: brotli 4, zstd 3, gzip and deflate 6. */
  readonly levels?: Readonly<Partial<Record<Encoding, number>>> | undefined;
}

interface Coder {
  readonly levels: readonly [least: number, most: number, usual: number];
  /** Undefined: this Node has none. */
  readonly sync: ((bytes: Uint8Array, level: number) => Buffer) | undefined;
  readonly whole: (bytes: Uint8Array, level: number, done: (error: Error | null, result: Buffer) => void) => void;
  readonly stream: (level: number) => zlib.Gzip | zlib.BrotliCompress;
  readonly flush: number;
}

/** In Node from 22.15 on, missing in `@types/node` 20. */
type ZstdOptions = { readonly params: Readonly<Record<number, number>> };
interface Zstd {
  readonly zstdCompressSync?: (bytes: Uint8Array, options: ZstdOptions) => Buffer;
  readonly zstdCompress: (bytes: Uint8Array, options: ZstdOptions, done: (e: Error | null, r: Buffer) => void) => void;
  readonly createZstdCompress: (options: ZstdOptions) => zlib.BrotliCompress;
  readonly constants: { readonly ZSTD_c_compressionLevel: number; readonly ZSTD_e_flush: number };
}
const zstd = zlib as unknown as Zstd;

const brotli = (quality: number) => ({ params: { [zlib.constants.BROTLI_PARAM_QUALITY]: quality } });
const zstdAt = (level: number): ZstdOptions => ({ params: { [zstd.constants.ZSTD_c_compressionLevel]: level } });

const coders: Readonly<Record<Encoding, Coder>> = {
  br: {
    levels: [0, 11, 4],
    sync: (bytes, level) => zlib.brotliCompressSync(bytes, brotli(level)),
    whole: (bytes, level, done) => zlib.brotliCompress(bytes, brotli(level), done),
    stream: (level) => zlib.createBrotliCompress(brotli(level)),
    flush: zlib.constants.BROTLI_OPERATION_FLUSH,
  },
  zstd: {
    levels: [1, 19, 3],
    sync: zstd.zstdCompressSync && ((bytes, level) => zstd.zstdCompressSync!(bytes, zstdAt(level))),
    whole: (bytes, level, done) => zstd.zstdCompress(bytes, zstdAt(level), done),
    stream: (level) => zstd.createZstdCompress(zstdAt(level)),
    flush: zstd.constants.ZSTD_e_flush,
  },
  gzip: {
    levels: [1, 9, 6],
    sync: (bytes, level) => zlib.gzipSync(bytes, { level }),
    whole: (bytes, level, done) => zlib.gzip(bytes, { level }, done),
    stream: (level) => zlib.createGzip({ level }),
    flush: zlib.constants.Z_SYNC_FLUSH,
  },
  deflate: {
    levels: [1, 9, 6],
    sync: (bytes, level) => zlib.deflateSync(bytes, { level }),
    whole: (bytes, level, done) => zlib.deflate(bytes, { level }, done),
    stream: (level) => zlib.createDeflate({ level }),
    flush: zlib.constants.Z_SYNC_FLUSH,
  },
};

/** The codings this Node has, in order of preference. */
export const availableEncodings: readonly Encoding[] = (Object.keys(coders) as Encoding[]).filter(
  (name) => coders[name].sync !== undefined,
);

/**
 * Up to this many bytes the encoder runs in place: that takes 100 to 140 µs, as much as the way to the thread pool
 * and back.
 */
const IN_PLACE_LIMIT = 16 * 1024;
const REMEMBERED = 64;

const TEXT_TYPES = new Set([
  ...['application/json', 'application/javascript', 'application/xml', 'application/wasm', 'application/rtf'],
  ...['application/x-javascript', 'application/x-www-form-urlencoded', 'application/graphql', 'application/yaml'],
  ...[
    'application/manifest+json',
    'application/vnd.ms-fontobject',
    'font/ttf',
    'font/otf',
    'image/bmp',
    'image/x-icon',
  ],
  ...['application/x-ndjson', 'application/toml', 'application/sql'],
]);

/** The setting `compression` of a server, checked. All of its answers share one object. */
export class Compression {
  readonly threshold: number;
  readonly #encodings: readonly Encoding[];
  readonly #levels: Readonly<Record<Encoding, number>>;
  readonly #isMediaType: (mediaType: string) => boolean;
  /** Browsers and programs send few different values. */
  readonly #choices = new Map<string, Encoding | ''>();
  readonly #types = new Map<string, boolean>();

  /** @throws ServerError ERR_OPTION_VALUE */
  constructor(options: CompressionOptions = {}) {
    this.threshold = checkThreshold(options.threshold ?? 1024);
    this.#encodings = checkEncodings(options.encodings ?? availableEncodings);
    this.#levels = checkLevels(options.levels ?? {});
    this.#isMediaType = typesOf(options.types);
  }

  /**
   * Decides about one answer and sets its fields: `vary` where it could have been encoded, and with an encoding
   * `content-encoding`, no `content-length`, and a weak `etag`.
   * @param fields name (lower case), value …; changed in place
   * @param bytes length of the body, -1 where it is not known
   * @param accept the header `accept-encoding` of the request
   * @returns '': no encoding
   */
  apply(fields: string[], bytes: number, accept: string | undefined): Encoding | '' {
    let length = bytes;
    let type: string | undefined;
    for (let at = 0; at < fields.length; at += 2) {
      const value = fields[at + 1]!;
      switch (fields[at]) {
        case 'content-type':
          type = value;
          break;
        case 'content-length':
          if (length === -1) length = Number(value);
          break;
        case 'content-encoding':
        case 'content-range':
          return '';
        case 'cache-control':
          if (hasNoTransform(value)) return '';
          break;
      }
    }
    if ((length !== -1 && length < this.threshold) || !this.#isCompressible(type)) return '';
    varyByEncoding(fields);
    const encoding = accept === undefined ? '' : this.#choose(accept);
    if (encoding !== '') encoded(fields, encoding);
    return encoding;
  }

  /** @param done called before this returns where the body is short, else when the thread pool has finished */
  compress(encoding: Encoding, body: string | Uint8Array, done: (error: Error | null, result: Buffer) => void): void {
    const bytes = typeof body === 'string' ? Buffer.from(body) : body;
    const level = this.#levels[encoding];
    if (bytes.length > IN_PLACE_LIMIT) coders[encoding].whole(bytes, level, done);
    else compressInPlace(coders[encoding], bytes, level, done);
  }

  stream(encoding: Encoding, sink: EncodedSink): StreamEncoder {
    const { stream, flush } = coders[encoding];
    return new StreamEncoder(stream(this.#levels[encoding]), flush, sink);
  }

  #choose(accept: string): Encoding | '' {
    const known = this.#choices.get(accept);
    if (known !== undefined) return known;
    return remember(this.#choices, accept, wishOf(accept, this.#encodings));
  }

  #isCompressible(contentType: string | undefined): boolean {
    if (contentType === undefined) return false;
    const known = this.#types.get(contentType);
    if (known !== undefined) return known;
    const end = contentType.indexOf(';');
    const mediaType = (end === -1 ? contentType : contentType.slice(0, end)).trim().toLowerCase();
    return remember(this.#types, contentType, this.#isMediaType(mediaType));
  }
}

function compressInPlace(coder: Coder, bytes: Uint8Array, level: number, done: Parameters<Coder['whole']>[2]): void {
  let result: Buffer;
  try {
    result = coder.sync!(bytes, level);
  } catch (error) {
    done(error as Error, Buffer.alloc(0));
    return;
  }
  done(null, result);
}

/** Receiver of encoded pieces. */
export interface EncodedSink {
  write(bytes: Uint8Array): boolean;
  drain(): Promise<void>;
  end(): void;
  fail(): void;
}

/** An encoder between an answer and its exchange, which passes on back-pressure. */
export class StreamEncoder {
  readonly #encoder: zlib.Gzip | zlib.BrotliCompress;
  readonly #flushKind: number;
  readonly #sink: EncodedSink;
  #waiting: (() => void)[] = [];
  /** Each write is to arrive at once. */
  flushesEach = false;

  constructor(encoder: zlib.Gzip | zlib.BrotliCompress, flushKind: number, sink: EncodedSink) {
    this.#encoder = encoder;
    this.#flushKind = flushKind;
    this.#sink = sink;
    encoder.on('data', (piece: Buffer) => this.#pass(piece));
    encoder.on('end', () => sink.end());
    encoder.on('error', () => sink.fail());
    encoder.on('drain', () => this.#wake());
    encoder.on('close', () => this.#wake());
  }

  write(data: string | Uint8Array): boolean {
    const hasRoom = this.#encoder.write(data);
    if (this.flushesEach) this.#encoder.flush(this.#flushKind);
    return hasRoom;
  }

  end(data: string | Uint8Array): void {
    if (data.length > 0) this.#encoder.write(data);
    this.#encoder.end();
  }

  drain(): Promise<void> {
    if (!this.#encoder.writableNeedDrain || this.#encoder.destroyed) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  destroy(): void {
    this.#encoder.destroy();
  }

  #pass(piece: Buffer): void {
    if (this.#sink.write(piece)) return;
    this.#encoder.pause();
    void this.#sink.drain().then(() => this.#encoder.resume());
  }

  #wake(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}

/** '' (no coding) where the client prefers that, or accepts none of the available ones. */
function wishOf(accept: string, available: readonly Encoding[]): Encoding | '' {
  const chosen = chooseEncoding(accept, available);
  return chosen === 'identity' ? '' : chosen;
}

function varyByEncoding(fields: string[]): void {
  let last = -1;
  for (let at = 0; at < fields.length; at += 2) {
    if (fields[at] !== 'vary') continue;
    if (hasElement(fields[at + 1]!, 'accept-encoding') || hasElement(fields[at + 1]!, '*')) return;
    last = at + 1;
  }
  if (last === -1) fields.push('vary', 'Accept-Encoding');
  else fields[last] = fields[last]!.trim() === '' ? 'Accept-Encoding' : `${fields[last]}, Accept-Encoding`;
}

function hasNoTransform(cacheControl: string): boolean {
  return hasElement(cacheControl, 'no-transform');
}

function hasElement(list: string, element: string): boolean {
  if (list.length < element.length) return false;
  return list.split(',').some((one) => one.trim().toLowerCase() === element);
}

function encoded(fields: string[], encoding: Encoding): void {
  for (let at = 0; at < fields.length; at += 2) {
    const value = fields[at + 1]!;
    if (fields[at] === 'content-length') {
      fields.splice(at, 2);
      at -= 2;
    } else if (fields[at] === 'etag' && value.startsWith('"')) fields[at + 1] = `W/${value}`;
  }
  fields.push('content-encoding', encoding);
}

/** Values come from outside: the number kept is bounded. */
function remember<V>(map: Map<string, V>, key: string, value: V): V {
  if (map.size >= REMEMBERED) map.clear();
  map.set(key, value);
  return value;
}

function typesOf(types: CompressionOptions['types']): (mediaType: string) => boolean {
  if (types === undefined) return isText;
  if (typeof types === 'function') return types;
  const isList = Array.isArray(types) && types.every((type) => typeof type === 'string');
  if (!isList) throw wrong('types', 'a list of media types, or a function', types);
  const exact = new Set(types.map((type) => type.toLowerCase()));
  const kinds = [...exact].filter((type) => type.endsWith('/*')).map((type) => type.slice(0, -1));
  return (mediaType) => exact.has(mediaType) || kinds.some((kind) => mediaType.startsWith(kind));
}

function isText(mediaType: string): boolean {
  if (mediaType.startsWith('text/') || TEXT_TYPES.has(mediaType)) return true;
  return mediaType.endsWith('+json') || mediaType.endsWith('+xml') || mediaType.endsWith('+text');
}

function checkThreshold(threshold: unknown): number {
  if (Number.isSafeInteger(threshold) && (threshold as number) >= 0) return threshold as number;
  throw wrong('threshold', 'a number of bytes', threshold);
}

function checkEncodings(encodings: readonly Encoding[]): Encoding[] {
  const isKnown = Array.isArray(encodings) && encodings.every((name) => Object.hasOwn(coders, name));
  if (!isKnown) throw wrong('encodings', `a list of ${Object.keys(coders).join(', ')}`, encodings);
  return encodings.filter((name: Encoding) => coders[name].sync !== undefined);
}

function checkLevels(given: Readonly<Partial<Record<Encoding, number>>>): Record<Encoding, number> {
  const levels = Object.fromEntries(Object.entries(coders).map(([name, coder]) => [name, coder.levels[2]]));
  for (const [name, level] of Object.entries(given)) {
    const [least, most] = Object.hasOwn(coders, name) ? coders[name as Encoding].levels : [1, 0];
    const isLevel = Number.isInteger(level) && level >= least && level <= most;
    if (!isLevel) throw wrong(`levels.${name}`, least > most ? 'left out' : `${least} to ${most}`, level);
    levels[name] = level;
  }
  return levels as Record<Encoding, number>;
}

function wrong(name: string, expected: string, received: unknown): ServerError {
  return new ServerError('ERR_OPTION_VALUE', { name: `compression.${name}`, expected, received: describe(received) });
}
