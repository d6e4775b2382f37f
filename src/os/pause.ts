/** A thread that does nothing for a moment. */

const nobodyWakes = new Int32Array(new SharedArrayBuffer(4));

/** Blocks this thread. @param ms may be a fraction; the kernel adds its timer slack, on Linux 50 µs unless it was told otherwise */
export function pauseThread(ms: number): void {
  Atomics.wait(nobodyWakes, 0, 0, ms);
}
