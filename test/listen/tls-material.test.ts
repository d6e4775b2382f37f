import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { ServerError } from '../../src/errors/index.js';
import { loadTls } from '../../src/listen/tls-material.js';
import { resolveOptions, type ServerOptions } from '../../src/options/index.js';
import { certificateFor, type KeyType, openssl } from '../helpers/certificates.js';

const own = certificateFor('own.test');
const other = certificateFor('other.test');
const textOf = (path: string): string => readFileSync(path, 'latin1');

const folder = mkdtempSync(join(tmpdir(), 'tswoole-tls-material-'));
afterAll(() => rmSync(folder, { recursive: true }));
const file = (name: string, text: string): string => {
  const path = join(folder, name);
  writeFileSync(path, text, 'latin1');
  return path;
};

function load(more: object = {}) {
  const { tls } = resolveOptions({ tls: { ...own, ...more } } as ServerOptions);
  return loadTls(tls as NonNullable<typeof tls>);
}

describe('certificates', () => {
  it('are read from their files, with what Node is to do about them', () => {
    expect(load()).toEqual({
      options: {
        ...{ cert: textOf(own.cert), key: textOf(own.key), minVersion: 'TLSv1.2', maxVersion: 'TLSv1.3' },
        ...{ requestCert: false, rejectUnauthorized: false, handshakeTimeout: 10_000 },
        sessionIdContext: 'tswoole',
      },
      sni: [],
    });
  });

  it('are taken as text, with all that is said of them', () => {
    const more = { requestCert: true, alpn: ['h2'], ciphers: 'ECDHE-ECDSA-AES128-GCM-SHA256', handshakeTimeoutMs: 5 };
    const { options } = load({
      cert: textOf(own.cert),
      ca: other.cert,
      minVersion: 'TLSv1.3',
      passphrase: 'x',
      ...more,
    });
    expect(options).toMatchObject({
      ...{ cert: textOf(own.cert), ca: textOf(other.cert), minVersion: 'TLSv1.3', passphrase: 'x' },
      ...{ requestCert: true, rejectUnauthorized: true, handshakeTimeout: 5, ALPNProtocols: ['h2'] },
      ciphers: 'ECDHE-ECDSA-AES128-GCM-SHA256',
    });
  });

  it('are several by server name', () => {
    const { sni } = load({ sni: { 'Other.test': other, '*.more.test': own } });
    expect(sni.map(([name, context]) => [name, typeof context.context])).toEqual([
      ['other.test', 'object'],
      ['*.more.test', 'object'],
    ]);
  });

  it('that cannot be read are told by their path', () => {
    const path = '/nowhere/own.crt';
    expect(() => load({ cert: path })).toThrowError(
      expect.objectContaining({ code: 'ERR_TLS_FILE', detail: { path, code: 'ENOENT' } }),
    );
  });

  it('that do not belong to their key are told by their name', () => {
    const wrong = (name: string) =>
      expect.objectContaining({ code: 'ERR_TLS_KEYS', detail: { name, why: expect.stringMatching(/\w/) } });
    expect(() => load({ key: other.key })).toThrowError(wrong(''));
    expect(() => load({ sni: { 'a.test': { cert: other.cert, key: own.key } } })).toThrowError(wrong('a.test'));
  });

  it('that do not belong to their key are told by their files', () => {
    const why = (keys: object): unknown => {
      try {
        return load(keys);
      } catch (error) {
        return (error as ServerError<'ERR_TLS_KEYS'>).detail.why;
      }
    };
    expect(why({ key: other.key })).toMatch(new RegExp(`\\w \\(cert: ${own.cert}, key: ${other.key}\\)$`));
    expect(why({ key: textOf(other.key) })).toMatch(new RegExp(`\\w \\(cert: ${own.cert}\\)$`));
    expect(why({ cert: textOf(own.cert), key: textOf(other.key) })).not.toContain('cert:');
  });
});

