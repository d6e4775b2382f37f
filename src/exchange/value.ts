/**
 * Values as bytes, to cross from one process to another: bytes and strings as they are, everything else by V8's
 * structured clone.
 */
import { deserialize, serialize } from 'node:v8';
import { deserializeError, type SerializedError, ServerError, serializeError } from '../errors/index.js';

export const ValueKind = {
  undefined: 0,
  buffer: 1,
  bytes: 2,
  string: 3,
  number: 4,
  clone: 5,
  error: 6,
} as const;
export type ValueKind = (typeof ValueKind)[keyof typeof ValueKind];

export interface EncodedValue {
  readonly kind: ValueKind;
  readonly bytes: Uint8Array;
}

const nothing = Buffer.alloc(0);

/** Bytes are not copied here. @throws ServerError ERR_DATA_NOT_CLONEABLE */
export function encodeValue(value: unknown): EncodedValue {
  if (typeof value === 'string') return { kind: ValueKind.string, bytes: Buffer.from(value) };
  if (Buffer.isBuffer(value)) return { kind: ValueKind.buffer, bytes: value };
  if (value instanceof Uint8Array) return { kind: ValueKind.bytes, bytes: value };
  if (value === undefined) return { kind: ValueKind.undefined, bytes: nothing };
  if (typeof value === 'number')
    return { kind: ValueKind.number, bytes: new Uint8Array(new Float64Array([value]).buffer) };
  return { kind: ValueKind.clone, bytes: clone(value) };
}

export function encodeError(error: unknown): EncodedValue {
  return { kind: ValueKind.error, bytes: Buffer.from(JSON.stringify(serializeError(error))) };
}

/** @param bytes become the value's own */
export function decodeValue(kind: number, bytes: Buffer): unknown {
  switch (kind) {
    case ValueKind.undefined:
      return undefined;
    case ValueKind.buffer:
      return bytes;
    case ValueKind.bytes:
      return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length);
    case ValueKind.string:
      return bytes.toString();
    case ValueKind.number:
      return bytes.readDoubleLE();
    case ValueKind.error:
      return deserializeError(JSON.parse(bytes.toString()) as SerializedError);
    default:
      return deserialize(bytes);
  }
}

function clone(value: unknown): Uint8Array {
  try {
    return serialize(value);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new ServerError('ERR_DATA_NOT_CLONEABLE', { why }, { cause: error });
  }
}
