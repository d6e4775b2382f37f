/**
 * Receives several datagrams at once: on Linux by one system call (recvmmsg), which also tells that there are no more, so
 * the call that would only find that out is saved. Elsewhere one after the other.
 *
 * Each datagram comes into a packet of its own, behind `headerBytes` for its user, in which the kernel writes the
 * sender's address at `sockaddrAt`.
 *
 * ```
 * mmsghdr (64 bytes):  0 name  8 name bytes  16 iovec  24 iovecs  32 control  40 control bytes  48 flags  56 bytes received
 * ```
 */
import { LONGEST_SOCKADDR_BYTES } from './address.js';
import { addressOf, EAGAIN, isLinux, lastErrno, libc } from './libc.js';
import { lengthOfSender, receiveFrom } from './socket.js';

export const DATAGRAMS_PER_BATCH = 32;
const LONGEST_DATAGRAM = 65_536;
const PAGE_BYTES = 4096;

const MMSGHDR_BYTES = 64;
const IOVEC_BYTES = 16;
/** Int32 places in a mmsghdr. */
const NAME_BYTES_AT = 2;
const RECEIVED_AT = 14;

export interface BatchPlaces {
  readonly headerBytes: number;
  readonly sockaddrAt: number;
}

export class DatagramBatch {
  /** Packets in the order received: header and datagram. Valid until the next batch. */
  readonly packets: readonly Buffer[];
  readonly #places: BatchPlaces;
  readonly #addresses: readonly number[];
  readonly #headers = Buffer.alloc(DATAGRAMS_PER_BATCH * MMSGHDR_BYTES);
  readonly #vectors = Buffer.alloc(DATAGRAMS_PER_BATCH * IOVEC_BYTES);
  readonly #int32 = new Int32Array(this.#headers.buffer, this.#headers.byteOffset, this.#headers.length / 4);
  readonly #headersAddress = addressOf(this.#headers);

  constructor(places: BatchPlaces) {
    this.#places = places;
    const stride = Math.ceil((places.headerBytes + LONGEST_DATAGRAM) / PAGE_BYTES) * PAGE_BYTES;
    // Not filled: it takes memory only for pages that datagrams have reached.
    const memory = Buffer.alloc(DATAGRAMS_PER_BATCH * stride);
    const address = addressOf(memory);
    this.packets = Array.from({ length: DATAGRAMS_PER_BATCH }, (_, i) => memory.subarray(i * stride, (i + 1) * stride));
    this.#addresses = this.packets.map((_, i) => address + i * stride);
    for (let i = 0; i < DATAGRAMS_PER_BATCH; i++) this.#describe(i);
  }

  /** @returns how many were received; fewer than a batch: no more are waiting; or the negative error number */
  receive(descriptor: number): number {
    if (!isLinux) return this.#receiveEach(descriptor);
    const count = libc.recvmmsg(descriptor, this.#headersAddress, DATAGRAMS_PER_BATCH, 0, 0);
    if (count >= 0) return count;
    const errno = lastErrno();
    return errno === EAGAIN ? 0 : -errno;
  }

  /** Bytes of the datagram at this place of the batch. */
  bytesAt(place: number): number {
    return this.#int32[(place * MMSGHDR_BYTES) / 4 + RECEIVED_AT] ?? 0;
  }

  /** Takes the length of the address of its sender, once: its place is made ready for the next batch. */
  takeAddressBytes(place: number): number {
    const at = (place * MMSGHDR_BYTES) / 4 + NAME_BYTES_AT;
    const bytes = this.#int32[at] ?? 0;
    this.#int32[at] = LONGEST_SOCKADDR_BYTES;
    return Math.min(bytes, LONGEST_SOCKADDR_BYTES);
  }

  #describe(place: number): void {
    const { headerBytes, sockaddrAt } = this.#places;
    const address = this.#addresses[place] ?? 0;
    const header = place * MMSGHDR_BYTES;
    const vector = place * IOVEC_BYTES;
    this.#headers.writeBigUInt64LE(BigInt(address + sockaddrAt), header);
    this.#headers.writeUInt32LE(LONGEST_SOCKADDR_BYTES, header + 8);
    this.#headers.writeBigUInt64LE(BigInt(addressOf(this.#vectors) + vector), header + 16);
    this.#headers.writeBigUInt64LE(1n, header + 24);
    this.#vectors.writeBigUInt64LE(BigInt(address + headerBytes), vector);
    this.#vectors.writeBigUInt64LE(BigInt(LONGEST_DATAGRAM), vector + 8);
  }

  #receiveEach(descriptor: number): number {
    const { headerBytes, sockaddrAt } = this.#places;
    for (let place = 0; place < DATAGRAMS_PER_BATCH; place++) {
      const address = this.#addresses[place] ?? 0;
      const bytes = receiveFrom(descriptor, address + headerBytes, LONGEST_DATAGRAM, address + sockaddrAt);
      if (bytes === -EAGAIN) return place;
      if (bytes < 0) return place > 0 ? place : bytes;
      this.#int32[(place * MMSGHDR_BYTES) / 4 + RECEIVED_AT] = bytes;
      this.#int32[(place * MMSGHDR_BYTES) / 4 + NAME_BYTES_AT] = lengthOfSender();
    }
    return DATAGRAMS_PER_BATCH;
  }
}
