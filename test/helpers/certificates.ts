/** Certificates that openssl makes for a test run. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface Certificate {
  /** Paths of PEM files. */
  readonly cert: string;
  readonly key: string;
}

let folder: string | undefined;
const made = new Map<string, Certificate>();

function ownFolder(): string {
  if (folder !== undefined) return folder;
  const made = mkdtempSync(join(tmpdir(), 'tswoole-certificates-'));
  process.once('exit', () => rmSync(made, { recursive: true, force: true }));
  folder = made;
  return made;
}

const run = (...args: string[]): void => void execFileSync('openssl', args, { stdio: ['ignore', 'ignore', 'pipe'] });
const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
/** Of keys of other types. */
const newKeys = {
  ec: newKey,
  rsa: ['-newkey', 'rsa:2048', '-nodes'],
  'rsa-pss': ['-newkey', 'rsa-pss', '-pkeyopt', 'rsa_keygen_bits:2048', '-nodes'],
  ed25519: ['-newkey', 'ed25519', '-nodes'],
};
export type KeyType = keyof typeof newKeys;

/** Signed by itself, for `name` and the loopback address. */
export function certificateFor(name: string, type: KeyType = 'ec'): Certificate {
  const file = type === 'ec' ? name : `${type}-${name}`;
  const known = made.get(file);
  if (known !== undefined) return known;
  const at = join(ownFolder(), file);
  const certificate = { cert: `${at}.crt`, key: `${at}.key` };
  const names = ['-subj', `/CN=${name}`, '-addext', `subjectAltName=DNS:${name},IP:127.0.0.1`];
  run('req', '-x509', ...newKeys[type], '-keyout', certificate.key, '-out', certificate.cert, '-days', '30', ...names);
  made.set(file, certificate);
  return certificate;
}

/** What `openssl` writes. */
export function openssl(...args: string[]): string {
  return execFileSync('openssl', args, { stdio: ['ignore', 'pipe', 'pipe'], encoding: 'latin1' });
}

/** For a client, signed by `issuer`. */
export function clientCertificate(name: string, issuer: Certificate): Certificate {
  const at = join(ownFolder(), `client-${name}`);
  const certificate = { cert: `${at}.crt`, key: `${at}.key` };
  run('req', ...newKey, '-keyout', certificate.key, '-out', `${at}.csr`, '-subj', `/CN=${name}`);
  const signing = ['-CA', issuer.cert, '-CAkey', issuer.key, '-set_serial', '7', '-days', '30'];
  run('x509', '-req', '-in', `${at}.csr`, '-out', certificate.cert, ...signing);
  return certificate;
}

/** A pipe without a writer, where a certificate is expected. */
export function pipeNamed(name: string): string {
  const path = join(ownFolder(), name);
  execFileSync('mkfifo', [path]);
  return path;
}

/** A copy under another path, to be replaced while a server runs. */
export function copyOf({ cert, key }: Certificate, name: string): Certificate {
  const at = join(ownFolder(), name);
  const copy = { cert: `${at}.crt`, key: `${at}.key` };
  overwrite(copy, { cert, key });
  return copy;
}

export function overwrite(target: Certificate, source: Certificate): void {
  writeFileSync(target.cert, readFileSync(source.cert));
  writeFileSync(target.key, readFileSync(source.key));
}
