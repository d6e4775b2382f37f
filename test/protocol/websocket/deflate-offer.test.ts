import { constants, createDeflateRaw } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { chooseDeflate } from '../../../src/protocol/websocket/deflate-offer.js';
import { parseExtensions } from '../../../src/protocol/websocket/field-lists.js';

const ANSWER = 'permessage-deflate; server_no_context_takeover; client_no_context_takeover';

describe('chooseDeflate (RFC 7692 7.1)', () => {
  it.each([
    'permessage-deflate',
    'permessage-deflate; client_max_window_bits', // Chrome
    'permessage-deflate;client_max_window_bits=8',
    'permessage-deflate; client_max_window_bits=15',
    'permessage-deflate; client_max_window_bits="10"',
    'permessage-deflate; server_no_context_takeover',
    'permessage-deflate; client_no_context_takeover',
    'permessage-deflate ;\tserver_no_context_takeover ; client_no_context_takeover;client_max_window_bits',
    ' , permessage-deflate , ',
    'foo; bar=1, permessage-deflate',
    'permessage-deflate; foo, permessage-deflate',
    'permessage-deflate; server_max_window_bits=8, permessage-deflate',
    'x-webkit-deflate-frame, permessage-deflate; client_max_window_bits',
  ])('takes %j', (value) => {
    expect(chooseDeflate(value)).toEqual({ response: ANSWER, windowBits: 15 });
  });

  it.each([9, 10, 11, 12, 13, 14, 15])('honours a window of %d bits, and says so (7.1.2.1)', (windowBits) => {
    const expected = { response: `${ANSWER}; server_max_window_bits=${windowBits}`, windowBits };
    expect(chooseDeflate(`permessage-deflate; server_max_window_bits=${windowBits}`)).toEqual(expected);
    expect(chooseDeflate(`permessage-deflate; server_max_window_bits="${windowBits}"`)).toEqual(expected);
    expect(() => createDeflateRaw({ windowBits, level: constants.Z_BEST_SPEED }).close()).not.toThrow();
  });

  it('takes the first that can be honoured, not the best', () => {
    const value = 'permessage-deflate; server_max_window_bits=10, permessage-deflate';
    expect(chooseDeflate(value)).toMatchObject({ windowBits: 10 });
  });

  it.each([
    // zlib has no window of 8 bits (7.1.2.1 allows to decline).
    'server_max_window_bits=8',
    ...['server_max_window_bits', 'server_max_window_bits=7', 'server_max_window_bits=16'],
    ...['server_max_window_bits=09', 'server_max_window_bits=010', 'server_max_window_bits=1e1'],
    ...['server_max_window_bits=+9', 'server_max_window_bits=9.0', 'server_max_window_bits=x'],
    ...['client_max_window_bits=7', 'client_max_window_bits=16', 'client_max_window_bits=08'],
    ...['client_max_window_bits=x', 'client_max_window_bits=100'],
    ...['server_no_context_takeover=1', 'client_no_context_takeover=true', 'server_no_context_takeover="a"'],
    // Unknown; the names of parameters are exact.
    ...['foo', 'foo=1', 'Server_No_Context_Takeover', 'max_window_bits=10'],
    // Repeated.
    'server_no_context_takeover; server_no_context_takeover',
    'client_no_context_takeover; client_no_context_takeover',
    'server_max_window_bits=10; server_max_window_bits=10',
    'client_max_window_bits; client_max_window_bits=10',
  ])('declines permessage-deflate; %s, and looks at the next', (parameters) => {
    const offer = `permessage-deflate; ${parameters}`;
    expect(chooseDeflate(offer)).toBeUndefined();
    expect(chooseDeflate(`${offer}, permessage-deflate`)).toEqual({ response: ANSWER, windowBits: 15 });
  });

  it.each([
    undefined,
    '',
    'foo',
    'permessage-deflat',
    'permessage-deflate2',
    'Permessage-Deflate',
    'x-webkit-deflate-frame',
    // The whole field breaks the grammar (RFC 6455 9.1).
    'permessage-deflate;',
    'permessage-deflate, foo bar',
    'permessage-deflate; foo=',
  ])('declines %j', (value) => {
    expect(chooseDeflate(value)).toBeUndefined();
  });
});

describe('parseExtensions (RFC 6455 9.1)', () => {
  it.each<[string, unknown]>([
    ['foo', [{ name: 'foo', parameters: [] }]],
    [
      'foo,bar',
      [
        { name: 'foo', parameters: [] },
        { name: 'bar', parameters: [] },
      ],
    ],
    ['foo; a', [{ name: 'foo', parameters: [{ name: 'a', value: undefined }] }]],
    [
      'foo;a=1;b',
      [
        {
          name: 'foo',
          parameters: [
            { name: 'a', value: '1' },
            { name: 'b', value: undefined },
          ],
        },
      ],
    ],
    [
      'foo ; a = 1\t; b = "2" , bar',
      [
        {
          name: 'foo',
          parameters: [
            { name: 'a', value: '1' },
            { name: 'b', value: '2' },
          ],
        },
        { name: 'bar', parameters: [] },
      ],
    ],
    ['foo; a="b\\c\\"', undefined],
    ['foo; a="b\\c"', [{ name: 'foo', parameters: [{ name: 'a', value: 'bc' }] }]],
    [', ,foo,\t,', [{ name: 'foo', parameters: [] }]],
    [
      'foo; a; a',
      [
        {
          name: 'foo',
          parameters: [
            { name: 'a', value: undefined },
            { name: 'a', value: undefined },
          ],
        },
      ],
    ],
  ])('of %j are %j', (value, expected) => {
    expect(parseExtensions(value)).toEqual(expected);
  });

  it.each([
    ...['', ' ', ',', ';', '=', '"', ';a', '=a', 'foo;', 'foo;;a', 'foo; a=', 'foo; =1', 'foo; a=;b'],
    ...['foo; a=""', 'foo; a="', 'foo; a="b', 'foo; a="b\\', 'foo; a="b,c"', 'foo; a="b c"', 'foo; a="b;c"'],
    ...['foo; a="b"c', 'foo; a=b"c"', 'foo; a=b=c', 'foo bar', 'foo; a b', 'foo; a=b c', 'foo=1', 'foo, bar;'],
    ...['"foo"', 'foo; "a"', 'f/o', 'föo', 'foo; a=ö', 'foo\u00a0', 'foo; a="ö"', 'foo\0'],
  ])('of %j are none: it breaks the grammar', (value) => {
    expect(parseExtensions(value)).toBeUndefined();
  });

  it('takes a time that grows with the length alone', () => {
    expect(parseExtensions(`foo; a="${'\\a'.repeat(200_000)}`)).toBeUndefined();
    expect(parseExtensions(`foo${' \t'.repeat(200_000)}x`)).toBeUndefined();
    expect(parseExtensions('foo;a,'.repeat(50_000))).toHaveLength(50_000);
  });
});
