/** Loads certificates and tests them. Node does the handshake and the encryption. */
import { readFileSync } from 'node:fs';
import { createSecureContext, type SecureContext, type TlsOptions } from 'node:tls';
import { ServerError } from '../errors/index.js';
import { isPem, type ResolvedTls, type ResolvedTlsKeys } from '../options/tls.js';
import { ticketKeysFor } from './ticket-keys.js';

/** Sessions are resumed within it only. */
export const SESSION_ID_CONTEXT = 'tswoole';

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
    ...(tls.ca !== undefined && { ca: read(tls.ca) }),
    ...(ciphers !== undefined && { ciphers }),
  };
  const withTickets = (name: string, options: TlsOptions): TlsOptions => {
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

function keysOf({ cert, key, passphrase }: ResolvedTlsKeys): TlsOptions {
  return { cert: read(cert), key: read(key), ...(passphrase !== undefined && { passphrase }) };
}

function read(pem: string): string {
  if (isPem(pem)) return pem;
  try {
    return readFileSync(pem, 'latin1');
  } catch (error) {
    const { code = 'UNKNOWN' } = error as { code?: string };
    throw new ServerError('ERR_TLS_FILE', { path: pem, code }, { cause: error });
  }
}

function contextOf(name: string, keys: ResolvedTlsKeys, options: TlsOptions): SecureContext {
  try {
    return createSecureContext(options);
  } catch (error) {
    const why = `${error instanceof Error ? error.message : String(error)}${filesOf(keys)}`;
    throw new ServerError('ERR_TLS_KEYS', { name, why }, { cause: error });
  }
}

/** OpenSSL says what is wrong, and not with which of several files. */
function filesOf({ cert, key }: ResolvedTlsKeys): string {
  const files = Object.entries({ cert, key }).filter(([, pem]) => !isPem(pem));
  return files.length === 0 ? '' : ` (${files.map(([name, path]) => `${name}: ${path}`).join(', ')})`;
}
