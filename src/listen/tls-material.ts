/** Loads certificates and tests them. Node does the handshake and the encryption. */
import { createSecureContext, type SecureContext, type TlsOptions } from 'node:tls';
import { ServerError } from '../errors/index.js';
import { isPem, type ResolvedTls, type ResolvedTlsKeys } from '../options/tls.js';
import { readRegular } from '../util/open-file.js';
import { ticketKeysFor } from './ticket-keys.js';
import { mustBeCertificates, mustBelongTogether, mustBeThere, type PemKeys } from './tls-check.js';

/** Sessions are resumed within it only. */
export const SESSION_ID_CONTEXT = 'tswoole';

/** The issuers that a system knows take a quarter of a MiB. */
const LONGEST_PEM_BYTES = 16 * 1024 * 1024;
const noSecret = new Uint8Array(0);

export interface LoadedTls {
  /** For a server of Node's `tls`. */
  readonly options: TlsOptions;
  readonly sni: readonly (readonly [name: string, context: SecureContext])[];
}

/**
 * Reads all files, as they are now.
 * @param secret from which the keys of session tickets follow; missing: each context has keys of its own
 * @throws ServerError ERR_TLS_FILE, ERR_TLS_KEYS
 */
export function loadTls(tls: ResolvedTls, secret: Uint8Array = noSecret): LoadedTls {
  const { alpn, requestCert, rejectUnauthorized, minVersion, maxVersion, ciphers, handshakeTimeoutMs } = tls;
  const common = {
    minVersion,
    maxVersion,
    // Node would take one from the command line of the process.
    sessionIdContext: SESSION_ID_CONTEXT,
    ...(tls.ca !== undefined && { ca: issuersOf(tls.ca) }),
    ...(ciphers !== undefined && { ciphers }),
  };
  const withTickets = (name: string, options: TlsOptions & PemKeys): TlsOptions & PemKeys => {
    const ticketKeys = ticketKeysFor(secret, [name, options, requestCert, rejectUnauthorized]);
    return ticketKeys === undefined ? options : { ...options, ticketKeys };
  };
  const own = withTickets('', { ...common, ...keysOf(tls) });
  contextOf('', tls, own);
  const sni = Object.entries(tls.sni).map(([name, keys]) => {
    return [name, contextOf(name, keys, withTickets(name, { ...common, ...keysOf(keys) }))] as const;
  });
  const who = { requestCert, rejectUnauthorized, handshakeTimeout: handshakeTimeoutMs };
  return { options: { ...own, ...who, ...(alpn.length > 0 && { ALPNProtocols: [...alpn] }) }, sni };
}

function keysOf({ cert, key, passphrase }: ResolvedTlsKeys): PemKeys {
  return { cert: read(cert), key: read(key), ...(passphrase !== undefined && { passphrase }) };
}

function issuersOf(ca: string): string {
  const pem = read(ca);
  try {
    mustBeCertificates(pem);
  } catch (error) {
    throw unusable('', error, { ca });
  }
  return pem;
}

/** Certificates are read before a server listens: neither a pipe nor a device may keep it waiting. */
function read(pem: string): string {
  if (isPem(pem)) return pem;
  try {
    return readRegular(pem, LONGEST_PEM_BYTES).toString('latin1');
  } catch (error) {
    const { code = 'UNKNOWN', syscall, message } = error as NodeJS.ErrnoException;
    const why = syscall === undefined ? { why: message } : {}; // no call has failed: we do not want the file
    throw new ServerError('ERR_TLS_FILE', { path: pem, code, ...why }, { cause: error });
  }
}

function contextOf(name: string, { cert, key }: ResolvedTlsKeys, options: TlsOptions & PemKeys): SecureContext {
  try {
    mustBeThere(options);
    const context = createSecureContext(options);
    mustBelongTogether(options);
    return context;
  } catch (error) {
    throw unusable(name, error, { cert, key });
  }
}

/** OpenSSL says what is wrong, and not with which of several files. */
function unusable(name: string, error: unknown, pems: Record<string, string>): ServerError {
  const why = `${error instanceof Error ? error.message : String(error)}${filesOf(pems)}`;
  return new ServerError('ERR_TLS_KEYS', { name, why }, { cause: error });
}

function filesOf(pems: Record<string, string>): string {
  const files = Object.entries(pems).filter(([, pem]) => !isPem(pem));
  return files.length === 0 ? '' : ` (${files.map(([name, path]) => `${name}: ${path}`).join(', ')})`;
}
