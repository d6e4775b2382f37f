/** The option `framing`: how packets are found in the bytes of a stream. */
import { endianness } from 'node:os';
import { describe, ServerError } from '../errors/index.js';
import { isPlainObject, jsonOrText, type Kind, moduleUrl } from './check.js';
import { nearest } from './nearest.js';

/** The option `framing`: how packets are delimited in the bytes of a client. docs/framing.md has an example of each. */
export type Framing = RawFraming | EofFraming | LengthFraming | CustomFraming;

/** No packets: `receive` gets the bytes of one read. */
export interface RawFraming {
  /** The bytes of one read, at most 64 KiB. */
  readonly type: 'raw';
}

/** A packet ends with the delimiter. */
export interface EofFraming {
  /** Up to the delimiter, delimiter included. In Swoole: `open_eof_check`. */
  readonly type: 'eof';
  /** The end of a packet, 1 to 64 bytes; it stays at the packet's end. Required. In Swoole: `package_eof`. */
  readonly delimiter: string | Uint8Array;
  /** `false`: all bytes received, as soon as they end with the delimiter. Default: `true`. In Swoole: `open_eof_split`. */
  readonly split?: boolean;
}

/** A header holds the length: a field at `offset`, to whose value `bodyOffset` is added. */
export interface LengthFraming {
  /** A header holds the length. In Swoole: `open_length_check`. */
  readonly type: 'length';
  /** The type of the field: `'u16be'`, `'u32le'` …, or a letter of Swoole's. Required. In Swoole: `package_length_type`. */
  readonly field: string;
  /** Where the field is in the packet. Unit: bytes. Default: `0`. In Swoole: `package_length_offset`. */
  readonly offset?: number;
  /** Added to its value: the size of the header, where the field does not count it. Unit: bytes. Default: `0`. In Swoole: `package_body_offset`. */
  readonly bodyOffset?: number;
}

/** Your own function returns the length. It runs in the reactor: see docs/framing.md. */
export interface CustomFraming {
  /** A module returns the length. In Swoole: `package_length_func`. */
  readonly type: 'custom';
  /** A module (path relative to the script, or a file: URL) that exports `packetLength(buffer)`. Required. */
  readonly length: string;
}

export type ResolvedFraming =
  | { readonly type: 'raw' }
  | { readonly type: 'eof'; readonly delimiter: Uint8Array; readonly split: boolean }
  | { readonly type: 'length'; readonly field: LengthField; readonly offset: number; readonly bodyOffset: number }
  | { readonly type: 'custom'; readonly module: string };

export const lengthFields = [
  ...(['u8', 'i8'] as const),
  ...(['u16be', 'u16le', 'i16be', 'i16le'] as const),
  ...(['u32be', 'u32le', 'i32be', 'i32le'] as const),
  ...(['u64be', 'u64le', 'i64be', 'i64le'] as const),
] as const;
export type LengthField = (typeof lengthFields)[number];

const host = (name: 'u16' | 'i16' | 'u32' | 'i32' | 'u64' | 'i64'): LengthField =>
  `${name}${endianness() === 'LE' ? 'le' : 'be'}`;

/** Swoole's letters, which are those of PHP's pack(). */
const packLetters: Readonly<Record<string, LengthField>> = {
  c: 'i8',
  C: 'u8',
  s: host('i16'),
  S: host('u16'),
  n: 'u16be',
  v: 'u16le',
  i: host('i32'),
  I: host('u32'),
  l: host('i32'),
  L: host('u32'),
  N: 'u32be',
  V: 'u32le',
  q: host('i64'),
  Q: host('u64'),
  J: 'u64be',
  P: 'u64le',
};

const MAX_DELIMITER_BYTES = 64;
const MAX_HEADER_BYTES = 8192;
const keysOf = {
  raw: ['type'],
  eof: ['type', 'delimiter', 'split'],
  length: ['type', 'field', 'offset', 'bodyOffset'],
  custom: ['type', 'length'],
} as const;

