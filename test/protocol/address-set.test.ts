import { describe, expect, it } from 'vitest';
import { AddressSet } from '../../src/protocol/address-set.js';

describe('a set of addresses', () => {
  const set = new AddressSet(['10.0.0.0/8', '192.0.2.7', '2001:db8::/32', '::1', '172.16.0.0/12']);

  it.each(['10.0.0.0', '10.255.255.255', '192.0.2.7', '2001:db8::5', '2001:DB8:0:0:0:0:0:5', '::1', '172.31.255.255'])(
    'has %s',
    (address) => expect(set.has(address)).toBe(true),
  );

  it.each([
    '9.255.255.255',
    '11.0.0.0',
    '192.0.2.8',
    '2001:db9::',
    '::2',
    '172.32.0.0',
    '',
    'x',
    '10.0.0',
    '10.0.0.1:80',
  ])('does not have %j', (address) => expect(set.has(address)).toBe(false));

  it('has an IPv4 address also where it is mapped into IPv6', () => {
    expect([set.has('::ffff:10.1.2.3'), set.has('::ffff:11.1.2.3')]).toEqual([true, false]);
  });

  it('answers the same again, however many addresses it was asked for', () => {
    for (let round = 0; round < 2; round++) {
      for (let i = 0; i < 3000; i++) {
        const address = `${i % 2 === 0 ? 10 : 11}.0.${i >> 8}.${i & 255}`;
        expect(set.has(address)).toBe(i % 2 === 0);
      }
    }
  });

  it('has nothing where it is empty', () => expect(new AddressSet([]).has('127.0.0.1')).toBe(false));
});
