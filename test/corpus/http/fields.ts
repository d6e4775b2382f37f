import { accepts, byteName, get, head, refuses, request, theme } from './entry.js';

const char = String.fromCharCode;
const fine = (section: string, title: string, line: string, name: string, value: string) =>
  accepts(section, title, get(line), request({ fields: [[name, value]] }));
const separators = ['(', ')', ',', '/', ';', '<', '=', '>', '?', '@', '[', '\\', ']', '{', '}', '"', ' ', '\t'];

export const fields = theme('fields', [
  fine('5', 'a field', 'X: y', 'X', 'y'),
  fine('5', 'no space behind the colon', 'X:y', 'X', 'y'),
  fine('5', 'an empty value', 'X:', 'X', ''),
  fine('5', 'a value of nothing but whitespace', 'X: \t ', 'X', ''),
  fine('5', 'whitespace around a value', 'X: \t y z\t ', 'X', 'y z'),
  fine('5', 'a colon in a value', 'X: a:b', 'X', 'a:b'),
  fine('5', 'two colons', 'X::', 'X', ':'),
  fine('RFC 9110 5.5', 'a tab in a value', 'X: a\tb', 'X', 'a\tb'),
  fine('RFC 9110 5.5', 'obs-text in a value', 'X: \x80\xff', 'X', '\x80\xff'),
  fine('RFC 9110 5.5', '0xa0 around a value belongs to it', 'X: \xa0y\xa0', 'X', '\xa0y\xa0'),
  fine(
    'RFC 9110 5.6.2',
    'a name of all that a token may hold',
    "!#$%&'*+-.^_`|~09AZaz: y",
    "!#$%&'*+-.^_`|~09AZaz",
    'y',
  ),
  fine('RFC 9110 5.1', 'a name of one digit', '1: y', '1', 'y'),
  fine('RFC 9110 5.1', 'a name that is a property of objects', '__proto__: y', '__proto__', 'y'),
  fine('RFC 9110 5.1', 'a name as it was sent', 'x-CaSe: y', 'x-CaSe', 'y'),
  accepts(
    'RFC 9110 5.2',
    'a field twice',
    get('X: 1', 'Y: 2', 'X: 3'),
    request({
      fields: [
        ['X', '1'],
        ['Y', '2'],
        ['X', '3'],
      ],
    }),
  ),
  accepts(
    'RFC 9110 5.2',
    'names that differ in case',
    get('X: 1', 'x: 2'),
    request({
      fields: [
        ['X', '1'],
        ['x', '2'],
      ],
    }),
  ),
  accepts('5', 'no field at all in HTTP/1.0', head('GET / HTTP/1.0'), request({ version: '1.0', keepAlive: false })),
  fine(
    'RFC 9110 5.5',
    'a value of eight and more, cut by a tab',
    'X: 1234567\t12345678\t9',
    'X',
    '1234567\t12345678\t9',
  ),
  refuses('5.2', 'a folded line', get('X: y', ' z')),
  refuses('5.2', 'a line folded with a tab', get('X: y', '\tz')),
  refuses('5.2', 'a folded line that looks like a field', get('X: y', ' Y: z')),
  refuses('5.2', 'a folded empty line', get('X: y', ' ')),
  refuses('2.2', 'a space before the first field', head('GET / HTTP/1.1', ' Host: a.example')),
  refuses('2.2', 'a tab before the first field', head('GET / HTTP/1.1', '\tHost: a.example')),
  refuses('5.1', 'a space before the colon', get('X : y')),
  refuses('5.1', 'a tab before the colon', get('X\t: y')),
  refuses('5.1', 'a space before the colon of Host', head('GET / HTTP/1.1', 'Host : a.example')),
  refuses('5', 'no name', get(': y')),
  refuses('5', 'no name, a colon alone', get(':')),
  refuses('5', 'no colon', get('X')),
  refuses('5', 'no colon, but a value', get('X y')),
  refuses('5', 'no colon in the last line', head('GET / HTTP/1.1', 'Host: a.example', 'garbage')),
  ...separators.map((separator) => refuses('5', `${JSON.stringify(separator)} in a name`, get(`X${separator}Y: z`))),
  ...[0x00, 0x01, 0x0b, 0x1f, 0x7f, 0x80, 0xe9, 0xff].map((code) =>
    refuses('5', `${byteName(code)} in a name`, get(`X${char(code)}: y`)),
  ),
  ...Array.from({ length: 32 }, (_, code) => code)
    .filter((code) => code !== 0x09)
    .concat(0x7f)
    .map((code) => refuses('RFC 9110 5.5', `${byteName(code)} in a value`, get(`X: a${char(code)}b`))),
  ...[0x00, 0x0a, 0x0d, 0x7f].flatMap((code) => [
    refuses('RFC 9110 5.5', `${byteName(code)} at the beginning of a value`, get(`X:${char(code)}b`)),
    refuses('RFC 9110 5.5', `${byteName(code)} at the end of a value`, get(`X: a${char(code)}`)),
    refuses(
      'RFC 9110 5.5',
      `${byteName(code)} in a long value`,
      get(`X: ${'a'.repeat(21)}${char(code)}${'b'.repeat(12)}`),
    ),
  ]),
  refuses('2.2', 'a field line that ends with LF alone', 'GET / HTTP/1.1\r\nHost: a.example\n\r\n'),
  refuses('2.2', 'a field line that ends with CR alone', 'GET / HTTP/1.1\r\nHost: a.example\rX: y\r\n\r\n'),
  refuses('2.2', 'an empty line that is LF alone', 'GET / HTTP/1.1\r\nHost: a.example\r\n\n'),
  refuses('2.2', 'an empty line that is CR and something', 'GET / HTTP/1.1\r\nHost: a.example\r\n\rX: y\r\n\r\n'),
  refuses('2.2', 'an empty line that is CR CR LF', 'GET / HTTP/1.1\r\nHost: a.example\r\n\r\r\n'),
]);
