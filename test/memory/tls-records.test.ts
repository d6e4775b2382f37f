import { describe, expect, it } from 'vitest';
import { TLS_CERTIFICATE_RECORD_BYTES, TLS_RECORD_BYTES } from '../../src/memory/layout.js';
import { Region } from '../../src/memory/region.js';
import { pemOf, type TlsInfo, TlsRecords } from '../../src/memory/tls-records.js';
import { testShape } from '../helpers/test-shape.js';

function records(tlsRecordBytes: number): TlsRecords {
  return new TlsRecords(Region.create(testShape({ slots: 4, tlsSlots: 4, tlsRecordBytes })));
}

function info(more: Partial<TlsInfo> = {}): TlsInfo {
  const usual = { version: 'TLSv1.3', cipher: 'TLS_AES_256_GCM_SHA384', alpn: 'http/1.1', serverName: 'a.test' };
  return { ...usual, authorized: true, subject: 'Ä client', fingerprint256: 'AB:CD', certificate: '', ...more };
}

const derOf = (length: number): Buffer => Buffer.from(Array.from({ length }, (_, index) => (index * 7) & 0xff));

describe('what a handshake has agreed upon', () => {
  it('is read as it was written, for each slot by itself', () => {
    const all = records(TLS_RECORD_BYTES);
    for (const slot of [0, 1, 2, 3]) all.write(slot, info({ subject: `client ${slot}` }));
    for (const slot of [0, 1, 2, 3]) expect(all.read(slot)).toEqual(info({ subject: `client ${slot}` }));
    all.write(1, info({ authorized: false, subject: '', fingerprint256: '', alpn: '' }));
    expect(all.read(1)).toEqual(info({ authorized: false, subject: '', fingerprint256: '', alpn: '' }));
  });

  it('is not there before it was written', () => {
    expect(records(TLS_RECORD_BYTES).read(2)).toBeUndefined();
  });

  it('is cut where a client gives names of its own length', () => {
    const all = records(TLS_RECORD_BYTES);
    all.write(1, info({ alpn: 'p'.repeat(65), serverName: 's'.repeat(129), subject: 'c'.repeat(65) }));
    expect(all.read(1)).toEqual(info({ alpn: 'p'.repeat(64), serverName: 's'.repeat(128), subject: 'c'.repeat(64) }));
    all.write(1, info({ alpn: 'p'.repeat(64), serverName: 's'.repeat(128), subject: 'c'.repeat(64) }));
    expect(all.read(1)).toEqual(info({ alpn: 'p'.repeat(64), serverName: 's'.repeat(128), subject: 'c'.repeat(64) }));
  });

  it('has no certificate where there is no room for one', () => {
    const all = records(TLS_RECORD_BYTES);
    all.write(2, info());
    all.write(1, info({ certificate: pemOf(derOf(100)) }));
    expect(all.read(1)).toEqual(info());
    expect(all.read(2)).toEqual(info());
  });

  const room = TLS_CERTIFICATE_RECORD_BYTES - TLS_RECORD_BYTES - 4;

  it.each([1, 47, 48, 49, 1000, room])('has a certificate of %i bytes', (length) => {
    const all = records(TLS_CERTIFICATE_RECORD_BYTES);
    const certificate = pemOf(derOf(length));
    for (const slot of [0, 1]) all.write(slot, info({ certificate }));
    expect(all.read(0)).toEqual(info({ certificate }));
    expect(all.read(1)).toEqual(info({ certificate }));
  });

  it('has none of a certificate that is too long, nor of the client before', () => {
    const all = records(TLS_CERTIFICATE_RECORD_BYTES);
    all.write(0, info({ certificate: pemOf(derOf(500)) }));
    all.write(0, info({ certificate: pemOf(derOf(room + 1)) }));
    expect(all.read(0)).toEqual(info());
    all.write(0, info({ certificate: pemOf(derOf(500)) }));
    all.write(0, info());
    expect(all.read(0)).toEqual(info());
  });
});

it('PEM has 64 characters a line between its two marks, and is nothing for nothing', () => {
  expect(pemOf(Buffer.alloc(0))).toBe('');
  const [begin, first, second, end, rest] = pemOf(derOf(49)).split('\n');
  expect([begin, end, rest]).toEqual(['-----BEGIN CERTIFICATE-----', '-----END CERTIFICATE-----', '']);
  expect(first).toHaveLength(64);
  expect(Buffer.from(`${first}${second}`, 'base64')).toEqual(derOf(49));
});
