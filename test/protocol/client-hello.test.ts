import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LONGEST_HELLO_BYTES, readClientHello } from '../../src/protocol/client-hello.js';

const u16 = (value: number): Buffer => Buffer.from([value >> 8, value & 255]);
const vector8 = (bytes: Buffer): Buffer => Buffer.concat([Buffer.from([bytes.length]), bytes]);
const vector16 = (bytes: Buffer): Buffer => Buffer.concat([u16(bytes.length), bytes]);
const extension = (type: number, data: Buffer): Buffer => Buffer.concat([u16(type), vector16(data)]);
const entry = (type: number, name: string): Buffer =>
  Buffer.concat([Buffer.from([type]), vector16(Buffer.from(name, 'latin1'))]);
const serverName = (name: string): Buffer => extension(0, vector16(entry(0, name)));
const alpn = extension(16, vector16(vector8(Buffer.from('h2'))));

/** A handshake message of a type. */
function message(body: Buffer, type = 1): Buffer {
  const header = Buffer.from([type, 0, 0, 0]);
  header.writeUIntBE(body.length, 1, 3);
  return Buffer.concat([header, body]);
}

function bodyWith(extensions: readonly Buffer[]): Buffer {
  const start = Buffer.concat([u16(0x303), Buffer.alloc(32, 7), vector8(Buffer.alloc(32, 8))]);
  const suites = Buffer.concat([vector16(Buffer.from('130113021303', 'hex')), vector8(Buffer.from([0]))]);
  return Buffer.concat([start, suites, vector16(Buffer.concat([...extensions]))]);
}

/** The message in records of at most `most` bytes. */
function records(whole: Buffer, most = 16_384): Buffer {
  const parts: Buffer[] = [];
  for (let at = 0; at < whole.length; at += most) {
    parts.push(Buffer.concat([Buffer.from('160301', 'hex'), vector16(whole.subarray(at, at + most))]));
  }
  return Buffer.concat(parts);
}

const hello = (...extensions: Buffer[]): Buffer => records(message(bodyWith(extensions)));

describe('a ClientHello', () => {
  it.each([
    ['a name', hello(serverName('one.test')), 'one.test'],
    ['a name behind other extensions', hello(alpn, extension(23, Buffer.alloc(0)), serverName('one.test')), 'one.test'],
    ['a name in capitals', hello(serverName('ONE.test')), 'ONE.test'],
    ['no name', hello(alpn), ''],
    ['no extensions', records(message(bodyWith([]).subarray(0, -2))), ''],
    ['an empty name', hello(serverName('')), ''],
    ['a name with a zero in it', hello(serverName('one.test\0.evil')), ''],
    ['a name that is too long', hello(serverName('a'.repeat(256))), ''],
    [
      'names of another type',
      hello(extension(0, vector16(Buffer.concat([entry(1, 'x'), entry(0, 'one.test')])))),
      'one.test',
    ],
    ['a list that says to be longer than it is', hello(extension(0, Buffer.from('00ff00', 'hex'))), ''],
    ['an extension that says to be longer than it is', hello(Buffer.from('0000ffff', 'hex')), ''],
    ['a body that is cut off', records(message(Buffer.alloc(10))), ''],
  ])('with %s', (_, bytes, name) => {
    expect(readClientHello(bytes)).toEqual({ serverName: name });
  });

  it('is waited for until it is whole, and what comes behind it does not matter', () => {
    const bytes = hello(alpn, serverName('one.test'));
    for (let length = 0; length < bytes.length; length++) {
      expect(readClientHello(bytes.subarray(0, length))).toBe('more');
    }
    expect(readClientHello(Buffer.concat([bytes, Buffer.from('more')]))).toEqual({ serverName: 'one.test' });
  });

  it('may come in several records, cut anywhere', () => {
    const whole = message(bodyWith([alpn, serverName('one.test')]));
    for (let most = Math.ceil(whole.length / 8); most <= whole.length; most++) {
      const bytes = records(whole, most);
      expect(readClientHello(bytes)).toEqual({ serverName: 'one.test' });
      expect(readClientHello(bytes.subarray(0, -1))).toBe('more');
    }
    expect(readClientHello(records(whole, 3))).toBe('odd');
  });

  it.each([
    ['plain text', Buffer.from('GET / HTTP/1.1\r\n\r\n')],
    ['one byte of it', Buffer.from('G')],
    ['a record of SSL 2', Buffer.from('802e0100020015', 'hex')],
    ['another message', records(message(Buffer.alloc(10), 2))],
    ['another record', Buffer.from('170303000501', 'hex')],
    ['another record in the middle', Buffer.concat([records(message(bodyWith([])).subarray(0, 9)), Buffer.from([23])])],
    ['an empty record', Buffer.from('1603010000', 'hex')],
    ['a record that is too long', Buffer.from('160301400101', 'hex')],
    ['a message that is too long', records(message(Buffer.alloc(LONGEST_HELLO_BYTES)))],
  ])('is not in %s', (_, bytes) => expect(readClientHello(bytes)).toBe('odd'));

  it('is looked for in whatever comes, without an error', () => {
    const bytes = hello(alpn, serverName('one.test'));
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (garbage) => {
        readClientHello(Buffer.from(garbage));
        readClientHello(records(message(Buffer.from(garbage))));
        readClientHello(hello(Buffer.from(garbage)));
      }),
    );
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.nat(255), (at, value) => {
        const spoiled = Buffer.from(bytes);
        spoiled[at] = value;
        readClientHello(spoiled);
      }),
    );
  });
});
