import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { ServerError } from '../../src/errors/index.js';
import { loadTls } from '../../src/listen/tls-material.js';
import { resolveOptions, type ServerOptions } from '../../src/options/index.js';
import { certificateFor } from '../helpers/certificates.js';

const own = certificateFor('own.test');
const other = certificateFor('other.test');
const textOf = (path: string): string => readFileSync(path, 'latin1');

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
