import { accepts, byteName, get, head, post, posted, refuses, request, theme } from './entry.js';

const closing = request({ keepAlive: false });
const old = (...lines: string[]): string => head('GET / HTTP/1.0', ...lines);
const oldKept = request({ version: '1.0' });
const oldClosing = request({ version: '1.0', keepAlive: false });

export const connections = theme('connection', [
  accepts('9.3', 'HTTP/1.1 is kept alive', get()),
  accepts('9.3', 'HTTP/1.0 is not', old(), oldClosing),
  accepts('9.3', 'HTTP/1.1 with keep-alive', get('Connection: keep-alive')),
  ...[
    'close',
    'Close',
    'CLOSE',
    ' close ',
    'close,',
    ',close',
    ', ,close',
    'x, close',
    'close,x',
    'keep-alive, close',
    'close, keep-alive',
    'x\t,\tclose',
  ].map((value) => accepts('9.6', `HTTP/1.1 ends with ${JSON.stringify(value)}`, get(`Connection: ${value}`), closing)),
  ...['', ' ', ',', 'x', 'closed', 'clos', 'x-close', 'close-x', 'keep-alive', 'Keep-Alive', 'keepalive', 'TE, x'].map(
    (value) => accepts('9.3', `HTTP/1.1 goes on with ${JSON.stringify(value)}`, get(`Connection: ${value}`)),
  ),
  ...['keep-alive', 'Keep-Alive', 'KEEP-ALIVE', 'x, keep-alive', 'keep-alive,x', ',keep-alive'].map((value) =>
    accepts('9.3', `HTTP/1.0 goes on with ${JSON.stringify(value)}`, old(`Connection: ${value}`), oldKept),
  ),
  ...['', 'close', 'x', 'keepalive', 'keep-alive-x', 'keep-alive, close', 'close, keep-alive'].map((value) =>
    accepts('9.3', `HTTP/1.0 ends with ${JSON.stringify(value)}`, old(`Connection: ${value}`), oldClosing),
  ),
  accepts('9.6', 'close in the second of two fields', get('Connection: keep-alive', 'Connection: close'), closing),
  accepts('9.6', 'close in the first of two fields', get('Connection: close', 'Connection: keep-alive'), closing),
  accepts(
    '9.3',
    'keep-alive in the second of two fields of HTTP/1.0',
    old('Connection: x', 'Connection: keep-alive'),
    oldKept,
  ),
  accepts('9.6', 'Proxy-Connection says nothing', get('Proxy-Connection: close')),
  accepts('9.3', 'Keep-Alive alone says nothing', old('Keep-Alive: timeout=5'), oldClosing),
  ...[
    'a b',
    'close x',
    '"close"',
    'close;x',
    'close=1',
    '(close)',
    'a/b',
    'close\xe9',
    'keep-alive: x',
    '@',
    '[close]',
  ].map((value) =>
    refuses('RFC 9110 7.6.1', `${JSON.stringify(value)} is no list of options`, get(`Connection: ${value}`)),
  ),
  ...[0x00, 0x0b, 0x7f].map((code) =>
    refuses(
      'RFC 9110 5.5',
      `${byteName(code)} in a list of options`,
      get(`Connection: close${String.fromCharCode(code)}`),
    ),
  ),

  ...['100-continue', '100-Continue', '100-CONTINUE', '\t100-continue '].map((value) =>
    accepts(
      'RFC 9110 10.1.1',
      `Expect: ${JSON.stringify(value)}`,
      posted('ab', `Expect: ${value}`, 'Content-Length: 2'),
      post('ab', { expectsContinue: true }),
    ),
  ),
  accepts(
    'RFC 9110 10.1.1',
    'Expect of a chunked body',
    posted('0\r\n\r\n', 'Transfer-Encoding: chunked', 'Expect: 100-continue'),
    post('', { expectsContinue: true }),
  ),
  accepts('RFC 9110 10.1.1', 'Expect without a body', get('Expect: 100-continue'), request({ expectsContinue: true })),
  ...[
    '',
    'x',
    '100',
    '100-continu',
    '100-continuee',
    '100-continue, x',
    '100-continue;a=b',
    '100-continue, 100-continue',
    '200-ok',
    '"100-continue"',
  ].map((value) =>
    refuses(
      'RFC 9110 10.1.1',
      `Expect: ${value} cannot be met`,
      posted('ab', `Expect: ${value}`, 'Content-Length: 2'),
      417,
    ),
  ),
  refuses('RFC 9110 10.1.1', 'two Expect fields', get('Expect: 100-continue', 'Expect: 100-continue'), 417),
  ...['100-continue', 'x', ''].map((value) =>
    accepts('RFC 9110 10.1.1', `Expect: ${value} of HTTP/1.0 is nothing`, old(`Expect: ${value}`), oldClosing),
  ),

  accepts('RFC 9110 7.8', 'an upgrade', get('Connection: Upgrade', 'Upgrade: websocket'), request({ isUpgrade: true })),
  accepts(
    'RFC 9110 7.8',
    'an upgrade, the fields the other way round',
    get('Upgrade: websocket', 'Connection: upgrade'),
    request({ isUpgrade: true }),
  ),
  accepts(
    'RFC 9110 7.8',
    'an upgrade among other options',
    get('Connection: keep-alive, UPGRADE', 'Upgrade: a/1, b'),
    request({ isUpgrade: true }),
  ),
  accepts(
    'RFC 9110 7.8',
    'an upgrade in the second Connection field',
    get('Connection: x', 'Upgrade: a', 'Connection: upgrade'),
    request({ isUpgrade: true }),
  ),
  accepts(
    'RFC 9110 7.8',
    'an upgrade of a connection that shall close',
    get('Connection: close, upgrade', 'Upgrade: a'),
    request({ isUpgrade: true, keepAlive: false }),
  ),
  accepts('RFC 9110 7.8', 'Upgrade without the option', get('Upgrade: websocket')),
  accepts('RFC 9110 7.8', 'Upgrade with another option', get('Upgrade: websocket', 'Connection: upgraded')),
  accepts('RFC 9110 7.8', 'the option without Upgrade', get('Connection: upgrade')),
  accepts(
    'RFC 9110 7.8',
    'Upgrade of HTTP/1.0 is nothing',
    old('Connection: upgrade', 'Upgrade: websocket'),
    oldClosing,
  ),
]);
