/**
 * The OpenSSL that Node itself is built with and exports, called directly through koffi. It encrypts on a bare
 * descriptor: no stream, no copy in JavaScript.
 *
 * Addresses are numbers, as in `libc.ts`. Everything is loaded at the first use and tried (`opensslIsUsable`); a Node
 * that hides its OpenSSL, or has another library, is served by Node's `tls` instead.
 */
import { createSecureContext, type SecureContext } from 'node:tls';
import { inspect } from 'node:util';
import { allocateStable, koffi, pin } from './libc.js';
import { InputBio, OutputBio } from './openssl-bio.js';

type Call<A extends unknown[], R = number> = (...args: A) => R;
type Text = string | null;

export type OpenSsl = ReturnType<typeof bindAll>;

/** Names, order and meaning of the arguments are OpenSSL's; `const char *` arrives as a string, or null. */
function bindAll() {
  const lib = koffi.load(null);
  const bind = (prototype: string): unknown => lib.func(prototype);
  return {
    TLS_method: bind('uintptr_t TLS_method()') as Call<[]>,
    SSL_CTX_new: bind('uintptr_t SSL_CTX_new(uintptr_t)') as Call<[number]>,
    SSL_CTX_free: bind('void SSL_CTX_free(uintptr_t)') as Call<[number], void>,
    SSL_CTX_ctrl: bind('long SSL_CTX_ctrl(uintptr_t, int, long, uintptr_t)') as Call<[number, number, number, number]>,
    SSL_CTX_set_options: bind('uint64_t SSL_CTX_set_options(uintptr_t, uint64_t)') as Call<[number, number]>,
    SSL_CTX_set_verify: bind('void SSL_CTX_set_verify(uintptr_t, int, uintptr_t)') as Call<
      [number, number, number],
      void
    >,
    SSL_CTX_set_session_id_context: bind(
      'int SSL_CTX_set_session_id_context(uintptr_t, const void *, uint32_t)',
    ) as Call<[number, Buffer, number]>,
    SSL_CTX_set_alpn_select_cb: bind('void SSL_CTX_set_alpn_select_cb(uintptr_t, uintptr_t, uintptr_t)') as Call<
      [number, number, number],
      void
    >,
    SSL_CTX_get0_certificate: bind('uintptr_t SSL_CTX_get0_certificate(uintptr_t)') as Call<[number]>,
    SSL_select_next_proto: bind(
      'int SSL_select_next_proto(uintptr_t, uintptr_t, uintptr_t, uint32_t, uintptr_t, uint32_t)',
    ) as Call<[number, number, number, number, number, number]>,
    SSL_new: bind('uintptr_t SSL_new(uintptr_t)') as Call<[number]>,
    SSL_free: bind('void SSL_free(uintptr_t)') as Call<[number], void>,
    SSL_set_bio: bind('void SSL_set_bio(uintptr_t, uintptr_t, uintptr_t)') as Call<[number, number, number], void>,
    SSL_set_accept_state: bind('void SSL_set_accept_state(uintptr_t)') as Call<[number], void>,
    SSL_do_handshake: bind('int SSL_do_handshake(uintptr_t)') as Call<[number]>,
    SSL_read: bind('int SSL_read(uintptr_t, uintptr_t, int)') as Call<[number, number, number]>,
    SSL_write: bind('int SSL_write(uintptr_t, uintptr_t, int)') as Call<[number, number, number]>,
    SSL_shutdown: bind('int SSL_shutdown(uintptr_t)') as Call<[number]>,
    SSL_get_error: bind('int SSL_get_error(uintptr_t, int)') as Call<[number, number]>,
    SSL_session_reused: bind('int SSL_session_reused(uintptr_t)') as Call<[number]>,
    SSL_get_version: bind('const char *SSL_get_version(uintptr_t)') as Call<[number], Text>,
    SSL_get_current_cipher: bind('uintptr_t SSL_get_current_cipher(uintptr_t)') as Call<[number]>,
    SSL_CIPHER_standard_name: bind('const char *SSL_CIPHER_standard_name(uintptr_t)') as Call<[number], Text>,
    SSL_get0_alpn_selected: bind('void SSL_get0_alpn_selected(uintptr_t, uintptr_t, uintptr_t)') as Call<
      [number, number, number],
      void
    >,
    SSL_get_verify_result: bind('long SSL_get_verify_result(uintptr_t)') as Call<[number]>,
    SSL_get1_peer_certificate: bind('uintptr_t SSL_get1_peer_certificate(uintptr_t)') as Call<[number]>,
    X509_verify_cert_error_string: bind('const char *X509_verify_cert_error_string(long)') as Call<[number], Text>,
    X509_free: bind('void X509_free(uintptr_t)') as Call<[number], void>,
    i2d_X509: bind('int i2d_X509(uintptr_t, uintptr_t)') as Call<[number, number]>,
    ERR_peek_error: bind('unsigned long ERR_peek_error()') as Call<[]>,
    ERR_clear_error: bind('void ERR_clear_error()') as Call<[], void>,
    ERR_reason_error_string: bind('const char *ERR_reason_error_string(unsigned long)') as Call<[number], Text>,
    /** Of the C library; here because only this file's memory is not a Buffer. */
    memcpy: bind('uintptr_t memcpy(uintptr_t, uintptr_t, size_t)') as Call<[number, number, number]>,
    BIO_s_mem: bind('uintptr_t BIO_s_mem()') as Call<[]>,
    BIO_new: bind('uintptr_t BIO_new(uintptr_t)') as Call<[number]>,
    BIO_new_mem_buf: bind('uintptr_t BIO_new_mem_buf(uintptr_t, int)') as Call<[number, number]>,
    BIO_up_ref: bind('int BIO_up_ref(uintptr_t)') as Call<[number]>,
    BIO_ctrl: bind('long BIO_ctrl(uintptr_t, int, long, uintptr_t)') as Call<[number, number, number, number]>,
    BIO_set_flags: bind('void BIO_set_flags(uintptr_t, int)') as Call<[number, number], void>,
    BIO_read: bind('int BIO_read(uintptr_t, uintptr_t, int)') as Call<[number, number, number]>,
    BIO_write: bind('int BIO_write(uintptr_t, uintptr_t, int)') as Call<[number, number, number]>,
  };
}

