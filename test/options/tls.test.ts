import { describe, expect, test } from 'vitest';
import { resolveOptions, type ServerOptions } from '../../src/options/index.js';

const keys = { cert: '-----BEGIN CERTIFICATE-----', key: '-----BEGIN PRIVATE KEY-----' };
const resolve = (tls: unknown) => resolveOptions({ tls } as ServerOptions).tls;

describe('tls', () => {
  test('fills in what is not given', () => {
    expect(resolve(keys)).toEqual({
      ...keys,
      passphrase: undefined,
      ca: undefined,
      sni: {},
      alpn: [],
      requestCert: false,
      rejectUnauthorized: false,
      minVersion: 'TLSv1.2',
      maxVersion: 'TLSv1.3',
      ciphers: undefined,
      handshakeTimeoutMs: 10_000,
    });
    expect(resolve({ ...keys, requestCert: true })?.rejectUnauthorized).toBe(true);
  });

  test('takes PEM as text or bytes, and paths from the folder of the script', () => {
    expect(resolve({ ...keys, cert: Buffer.from(keys.cert) })?.cert).toBe(keys.cert);
    for (const bytes of [Buffer.alloc(0), Buffer.from('secret.key')]) {
      const refused = expect.objectContaining({
        code: 'ERR_OPTION_VALUE',
        message: expect.stringContaining('tls.key'),
      });
      expect(() => resolve({ ...keys, key: bytes })).toThrowError(refused);
    }
    expect(resolve({ ...keys, cert: 'a.crt' })?.cert).toMatch(/^\/.*\/a\.crt$/);
    expect(resolve({ ...keys, cert: '/b.crt' })?.cert).toBe('/b.crt');
  });

  test.each([
    ['ERR_OPTION_TYPE', 'a text', 'x'],
    ['ERR_OPTION_TYPE', 'a list', []],
    ['ERR_OPTION_TYPE', 'no key', { cert: 'a' }],
    ['ERR_OPTION_TYPE', 'a number as key', { cert: 'a', key: 1 }],
    ['ERR_OPTION_VALUE', 'an empty key', { cert: 'a', key: '' }],
    ['ERR_OPTION_UNKNOWN', 'an unknown name', { ...keys, alpnn: [] }],
    ['ERR_OPTION_VALUE', 'a version too old', { ...keys, minVersion: 'TLSv1.1' }],
    ['ERR_OPTION_VALUE', 'versions the wrong way round', { ...keys, minVersion: 'TLSv1.3', maxVersion: 'TLSv1.2' }],
    ['ERR_OPTION_VALUE', 'an empty protocol', { ...keys, alpn: [''] }],
    ['ERR_OPTION_VALUE', 'no time', { ...keys, handshakeTimeoutMs: 0 }],
    ['ERR_OPTION_VALUE', 'a word for a flag', { ...keys, requestCert: 'yes' }],
    ['ERR_OPTION_VALUE', 'a name that is none', { ...keys, sni: { 'a b': keys } }],
    ['ERR_OPTION_TYPE', 'a name without a key', { ...keys, sni: { 'a.test': { cert: 'a' } } }],
  ])('refuses with %s %s', (code, _, tls) => {
    expect(() => resolve(tls)).toThrow(expect.objectContaining({ code }));
  });

  test('is refused together with datagrams', () => {
    expect(() => resolveOptions({ tls: keys, type: 'udp' })).toThrow(
      expect.objectContaining({ code: 'ERR_OPTION_CONFLICT' }),
    );
  });
});
