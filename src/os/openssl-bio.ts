/**
 * What OpenSSL reads from and writes into: memory of the thread, so that the system calls are ours (exact errors, no
 * SIGPIPE, one send for several records) and an idle session owns no buffer. Its structure (openssl/buffer.h) is read and
 * written in place of calls; `openssl.ts` tries that at the start.
 */
import { addressOf, allocateStable, pin, viewMemory } from './libc.js';
import type { OpenSsl } from './openssl.js';

const BIO_CTRL_RESET = 1;
const BIO_C_GET_BUF_MEM_PTR = 115;
const BIO_C_SET_BUF_MEM_EOF_RETURN = 130;
const BIO_FLAGS_NONCLEAR_RST = 0x400;
/** struct buf_mem_st (openssl/buffer.h): length, data, max; 8 bytes each, here as pairs of 32-bit words. */
const BUF_MEM_BYTES = 24;
const WORD = 2 ** 32;

const pointer = pin(allocateStable(8));

/** The structure behind a BIO in memory, seen directly: what would be a call is a read of a typed array. */
function viewBuffer(openssl: OpenSsl, bio: number): Uint32Array {
  openssl.BIO_ctrl(bio, BIO_C_GET_BUF_MEM_PTR, 0, pointer.address);
  return new Uint32Array(viewMemory(Number(pointer.buffer.readBigUInt64LE(0)), BUF_MEM_BYTES));
}

/**
 * What OpenSSL reads from: any bytes in memory, where they lie. One per thread serves all sessions, as each call takes
 * what it was fed before another session is fed.
 */
export class InputBio {
  readonly bio: number;
  readonly #words: Uint32Array;

  constructor(openssl: OpenSsl) {
    this.bio = openssl.BIO_new_mem_buf(pointer.address, 0);
    openssl.BIO_ctrl(this.bio, BIO_C_SET_BUF_MEM_EOF_RETURN, -1, 0); // nothing left means "later", not the end
    this.#words = viewBuffer(openssl, this.bio);
  }

  /** They must stay where they are until they are taken, or `left` was copied. */
  feed(address: number, length: number): void {
    const words = this.#words;
    words[0] = length;
    words[2] = address % WORD;
    words[3] = Math.floor(address / WORD);
    words[4] = length;
  }

  /** Bytes that OpenSSL has not taken: the last of those that were fed. */
  get left(): number {
    return this.#words[0] as number;
  }
}

/** From this on the next bytes go to the beginning of the buffer again. */
const REWIND_BYTES = 32 * 1024;

/** What OpenSSL writes into. One per thread: each call's output is taken away before the next. */
export class OutputBio {
  readonly bio: number;
  readonly #openssl: OpenSsl;
  readonly #words: Uint32Array;
  #takenBytes = 0;

  constructor(openssl: OpenSsl) {
    this.#openssl = openssl;
    this.bio = openssl.BIO_new(openssl.BIO_s_mem());
    openssl.BIO_set_flags(this.bio, BIO_FLAGS_NONCLEAR_RST);
    this.#words = viewBuffer(openssl, this.bio);
  }

  /** Bytes that wait. */
  get length(): number {
    return (this.#words[0] as number) - this.#takenBytes;
  }

  /** Where they lie; valid until OpenSSL is called again. */
  get address(): number {
    const words = this.#words;
    return (words[3] as number) * WORD + (words[2] as number) + this.#takenBytes;
  }

  /** A copy of what waits, without its first `from` bytes. */
  copy(from: number): Buffer {
    const bytes = allocateStable(this.length - from);
    this.#openssl.memcpy(addressOf(bytes), this.address + from, bytes.length);
    return bytes;
  }

  /** What waits stays where it is, at this offset, while further calls write behind it; until `taken`. */
  stage(): number {
    const offset = this.#takenBytes;
    this.#takenBytes = this.#words[0] as number;
    return offset;
  }

  /** Where a staged part lies; valid until OpenSSL is called again. */
  addressAt(offset: number): number {
    const words = this.#words;
    return (words[3] as number) * WORD + (words[2] as number) + offset;
  }

  /** A copy of a staged part. */
  copyAt(offset: number, length: number): Buffer {
    const bytes = allocateStable(length);
    this.#openssl.memcpy(addressOf(bytes), this.addressAt(offset), length);
    return bytes;
  }

  /** All that waits was taken away. */
  taken(): void {
    const length = this.#words[0] as number;
    if (length < REWIND_BYTES) this.#takenBytes = length;
    else this.#rewind();
  }

  /** Without the flag set above, a reset clears all of the memory. */
  #rewind(): void {
    this.#words[0] = 0;
    this.#openssl.BIO_ctrl(this.bio, BIO_CTRL_RESET, 0, 0);
    this.#takenBytes = 0;
  }
}
