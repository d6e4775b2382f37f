/**
 * Encodes values as bytes, for crossing from one process to another: bytes and strings unchanged, small plain objects as
 * JSON (several times faster), everything else by V8's structured clone.
 */
import { deserialize } from 'node:v8';
import { deserializeError, type SerializedError, type ServerError, serializeError } from '../errors/index.js';
import { clonedBytes } from '../shared/cloned.js';
import { readUtf8 } from '../util/utf8.js';

export const ValueKind = {
  undefined: 0,
  buffer: 1,
  bytes: 2,
  string: 3,
  number: 4,
  clone: 5,
  error: 6,
  json: 7,
  /** With the context of a trace before it, of any other kind. */
  traced: 8,
} as const;
export type ValueKind = (typeof ValueKind)[keyof typeof ValueKind];

export interface EncodedValue {
  readonly kind: ValueKind;
  /** Short text is encoded where it goes to, as UTF-8: a buffer for it alone costs more than the task's way. */
  readonly content: Uint8Array | string;
  /** Bytes, not characters. */
  readonly length: number;
}

const nothing = Buffer.alloc(0);
/** Text of more characters is encoded at once. */
const SHORT_TEXT = 256;
const TRACE_AT = 3;

/** Bytes are not copied here. @param mostLevels see `clonedBytes` @throws ServerError ERR_DATA_NOT_CLONEABLE */
export function encodeValue(value: unknown, mostLevels?: number): EncodedValue {
  // UTF-8 cannot hold lone surrogates; the clone keeps them.
  if (typeof value === 'string' && value.isWellFormed()) return ofText(ValueKind.string, value);
  if (Buffer.isBuffer(value)) return ofBytes(ValueKind.buffer, value);
  if (value instanceof Uint8Array) return ofBytes(ValueKind.bytes, value);
  if (value === undefined) return ofBytes(ValueKind.undefined, nothing);
  if (typeof value === 'number') return ofBytes(ValueKind.number, new Uint8Array(new Float64Array([value]).buffer));
  if (isSmallJson(value, [])) return ofText(ValueKind.json, JSON.stringify(value));
  return ofBytes(ValueKind.clone, clonedBytes(value, mostLevels));
}

/**
 * ```
 *  0      1        3          3 + n
 * ┌──────┬────────┬──────────┬─────────┐
 * │ kind │ n      │ trace    │ content │
 * └──────┴────────┴──────────┴─────────┘
 * ```
 * @param trace of `ActiveSpan.carrier`
 */
export function withTrace({ kind, content }: EncodedValue, trace: string): EncodedValue {
  const context = Buffer.from(trace);
  const head = Buffer.from([kind, context.length & 0xff, context.length >> 8]);
  return ofBytes(ValueKind.traced, Buffer.concat([head, context, Buffer.from(content)]));
}

/** What `withTrace` becomes. */
export class TracedValue {
  readonly value: unknown;
  readonly trace: string;

  constructor(bytes: Buffer) {
    const end = TRACE_AT + bytes.readUInt16LE(1);
    this.trace = bytes.toString('utf8', TRACE_AT, end);
    this.value = decodeValue(bytes[0] ?? 0, bytes.subarray(end));
  }
}

export function encodeError(error: unknown): EncodedValue {
  return ofText(ValueKind.error, JSON.stringify(serializeError(error)));
}

/** Characters of a text in the detail: JSON makes six bytes of one at most. */
const BARE_TEXT = 16;

/** Code and detail, texts cut: at most 224 bytes with the few fields of messaging's own errors. Its reader has the sentence. */
export function encodeBareError({ name, code, detail }: ServerError): EncodedValue {
  const cut = (_key: string, value: unknown) => (typeof value === 'string' ? value.slice(0, BARE_TEXT) : value);
  const bare = JSON.stringify(detail, cut);
  return ofText(ValueKind.error, `{"name":"${name}","message":"","code":"${code}","detail":${bare}}`);
}

const ofBytes = (kind: ValueKind, content: Uint8Array): EncodedValue => ({ kind, content, length: content.length });

function ofText(kind: ValueKind, text: string): EncodedValue {
  if (text.length > SHORT_TEXT) return ofBytes(kind, Buffer.from(text));
  return { kind, content: text, length: Buffer.byteLength(text) };
}

export function isText(kind: number): boolean {
  return kind === ValueKind.string || kind === ValueKind.json || kind === ValueKind.error;
}

/** @param bytes become the value's own @returns of `withTrace`: a TracedValue */
export function decodeValue(kind: number, bytes: Buffer): unknown {
  switch (kind) {
    case ValueKind.undefined:
      return undefined;
    case ValueKind.buffer:
      return bytes;
    case ValueKind.bytes:
      return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length);
    case ValueKind.number:
      return bytes.readDoubleLE();
    case ValueKind.clone:
      return deserialize(bytes);
    case ValueKind.traced:
      return new TracedValue(bytes);
    default:
      return decodeText(kind, readUtf8(bytes, 0, bytes.length));
  }
}

/** @param kind one of text */
export function decodeText(kind: number, text: string): unknown {
  if (kind === ValueKind.string) return text;
  const value: unknown = JSON.parse(text);
  return kind === ValueKind.error ? deserializeError(value as SerializedError) : value;
}

/** Beyond this many objects the check costs more than it saves. */
const MAX_OBJECTS = 32;
const MAX_ITEMS = 256;

/** True when JSON returns exactly the same as the structured clone: no shared references, nothing that JSON drops. */
function isSmallJson(value: unknown, seen: object[]): boolean {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return true;
    case 'number':
      return Number.isFinite(value) && !Object.is(value, -0);
    case 'object':
      return value === null || isSmallJsonObject(value, seen);
    default:
      return false;
  }
}

function isSmallJsonObject(value: object, seen: object[]): boolean {
  if (seen.length === MAX_OBJECTS || seen.includes(value)) return false;
  seen.push(value);
  if (Array.isArray(value)) return isSmallJsonArray(value, seen);
  // Checked before the keys are listed: a large typed array has one for each element.
  if (Object.getPrototypeOf(value) !== Object.prototype) return false;
  const record = value as Record<string, unknown>;
  const keys = Object.keys(record);
  return keys.length <= MAX_ITEMS && keys.every((key) => isSmallJson(record[key], seen));
}

/** Without holes and additional properties. */
function isSmallJsonArray(value: unknown[], seen: object[]): boolean {
  if (value.length > MAX_ITEMS || Object.keys(value).length !== value.length) return false;
  return value.every((item) => isSmallJson(item, seen));
}
