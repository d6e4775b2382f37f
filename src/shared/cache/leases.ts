/**
 * Which process computes the value of a key: a record in the key's stripe, with an owner and an end. The lease of a process
 * that died goes to the next one that looks; a lease that has ended counts as none.
 */

import type { KeyHash } from '../key-hash.js';
import type { Owners } from '../owners.js';
import { LEASE_INTS, LEASES, leaseAt, leasesAt } from './layout.js';
import type { RingLog } from './ring-log.js';

/** In place of an owner: the value is not kept, so that each process computes it by itself. */
const EACH = -1;
const EACH_MS = 1000;

/** `ours`: this process computes. `each`: it does too, as others do. A number: the word of the process that computes. */
export type Claim = 'ours' | 'each' | number;

export class Leases {
  readonly #int32: Int32Array;
  readonly #float64: Float64Array;
  readonly #log: RingLog;
  readonly #owners: Owners;
  readonly #now: () => number;

  constructor(memory: ArrayBuffer, log: RingLog, owners: Owners, now: () => number) {
    this.#int32 = new Int32Array(memory);
    this.#float64 = new Float64Array(memory);
    this.#log = log;
    this.#owners = owners;
    this.#now = now;
  }

  /** @param dead the owner that was found dead, whose lease is taken over; 0: none */
  claim(hash: KeyHash, forMs: number, dead = 0): Claim {
    const stripe = this.#log.stripeOf(hash);
    if (!this.#log.acquire(stripe)) return 'each';
    const claim = this.#claim(stripe, hash, forMs, dead);
    this.#log.release(stripe);
    return claim;
  }

  isAlive(owner: number): boolean {
    return owner === this.#owners.word || this.#owners.isAlive(owner);
  }

  /** This process has computed. @param isKept others find the value in the cache, or compute it one after the other */
  end(hash: KeyHash, isKept: boolean): void {
    const stripe = this.#log.stripeOf(hash);
    if (!this.#log.acquire(stripe)) return;
    const at = this.#find(stripe, hash);
    if (at >= 0 && this.#int32[at + leaseAt.owner] === this.#owners.word) {
      if (isKept) this.#int32[at + leaseAt.owner] = 0;
      else this.#set(at, hash, EACH, EACH_MS);
    }
    this.#log.release(stripe);
  }

  #claim(stripe: number, hash: KeyHash, forMs: number, dead: number): Claim {
    const known = this.#find(stripe, hash);
    if (known >= 0 && !this.#isOver(known)) {
      const owner = this.#int32[known + leaseAt.owner] ?? 0;
      if (owner === EACH) return 'each';
      if (owner !== dead) return owner;
    }
    const at = known >= 0 ? known : this.#findFree(stripe);
    if (at < 0) return 'each';
    this.#set(at, hash, this.#owners.word, forMs);
    return 'ours';
  }

  /** The owner comes last. */
  #set(at: number, hash: KeyHash, owner: number, forMs: number): void {
    this.#int32[at + leaseAt.owner] = 0;
    this.#int32[at + leaseAt.low] = hash.low;
    this.#int32[at + leaseAt.high] = hash.high;
    this.#float64[at / 2 + leaseAt.until] = this.#now() + forMs;
    this.#int32[at + leaseAt.owner] = owner;
  }

  #find(stripe: number, { low, high }: KeyHash): number {
    const first = (stripe + leasesAt) / 4;
    for (let at = first; at < first + LEASES * LEASE_INTS; at += LEASE_INTS) {
      const isOurs = this.#int32[at + leaseAt.low] === low && this.#int32[at + leaseAt.high] === high;
      if (isOurs && this.#int32[at + leaseAt.owner] !== 0) return at;
    }
    return -1;
  }

  #findFree(stripe: number): number {
    const first = (stripe + leasesAt) / 4;
    for (let at = first; at < first + LEASES * LEASE_INTS; at += LEASE_INTS) if (this.#isOver(at)) return at;
    return -1;
  }

  #isOver(at: number): boolean {
    return this.#int32[at + leaseAt.owner] === 0 || (this.#float64[at / 2 + leaseAt.until] ?? 0) <= this.#now();
  }
}
