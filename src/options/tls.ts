/** The option `tls`: certificates, and who may connect. Names are those of Node's `tls` module. */

import { dirname, resolve } from 'node:path';
import { describe, ServerError } from '../errors/index.js';
import { scriptPath } from '../util/script.js';
import { describeSecret, isPlainObject, jsonOrText, type Kind } from './check.js';
import { nearest } from './nearest.js';

/** PEM text, or the path of a PEM file (relative to the folder of the script). */
export type Pem = string | Uint8Array;

/** A certificate and its key. */
export interface TlsKeys {
  /**
   * The certificate, with its chain: PEM text, or the path of a PEM file relative to the folder of the script. Required.
   * In Swoole: `ssl_cert_file`.
   */
  readonly cert: Pem;
  /** Its private key: PEM text, or the path of a PEM file. Required. In Swoole: `ssl_key_file`. */
  readonly key: Pem;
  /** Opens an encrypted key. Default: none. In Swoole: `ssl_passphrase`. */
  readonly passphrase?: string;
}

/** The option `tls`: certificates, and who may connect. Names are those of Node's `tls` module. */
export interface TlsOptions extends TlsKeys {
  /**
   * The accepted issuers of client certificates, and the rest of the chain: PEM text, or the path of a PEM file. Default: none.
   * In Swoole: `ssl_client_cert_file`.
   */
  readonly ca?: Pem;
  /**
   * Other certificates by the server name the client asks for; `*.example.com` stands for one more label.
   * Default: none. In Swoole: `ssl_sni_certs`.
   */
  readonly sni?: Readonly<Record<string, TlsKeys>>;
  /** Protocols by preference, such as `['h2', 'http/1.1']`. Default: none; of an HTTP port `h2` and `http/1.1`. */
  readonly alpn?: readonly string[];
  /** Ask clients for a certificate. Default: `false`. In Swoole: `ssl_verify_peer`. */
  readonly requestCert?: boolean;
  /** Refuse clients whose certificate is missing or not signed by `ca`. Default: as `requestCert`. */
  readonly rejectUnauthorized?: boolean;
  /** The oldest version: `'TLSv1.2'` or `'TLSv1.3'`. Default: `'TLSv1.2'`. In Swoole: `ssl_protocols`. */
  readonly minVersion?: TlsVersion;
  /** The newest version. Default: `'TLSv1.3'`. In Swoole: `ssl_protocols`. */
  readonly maxVersion?: TlsVersion;
  /**
   * OpenSSL's list of ciphers (up to TLS 1.2) and cipher suites. Default: as Node has it. In Swoole: `ssl_ciphers`.
   */
  readonly ciphers?: string;
  /**
   * A client that has not completed the handshake within this time is refused. Unit: milliseconds, 1 to 120000.
   * Default: `10000`.
   */
  readonly handshakeTimeoutMs?: number;
}

type TlsVersion = 'TLSv1.2' | 'TLSv1.3';

export interface ResolvedTlsKeys {
  /** PEM text, or an absolute path. */
  readonly cert: string;
  readonly key: string;
  readonly passphrase: string | undefined;
}

export interface ResolvedTls extends ResolvedTlsKeys {
  readonly ca: string | undefined;
  readonly sni: Readonly<Record<string, ResolvedTlsKeys>>;
  readonly alpn: readonly string[];
  readonly requestCert: boolean;
  readonly rejectUnauthorized: boolean;
  readonly minVersion: TlsVersion;
  readonly maxVersion: TlsVersion;
  readonly ciphers: string | undefined;
  readonly handshakeTimeoutMs: number;
}

const DEFAULT_HANDSHAKE_MS = 10_000;
const MAX_HANDSHAKE_MS = 120_000;
const HIDDEN = '(hidden)';
const keyNames = ['cert', 'key', 'passphrase'];
const names = [
  ...keyNames,
  ...['ca', 'sni', 'alpn', 'requestCert', 'rejectUnauthorized'],
  ...['minVersion', 'maxVersion', 'ciphers', 'handshakeTimeoutMs'],
];
const versions: readonly unknown[] = ['TLSv1.2', 'TLSv1.3'];

/** null: no TLS. */
export function tls(): Kind<TlsOptions | null, ResolvedTls | null> {
  return {
    type: '{cert, key, ca, sni, alpn, requestCert, …} | null',
    expected: 'an object with at least cert and key, each PEM text or the path of a PEM file, or null',
    show: (value) => (value === null ? 'null' : '{…}'),
    withoutSecrets: (value) => value && { ...value, key: HIDDEN, passphrase: HIDDEN, sni: Object.keys(value.sni) },
    parse: jsonOrText,
    check: (name, value) => (value === null ? null : Object.freeze(checkTls(name, value))),
  };
}

