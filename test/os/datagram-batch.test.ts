import { constants } from 'node:os';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { decodePeer, encodeAddress } from '../../src/os/address.js';
import { DATAGRAMS_PER_BATCH, DatagramBatch } from '../../src/os/datagram-batch.js';
import { bindUdp, closeDescriptor, localAddress, sendTo } from '../../src/os/socket.js';

const HEADER = 124;
const SOCKADDR_AT = 4;

let socket: number;
let sender: number;
let batch: DatagramBatch;
beforeEach(() => {
  [socket, sender] = [bindUdp('127.0.0.1', 0), bindUdp('127.0.0.1', 0)];
  batch = new DatagramBatch({ headerBytes: HEADER, sockaddrAt: SOCKADDR_AT });
});
afterEach(() => [socket, sender].forEach(closeDescriptor));

const send = (data: string): number =>
  sendTo(sender, Buffer.from(data), encodeAddress('127.0.0.1', localAddress(socket).port));
const read = (place: number) => {
  const packet = batch.packets[place] as Buffer;
  const sockaddr = packet.subarray(SOCKADDR_AT, SOCKADDR_AT + batch.takeAddressBytes(place));
  return { text: packet.toString('utf8', HEADER, HEADER + batch.bytesAt(place)), from: decodePeer(sockaddr) };
};

it('receives what waits, in order, each with its sender', () => {
  expect(batch.receive(socket)).toBe(0);
  for (const text of ['one', '', 'three']) send(text);
  expect(batch.receive(socket)).toBe(3);
  const from = { address: '127.0.0.1', port: localAddress(sender).port };
  expect([0, 1, 2].map(read)).toMatchObject([
    { text: 'one', from },
    { text: '', from },
    { text: 'three', from },
  ]);
});

it('receives no more than a batch, and the rest with the next', () => {
  for (let i = 0; i <= DATAGRAMS_PER_BATCH; i++) send(String(i));
  expect(batch.receive(socket)).toBe(DATAGRAMS_PER_BATCH);
  expect(read(DATAGRAMS_PER_BATCH - 1).text).toBe(String(DATAGRAMS_PER_BATCH - 1));
  read(0);
  expect(batch.receive(socket)).toBe(1);
  expect(read(0)).toMatchObject({ text: String(DATAGRAMS_PER_BATCH), from: { port: localAddress(sender).port } });
});

it('receives the longest datagram whole', () => {
  send('x'.repeat(65_507));
  expect(batch.receive(socket)).toBe(1);
  expect(read(0).text).toBe('x'.repeat(65_507));
});

it('tells the number of an error', () => {
  expect(batch.receive(-1)).toBe(-constants.errno.EBADF);
});
