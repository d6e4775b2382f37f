import { expect, it } from 'vitest';
import { DATAGRAM_HEADER_BYTES, readDatagram, sockaddrOf, writeDatagramHeader } from '../../src/ipc/frames/datagram.js';
import { decodeAddress, encodeAddress, LONGEST_SOCKADDR_BYTES } from '../../src/os/address.js';

it.each(['a datagram', ''])('a datagram is read with its port and its sender: %j', (text) => {
  const packet = Buffer.alloc(DATAGRAM_HEADER_BYTES + text.length, 0xaa);
  const address = encodeAddress('192.0.2.7', 4711);
  expect(sockaddrOf(packet)).toHaveLength(LONGEST_SOCKADDR_BYTES);
  address.copy(sockaddrOf(packet));
  packet.write(text, DATAGRAM_HEADER_BYTES);
  writeDatagramHeader(packet, 0x1234, address.length);
  const { portIndex, sockaddr, data } = readDatagram(packet);
  expect([portIndex, data.toString()]).toEqual([0x1234, text]);
  expect(sockaddr).toEqual(address);
  expect(decodeAddress(sockaddr)).toEqual({ address: '192.0.2.7', port: 4711, family: 4 });
});

it('the header has room for the longest address', () => {
  const packet = Buffer.alloc(DATAGRAM_HEADER_BYTES + 3);
  sockaddrOf(packet).fill(0xbb);
  packet.write('abc', DATAGRAM_HEADER_BYTES);
  writeDatagramHeader(packet, 0xffff, LONGEST_SOCKADDR_BYTES);
  const { portIndex, sockaddr, data } = readDatagram(packet);
  expect([portIndex, sockaddr.length, sockaddr.every((byte) => byte === 0xbb)]).toEqual([
    0xffff,
    LONGEST_SOCKADDR_BYTES,
    true,
  ]);
  expect(data.toString()).toBe('abc');
});
