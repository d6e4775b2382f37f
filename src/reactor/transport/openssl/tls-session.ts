/** One encrypted connection on its descriptor, by the OpenSSL inside Node. Runs in the reactor. */
import { constants } from 'node:os';
import type { TlsInfo } from '../../../memory/tls-records.js';
import { addressOf, allocateStable, EAGAIN, EINTR, errnoName, pin } from '../../../os/libc.js';
import { loadOpenSsl, type OpenSslOfThread, SSL_ERROR_WANT_READ, SSL_ERROR_ZERO_RETURN } from '../../../os/openssl.js';
import { receive, send } from '../../../os/socket.js';
import { LONGEST_HELLO_BYTES, readClientHello } from '../../../protocol/client-hello.js';
import type { Secured } from '../transport.js';
import { describeSession, protocolOf } from './session-info.js';
import type { TlsContexts } from './tls-contexts.js';

/** `failed`: OpenSSL's words, or those of the system; the client was told by an alert where there is one for it. */
export type HandshakeResult = 'done' | 'wants-read' | 'wants-write' | { readonly failed: string };

/** Encrypted bytes among those of other sessions of the thread. */
export interface StagedOutput {
  readonly offset: number;
  readonly bytes: number;
}

/** A record of the greatest length, and some more. */
const RECORD_BYTES = 17 * 1024;
/** One `recv` takes no more; a read of 64 KiB and what encryption adds to it. */
const MOST_RECEIVED_BYTES = 72 * 1024;
/** Plain bytes encrypted for one `send`: four records and one system call. What the kernel does not take of it is kept. */
const PIECE_BYTES = 64 * 1024;
/** Answers to requests of the protocol itself (KeyUpdate) may wait behind a piece; a client that lets more wait is broken. */
const MOST_PENDING_BYTES = 256 * 1024;
/** In a row, without a plain byte: a KeyUpdate has 27 bytes and costs 14 µs, a client that sends no other occupies the thread. */
const MOST_IDLE_BYTES = 128 * 1024;

const { ENOTCONN, EPROTO } = constants.errno;

const ENDED = 'it ended in the handshake';

/** What `recv` takes, for all sessions of the thread: nothing stays in it between two calls. */
const received = pin(allocateStable(MOST_RECEIVED_BYTES));

/**
 * The calls follow recv(2) and send(2) on a non-blocking socket, −errno included, as the plain transport does; no other
 * code reads or writes the descriptor, and closing it is the owner's. All calls are of one thread.
 */
export class TlsSession implements Secured {
  readonly #contexts: TlsContexts;
  readonly #thread: OpenSslOfThread;
  readonly #descriptor: number;
  /** `SSL *`; 0 before the ClientHello is whole, and after `free`. */
  #ssl = 0;
  #isSecured = false;
  #serverName = '';
  /** Encrypted bytes that OpenSSL has not seen yet. */
  #rest: Buffer | null;
  /** The last read filled its target: a record may be decrypted and not taken whole. */
  #mayPend = false;
  /** Encrypted bytes since the last plain one. */
  #idleBytes = 0;
  /** What `read` gives when there are no bytes any more: 1 not known yet, 0 the end, −errno. */
  #end = 1;
  /** −errno of a failed `send`. */
  #sendError = 0;
  /** Encrypted bytes that the kernel has not taken. */
  #pending: Buffer | null = null;
  /** Plain bytes that are encrypted, but not yet told of as taken. */
  #untold = 0;
  /** Why it failed, in words; '' while it did not. */
  failure = '';

  /** @param begun what was read from the descriptor already (behind a PROXY header) @throws Error as `loadOpenSsl` */
  constructor(contexts: TlsContexts, descriptor: number, begun?: Buffer) {
    this.#contexts = contexts;
    this.#thread = loadOpenSsl();
    this.#descriptor = descriptor;
    this.#rest = begun === undefined || begun.length === 0 ? null : stableCopy(begun);
  }

