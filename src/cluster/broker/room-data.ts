/** A message to a room, as nodes publish it: one byte that says whether it is text, and the message. */

/** Before the message. */
export const ROOM_HEAD_BYTES = 1;
const TEXT = 1;
const BINARY = 0;

export function packRoomData(data: string | Uint8Array): Uint8Array {
  const isText = typeof data === 'string';
  const packed = Buffer.allocUnsafe(ROOM_HEAD_BYTES + (isText ? Buffer.byteLength(data) : data.length));
  packed[0] = isText ? TEXT : BINARY;
  if (isText) packed.write(data, 1);
  else packed.set(data, 1);
  return packed;
}

/** @returns undefined: no node of this version has packed it */
export function unpackRoomData(packed: Uint8Array): string | Uint8Array | undefined {
  const bytes = packed.subarray(1);
  if (packed[0] === BINARY) return bytes;
  return packed[0] === TEXT ? Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString() : undefined;
}
