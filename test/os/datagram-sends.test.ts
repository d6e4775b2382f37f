import { constants } from 'node:os';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { encodeAddress } from '../../src/os/address.js';
import { DATAGRAMS_PER_SEND, DatagramSends } from '../../src/os/datagram-sends.js';
import { isLinux } from '../../src/os/libc.js';
import { bindUdp, closeDescriptor, localAddress } from '../../src/os/socket.js';
import { textsOf } from '../helpers/datagrams.js';

describe.runIf(isLinux).each(['127.0.0.1', '::1'])('datagrams sent together to %s', (host) => {
  let own: number;
  let reader: number;
  let to: Buffer;
  let sends: DatagramSends;
  const refused: number[][] = [];
  const send = (descriptor = own): void => sends.send(descriptor, (...what) => refused.push(what));
  beforeEach(() => {
    [own, reader] = [bindUdp(host, 0), bindUdp(host, 0)];
    to = encodeAddress(host, localAddress(reader).port);
    sends = new DatagramSends();
    refused.length = 0;
  });
  afterEach(() => [own, reader].forEach(closeDescriptor));

  it('arrive whole and in order, again and again', () => {
    for (let round = 0; round < 3; round++) {
      const texts = ['', 'one', 'x'.repeat(2048), `round ${round}`];
      for (const text of texts) sends.add(Buffer.from(text), to);
      expect(sends.count).toBe(4);
      send();
      expect([textsOf(reader), sends.count, refused]).toEqual([texts, 0, []]);
    }
  });

  it('are as many as fit', () => {
    while (!sends.isFull) sends.add(Buffer.from(String(sends.count)), to);
    expect(sends.count).toBe(DATAGRAMS_PER_SEND);
    send();
    expect(textsOf(reader)).toHaveLength(DATAGRAMS_PER_SEND);
  });

  it('leave although the kernel refuses those between them, which are told', () => {
    const nowhere = encodeAddress(host, 0);
    for (const [i, address] of [nowhere, to, nowhere, nowhere, to].entries())
      sends.add(Buffer.from('x'.repeat(i)), address);
    send();
    expect(textsOf(reader)).toEqual(['x', 'xxxx']);
    expect(refused).toEqual([0, 2, 3].map((bytes) => [bytes, constants.errno.EINVAL]));
  });

  it('are all refused where there is no socket', () => {
    for (const text of ['a', 'bc']) sends.add(Buffer.from(text), to);
    send(-1);
    expect(refused).toEqual([1, 2].map((bytes) => [bytes, constants.errno.EBADF]));
  });
});