  /**
   * Goes on as far as it can. `wants-read`, `wants-write`: to be called again when the descriptor is readable, or writable
   * (edges suffice). After `done` `read` comes at once, as bytes may have come with the handshake; after `failed` there is
   * only `free`.
   */
  handshake(): HandshakeResult {
    if (this.#isSecured) return 'done';
    const flushed = this.flush();
    if (flushed === -EAGAIN) return 'wants-write';
    if (flushed < 0) return this.#failed(`write ${errnoName(-flushed)}`);
    return (this.#ssl === 0 ? this.#greet() : null) ?? this.#shakeHands();
  }

  /**
   * Fills the target as far as there are bytes. Fewer than `limit` bytes: the kernel had no more, so the next edge will
   * tell; except where `hasEnded` is true: then the end, or a failure, is told by the next call.
   * @returns plain bytes; 0 when the client has ended; −EAGAIN; −errno, −EPROTO with `failure` for a broken record
   */
  read(address: number, limit: number): number {
    if (!this.#isSecured) return this.#end === 1 ? -EAGAIN : this.#end;
    let taken = this.#end === 1 && (this.#mayPend || this.#rest !== null) ? this.#decryptRest(address, limit) : 0;
    while (taken < limit && this.#end === 1) {
      const asked = Math.min(MOST_RECEIVED_BYTES, Math.max(RECORD_BYTES, limit - taken + (limit >> 5)));
      const n = receive(this.#descriptor, received.address, asked);
      if (n <= 0 && this.#receivedNone(n)) continue;
      if (n <= 0) break;
      this.#thread.input.feed(received.address, n);
      taken += this.#decrypt(address + taken, limit - taken);
      this.#keepRest(received.buffer, n);
      this.#checkIdle(n, taken);
      if (n < asked && taken > 0) break; // behind a part of a record the client's end may wait: no other edge tells of it
    }
    if (taken > 0) return taken;
    return this.#end === 1 ? -EAGAIN : this.#end;
  }

  /** @returns true when the next `recv` may give some */
  #receivedNone(n: number): boolean {
    if (n !== -EAGAIN && n !== -EINTR) this.#end = n === 0 ? this.#sendError : n; // the kernel tells an error once: here, or to `send`
    return n === -EINTR;
  }

  #checkIdle(received: number, taken: number): void {
    this.#idleBytes = taken > 0 ? 0 : this.#idleBytes + received;
    if (this.#idleBytes > MOST_IDLE_BYTES && this.#end === 1) this.#broken('it sends records without data');
  }

  /** The client has ended, or the session is broken: `read` tells so when it has given all bytes. */
  get hasEnded(): boolean {
    return this.#end !== 1;
  }

  /**
   * Encrypts and sends. After −EAGAIN, or fewer bytes than given, the bytes that were not taken must come again, first
   * and unchanged (in any portions and from any place): some of them may be encrypted already.
   * @returns plain bytes taken; −EAGAIN; −errno, −ENOTCONN before the handshake is done and after `free`
   */
  write(address: number, length: number): number {
    if (!this.#isSecured) return -ENOTCONN;
    let taken = 0;
    if (this.#pending !== null || this.#untold > 0 || this.#sendError < 0) {
      const flushed = this.flush();
      if (flushed < 0) return flushed;
      taken = Math.min(this.#untold, length);
      this.#untold -= taken;
    }
    while (taken < length) {
      const n = this.#thread.openssl.SSL_write(this.#ssl, address + taken, Math.min(length - taken, PIECE_BYTES));
      if (n <= 0) return this.#broken(this.#reason());
      const sent = this.#sendOutput();
      if (sent < 0) {
        this.#untold = n;
        return taken > 0 ? taken : sent;
      }
      taken += n;
    }
    return taken;
  }

  /**
   * Encrypts, for a `send` of many connections in one call: the bytes lie with those of other sessions of this thread, and no
   * other call of any session comes before `staged`.
   * @returns undefined: `write` is to do it, because bytes wait already, or to tell of a failure
   */
  stage(address: number, length: number): StagedOutput | undefined {
    const isFree = this.#pending === null && this.#untold === 0 && this.#sendError === 0 && this.#isSecured;
    if (!isFree || length > PIECE_BYTES) return undefined;
    const { openssl, output } = this.#thread;
    if (openssl.SSL_write(this.#ssl, address, length) <= 0) return undefined; // `write` fails in the same way, and says why
    const bytes = output.length;
    return { offset: output.stage(), bytes };
  }

  /** Where it lies: asked when all is staged. */
  addressOfStaged({ offset }: StagedOutput): number {
    return this.#thread.output.addressAt(offset);
  }

  /** @param sent what the kernel has taken of it, or −errno @returns as `write` */
  staged({ offset, bytes }: StagedOutput, sent: number, length: number): number {
    if (sent === bytes) return length;
    const from = Math.max(sent, 0);
    if (sent >= 0 || sent === -EAGAIN || sent === -EINTR) {
      this.#pending = this.#thread.output.copyAt(offset + from, bytes - from);
    }
    this.#untold = length;
    return sent < 0 && sent !== -EINTR ? this.#notSent(sent) : -EAGAIN;
  }

  /** All that was staged in this thread is done with. */
  endStaging(): void {
    this.#thread.output.taken();
  }

  /** Sends what the kernel did not take before. @returns 0 when nothing waits; −EAGAIN; −errno */
  flush(): number {
    if (this.#sendError < 0) return this.#sendError;
    while (this.#pending !== null) {
      const pending: Buffer = this.#pending;
      const n = send(this.#descriptor, addressOf(pending), pending.length);
      if (n === -EINTR) continue;
      if (n < 0) return this.#notSent(n);
      this.#pending = n < pending.length ? pending.subarray(n) : null;
    }
    return 0;
  }

  /** Encrypted bytes that wait for the kernel. */
  get pendingBytes(): number {
    return this.#pending?.length ?? 0;
  }

  /** Sends close_notify, once; the owner ends the socket's side when it has left. @returns as `flush` */
  shutdown(): number {
    if (!this.#isSecured || this.#sendError < 0 || this.failure !== '') return this.flush();
    if (this.#thread.openssl.SSL_shutdown(this.#ssl) < 0) this.#thread.openssl.ERR_clear_error();
    return this.#sendOutput();
  }

  /** Gives the memory back. The descriptor stays open. */
  free(): void {
    if (this.#ssl !== 0) this.#thread.openssl.SSL_free(this.#ssl);
    this.#ssl = 0;
    this.#isSecured = false;
    this.#end = Math.min(this.#end, 0);
    this.#pending = null;
    this.#rest = null;
  }

  /** The protocol that was agreed upon by ALPN, '' for none. */
  get alpn(): string {
    return this.#isSecured ? protocolOf(this.#ssl) : '';
  }

  /** True when an earlier session was resumed by a ticket. */
  get isResumed(): boolean {
    return this.#isSecured && this.#thread.openssl.SSL_session_reused(this.#ssl) === 1;
  }

  /** What the handshake has agreed upon. @throws Error before it is done, and after `free` */
  info(): TlsInfo {
    if (!this.#isSecured) throw new Error('there is no TLS session');
    return describeSession(this.#ssl, this.#serverName, this.#contexts.asksForCertificate);
  }

  /** Collects the ClientHello, which names the context. @returns null when it is there */
  #greet(): HandshakeResult | null {
    let hello = readClientHello(this.#rest ?? Buffer.alloc(0));
    while (hello === 'more' && (this.#rest?.length ?? 0) < LONGEST_HELLO_BYTES) {
      const n = receive(this.#descriptor, received.address, MOST_RECEIVED_BYTES);
      if (n <= 0) return this.#notReceived(n);
      const more = received.buffer.subarray(0, n);
      this.#rest = stableCopy(this.#rest === null ? more : Buffer.concat([this.#rest, more]));
      hello = readClientHello(this.#rest);
    }
    if (typeof hello !== 'string') this.#serverName = hello.serverName;
    return this.#open() ? null : this.#failed('OpenSSL has no memory for a session');
  }

  #open(): boolean {
    const { openssl, input, output } = this.#thread;
    this.#ssl = openssl.SSL_new(this.#contexts.contextFor(this.#serverName));
    if (this.#ssl === 0) return false;
    openssl.BIO_up_ref(input.bio); // the session gives them back
    openssl.BIO_up_ref(output.bio);
    openssl.SSL_set_bio(this.#ssl, input.bio, output.bio);
    openssl.SSL_set_accept_state(this.#ssl);
    return true;
  }

  #shakeHands(): HandshakeResult {
    for (;;) {
      const n = this.#rest === null ? this.#receiveMore() : this.#feedRest();
      if (n <= 0) return this.#notReceived(n);
      const result = this.#stepOfHandshake();
      if (result !== null) return result;
      if (this.#pending !== null) return 'wants-write';
    }
  }

  /** @returns null when more must be read */
  #stepOfHandshake(): HandshakeResult | null {
    const { openssl } = this.#thread;
    const fed = this.#rest ?? received.buffer;
    const length = this.#thread.input.left;
    openssl.ERR_clear_error();
    const n = openssl.SSL_do_handshake(this.#ssl);
    const error = n === 1 ? 0 : openssl.SSL_get_error(this.#ssl, n);
    const words = n === 1 || error === SSL_ERROR_WANT_READ ? '' : this.#reason();
    this.#keepRest(fed, length);
    const sent = this.#sendOutput();
    if (words !== '') return this.#failed(words);
    if (n === 1) {
      this.#isSecured = true; // a reset that `send` has met shows by reading, behind what the client has sent before
      return 'done';
    }
    return sent < 0 && sent !== -EAGAIN ? this.#failed(`write ${errnoName(-sent)}`) : null;
  }

  #receiveMore(): number {
    const n = receive(this.#descriptor, received.address, MOST_RECEIVED_BYTES);
    if (n > 0) this.#thread.input.feed(received.address, n);
    return n;
  }

  #feedRest(): number {
    const rest = this.#rest as Buffer;
    this.#thread.input.feed(addressOf(rest), rest.length);
    return rest.length;
  }

  #notReceived(n: number): HandshakeResult {
    if (n === -EAGAIN) return 'wants-read';
    return this.#failed(n === 0 ? ENDED : `read ${errnoName(-n)}`);
  }

  #failed(words: string): { readonly failed: string } {
    this.failure = words;
    this.#end = -EPROTO;
    return { failed: words };
  }

  #decryptRest(address: number, limit: number): number {
    const rest = this.#rest;
    if (rest === null) this.#thread.input.feed(received.address, 0);
    else this.#feedRest();
    const taken = this.#decrypt(address, limit);
    this.#keepRest(rest ?? received.buffer, rest?.length ?? 0);
    return taken;
  }

  /** Of what was fed. OpenSSL reads no record ahead: all that is left lies in the input, or in a record taken in part. */
  #decrypt(address: number, limit: number): number {
    const { openssl, input, output } = this.#thread;
    let taken = 0;
    do {
      const n = openssl.SSL_read(this.#ssl, address + taken, limit - taken);
      if (n <= 0) {
        this.#stopped(n);
        break;
      }
      taken += n;
    } while (taken < limit && input.left > 0);
    this.#mayPend = taken === limit;
    if (output.length > 0) this.#sendUnasked();
    return taken;
  }

  /** SSL_read gave no bytes. */
  #stopped(n: number): void {
    const { openssl } = this.#thread;
    let error = openssl.SSL_get_error(this.#ssl, n);
    if (error === SSL_ERROR_WANT_READ) return;
    const words = error === SSL_ERROR_ZERO_RETURN ? '' : this.#reason();
    if (words !== '') error = openssl.SSL_get_error(this.#ssl, n); // an error that other code has left does not count
    if (error === SSL_ERROR_WANT_READ) return;
    if (error === SSL_ERROR_ZERO_RETURN) this.#end = 0;
    else this.#broken(words);
  }

  /** @returns −EPROTO */
  #broken(words: string): number {
    this.failure ||= words;
    this.#end = -EPROTO;
    return -EPROTO;
  }

  /** The first error that OpenSSL has noted in this thread, in its words. Clears them all. */
  #reason(): string {
    const { openssl } = this.#thread;
    const reason = openssl.ERR_reason_error_string(openssl.ERR_peek_error()) ?? 'OpenSSL does not say why';
    openssl.ERR_clear_error();
    if (reason !== 'certificate verify failed') return reason;
    return `${reason}: ${openssl.X509_verify_cert_error_string(openssl.SSL_get_verify_result(this.#ssl))}`;
  }

  /** What OpenSSL has not taken of the bytes it was fed: the next call begins with it. */
  #keepRest(fed: Buffer, length: number): void {
    const { input } = this.#thread;
    const { left } = input;
    if (left === 0) {
      this.#rest = null;
      return;
    }
    const rest = fed.subarray(length - left, length);
    this.#rest = fed === received.buffer ? stableCopy(rest) : rest;
    input.feed(received.address, 0);
  }

  /** What OpenSSL has to say by itself: alerts, answers to KeyUpdate. */
  #sendUnasked(): void {
    this.#sendOutput();
    if (this.pendingBytes <= MOST_PENDING_BYTES) return;
    this.failure = 'it asks for answers and does not read them';
    this.#end = -EPROTO;
  }

  /** Sends what OpenSSL has written. @returns as `flush` */
  #sendOutput(): number {
    const { output } = this.#thread;
    const { length } = output;
    if (length === 0) return this.flush();
    const n =
      this.#pending === null && this.#sendError === 0 ? send(this.#descriptor, output.address, length) : -EAGAIN;
    if (n < length && this.#sendError === 0) this.#keepOutput(Math.max(n, 0));
    output.taken();
    if (n === length) return 0;
    return n < 0 ? this.#notSent(n) : -EAGAIN;
  }

  #keepOutput(from: number): void {
    const { output } = this.#thread;
    const rest = output.copy(from);
    this.#pending = this.#pending === null ? rest : stableCopy(Buffer.concat([this.#pending, rest]));
  }

  #notSent(n: number): number {
    if (n === -EAGAIN) return this.#sendError < 0 ? this.#sendError : n;
    this.#sendError = n;
    this.#pending = null;
    return n;
  }
}

function stableCopy(bytes: Buffer): Buffer {
  const copy = allocateStable(bytes.length);
  bytes.copy(copy);
  return copy;
}
