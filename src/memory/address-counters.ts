/**
 * How many connections each client address has, over all reactors. Two tables with different hashes: addresses that
 * share a place in one seldom share it in the other, so the smaller count is used. The accepting thread counts up, reactors
 * count down.
 */
import { ADDRESS_COUNTERS } from './layout.js';
import type { Region } from './region.js';

export const ADDRESS_BYTES = 16;

export class AddressCounters {
  readonly #int32: Int32Array;
  readonly #at: number;

  constructor(region: Region) {
    this.#int32 = region.int32;
    this.#at = region.layout.addressesAt / 4;
  }

  /** @param bytes holds the address at `at`, 16 bytes @returns the count after the change; never too low */
  add(bytes: Uint8Array, at: number, amount: number): number {
    const one = this.#at + (hash(bytes, at, 0x811c9dc5) & (ADDRESS_COUNTERS - 1));
    const two = this.#at + ADDRESS_COUNTERS + (hash(bytes, at, 0x9747b28c) & (ADDRESS_COUNTERS - 1));
    const first = Atomics.add(this.#int32, one, amount) + amount;
    const second = Atomics.add(this.#int32, two, amount) + amount;
    return Math.min(first, second);
  }
}

/** FNV-1a, with a final mix. */
function hash(bytes: Uint8Array, at: number, seed: number): number {
  let value = seed;
  for (let i = 0; i < ADDRESS_BYTES; i++) value = Math.imul(value ^ (bytes[at + i] ?? 0), 0x01000193);
  value = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
  return (value ^ (value >>> 13)) >>> 0;
}
