import { describe, expect, it } from 'vitest';
import { fromSwoole } from '../../src/options/index.js';

const turn = (settings: Record<string, unknown>) => fromSwoole(settings, { unused: () => {} });

describe("Swoole's settings of TLS", () => {
  const keys = { ssl_cert_file: '/a.crt', ssl_key_file: '/a.key' };

  it('become one option', () => {
    expect(turn(keys)).toEqual({ tls: { cert: '/a.crt', key: '/a.key' } });
    const more = { ssl_client_cert_file: '/ca', ssl_passphrase: 'p', ssl_ciphers: 'c', ssl_verify_peer: true };
    expect(turn({ ...keys, ...more })).toEqual({
      tls: {
        ...{ cert: '/a.crt', key: '/a.key', ca: '/ca', passphrase: 'p', ciphers: 'c' },
        ...{ requestCert: true, rejectUnauthorized: true },
      },
    });
    expect(turn({ ...keys, ssl_cafile: '/ca', ssl_verify_peer: true, ssl_allow_self_signed: true })).toEqual({
      tls: { cert: '/a.crt', key: '/a.key', ca: '/ca', requestCert: true, rejectUnauthorized: false },
    });
  });

  it('have further certificates by server name', () => {
    const names = { 'a.test': { ssl_cert_file: '/b.crt', ssl_key_file: '/b.key' } };
    expect(turn({ ...keys, ssl_sni_certs: names })).toEqual({
      tls: { cert: '/a.crt', key: '/a.key', sni: { 'a.test': { cert: '/b.crt', key: '/b.key' } } },
    });
    expect(turn({ ...keys, ssl_sni_certs: {} })).toEqual({ tls: { cert: '/a.crt', key: '/a.key' } });
  });
});

describe("Swoole's settings of files", () => {
  const on = { enable_static_handler: true, document_root: '/srv' };

  it('become folders, each found below the root by its whole path', () => {
    expect(turn(on)).toEqual({ staticFiles: [{ root: '/srv/', prefix: '/' }] });
    expect(turn({ ...on, static_handler_locations: ['/a', '/'], http_index_files: ['x.html'] })).toEqual({
      staticFiles: [
        { root: '/srv/a', prefix: '/a', fallthrough: false, index: ['x.html'] },
        { root: '/srv/', prefix: '/', index: ['x.html'] },
      ],
    });
    expect(turn({ ...on, static_handler_locations: [] })).toEqual(turn(on));
  });

  it('are none where they are off', () => {
    expect([turn({ document_root: '/srv' }), turn({ enable_static_handler: true })]).toEqual([{}, {}]);
  });
});

describe("Swoole's settings of compression", () => {
  it.each([
    [{ http_compression: false, http_compression_level: 3 }, { compression: false }],
    [{ http_compression_level: 3 }, { compression: { level: 3 } }],
    [{ compression_min_length: 20, compression_types: ['a/b'] }, { compression: { minLength: 20, types: ['a/b'] } }],
    [
      { http_compression_min_length: 20, http_compression_types: ['a/b'] },
      { compression: { minLength: 20, types: ['a/b'] } },
    ],
    [{ http_compression: true }, { compression: {} }],
  ])('%j', (settings, options) => {
    expect(turn(settings)).toEqual(options);
  });
});
