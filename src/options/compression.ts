/** The option `compression`: which answers of workers are compressed, and how. */
import { integer, type Kind, objectOrFalse, refuse, size } from './check.js';
import { refuseUnknownNames } from './known-names.js';
import { MIB } from './size.js';

/** By preference, where a client takes several equally. */
export const contentEncodings = ['br', 'zstd', 'gzip', 'deflate'] as const;
export type ContentEncoding = (typeof contentEncodings)[number];

/** The option `compression`: which answers of workers are compressed, and how. */
export interface CompressionOptions {
  /**
   * The encodings to use: `'br'`, `'zstd'`, `'gzip'`, `'deflate'`; `zstd` is skipped where this Node lacks it.
   * Default: all of them. In Swoole: `http_compression`.
   */
  readonly encodings?: readonly ContentEncoding[];
  /**
   * Shorter bodies are not compressed. Unit: bytes, or a text such as `'1k'`. Default: `'1k'`.
   * In Swoole: `compression_min_length`.
   */
  readonly minLength?: number | string;
  /**
   * Media types; `text/*` means all text types. Default: text, JSON, XML, scripts and the like.
   * In Swoole: `http_compression_types`.
   */
  readonly types?: readonly string[];
  /** From 1 (quick) to 11 (small); gzip and deflate stop at 9. Default: `4`. In Swoole: `http_compression_level`. */
  readonly level?: number;
}

export interface ResolvedCompression {
  readonly encodings: readonly ContentEncoding[];
  readonly minLength: number;
  /** Lower case; null: `isCompressible` decides. */
  readonly types: readonly string[] | null;
  readonly level: number;
}

const names = ['encodings', 'minLength', 'types', 'level'];
const EXPECTED_TYPES = 'a list of media types, such as "application/json" or "text/*"';
const MEDIA_TYPE = /^[a-z0-9!#$&^_.+-]+\/(\*|[a-z0-9!#$&^_.+-]+)$/i;

/** null: nothing is compressed. */
export function compression(): Kind<CompressionOptions | boolean, ResolvedCompression | null> {
  return objectOrFalse({
    type: 'CompressionOptions | boolean',
    expected: 'true, false, or {encodings, minLength, types, level}',
    takesTrue: true,
    resolve: checkCompression,
  });
}

const minLength = size({ min: 0, max: 64 * MIB });
const level = integer({ min: 1, max: 11 });

function checkCompression(name: string, given: Record<string, unknown>): ResolvedCompression {
  refuseUnknownNames(name, given, names);
  return {
    encodings: checkEncodings(`${name}.encodings`, given['encodings'] ?? contentEncodings),
    minLength: minLength.check(`${name}.minLength`, given['minLength'] ?? 1024),
    types: given['types'] === undefined || given['types'] === null ? null : checkTypes(`${name}.types`, given['types']),
    level: level.check(`${name}.level`, given['level'] ?? 4),
  };
}

function checkEncodings(name: string, value: unknown): readonly ContentEncoding[] {
  const expected = `a list of ${contentEncodings.map((encoding) => `"${encoding}"`).join(', ')}`;
  if (!Array.isArray(value)) refuse('ERR_OPTION_TYPE', name, expected, value);
  const chosen = contentEncodings.filter((encoding) => (value as readonly unknown[]).includes(encoding));
  if (chosen.length === 0 || chosen.length !== value.length) refuse('ERR_OPTION_VALUE', name, expected, value);
  return Object.freeze(chosen);
}

function checkTypes(name: string, value: unknown): readonly string[] {
  if (!Array.isArray(value)) refuse('ERR_OPTION_TYPE', name, EXPECTED_TYPES, value);
  const types = (value as readonly unknown[]).map((type) => {
    if (typeof type !== 'string' || !MEDIA_TYPE.test(type)) refuse('ERR_OPTION_VALUE', name, EXPECTED_TYPES, type);
    return type.toLowerCase();
  });
  return Object.freeze(types);
}
