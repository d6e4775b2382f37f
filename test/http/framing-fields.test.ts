import { describe, expect, it } from 'vitest';
import {
  connectionOptions,
  declaredLength,
  FieldKind,
  interimFields,
  kindOfField,
  LengthCount,
  lengthToBegin,
  lengthToTell,
  namesFields,
  statusHasBody,
  withoutNamedFields,
} from '../../src/http/framing-fields.js';

const kinds: [string, keyof typeof FieldKind][] = [
  ...(['te', 'Keep-Alive', 'content-length', 'HTTP2-Settings', 'proxy-connection', 'Transfer-Encoding'] as const).map(
    (name): [string, keyof typeof FieldKind] => [name, 'ofServer'],
  ),
  ...(['xx', 'etag', 'expires', 'set-cookie', 'content-range!', 'content-language', 'content-encoding'] as const).map(
    (name): [string, keyof typeof FieldKind] => [name, 'plain'],
  ),
  ...(['x', 'content-type', 'x-content-length', 'strict-transports', 'accept-ranges!'] as const).map(
    (name): [string, keyof typeof FieldKind] => [name, 'plain'],
  ),
  ['Date', 'date'],
  ['CONNECTION', 'connection'],
  ['Upgrade', 'upgrade'],
];

it.each(kinds)('%s is of the kind %s', (name, kind) => {
  expect(kindOfField(name)).toBe(FieldKind[kind]);
});

describe('the options of a connection', () => {
  it('are in lower case, without space and empty ones', () => {
    expect(connectionOptions(' Close, X-Hop ,,keep-alive,')).toEqual(['close', 'x-hop', 'keep-alive']);
    expect(connectionOptions('')).toEqual([]);
  });

  it('name fields where they are none of the usual', () => {
    expect(namesFields(['close', 'keep-alive', 'upgrade'])).toBe(false);
    expect(namesFields(['close', 'x-hop'])).toBe(true);
  });

  it('take the fields that they name along, not the usual ones', () => {
    const fields = ['a', '1', 'X-HOP', '2', 'Connection', 'x-hop, close, upgrade', 'Upgrade', 'h2c', 'connection', 'y'];
    expect(withoutNamedFields(fields, ['x-hop', 'close', 'upgrade'])).toEqual([
      'connection',
      'close, upgrade',
      'a',
      '1',
      'Upgrade',
      'h2c',
    ]);
  });
});

it('an interim answer has plain fields and a date, nothing of framing or the connection', () => {
  const fields = ['link', '</a>', 'content-length', '3', 'date', 'now', 'connection', 'close', 'upgrade', 'h2c'];
  expect(interimFields(fields)).toEqual(['link', '</a>', 'date', 'now']);
});

describe('the length that fields declare', () => {
  it.each([
    [[], -1],
    [['content-length', '0'], 0],
    [['a', '1', 'Content-Length', '42'], 42],
    [['content-length', '42', 'CONTENT-LENGTH', '42'], 42],
    [['content-length', '42', 'content-length', '43'], -1],
    [['content-length', '9007199254740991'], 9_007_199_254_740_991],
    [['content-length', '9007199254740992'], -1],
    [['content-length', '12345678901234567'], -1],
    [['content-length', '-1'], -1],
    [['content-length', '1e3'], -1],
    [['content-length', ''], -1],
    [['x-content-length', '5', 'content-lengtH!', '6'], -1],
  ] as const)('%j is %i', (fields, length) => {
    expect(declaredLength(fields)).toBe(length);
  });
});

it.each([
  [200, true],
  [203, true],
  [204, false],
  [205, true],
  [303, true],
  [304, false],
  [305, true],
])('an answer of status %i has a body: %s', (status, has) => {
  expect(statusHasBody(status)).toBe(has);
});

it.each([
  [200, false, [], 7, 7],
  [200, false, ['content-length', '9'], 7, 7],
  [200, true, ['content-length', '9'], 0, 9],
  [200, true, ['content-length', '9'], 7, 7],
  [200, true, [], 0, 0],
  [200, false, [], 0, 0],
  [204, false, ['content-length', '9'], 7, -1],
  [304, false, ['content-length', '9'], 0, 9],
  [304, false, [], 7, -1],
] as const)(
  'an answer of status %i (HEAD: %s) with %j and %i bytes tells a length of %i',
  (status, isHead, fields, bytes, length) => {
    expect(lengthToTell(status, isHead, fields, bytes)).toBe(length);
  },
);

it('an answer in pieces begins with the length that it declares, but 204', () => {
  const fields = ['content-length', '9'];
  expect([200, 204, 304].map((status) => lengthToBegin(status, fields))).toEqual([9, -1, 9]);
});

describe('a body with a declared length', () => {
  const wrong = (declared: string, received: string) =>
    expect.objectContaining({ code: 'ERR_HTTP_CONTENT_LENGTH', detail: { declared, received } });

  it('may have as much, not more, and what was refused does not count', () => {
    const count = new LengthCount(5);
    count.add(3);
    expect(() => count.add(3)).toThrowError(wrong('5', '6 bytes'));
    expect(() => count.checkWhole()).toThrowError(wrong('5', '3 bytes'));
    count.add(2);
    count.add(0);
    expect(() => count.checkWhole()).not.toThrow();
    expect(() => count.add(1)).toThrowError(wrong('5', '6 bytes'));
  });
});
