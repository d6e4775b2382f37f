import { DATAGRAMS_PER_BATCH, DatagramBatch } from '../../src/os/datagram-batch.js';

/** The datagrams that wait at a socket, in order. */
export function textsOf(descriptor: number): string[] {
  const headerBytes = 128;
  const batch = new DatagramBatch({ headerBytes, sockaddrAt: 0 });
  const texts: string[] = [];
  for (let count = DATAGRAMS_PER_BATCH; count === DATAGRAMS_PER_BATCH; ) {
    count = batch.receive(descriptor);
    for (let i = 0; i < count; i++) {
      const packet = batch.packets[i] as Buffer;
      texts.push(packet.toString('utf8', headerBytes, headerBytes + batch.bytesAt(i)));
      batch.takeAddressBytes(i);
    }
  }
  return texts;
}
