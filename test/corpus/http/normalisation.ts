import { accepts, get, head, post, refuses, request, theme } from './entry.js';

const at = (target: string) =>
  accepts('3.2', `${target} stays as it is`, head(`GET ${target} HTTP/1.1`, 'Host: a'), request({ target }));

/** What is not for the reader of a head to make equal. */
export const normalisation = theme('normalisation', [
  ...[
    '/a/./b',
    '/a/../b',
    '/..',
    '/.',
    '//',
    '///a',
    '/a//b',
    '/a/',
    '/%2e%2e/',
    '/%2E',
    '/a%20b',
    '/a+b',
    '/A',
    '/%61',
    '/;a=b',
    '/a;b',
  ].map(at),
  ...[
    '/?a',
    '/?a=',
    '/?=a',
    '/?&',
    '/?a=b&a=c',
    '/?a[]=b',
    '/?a=b?c',
    '/?a=/../b',
    '/?%zz',
    '/%',
    '/%u0041',
    '/:80',
    '/@',
    "/'",
    '/"',
    '/<>',
  ].map(at),
  ...['/[', '/]', '/^', '/`', '/{}', '/|', '/~', '/*', '/!', '/$', '/,', '/\\..\\', '/http:', '/c:\\'].map(at),
  accepts(
    'RFC 9110 7.2',
    'the case of a host stays as it is',
    head('GET / HTTP/1.1', 'Host: A.Example:080'),
    request({ fields: [['Host', 'A.Example:080']] }),
  ),
  accepts(
    '3.2.2',
    'the case of a host in absolute form stays as it is',
    head('GET HTTP://A.Example:080/B HTTP/1.1', 'Host: a'),
    request({ target: 'HTTP://A.Example:080/B' }),
  ),
  accepts(
    'RFC 9110 5.1',
    'the case of names stays as it is',
    get('x-A: 1', 'X-a: 2'),
    request({
      fields: [
        ['x-A', '1'],
        ['X-a', '2'],
      ],
    }),
  ),
  accepts(
    'RFC 9110 5.2',
    'the order of fields stays as it is',
    get('B: 1', 'A: 2', 'B: 3'),
    request({
      fields: [
        ['B', '1'],
        ['A', '2'],
        ['B', '3'],
      ],
    }),
  ),
  accepts(
    'RFC 9110 5.5',
    'whitespace within a value stays as it is',
    get('X: a  b\t c'),
    request({ fields: [['X', 'a  b\t c']] }),
  ),
  accepts(
    'RFC 9110 5.6.4',
    'quotes in a value stay as they are',
    get('X: "a, b"; c="\\""'),
    request({ fields: [['X', '"a, b"; c="\\""']] }),
  ),
  accepts(
    'RFC 6265 5.4',
    'two Cookie fields stay two',
    get('Cookie: a=b', 'Cookie: c=d'),
    request({
      fields: [
        ['Cookie', 'a=b'],
        ['Cookie', 'c=d'],
      ],
    }),
  ),
  accepts(
    '6',
    'a body stays as it is',
    `${head('POST / HTTP/1.1', 'Host: a', 'Content-Length: 8')}\r\na\nb\r\0\xe9`,
    post('\r\na\nb\r\0\xe9'),
  ),
  accepts(
    '6',
    'a coding of the content is not undone',
    `${head('POST / HTTP/1.1', 'Host: a', 'Content-Encoding: gzip', 'Content-Length: 2')}\x1f\x8b`,
    post('\x1f\x8b'),
  ),
  refuses('3', 'the case of a method is not made equal', head('Get / HTTP/1.1', 'Host: a'), 501),
  refuses('2.3', 'the case of HTTP is not made equal', head('GET / Http/1.1', 'Host: a')),
]);
