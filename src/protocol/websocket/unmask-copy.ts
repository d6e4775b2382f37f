/**
 * Unmasking where bytes have to be copied anyway: a payload that lies elsewhere than in its worker's ring. The bytes pass
 * through a memory of 16 KiB that stays in the processor's cache, where vector instructions unmask them. From an odd place
 * into shared memory this takes 187 ns for 1 KiB and 5.3 µs for 64 KiB, `copy` and `unmask` 486 ns and 26.7 µs (Node 20;
 * on Node 24 286 ns and 10.5 µs against 321 ns and 17.1 µs). Below 256 bytes those two are faster. In place it takes half
 * the time of `unmask` from 4 KiB on.
 */
import { unmask } from './unmask.js';
import { loadVectorUnmask, STEP_BYTES, type VectorUnmask } from './vector-unmask.js';

const PIECE_BYTES = 16_384;

/** Unmasks and copies; one for each thread, made at the first use, since nothing needs it before. */
let copier: Copier | undefined;

/**
 * Copies a payload to `at` in `target` and unmasks it on the way; `source` stays as it is, unless it lies there itself.
 * @param source the payload, neither more nor less
 * @param target may be shared memory, and may hold `source`, but only at the place where the copy goes
 * @param mask as it applies to the first byte of `source`
 * @returns true: all of it is ASCII
 */
export function unmaskCopy(source: Buffer, target: Buffer, at: number, mask: number): boolean {
  copier ??= new Copier(loadVectorUnmask());
  return copier.copy(source, target, at, mask);
}

/** @internal Exported for its tests: without vector instructions it unmasks by words. */
export class Copier {
  readonly isVectorized: boolean;
  readonly #run: VectorUnmask['run'] | undefined;
  readonly #bytes: Buffer;
  readonly #words: Int32Array;

  constructor(vector: VectorUnmask | undefined) {
    const memory = vector?.memory ?? new ArrayBuffer(PIECE_BYTES);
    this.#bytes = Buffer.from(memory);
    this.#words = new Int32Array(memory);
    this.#run = vector?.run;
    this.isVectorized = vector !== undefined;
  }

  copy(source: Buffer, target: Buffer, at: number, mask: number): boolean {
    const { length } = source;
    if (length <= PIECE_BYTES) return this.#piece(source, target, at, mask);
    let isAscii = true;
    for (let done = 0; done < length; done += PIECE_BYTES) {
      const piece = source.subarray(done, done + PIECE_BYTES);
      isAscii = this.#piece(piece, target, at + done, mask) && isAscii;
    }
    return isAscii;
  }

  #piece(source: Buffer, target: Buffer, at: number, mask: number): boolean {
    const { length } = source;
    this.#bytes.set(source);
    const isAscii = this.#unmask(length, mask);
    target.set(this.#bytes.subarray(0, length), at);
    return isAscii;
  }

  /** The steps are a multiple of four bytes long, so the key behind them is not turned. */
  #unmask(length: number, mask: number): boolean {
    const stepsEnd = this.#run === undefined ? 0 : length - (length % STEP_BYTES);
    const seen = stepsEnd > 0 ? this.#run!(stepsEnd, mask) : 0;
    return unmask(this.#bytes, this.#words, stepsEnd, length - stepsEnd, mask) && seen === 0;
  }
}
