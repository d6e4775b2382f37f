import { accepts, corpusLimits, get, head, post, posted, refuses, request, theme } from './entry.js';

const { lineBytes, headerBytes, headerCount, bodyBytes, extensionBytes, trailerBytes, trailerCount } = corpusLimits;
const HOST = 'Host: a.example';
const target = (lineLength: number): string => `/${'a'.repeat(lineLength - 'GET / HTTP/1.1'.length)}`;
const line = (lineLength: number): string => head(`GET ${target(lineLength)} HTTP/1.1`, HOST);
/** Field lines of so many bytes in all. */
const fieldBytes = (bytes: number): string => get(`X: ${'y'.repeat(bytes - `${HOST}\r\nX: \r\n`.length)}`);
const fieldCount = (count: number): string => get(...Array.from({ length: count - 1 }, () => 'X:'));
const chunked = (body: string): string => posted(body, 'Transfer-Encoding: chunked');
const many = (count: number): string => 'x'.repeat(count);
const trailers = (lines: string): string => chunked(`0\r\n${lines}\r\n`);
const trailer = (bytes: number): string => `X: ${many(bytes - 5)}\r\n`;

export const limits = theme('limits', [
  accepts('3', 'the longest request line', line(lineBytes), request({ target: target(lineBytes) })),
  refuses('3', 'a request line one byte too long', line(lineBytes + 1), 414),
  refuses('3', 'a request line far too long', line(lineBytes + 500), 414),
  refuses('3', 'a request line that does not end', `GET /${many(lineBytes + 500)}`, 414),
  refuses('3', 'a request line that is too long and wrong behind that', `GET /${many(lineBytes)}\0`, 414),
  refuses('3', 'a request line that is wrong and then too long', `GET /\0${many(lineBytes)}`),
  refuses(
    '3',
    'a line too long in absolute form',
    head(`GET http://a.example${target(lineBytes)} HTTP/1.1`, HOST),
    414,
  ),
  accepts(
    '3',
    'the empty line before the longest request line does not count',
    `\r\n${line(lineBytes)}`,
    request({ target: target(lineBytes) }),
  ),
  accepts('5', 'the longest fields', fieldBytes(headerBytes)),
  refuses('5', 'fields one byte too long', fieldBytes(headerBytes + 1), 431),
  refuses('5', 'fields two bytes too long', fieldBytes(headerBytes + 2), 431),
  refuses('5', 'fields far too long', fieldBytes(headerBytes + 500), 431),
  refuses('5', 'a value that does not end', `GET / HTTP/1.1\r\nX: ${many(headerBytes)}`, 431),
  refuses('5', 'a name that does not end', `GET / HTTP/1.1\r\n${many(headerBytes + 1)}`, 431),
  refuses('5', 'fields that are too long and wrong behind that', `GET / HTTP/1.1\r\nX: ${many(headerBytes)}\0`, 431),
  refuses('5', 'fields that are wrong and then too long', `GET / HTTP/1.1\r\nX: \0${many(headerBytes)}`),
  refuses(
    '5',
    'a line too many behind the longest fields',
    fieldBytes(headerBytes).replace(/\r\n$/, 'Y:\r\n\r\n'),
    431,
  ),
  accepts('5', 'the most fields', fieldCount(headerCount)),
  refuses('5', 'a field too many', fieldCount(headerCount + 1), 431),
  refuses('5', 'many fields too many', fieldCount(headerCount + 50), 431),
  accepts(
    '6',
    'the largest body by length',
    posted(many(bodyBytes), `Content-Length: ${bodyBytes}`),
    post(many(bodyBytes)),
  ),
  refuses('6', 'a body by length that is too large', posted('', `Content-Length: ${bodyBytes + 1}`), 413),
  accepts(
    '7.1',
    'the largest body of one chunk',
    chunked(`${bodyBytes.toString(16)}\r\n${many(bodyBytes)}\r\n0\r\n\r\n`),
    post(many(bodyBytes)),
  ),
  accepts(
    '7.1',
    'the largest body of two chunks',
    chunked(`${(bodyBytes - 1).toString(16)}\r\n${many(bodyBytes - 1)}\r\n1\r\nx\r\n0\r\n\r\n`),
    post(many(bodyBytes)),
  ),
  refuses('7.1', 'a chunk that is too large', chunked(`${(bodyBytes + 1).toString(16)}\r\n`), 413),
  refuses(
    '7.1',
    'a second chunk that makes the body too large',
    chunked(`${bodyBytes.toString(16)}\r\n${many(bodyBytes)}\r\n1\r\n`),
    413,
  ),
  accepts('7.1.1', 'the longest extension', chunked(`0;${many(extensionBytes - 1)}\r\n\r\n`), post('')),
  refuses('7.1.1', 'an extension one byte too long', chunked(`0;${many(extensionBytes)}\r\n\r\n`)),
  refuses('7.1.1', 'an extension that does not end', chunked(`1;${many(extensionBytes + 500)}`)),
  refuses('7.1.1', 'extensions that are too long together', chunked(`1;a\r\nx\r\n`.repeat(extensionBytes / 2 + 1))),
  accepts(
    '7.1.2',
    'the longest trailer field',
    trailers(trailer(trailerBytes)),
    post('', { trailers: trailer(trailerBytes) }),
  ),
  refuses('7.1.2', 'a trailer field one byte too long', trailers(trailer(trailerBytes + 1)), 431),
  refuses('7.1.2', 'a trailer field two bytes too long', trailers(trailer(trailerBytes + 2)), 431),
  refuses('7.1.2', 'a trailer name that does not end', chunked(`0\r\n${many(trailerBytes + 1)}`), 431),
  accepts(
    '7.1.2',
    'the most trailer fields',
    trailers('X:\r\n'.repeat(trailerCount)),
    post('', { trailers: 'X:\r\n'.repeat(trailerCount) }),
  ),
  refuses('7.1.2', 'a trailer field too many', trailers('X:\r\n'.repeat(trailerCount + 1)), 431),
]);
