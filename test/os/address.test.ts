import { describe, expect, it } from 'vitest';
import {
  decodeAddress,
  decodePeer,
  encodeAddress,
  encodeUnixAddress,
  formatIPv4,
  formatIPv6,
  LONGEST_SOCKADDR_BYTES,
  SOCKADDR_BYTES,
} from '../../src/os/address.js';

const bytesOf = (groups: string): Uint8Array => Uint8Array.from(groups.match(/../g) ?? [], (hex) => Number(`0x${hex}`));

describe('a socket address', () => {
  it.runIf(process.platform === 'linux')('is laid out as ip(7), ipv6(7) and unix(7) say', () => {
    expect(encodeAddress('1.2.3.255', 0x1234).toString('hex')).toBe(`0200${'1234'}${'010203ff'}${'00'.repeat(8)}`);
    expect(encodeAddress('1:2::ffff', 80).toString('hex')).toBe(
      `0a00${'0050'}${'00'.repeat(4)}${'00010002'}${'00'.repeat(10)}${'ffff'}${'00'.repeat(4)}`,
    );
    expect(encodeUnixAddress('/a').toString('hex')).toBe(`0100${'2f61'}${'00'.repeat(106)}`);
    expect([SOCKADDR_BYTES, LONGEST_SOCKADDR_BYTES]).toEqual([28, 110]);
  });

  it.each([
    ['0.0.0.0', 0, 4],
    ['127.0.0.1', 65_535, 4],
    ['10.200.30.4', 8080, 4],
    ['::', 0, 6],
    ['::1', 443, 6],
    ['fe80::1:2', 256, 6],
    ['2001:db8:1:2:3:4:5:6', 255, 6],
    ['1::', 1, 6],
  ])('%s, port %i, comes back as it was', (address, port, family) => {
    expect(decodeAddress(encodeAddress(address, port))).toEqual({ address, port, family });
    expect(decodePeer(encodeAddress(address, port))).toMatchObject({ address, port });
  });

  it.each([
    ['::ffff:10.0.200.255', '10.0.200.255'],
    ['64:ff9b::1.2.3.4', '64:ff9b::102:304'],
    ['fe80::1%eth0', 'fe80::1'],
    ['FE80::ABCD', 'fe80::abcd'],
    ['1:2:3:4:5:6:7.8.9.10', '1:2:3:4:5:6:708:90a'],
  ])('%s is %s', (given, address) => {
    expect(decodeAddress(encodeAddress(given, 1)).address).toBe(address);
  });

  it('must be one: names are looked up before', () => {
    expect(() => encodeAddress('localhost', 1)).toThrow(TypeError);
    expect(() => encodeAddress('', 1)).toThrow(/IP address/);
  });

  it('of a unix socket is its path, as long as the kernel takes it', () => {
    const longest = '/'.repeat(LONGEST_SOCKADDR_BYTES - 3);
    expect(decodePeer(encodeUnixAddress('/run/ü'))).toEqual({ address: '/run/ü', port: 0 });
    expect(decodePeer(encodeUnixAddress(longest))).toEqual({ address: longest, port: 0 });
    expect(() => encodeUnixAddress(`${longest}/`)).toThrow(RangeError);
    expect(() => encodeUnixAddress('ü'.repeat(54))).toThrow(/received 108/); // bytes, not characters
  });

  it('of a unix socket without a name is empty, and one without a NUL ends with the address', () => {
    const named = encodeUnixAddress('/ab');
    expect(decodePeer(named.subarray(0, 2))).toEqual({ address: '', port: 0 });
    expect(decodePeer(named.subarray(0, 5))).toEqual({ address: '/ab', port: 0 });
  });
});

describe('an IP address in bytes', () => {
  it('is read from where it stands', () => {
    expect(formatIPv4(bytesOf('00010203ff00'), 1)).toBe('1.2.3.255');
    expect(formatIPv6(bytesOf(`ff${'0001'.repeat(8)}ff`), 1)).toBe('1:1:1:1:1:1:1:1');
  });

  it.each([
    ['00000000000000000000000000000000', '::'],
    ['00000000000000000000000000000001', '::1'],
    ['00010000000000000000000000000000', '1::'],
    ['00010000000200000000000300000000', '1:0:2::3:0:0'], // the first of the longest
    ['00010000000000020000000000000003', '1:0:0:2::3'], // the longest
    ['0001000000020003000400050006abcd', '1:0:2:3:4:5:6:abcd'], // one alone stays
    ['00010002000300040005000600000000', '1:2:3:4:5:6::'],
    ['0000000000000000000000fffe000001', '::ff:fe00:1'],
    ['00000000000000000000ffff0a000001', '10.0.0.1'],
    ['00000000000000000001ffff0a000001', '::1:ffff:a00:1'],
    ['00010000000000000000ffff0a000001', '1::ffff:a00:1'],
    ['0000000000000000ffff00000a000001', '::ffff:0:a00:1'],
  ])('%s reads %s (RFC 5952)', (hex, text) => {
    expect(formatIPv6(bytesOf(hex), 0)).toBe(text);
  });
});