/** What `SSL_get_error` gives. */
export const SSL_ERROR_WANT_READ = 2;
export const SSL_ERROR_ZERO_RETURN = 6;

export const SSL_VERIFY_PEER = 1;
export const SSL_VERIFY_FAIL_IF_NO_PEER_CERT = 2;
export const SSL_CTRL_MODE = 33;
export const SSL_CTRL_GET_MIN_PROTO_VERSION = 130;
export const SSL_MODE_RELEASE_BUFFERS = 0x10;
export const SSL_OP_CIPHER_SERVER_PREFERENCE = 0x400000;
export const SSL_OP_NO_RENEGOTIATION = 0x40000000;
const TLS1_2_VERSION = 0x303;

/** What the sessions of a thread share. */
export interface OpenSslOfThread {
  readonly openssl: OpenSsl;
  readonly input: InputBio;
  readonly output: OutputBio;
}

interface Attempt {
  readonly loaded: OpenSslOfThread | null;
  readonly reason: string;
}

let attempt: Attempt | undefined;

/** Once per thread; the first call loads the bindings (about a millisecond). */
function attempted(): Attempt {
  attempt ??= tryOut();
  return attempt;
}

function tryOut(): Attempt {
  try {
    const openssl = bindAll();
    const loaded = { openssl, input: new InputBio(openssl), output: new OutputBio(openssl) };
    checkContexts(openssl);
    checkBuffers(loaded);
    openssl.ERR_clear_error();
    return { loaded, reason: '' };
  } catch (error) {
    return { loaded: null, reason: error instanceof Error ? error.message : String(error) };
  }
}

