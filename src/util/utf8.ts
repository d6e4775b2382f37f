/** Texts in bytes: Node's own methods of a Buffer, without what `toString` decides at each call. */
interface Utf8Bytes {
  utf8Slice(from: number, to: number): string;
}

export function readUtf8(bytes: Buffer, from: number, to: number): string {
  return (bytes as unknown as Utf8Bytes).utf8Slice(from, to);
}
