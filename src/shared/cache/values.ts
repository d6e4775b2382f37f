/** Values as bytes: strings and Buffers as they are, everything else by `node:v8`. */
import { deserialize } from 'node:v8';
import { clonedBytes } from '../cloned.js';

/** How the bytes of an entry are meant; `pad` fills the end of a ring. */
export const Form = { pad: 0, ascii: 1, utf16: 2, bytes: 3, v8: 4 } as const;
export type Form = (typeof Form)[keyof typeof Form];

export interface Encoded {
  readonly form: Form;
  readonly length: number;
  /** Text is written straight into its place. */
  readonly data: string | Uint8Array;
}

/** @throws ServerError ERR_DATA_NOT_CLONEABLE */
export function encode(value: unknown): Encoded {
  if (typeof value === 'string') return encodeText(value);
  if (Buffer.isBuffer(value)) return { form: Form.bytes, length: value.length, data: value };
  const data = clonedBytes(value);
  return { form: Form.v8, length: data.length, data };
}

/** UTF-16 keeps lone surrogates. */
function encodeText(data: string): Encoded {
  const isAscii = Buffer.byteLength(data) === data.length;
  return isAscii
    ? { form: Form.ascii, length: data.length, data }
    : { form: Form.utf16, length: data.length * 2, data };
}

export function write({ form, data }: Encoded, to: Buffer, at: number): void {
  if (typeof data !== 'string') to.set(data, at);
  else to.write(data, at, form === Form.ascii ? 'latin1' : 'utf16le');
}

/** A copy: others may overwrite the bytes at any time. */
export function copyOut(form: number, from: Buffer, at: number, length: number): string | Buffer {
  if (form === Form.ascii) return from.toString('latin1', at, at + length);
  if (form === Form.utf16) return from.toString('utf16le', at, at + length);
  return Buffer.from(from.subarray(at, at + length));
}

/** As if it were not there. */
export const UNREADABLE = Symbol('unreadable');

/** @param data of `copyOut`, once it is known that it was whole @returns UNREADABLE: for `node:v8` */
export function decode(form: number, data: string | Buffer): unknown {
  if (form !== Form.v8) return data;
  try {
    return deserialize(data as Buffer);
  } catch {
    return UNREADABLE;
  }
}
