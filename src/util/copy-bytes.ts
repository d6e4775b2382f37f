/**
 * Buffers of a callback's own. Node allots small ones from a block of 8 KiB, which messages of some KiB use up at once, and
 * longer ones each by itself, which costs more than the copy; these come from a larger block.
 */

const BLOCK_BYTES = 32_768;
/** Below it Node's block serves as well, and above it the copy costs more than the memory. Who keeps one keeps its block. */
const SHORTEST = 2048;
const LONGEST = 8192;

let block = Buffer.allocUnsafeSlow(0);
let used = 0;

/** The bytes from `at` to `end`, in memory that nobody else writes to. */
export function copyBytes(source: Buffer, at: number, end: number): Buffer {
  const length = end - at;
  const copy = length < SHORTEST || length > LONGEST ? Buffer.allocUnsafe(length) : take(length);
  source.copy(copy, 0, at, end);
  return copy;
}

function take(length: number): Buffer {
  if (used + length > block.length) {
    block = Buffer.allocUnsafeSlow(BLOCK_BYTES);
    used = 0;
  }
  const from = used;
  used += (length + 7) & ~7;
  return block.subarray(from, from + length);
}
