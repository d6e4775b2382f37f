/** What OpenSSL does not say of a certificate, its key and the issuers, although a port that has them serves nobody. */
import { createPrivateKey, X509Certificate } from 'node:crypto';

/** A certificate and its key, as PEM texts. */
export interface PemKeys {
  readonly cert: string;
  readonly key: string;
  readonly passphrase?: string;
}

/** Node passes over an empty text, and makes a context without it. @throws Error */
export function mustBeThere({ cert, key }: PemKeys): void {
  if (cert.trim() === '') throw new Error('the certificate is empty');
  if (key.trim() === '') throw new Error('the key is empty');
}

/**
 * A context takes an RSA certificate and an EC key without a word, because it has a place for each type. Of several
 * certificates the first one is that of the key, of several keys the first one counts.
 * @throws Error
 */
export function mustBelongTogether({ cert, key, passphrase }: PemKeys): void {
  const certificate = new X509Certificate(cert);
  const secret = createPrivateKey({ key, format: 'pem', ...(passphrase !== undefined && { passphrase }) });
  if (certificate.checkPrivateKey(secret)) return;
  const { asymmetricKeyType: given = 'unknown' } = secret;
  throw new Error(`the key (${given}) is not that of the certificate (${typeOf(certificate)})`);
}

function typeOf(certificate: X509Certificate): string {
  try {
    return certificate.publicKey.asymmetricKeyType ?? 'unknown';
  } catch {
    return 'unknown'; // of a kind that Node does not know
  }
}

/** As OpenSSL knows them: at the beginning of a line. What stands between them is passed over. */
const BEGIN = /^-----BEGIN (?:TRUSTED |X509 )?CERTIFICATE-----[^\S\n]*$/gm;

/** Node takes the certificates up to the first one that cannot be read, also if that is none. @throws Error */
export function mustBeCertificates(ca: string): void {
  const starts = [...ca.matchAll(BEGIN)].map(({ index }) => index);
  if (starts.length === 0) throw new Error('ca has no certificate');
  for (const [at, start] of starts.entries()) mustBeCertificate(ca.slice(start, starts[at + 1]), at + 1);
}

function mustBeCertificate(pem: string, place: number): void {
  try {
    new X509Certificate(pem);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new Error(`certificate ${place} of ca cannot be read: ${why}`, { cause });
  }
}