describe('a certificate and its key', () => {
  const types: readonly KeyType[] = ['ec', 'rsa', 'rsa-pss', 'ed25519'];
  const [cert, key] = [textOf(own.cert), textOf(own.key)];
  const rsa = certificateFor('own.test', 'rsa');
  const pass = (word: string) => ['-passout', `pass:${word}`];

  it.each(types)('are taken where they belong together: %s', (type) => {
    const keys = certificateFor('own.test', type);
    expect(load(keys).options).toMatchObject({ cert: textOf(keys.cert), key: textOf(keys.key) });
    expect(load({ sni: { 'a.test': keys } }).sni).toHaveLength(1);
  });

  it.each(types.flatMap((type) => types.filter((other_) => other_ !== type).map((other_) => [type, other_] as const)))(
    'are refused where they are of different types: %s and %s',
    (type, otherType) => {
      const keys = { cert: certificateFor('own.test', type).cert, key: certificateFor('own.test', otherType).key };
      const why = `the key (${otherType}) is not that of the certificate (${type}) (cert: ${keys.cert}, key: ${keys.key})`;
      const refused = (name: string) => expect.objectContaining({ code: 'ERR_TLS_KEYS', detail: { name, why } });
      expect(() => load(keys)).toThrowError(refused(''));
      expect(() => load({ sni: { 'a.test': keys } })).toThrowError(refused('a.test'));
    },
  );

  it.each([
    ['a chain of certificates', cert + textOf(rsa.cert), key, undefined],
    ['both in one text, the key first', key + cert, key + cert, undefined],
    ['both in one text, the key last', cert + key, cert + key, undefined],
    [
      'comments, and lines that end as on Windows',
      `# é\r\n${cert.replaceAll('\n', '\r\n')}`,
      `# k\r\n${key}`,
      undefined,
    ],
    ['a certificate with what it says', openssl('x509', '-in', own.cert, '-text'), key, undefined],
    ['a trusted certificate', openssl('x509', '-in', own.cert, '-trustout'), key, undefined],
    ['an encrypted key', cert, openssl('pkcs8', '-topk8', '-in', own.key, ...pass('sécret')), 'sécret'],
    ['an encrypted key of the old kind', cert, openssl('ec', '-in', own.key, '-aes256', ...pass('a b')), 'a b'],
    ['a passphrase that the key does not need', cert, key, 'unused'],
    ['a key behind the parameters of its curve', cert, `${openssl('ecparam', '-name', 'P-256')}${key}`, undefined],
    ['an RSA key of the old kind', textOf(rsa.cert), openssl('rsa', '-in', rsa.key, '-traditional'), undefined],
  ])('may be %s', (_, cert_, key_, passphrase) => {
    const given = { cert: cert_, key: key_, ...(passphrase !== undefined && { passphrase }) };
    expect(load(given).options).toMatchObject(given);
  });

  it.each([
    ['the certificate is empty', { cert: file('empty.crt', '') }],
    ['the certificate is empty', { cert: file('blank.crt', ' \n\n') }],
    ['the key is empty', { key: file('empty.key', '') }],
    ['the certificate is empty', { cert: file('both.crt', ''), key: file('both.key', '') }],
  ])('are refused: %s', (why, keys) => {
    const given = { ...own, ...keys };
    const detail = { name: '', why: `${why} (cert: ${given.cert}, key: ${given.key})` };
    expect(() => load(keys)).toThrowError(expect.objectContaining({ code: 'ERR_TLS_KEYS', detail }));
  });
});

describe('the accepted issuers', () => {
  const [one, two] = [textOf(own.cert), textOf(other.cert)];
  const garbage = '-----BEGIN CERTIFICATE-----\nAA\n-----END CERTIFICATE-----\n';

  it.each([
    ['one', one],
    ['several, with words and other things between them', `one\n${one}# two ------\n${textOf(other.key)}${two}the end`],
    ['several without an end of line', `${one}${two.trimEnd()}`],
    ['a trusted one', openssl('x509', '-in', own.cert, '-trustout')],
    ['one of the old kind', one.replaceAll(' CERTIFICATE', ' X509 CERTIFICATE')],
    ['one with lines as on Windows', one.replaceAll('\n', '\r\n')],
  ])('may be %s', (_, ca) => {
    expect(load({ ca, requestCert: true }).options.ca).toBe(ca);
    expect(load({ ca: file('issuers.crt', ca) }).options.ca).toBe(ca);
  });

  it.each([
    ['without a certificate', 'ca has no certificate', textOf(own.key)],
    ['indented, which OpenSSL passes over', 'ca has no certificate', one.replaceAll(/^/gm, '  ')],
    ['garbage', 'certificate 1 of ca cannot be read: ', garbage],
    ['garbage behind a good one', 'certificate 2 of ca cannot be read: ', one + garbage + two],
    ['cut off', 'certificate 2 of ca cannot be read: ', one + two.slice(0, 300)],
  ])('that are %s are refused', (_, why, ca) => {
    const refused = (detail: object) => expect.objectContaining({ code: 'ERR_TLS_KEYS', detail });
    const starts = expect.stringMatching(new RegExp(`^${why}`));
    expect(() => load({ ca, requestCert: true })).toThrowError(refused({ name: '', why: starts }));
    const path = file('bad.crt', ca);
    const tells = expect.stringMatching(new RegExp(`^${why}.* \\(ca: ${path}\\)$`));
    expect(() => load({ ca: path, requestCert: true })).toThrowError(refused({ name: '', why: tells }));
  });

  it('are not an empty file', () => {
    const path = file('none.crt', '');
    const detail = { name: '', why: `ca has no certificate (ca: ${path})` };
    expect(() => load({ ca: path })).toThrowError(expect.objectContaining({ code: 'ERR_TLS_KEYS', detail }));
  });
});

describe('the file of a certificate', () => {
  const pipe = join(folder, 'pipe');
  execFileSync('mkfifo', [pipe]);
  const long = file('long.crt', '');
  truncateSync(long, 2 ** 40); // of no blocks
  const link = join(folder, 'link.crt');
  symlinkSync(own.cert, link);

  it.each([
    ['a pipe', pipe, { code: 'EINVAL', why: 'it is no regular file' }],
    ['a device', '/dev/null', { code: 'EINVAL', why: 'it is no regular file' }],
    ['a folder', folder, { code: 'EISDIR', why: 'it is no regular file' }],
    ['too long', long, { code: 'EFBIG', why: 'it has more than 16777216 bytes' }],
  ])('is refused at once where it is %s', (_, path, more) => {
    const refused = expect.objectContaining({ code: 'ERR_TLS_FILE', detail: { path, ...more } });
    for (const keys of [{ cert: path }, { key: path }, { ca: path }, { sni: { 'a.test': { ...own, cert: path } } }]) {
      expect(() => load(keys)).toThrowError(refused);
    }
  });

  it('may be a link to one', () => {
    expect(load({ cert: link }).options.cert).toBe(textOf(own.cert));
  });
});
