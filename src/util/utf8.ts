/** Texts in bytes: Node's own methods of a Buffer, without what `toString` decides at each call. */
import { writeLatin1 } from './latin1.js';

interface Utf8Bytes {
  utf8Slice(from: number, to: number): string;
}

export function readUtf8(bytes: Buffer, from: number, to: number): string {
  return (bytes as unknown as Utf8Bytes).utf8Slice(from, to);
}

/** @param text that takes `length` bytes */
export function writeUtf8(bytes: Buffer, text: string, at: number, length: number): void {
  if (text.length === length) writeLatin1(bytes, text, at);
  else bytes.write(text, at, length);
}
