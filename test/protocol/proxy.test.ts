import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeAddress } from '../../src/os/address.js';
import { AF_INET } from '../../src/os/constants.js';
import { type ProxyHeader, parseProxyHeader } from '../../src/protocol/proxy.js';

const parse = (bytes: Buffer): ReturnType<typeof parseProxyHeader> => parseProxyHeader(bytes, 0, bytes.length);

/** As text; undefined when there is no client. */
function shown(header: ReturnType<typeof parse>): string | undefined {
  const { client } = header as ProxyHeader;
  if (client === undefined) return undefined;
  const sockaddr = Buffer.alloc(28);
  sockaddr.writeUInt16LE(client.family);
  sockaddr.writeUInt16BE(client.port, 2);
  client.address.copy(sockaddr, client.family === AF_INET ? 4 : 8);
  const { address, port } = decodeAddress(sockaddr);
  return `${address} ${port}`;
}

function v2(command: number, family: number, body: Buffer): Buffer {
  const head = Buffer.from('\r\n\r\n\0\r\nQUIT\n\0\0\0\0', 'latin1');
  head[12] = 0x20 | command;
  head[13] = family;
  head.writeUInt16BE(body.length, 14);
  return Buffer.concat([head, body]);
}

const v4Body = Buffer.from([1, 2, 3, 4, 5, 6, 7, 8, 0x10, 0x01, 0, 80]);

describe('a PROXY header', () => {
  it.each([
    ['PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n', '192.0.2.1 56324'],
    ['PROXY TCP6 2001:db8::1 ::1 65535 0\r\n', '2001:db8::1 65535'],
    ['PROXY UNKNOWN\r\n', undefined],
    ['PROXY UNKNOWN whatever else is said here\r\n', undefined],
  ])('of version 1: %j', (text, client) => {
    const header = parse(Buffer.from(`${text}GET /`));
    expect(header).toMatchObject({ length: text.length });
    expect(shown(header)).toBe(client);
  });

  it('of version 2: IPv4, IPv6, local, other families, with more behind', () => {
    expect(shown(parse(v2(1, 0x11, v4Body)))).toBe('1.2.3.4 4097');
    expect(shown(parse(v2(1, 0x11, Buffer.concat([v4Body, Buffer.from([3, 0, 4, 1, 2, 3, 4])]))))).toBe('1.2.3.4 4097');
    const v6 = Buffer.alloc(36);
    v6[15] = 1;
    v6.writeUInt16BE(7, 32);
    expect(shown(parse(v2(1, 0x21, v6)))).toBe('::1 7');
    expect(parse(v2(0, 0x00, Buffer.alloc(0)))).toEqual({ length: 16, client: undefined });
    expect(parse(v2(1, 0x31, Buffer.alloc(216)))).toEqual({ length: 232, client: undefined });
  });

  it.each([Buffer.from('PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n'), v2(1, 0x11, v4Body)])(
    'is waited for until it is whole',
    (whole) => {
      for (let i = 0; i < whole.length; i++) expect(parse(whole.subarray(0, i))).toBe('more');
      expect(parse(whole)).toMatchObject({ length: whole.length });
    },
  );

  it.each([
    'GET / HTTP/1.1\r\n',
    'PROXY TCP4 192.0.2.1 198.51.100.1 56324\r\n',
    'PROXY TCP4 192.0.2.1 198.51.100.1 56324 443 1\r\n',
    'PROXY TCP4 192.0.2.256 198.51.100.1 1 2\r\n',
    'PROXY TCP6 192.0.2.1 198.51.100.1 1 2\r\n',
    'PROXY TCP4 192.0.2.1 198.51.100.1 65536 443\r\n',
    'PROXY TCP4 192.0.2.1 198.51.100.1 01 443\r\n',
    'PROXY TCP5 192.0.2.1 198.51.100.1 1 443\r\n',
    `PROXY UNKNOWN ${'x'.repeat(107)}`,
  ])('that is none is malformed: %j', (text) => {
    expect(parse(Buffer.from(text))).toBe('malformed');
  });

  it('of version 2 that is wrong is malformed', () => {
    expect(parse(v2(2, 0x11, v4Body))).toBe('malformed');
    expect(parse(v2(1, 0x11, v4Body.subarray(0, 11)))).toBe('malformed');
    expect(parse(v2(1, 0x11, Buffer.alloc(5000)))).toBe('malformed');
    const other = v2(1, 0x11, v4Body);
    other[12] = 0x31;
    expect(parse(other)).toBe('malformed');
  });

  it('whatever the bytes are, the answer is one of the three', () => {
    const begin = fc.constantFrom('', 'PROXY ', 'PROXY TCP4 ', '\r\n\r\n\0\r\nQUIT\n', '\r\n\r\n\0\r\nQUIT\n\x21\x11');
    fc.assert(
      fc.property(begin, fc.uint8Array({ maxLength: 300 }), (text, rest) => {
        const answer = parse(Buffer.concat([Buffer.from(text, 'latin1'), rest]));
        if (typeof answer === 'object') expect(answer.length).toBeLessThanOrEqual(text.length + rest.length);
        else expect(['more', 'malformed']).toContain(answer);
      }),
    );
  });
});

describe('a PROXY header of version 1', () => {
  const unknown = (length: number): string => `${'PROXY UNKNOWN '.padEnd(length - 2, 'x')}\r\n`;

  it.each([106, 107])('may have %i bytes', (length) => {
    expect(parse(Buffer.from(`${unknown(length)}GET /`))).toEqual({ length, client: undefined });
  });

  it('may not have more', () => {
    expect(parse(Buffer.from(unknown(108)))).toBe('malformed');
  });

  it.each([
    [106, 'more'],
    [107, 'malformed'],
  ])('that has no end after %i bytes: %s', (length, outcome) => {
    expect(parse(Buffer.from('PROXY UNKNOWN '.padEnd(length, 'x')))).toBe(outcome);
  });
});
