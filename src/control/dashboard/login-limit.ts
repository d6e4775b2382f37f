/** How often a wrong token may be tried. Runs in the master. */
import { isIPv6 } from 'node:net';

/** Wrong tries of one address, and of all together, within `WINDOW_MS`. */
const MOST_OF_ONE = 10;
const MOST_OF_ALL = 200;
const WINDOW_MS = 5 * 60 * 1000;
const MOST_KNOWN = 1000;

interface Tries {
  count: number;
  /** Monotonic ms, from the first one on. */
  readonly endsAt: number;
}

/** Bounded: there are at most as many addresses as tries of all. */
export class LoginLimit {
  readonly #byAddress = new Map<string, Tries>();
  /** Have logged in: the tries of others do not lock them out. The oldest first. */
  readonly #known = new Set<string>();
  readonly #now: () => number;
  #all: Tries;

  /** @param now monotonic ms */
  constructor(now: () => number) {
    this.#now = now;
    this.#all = { count: 0, endsAt: now() + WINDOW_MS };
  }

  /** @returns after how many seconds this address may try again; 0: now */
  waitSeconds(address: string): number {
    this.#forgetOld();
    const network = networkOf(address);
    const own = this.#byAddress.get(network);
    const isLocked = this.#all.count >= MOST_OF_ALL && !this.#known.has(network);
    const ends = [
      ...(own !== undefined && own.count >= MOST_OF_ONE ? [own.endsAt] : []),
      ...(isLocked ? [this.#all.endsAt] : []),
    ];
    return ends.length === 0 ? 0 : Math.max(1, Math.ceil((Math.max(...ends) - this.#now()) / 1000));
  }

  failed(address: string): void {
    this.#forgetOld();
    const network = networkOf(address);
    const own = this.#byAddress.get(network) ?? { count: 0, endsAt: this.#now() + WINDOW_MS };
    own.count++;
    this.#all.count++;
    this.#byAddress.set(network, own);
  }

  succeeded(address: string): void {
    const network = networkOf(address);
    this.#byAddress.delete(network);
    this.#known.delete(network);
    this.#known.add(network);
    const [oldest] = this.#known;
    if (this.#known.size > MOST_KNOWN && oldest !== undefined) this.#known.delete(oldest);
  }

  #forgetOld(): void {
    const now = this.#now();
    for (const [address, { endsAt }] of this.#byAddress) if (endsAt <= now) this.#byAddress.delete(address);
    if (this.#all.endsAt <= now) this.#all = { count: 0, endsAt: now + WINDOW_MS };
  }
}

/** A host of IPv6 has 2^64 addresses. */
function networkOf(address: string): string {
  if (!isIPv6(address) || address.startsWith('::ffff:')) return address;
  const [head = '', tail = ''] = address.replace(/%.*$/, '').split('::');
  const before = head === '' ? [] : head.split(':');
  const after = tail === '' ? [] : tail.split(':');
  const zeros = address.includes('::') ? Array<string>(Math.max(0, 8 - before.length - after.length)).fill('0') : [];
  return [...before, ...zeros, ...after].slice(0, 4).join(':');
}