/** False: Node's `tls` must do the work; `opensslReason` says why. */
export function opensslIsUsable(): boolean {
  return attempted().loaded !== null;
}

/** Why Node's OpenSSL cannot be called directly; '' where it can. */
export function opensslReason(): string {
  return attempted().reason;
}

/** @throws Error where `opensslIsUsable()` is false */
export function loadOpenSsl(): OpenSslOfThread {
  const { loaded, reason } = attempted();
  if (loaded === null) throw new Error(`Node's OpenSSL cannot be called directly: ${reason}`);
  return loaded;
}

/**
 * The `SSL_CTX` behind what `tls.createSecureContext` has made. Node has no public name for it, but `util.inspect` shows
 * the address of an External (Node 20 to 26).
 *
 * The SecureContext must stay referenced as long as a session of it lives: when it is collected, the keys of its session
 * tickets go with it, although each session holds the `SSL_CTX` itself.
 * @throws Error where there is none
 */
export function contextAddress(context: SecureContext): number {
  const { _external: external } = context.context as { _external?: unknown };
  const shown = /^\[External: (?:0x)?([0-9a-f]+)\]$/.exec(inspect(external))?.[1];
  const address = shown === undefined ? 0 : Number.parseInt(shown, 16);
  if (address === 0) throw new Error('Node does not show the address of its SSL_CTX');
  return address;
}

/** The library and the method, which a context begins with: an address of something else is found out before OpenSSL follows it. */
function beginningOf(context: number): string {
  return String(koffi.decode(BigInt(context), 'uint64_t', 2));
}

function checkContexts(openssl: OpenSsl): void {
  const context = createSecureContext({ minVersion: 'TLSv1.2', maxVersion: 'TLSv1.3' });
  const address = contextAddress(context);
  const own = openssl.SSL_CTX_new(openssl.TLS_method());
  const isAlike = own !== 0 && beginningOf(own) === beginningOf(address);
  openssl.SSL_CTX_free(own);
  if (!isAlike) throw new Error('what Node shows is no SSL_CTX of the library that it exports');
  if (openssl.SSL_CTX_ctrl(address, SSL_CTRL_GET_MIN_PROTO_VERSION, 0, 0) !== TLS1_2_VERSION) {
    throw new Error('an SSL_CTX does not have the version it was given');
  }
  // The collector must not take it before this line. (A bundler leaves out a call that does nothing.)
  if (contextAddress(context) !== address) throw new Error('Node shows another address each time');
}

/** Longer than what the output lets grow before it begins anew. */
const BIG_BYTES = 40_000;

/** @throws Error where BIOs in memory do not behave as those of OpenSSL 3 */
function checkBuffers({ openssl, input, output }: OpenSslOfThread): void {
  const from = pin(allocateStable(BIG_BYTES).fill(7));
  const to = pin(allocateStable(8));
  const read = (): number => openssl.BIO_read(input.bio, to.address, 6);
  input.feed(from.address, 8);
  const reads = [read(), input.left, read(), input.left, read(), to.buffer[0]];
  const writes: unknown[] = [];
  for (const bytes of [8, BIG_BYTES, 4]) {
    openssl.BIO_write(output.bio, from.address, bytes);
    writes.push(output.length, koffi.decode(BigInt(output.address), 'uint8_t'));
    output.taken();
  }
  const seen = [...reads, ...writes, output.length].join();
  if (seen !== `6,2,2,0,-1,7,8,7,${BIG_BYTES},7,4,7,0`) throw new Error(`BIOs in memory behave otherwise: ${seen}`);
}

/** A copy of what lies there. */
export function copyOfMemory(address: number, length: number): Buffer {
  return length === 0 ? Buffer.alloc(0) : Buffer.from(koffi.decode(BigInt(address), 'uint8_t', length) as Uint8Array);
}
