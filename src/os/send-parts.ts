/** Several pieces of memory in one call: sendmsg(2). A head and the body behind it leave together, and neither is copied. */
import * as C from './constants.js';
import { addressOf, allocateStable, isLinux, lastErrno, libc, pin } from './libc.js';

/** Of one call; more have to wait for the next. */
export const MOST_PARTS = 16;

/** struct msghdr of 64-bit systems, and an array of struct iovec. */
const at = isLinux ? { iov: 16, iovCount: 24, bytes: 56 } : { iov: 16, iovCount: 24, bytes: 48 };
const IOVEC_BYTES = 16;
const header = pin(allocateStable(at.bytes));
const vector = pin(allocateStable(MOST_PARTS * IOVEC_BYTES));
const words = new Uint32Array(vector.buffer.buffer, vector.buffer.byteOffset, (MOST_PARTS * IOVEC_BYTES) / 4);
header.buffer.writeBigUInt64LE(BigInt(vector.address), at.iov);

/**
 * @param parts the first `MOST_PARTS` of them are offered; their addresses are looked up at each call, for memory of users
 * may be taken away between two
 * @param more what follows at once joins the last packet of these (Linux)
 * @returns bytes the kernel took, or the negative error number
 */
export function sendParts(descriptor: number, parts: readonly Uint8Array[], more = false): number {
  const count = Math.min(parts.length, MOST_PARTS);
  for (let i = 0; i < count; i++) setPart(i * 4, parts[i] as Uint8Array);
  header.buffer.writeUInt32LE(count, at.iovCount);
  const n = libc.sendmsg(descriptor, header.address, more ? C.MSG_NOSIGNAL | C.MSG_MORE : C.MSG_NOSIGNAL);
  return n < 0 ? -lastErrno() : n;
}

function setPart(word: number, part: Uint8Array): void {
  const address = part.length === 0 ? 0 : addressOf(part);
  words[word] = address % 2 ** 32;
  words[word + 1] = Math.floor(address / 2 ** 32);
  words[word + 2] = part.length;
  words[word + 3] = Math.floor(part.length / 2 ** 32);
}
