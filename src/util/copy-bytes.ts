/**
 * Buffers of a callback's own. Older Nodes allot those below 4 KiB from a block of 8 KiB, which messages of some KiB use up
 * at once; these come from a larger one. As with Node's, who keeps one keeps its block, and none can be transferred: that
 * would take the bytes of all others away. From 4 KiB on those give each memory of its own, which users may transfer.
 */
import { markAsUntransferable } from 'node:worker_threads';

const BLOCK_BYTES = 32_768;
/** Below it Node's block serves as well. */
const SHORTEST = 2048;
/** From here on as Node does it. */
const OWN = 4096;

let block = Buffer.allocUnsafeSlow(0);
let used = 0;

/** The bytes from `at` to `end`, in memory that nobody else writes to. */
export function copyBytes(source: Buffer, at: number, end: number): Buffer {
  const length = end - at;
  const copy = length < SHORTEST || length >= OWN ? Buffer.allocUnsafe(length) : take(length);
  source.copy(copy, 0, at, end);
  return copy;
}

function take(length: number): Buffer {
  if (used + length > block.length) {
    block = Buffer.allocUnsafeSlow(BLOCK_BYTES);
    markAsUntransferable(block.buffer);
    used = 0;
  }
  const from = used;
  used += (length + 7) & ~7;
  return block.subarray(from, from + length);
}
