/** What a handshake has agreed upon, asked of OpenSSL. Runs in the reactor. */
import { X509Certificate } from 'node:crypto';
import { pemOf, type TlsInfo } from '../../../memory/tls-records.js';
import { addressOf, allocateStable, pin } from '../../../os/libc.js';
import { copyOfMemory, loadOpenSsl } from '../../../os/openssl.js';

const POINTER_BYTES = 8;
const cells = pin(allocateStable(2 * POINTER_BYTES));
const pointerCell = cells.address;
const lengthCell = cells.address + POINTER_BYTES;

/** The protocol that was agreed upon, '' for none. */
export function protocolOf(ssl: number): string {
  loadOpenSsl().openssl.SSL_get0_alpn_selected(ssl, pointerCell, lengthCell);
  const address = Number(cells.buffer.readBigUInt64LE(0));
  return copyOfMemory(address, cells.buffer.readUInt32LE(POINTER_BYTES)).toString('latin1');
}

/** @param serverName what the client has asked for @param isAsked clients are asked for certificates */
export function describeSession(ssl: number, serverName: string, isAsked: boolean): TlsInfo {
  const { openssl } = loadOpenSsl();
  const der = isAsked ? peerCertificate(ssl) : null;
  return {
    version: openssl.SSL_get_version(ssl) ?? '',
    cipher: openssl.SSL_CIPHER_standard_name(openssl.SSL_get_current_cipher(ssl)) ?? '',
    alpn: protocolOf(ssl),
    serverName,
    authorized: der !== null && openssl.SSL_get_verify_result(ssl) === 0,
    ...describeCertificate(der),
  };
}

function describeCertificate(der: Buffer | null): Pick<TlsInfo, 'subject' | 'fingerprint256' | 'certificate'> {
  if (der === null) return { subject: '', fingerprint256: '', certificate: '' };
  const { subject, fingerprint256 } = new X509Certificate(der).toLegacyObject();
  return { subject: String(subject?.CN ?? ''), fingerprint256, certificate: pemOf(der) };
}

/** DER; null when the client has shown none. */
function peerCertificate(ssl: number): Buffer | null {
  const { openssl } = loadOpenSsl();
  const certificate = openssl.SSL_get1_peer_certificate(ssl);
  if (certificate === 0) return null;
  const der = allocateStable(openssl.i2d_X509(certificate, 0));
  cells.buffer.writeBigUInt64LE(BigInt(addressOf(der)), 0);
  openssl.i2d_X509(certificate, pointerCell);
  openssl.X509_free(certificate);
  return der;
}
