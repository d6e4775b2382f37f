/** Addresses and ranges of addresses, such as `10.0.0.0/8`. */
import { BlockList, isIP } from 'node:net';

/** Asking the list costs microseconds, and most requests come from the same few proxies. */
const MOST_KNOWN = 1024;

export class AddressSet {
  readonly #list = new BlockList();
  readonly #known = new Map<string, boolean>();

  /** @param ranges checked by the options */
  constructor(ranges: readonly string[]) {
    for (const text of ranges) {
      const [address = '', bits] = text.split('/');
      const family = familyOf(address);
      if (bits === undefined) this.#list.addAddress(address, family);
      else this.#list.addSubnet(address, Number(bits), family);
    }
  }

  /** @param address anything: what is no address is not there */
  has(address: string): boolean {
    const known = this.#known.get(address);
    if (known !== undefined) return known;
    const has = isIP(address) !== 0 && this.#list.check(address, familyOf(address));
    if (this.#known.size === MOST_KNOWN) this.#known.clear();
    this.#known.set(address, has);
    return has;
  }
}

const familyOf = (address: string): 'ipv4' | 'ipv6' => (address.includes(':') ? 'ipv6' : 'ipv4');
