/** Addresses and ranges of addresses, such as `10.0.0.0/8`. */
import { BlockList, isIP } from 'node:net';

export class AddressSet {
  readonly #list = new BlockList();

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
    return isIP(address) !== 0 && this.#list.check(address, familyOf(address));
  }
}

const familyOf = (address: string): 'ipv4' | 'ipv6' => (address.includes(':') ? 'ipv6' : 'ipv4');
