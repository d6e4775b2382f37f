// Latencies without an allocation per sample: a bucket per 1/32 of a power of two, 3 % wide.

const STEPS = 32;
const POWERS = 40;

export class Histogram {
  #counts = new Float64Array(STEPS * POWERS);
  #total = 0;
  max = 0;

  /** @param {number} microseconds */
  add(microseconds) {
    const value = Math.max(1, microseconds);
    const power = Math.floor(Math.log2(value));
    const step = Math.floor((value / 2 ** power - 1) * STEPS);
    this.#counts[power * STEPS + step]++;
    this.#total++;
    if (value > this.max) this.max = value;
  }

  /** @param {number} share 0.99 for p99 @returns {number} microseconds */
  percentile(share) {
    let left = this.#total * share;
    for (let index = 0; index < this.#counts.length; index++) {
      left -= this.#counts[index];
      if (left <= 0) return 2 ** Math.floor(index / STEPS) * (1 + ((index % STEPS) + 1) / STEPS);
    }
    return this.max;
  }
}