function checkTls(name: string, value: unknown): ResolvedTls {
  const given = checkNames(name, value, names);
  const keys = checkKeys(name, given);
  const requestCert = optional(given, name, 'requestCert', 'true or false', isFlag) ?? false;
  const isMs = (ms: unknown): ms is number =>
    Number.isInteger(ms) && (ms as number) > 0 && (ms as number) <= MAX_HANDSHAKE_MS;
  const isVersion = (version: unknown): version is TlsVersion => versions.includes(version);
  const ca = given['ca'];
  const resolved = {
    ...keys,
    ca: ca === undefined ? undefined : checkPem(`${name}.ca`, ca),
    sni: checkSni(`${name}.sni`, given['sni'] ?? {}),
    alpn: optional(given, name, 'alpn', 'a list of protocol names of 1 to 255 characters', isAlpn) ?? [],
    requestCert,
    rejectUnauthorized: optional(given, name, 'rejectUnauthorized', 'true or false', isFlag) ?? requestCert,
    minVersion: optional(given, name, 'minVersion', '"TLSv1.2" or "TLSv1.3"', isVersion) ?? 'TLSv1.2',
    maxVersion: optional(given, name, 'maxVersion', '"TLSv1.2" or "TLSv1.3"', isVersion) ?? 'TLSv1.3',
    ciphers: optional(given, name, 'ciphers', 'a string', isText),
    handshakeTimeoutMs:
      optional(given, name, 'handshakeTimeoutMs', `an integer from 1 to ${MAX_HANDSHAKE_MS} (ms)`, isMs) ??
      DEFAULT_HANDSHAKE_MS,
  };
  if (resolved.minVersion > resolved.maxVersion) {
    refuse('ERR_OPTION_VALUE', `${name}.minVersion`, 'at most maxVersion', resolved.minVersion);
  }
  return resolved;
}

function checkSni(name: string, value: unknown): Record<string, ResolvedTlsKeys> {
  if (!isPlainObject(value)) {
    refuse('ERR_OPTION_TYPE', name, 'an object with {cert, key} by server name', value);
  }
  const entries = Object.entries(value).map(([host, keys]): [string, ResolvedTlsKeys] => {
    if (!/^(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*$/i.test(host)) refuse('ERR_OPTION_VALUE', name, 'server names', host);
    return [host.toLowerCase(), checkKeys(`${name}['${host}']`, checkNames(`${name}['${host}']`, keys, keyNames))];
  });
  return Object.fromEntries(entries);
}

function checkKeys(name: string, given: Record<string, unknown>): ResolvedTlsKeys {
  return {
    cert: checkPem(`${name}.cert`, given['cert']),
    key: checkPem(`${name}.key`, given['key']),
    passphrase: optional(given, name, 'passphrase', 'a string', isText),
  };
}

function checkPem(name: string, value: unknown): string {
  const expected = 'PEM text, or the path of a PEM file';
  if (value instanceof Uint8Array) {
    const text = Buffer.from(value).toString('latin1');
    return isPem(text) ? text : refuse('ERR_OPTION_VALUE', name, 'PEM text, where it is bytes', value);
  }
  if (typeof value !== 'string') refuse('ERR_OPTION_TYPE', name, expected, value);
  if (value === '') refuse('ERR_OPTION_VALUE', name, expected, value);
  return isPem(value) ? value : resolve(dirname(scriptPath() ?? '.'), value);
}

export function isPem(value: string): boolean {
  return value.includes('-----BEGIN ');
}

function checkNames(name: string, value: unknown, known: readonly string[]): Record<string, unknown> {
  if (!isPlainObject(value)) {
    refuse('ERR_OPTION_TYPE', name, `an object with ${known.slice(0, 2).join(' and ')}`, value);
  }
  const unknown = Object.keys(value).find((key) => !known.includes(key));
  if (unknown !== undefined) {
    throw new ServerError('ERR_OPTION_UNKNOWN', { name: `${name}.${unknown}`, nearest: nearest(unknown, known, []) });
  }
  return value;
}

function optional<T>(
  given: Record<string, unknown>,
  name: string,
  key: string,
  expected: string,
  fits: (value: unknown) => value is T,
): T | undefined {
  const value = given[key];
  if (value === undefined || fits(value)) return value;
  return refuse('ERR_OPTION_VALUE', `${name}.${key}`, expected, value);
}

const isText = (value: unknown): value is string => typeof value === 'string';
const isFlag = (value: unknown): value is boolean => typeof value === 'boolean';
const isAlpn = (value: unknown): value is string[] =>
  Array.isArray(value) && value.every((one) => typeof one === 'string' && one.length > 0 && one.length < 256);

/** A value that cannot be read may be anything, keys included. */
const isOpen = (name: string): boolean =>
  /\.(alpn|requestCert|rejectUnauthorized|\w+Version|ciphers|\w+Ms)$/.test(name);

function refuse(code: 'ERR_OPTION_TYPE' | 'ERR_OPTION_VALUE', name: string, expected: string, value: unknown): never {
  throw new ServerError(code, { name, expected, received: isOpen(name) ? describe(value) : describeSecret(value) });
}
