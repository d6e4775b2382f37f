import { accepts, byteName, get, head, post, posted, refuses, request, theme } from './entry.js';

const HIDDEN = 'GET /admin HTTP/1.1\r\nHost: a.example\r\n\r\n';
const CHUNKED = 'Transfer-Encoding: chunked';
const smuggled = (...lines: string[]): string => posted(`0\r\n\r\n${HIDDEN}`, ...lines);

/** Requests made to be read in two ways by two readers. */
export const smuggling = theme('smuggling', [
  refuses('6.1', 'CL.TE', smuggled('Content-Length: 6', CHUNKED)),
  refuses('6.1', 'TE.CL', smuggled(CHUNKED, 'Content-Length: 6')),
  refuses('6.1', 'TE.TE with a second, strange coding', smuggled(CHUNKED, 'Transfer-Encoding: cow')),
  refuses('6.1', 'TE.TE with a first, strange coding', smuggled('Transfer-Encoding: cow', CHUNKED), 501),
  refuses('6.3', 'CL.CL', smuggled('Content-Length: 5', 'Content-Length: 0')),
  refuses('6.3', 'CL.CL in one field', smuggled('Content-Length: 5, 0')),
  refuses(
    '6.1',
    'a length and an obscured Transfer-Encoding',
    smuggled('Content-Length: 6', 'Transfer-Encoding: xchunked'),
  ),
  refuses(
    '5.1',
    'a space before the colon of Transfer-Encoding and a length',
    smuggled('Content-Length: 6', 'Transfer-Encoding : chunked'),
  ),
  refuses(
    '5.2',
    'a Transfer-Encoding that is folded into another field',
    smuggled('X: y', ' Transfer-Encoding: chunked'),
  ),
  refuses('5.2', 'a Transfer-Encoding behind a tab', smuggled('X: y', '\tTransfer-Encoding: chunked')),
  refuses('2.2', 'a Transfer-Encoding behind a bare LF', smuggled('X: y\nTransfer-Encoding: chunked')),
  refuses('2.2', 'a Transfer-Encoding behind a bare CR', smuggled('X: y\rTransfer-Encoding: chunked')),
  refuses('2.2', 'a Transfer-Encoding behind a NUL', smuggled('X: y\0Transfer-Encoding: chunked')),
  refuses('2.2', 'a length behind a bare LF', smuggled('X: y\nContent-Length: 5')),
  refuses('2.2', 'a Host behind a bare LF', get('X: y\nHost: b')),
  ...[0x00, 0x0b, 0x0c, 0x1f, 0x7f, 0x85, 0xa0].flatMap((code) => [
    refuses(
      '5.1',
      `${byteName(code)} behind the name Transfer-Encoding`,
      smuggled(`Transfer-Encoding${String.fromCharCode(code)}: chunked`),
    ),
    refuses(
      '5.1',
      `${byteName(code)} before the name Transfer-Encoding`,
      smuggled(`${String.fromCharCode(code)}Transfer-Encoding: chunked`),
    ),
    refuses('6.2', `${byteName(code)} before a length`, smuggled(`Content-Length:${String.fromCharCode(code)}5`)),
    refuses('6.2', `${byteName(code)} behind a length`, smuggled(`Content-Length: 5${String.fromCharCode(code)}`)),
  ]),
  refuses('7.1', 'a chunk size that overflows 32 bits', smuggled(CHUNKED).replace('0\r\n\r\n', '100000000\r\n'), 413),
  refuses(
    '7.1',
    'a chunk size that overflows 64 bits',
    smuggled(CHUNKED).replace('0\r\n\r\n', '10000000000000000\r\n\r\n'),
  ),
  refuses('7.1', 'a chunk size that is hexadecimal by a prefix', posted('0x5\r\nhello\r\n0\r\n\r\n', CHUNKED)),
  refuses('7.1', 'a chunk size with a space behind it', posted('5 \r\nhello\r\n0\r\n\r\n', CHUNKED)),
  refuses('7.1', 'TERM.EXT: an extension that ends with LF alone', posted(`5;\nhello\r\n0\r\n\r\n`, CHUNKED)),
  refuses('7.1', 'TERM.SPILL: a chunk whose end is LF alone', posted(`5\r\nhello\n0\r\n\r\n`, CHUNKED)),
  refuses('7.1', 'a chunk whose end is something else of two bytes', posted(`5\r\nhelloXX0\r\n\r\n`, CHUNKED)),
  refuses('7.1.2', 'a length among the trailers', posted(`0\r\nContent-Length: 50\r\n\r\n`, CHUNKED)),
  accepts(
    '9.3',
    'GET with a length hides nothing',
    head('GET / HTTP/1.1', 'Host: a.example', `Content-Length: ${HIDDEN.length}`) + HIDDEN,
    request({ body: HIDDEN }),
  ),
  accepts(
    '9.3',
    'what is behind the last chunk is a request',
    smuggled(CHUNKED),
    post(''),
    request({ target: '/admin' }),
  ),
  accepts(
    '9.3',
    'a request in a chunk is a body',
    posted(`${HIDDEN.length.toString(16)}\r\n${HIDDEN}\r\n0\r\n\r\n`, CHUNKED),
    post(HIDDEN),
  ),
  refuses(
    '3',
    'a request hidden in a request line',
    'GET / HTTP/1.1\nHost: a\n\nGET /admin HTTP/1.1\r\nHost: a.example\r\n\r\n',
  ),
  refuses('3', 'a version within a target', head('GET / HTTP/1.1 HTTP/1.1', 'Host: a')),
  refuses('3', 'a method within a target', head('GET GET / HTTP/1.1', 'Host: a')),
  refuses('6.1', 'HTTP/1.0 with Transfer-Encoding and a length', head('POST / HTTP/1.0', CHUNKED, 'Content-Length: 5')),
  refuses('6.3', 'a length in hexadecimal', smuggled('Content-Length: 0x5')),
  refuses('6.3', 'a signed length', smuggled('Content-Length: +5')),
  refuses('3.2', 'two hosts in one field', head('GET / HTTP/1.1', 'Host: a.example, b.example')),
  refuses('3.2', 'a host with a path', head('GET / HTTP/1.1', 'Host: a.example/admin')),
  refuses('3.2', 'a host with userinfo', head('GET / HTTP/1.1', 'Host: a.example@b.example')),
]);
