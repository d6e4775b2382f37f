/**
 * Sends several datagrams by one system call: sendmmsg(2) of Linux. Each is copied into memory of its own, with the address
 * it goes to. The counterpart of `DatagramBatch`, where the layout of a mmsghdr is drawn.
 */
import { LONGEST_SOCKADDR_BYTES } from './address.js';
import * as C from './constants.js';
import { addressOf, allocateStable, EAGAIN, EINTR, isLinux, lastErrno, libc } from './libc.js';

/** So many datagrams are sent by one call. */
export const DATAGRAMS_PER_SEND = 64;
/** Longer ones are sent by themselves: what a call costs is little beside what they cost. */
export const LONGEST_SENT_TOGETHER = 2048;

const MMSGHDR_BYTES = 64;
const IOVEC_BYTES = 16;
const SOCKADDR_BYTES = (LONGEST_SOCKADDR_BYTES + 7) & ~7;
/** Int32 places. */
const NAME_BYTES_AT = 2;
const LENGTH_AT = 2;

export class DatagramSends {
  /** False elsewhere: datagrams are sent one by one. */
  static readonly isAvailable = isLinux;
  readonly #headers = allocateStable(DATAGRAMS_PER_SEND * MMSGHDR_BYTES);
  readonly #vectors = allocateStable(DATAGRAMS_PER_SEND * IOVEC_BYTES);
  readonly #data = allocateStable(DATAGRAMS_PER_SEND * LONGEST_SENT_TOGETHER);
  readonly #sockaddrs = allocateStable(DATAGRAMS_PER_SEND * SOCKADDR_BYTES);
  readonly #headerWords = wordsOf(this.#headers);
  readonly #vectorWords = wordsOf(this.#vectors);
  readonly #headersAddress = addressOf(this.#headers);
  #count = 0;

  constructor() {
    const [vectors, data, sockaddrs] = [addressOf(this.#vectors), addressOf(this.#data), addressOf(this.#sockaddrs)];
    for (let i = 0; i < DATAGRAMS_PER_SEND; i++) {
      this.#headers.writeBigUInt64LE(BigInt(sockaddrs + i * SOCKADDR_BYTES), i * MMSGHDR_BYTES);
      this.#headers.writeBigUInt64LE(BigInt(vectors + i * IOVEC_BYTES), i * MMSGHDR_BYTES + 16);
      this.#headers.writeBigUInt64LE(1n, i * MMSGHDR_BYTES + 24);
      this.#vectors.writeBigUInt64LE(BigInt(data + i * LONGEST_SENT_TOGETHER), i * IOVEC_BYTES);
    }
  }

  get count(): number {
    return this.#count;
  }

  get isFull(): boolean {
    return this.#count === DATAGRAMS_PER_SEND;
  }

  /** @param data of `LONGEST_SENT_TOGETHER` bytes at most */
  add(data: Uint8Array, sockaddr: Uint8Array): void {
    const place = this.#count++;
    this.#data.set(data, place * LONGEST_SENT_TOGETHER);
    this.#sockaddrs.set(sockaddr, place * SOCKADDR_BYTES);
    this.#headerWords[(place * MMSGHDR_BYTES) / 4 + NAME_BYTES_AT] = sockaddr.length;
    this.#vectorWords[(place * IOVEC_BYTES) / 4 + LENGTH_AT] = data.length;
  }

  /**
   * Sends what was added, in that order. What the kernel refuses is passed over, except where it has no room: then it has
   * none for the rest.
   * @param refused called for each datagram that is not sent, with its bytes and the number of the error
   */
  send(descriptor: number, refused: (bytes: number, errno: number) => void): void {
    const count = this.#count;
    this.#count = 0;
    let errno = 0;
    for (let place = 0; place < count; ) {
      const sent = errno === EAGAIN ? -1 : this.#sendFrom(descriptor, place, count);
      if (sent > 0) {
        place += sent;
        continue;
      }
      if (errno !== EAGAIN) errno = lastErrno();
      if (errno !== EINTR) refused(this.#vectorWords[(place++ * IOVEC_BYTES) / 4 + LENGTH_AT] ?? 0, errno);
    }
  }

  #sendFrom(descriptor: number, place: number, count: number): number {
    const address = this.#headersAddress + place * MMSGHDR_BYTES;
    return libc.sendmmsg(descriptor, address, count - place, C.MSG_NOSIGNAL);
  }
}

function wordsOf({ buffer, byteOffset, length }: Buffer): Int32Array {
  return new Int32Array(buffer, byteOffset, length / 4);
}
