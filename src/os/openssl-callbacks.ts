/**
 * The two questions of a handshake that OpenSSL asks by a callback only. Each is registered once per thread and asked
 * while one of our calls runs, so it runs in that thread; neither may throw.
 */
import { addressOf, allocateStable, koffi } from './libc.js';
import { loadOpenSsl } from './openssl.js';

const SSL_TLSEXT_ERR_OK = 0;
const SSL_TLSEXT_ERR_ALERT_FATAL = 2;
const OPENSSL_NPN_NEGOTIATED = 1;

let anyCertificate = 0;

/** Address of a verify callback that lets every certificate pass; `SSL_get_verify_result` still tells what is wrong. */
export function acceptAnyCertificate(): number {
  if (anyCertificate === 0) {
    const prototype = koffi.proto('int (int, uintptr_t)');
    anyCertificate = Number(koffi.address(koffi.register(() => 1, koffi.pointer(prototype))));
  }
  return anyCertificate;
}

let alpnSelector = 0;

/**
 * Address of the callback that chooses the protocol: the first of ours that the client offers; without one the client is
 * turned away, as by a server of Node's `tls`. Its argument is what `protocolList` gives.
 */
export function selectProtocol(): number {
  if (alpnSelector === 0) {
    const prototype = koffi.proto('int (uintptr_t, uintptr_t, uintptr_t, uintptr_t, uint32_t, uintptr_t)');
    alpnSelector = Number(koffi.address(koffi.register(select, koffi.pointer(prototype))));
  }
  return alpnSelector;
}

type AlpnArguments = [
  ssl: number,
  chosen: number,
  chosenLength: number,
  offered: number,
  offeredLength: number,
  list: number,
];

/** As OpenSSL's `SSL_CTX_alpn_select_cb_func`: ssl, out, outlen, in, inlen, arg. */
function select(...given: AlpnArguments): number {
  const [, chosen, chosenLength, offered, offeredLength, list] = given;
  const { openssl } = loadOpenSsl();
  const length = listLengths.get(list) ?? 0;
  const outcome = openssl.SSL_select_next_proto(chosen, chosenLength, list, length, offered, offeredLength);
  return outcome === OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

interface ProtocolList {
  readonly bytes: Buffer;
  readonly address: number;
}

/** Kept for the life of the thread: as many as there are distinct settings. */
const lists = new Map<string, ProtocolList>();
const listLengths = new Map<number, number>();

/** Address of the names as they stand in the handshake: each behind its length. @param names 1 to 255 characters each */
export function protocolList(names: readonly string[]): number {
  const parts = names.map((name) => Buffer.from(name, 'latin1'));
  const wire = Buffer.concat(parts.flatMap((name) => [Buffer.from([name.length]), name]));
  const key = wire.toString('latin1');
  const known = lists.get(key);
  if (known !== undefined) return known.address;
  const bytes = allocateStable(wire.length);
  wire.copy(bytes);
  const address = addressOf(bytes);
  lists.set(key, { bytes, address });
  listLengths.set(address, wire.length);
  return address;
}