export function framing(): Kind<Framing, ResolvedFraming> {
  return {
    type: 'Framing',
    expected:
      "{type: 'raw'}, {type: 'eof', delimiter, split}, {type: 'length', field, offset, bodyOffset} or {type: 'custom', length}",
    show: (value) => JSON.stringify(value),
    parse: (text) => (Object.hasOwn(keysOf, text) ? { type: text } : jsonOrText(text)),
    check(name, value) {
      const types = Object.keys(keysOf);
      const given: unknown = value;
      if (!isPlainObject(given)) refuse('ERR_OPTION_TYPE', name, 'an object with a type', value);
      const type = given['type'];
      if (typeof type !== 'string' || !types.includes(type)) {
        refuse('ERR_OPTION_VALUE', `${name}.type`, `one of ${types.join(', ')}`, type);
      }
      refuseUnknownKeys(name, given, keysOf[type as keyof typeof keysOf]);
      return checkers[type as keyof typeof checkers](name, given);
    },
  };
}

const checkers = {
  raw: (): ResolvedFraming => ({ type: 'raw' }),

  eof(name: string, { delimiter, split = true }: Record<string, unknown>): ResolvedFraming {
    const bytes = typeof delimiter === 'string' ? new TextEncoder().encode(delimiter) : delimiter;
    const expected = `a string or bytes, 1 to ${MAX_DELIMITER_BYTES} bytes long`;
    if (!(bytes instanceof Uint8Array)) refuse('ERR_OPTION_TYPE', `${name}.delimiter`, expected, delimiter);
    if (bytes.length < 1 || bytes.length > MAX_DELIMITER_BYTES) {
      refuse('ERR_OPTION_RANGE', `${name}.delimiter`, expected, delimiter);
    }
    if (typeof split !== 'boolean') refuse('ERR_OPTION_TYPE', `${name}.split`, 'true or false', split);
    return { type: 'eof', delimiter: Uint8Array.from(bytes), split };
  },

  length(name: string, { field, offset = 0, bodyOffset = 0 }: Record<string, unknown>): ResolvedFraming {
    const letter = Object.hasOwn(packLetters, String(field)) ? packLetters[String(field)] : undefined;
    const known = lengthFields.find((each) => each === field) ?? letter;
    if (typeof field !== 'string' || known === undefined) {
      const expected = `one of ${lengthFields.join(', ')}, or one of Swoole's letters ${Object.keys(packLetters).join('')}`;
      refuse('ERR_OPTION_VALUE', `${name}.field`, expected, field);
    }
    return {
      type: 'length',
      field: known,
      offset: integer(`${name}.offset`, offset, 0),
      bodyOffset: integer(`${name}.bodyOffset`, bodyOffset, -MAX_HEADER_BYTES),
    };
  },

  custom(name: string, { length }: Record<string, unknown>): ResolvedFraming {
    const expected = 'the path of a module, from the script, or a file: URL';
    if (typeof length !== 'string' || length === '') refuse('ERR_OPTION_TYPE', `${name}.length`, expected, length);
    return { type: 'custom', module: moduleUrl(length) };
  },
};

function integer(name: string, value: unknown, min: number): number {
  const expected = `an integer from ${min} to ${MAX_HEADER_BYTES}`;
  if (typeof value !== 'number' || !Number.isInteger(value)) refuse('ERR_OPTION_TYPE', name, expected, value);
  if (value < min || value > MAX_HEADER_BYTES) refuse('ERR_OPTION_RANGE', name, expected, value);
  return value;
}

function refuseUnknownKeys(name: string, given: object, known: readonly string[]): void {
  const unknown = Object.keys(given).find((key) => !known.includes(key));
  if (unknown === undefined) return;
  const near = nearest(unknown, known);
  const nearName = near === undefined ? {} : { nearest: `${name}.${near}` };
  throw new ServerError('ERR_OPTION_UNKNOWN', { name: `${name}.${unknown}`, ...nearName });
}

function refuse(
  code: 'ERR_OPTION_TYPE' | 'ERR_OPTION_RANGE' | 'ERR_OPTION_VALUE',
  name: string,
  expected: string,
  value: unknown,
): never {
  throw new ServerError(code, { name, expected, received: describe(value) });
}
