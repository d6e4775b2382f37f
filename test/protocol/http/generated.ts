/** What fast-check makes of the grammar of HTTP/1 (RFC 9112), and what it does to it. All text is latin1. */
import fc from 'fast-check';
import { methods } from '../../../src/protocol/http/methods.js';

const among = (units: string, minLength: number, maxLength: number): fc.Arbitrary<string> =>
  fc.string({ unit: fc.constantFrom(...units), minLength, maxLength });
const seldom = <T>(arbitrary: fc.Arbitrary<T>, others: fc.Arbitrary<T>): fc.Arbitrary<T> =>
  fc.oneof({ weight: 1, arbitrary }, { weight: 4, arbitrary: others });

const token = among("aZ09!#$%&'*+-.^_`|~", 1, 6);
const blank = fc.constantFrom('', ' ', ' ', ' ', '  ', '\t', ' \t');
const name = seldom(
  token,
  fc.constantFrom(
    'X',
    'x-y',
    'Accept',
    'Cookie',
    'Set-Cookie',
    'User-Agent',
    'From',
    'Content-Type',
    'Via',
    '__proto__',
  ),
);
const value = seldom(
  among('aZ0 \t!"(),/:;<=>?@[\\]{}\x80\xa0\xff', 0, 12),
  fc.constantFrom('', 'y', 'a, b', 'a=b; c=d'),
);
const plainLine = fc
  .tuple(name, blank, value, blank)
  .map(([field, before, text, behind]) => `${field}:${before}${text}${behind}`);
/** What a body or a connection hangs on. Proxy-Connection is not here: Node goes by it, and no RFC does. */
const telling = fc.constantFrom(
  ...[
    'Connection: close',
    'Connection: keep-alive',
    'connection:KEEP-ALIVE',
    'Connection: , x, Close ,',
    'Connection: y',
  ],
  ...[
    'Connection: keep-alive, close',
    'Connection: closed',
    'Connection:',
    'Keep-Alive: timeout=5',
    'Connection: x\t,y',
  ],
  ...['Expect: 100-continue', 'Expect:100-Continue ', 'TE: trailers', 'Trailer: X', 'Connection: keep-alivex, close'],
);
const upgrade = fc.constantFrom(
  ...['Upgrade: websocket', 'Upgrade: h2c', 'Connection: Upgrade', 'Connection: keep-alive, upgrade'],
);
const host = fc.constantFrom(
  ...[
    'Host: a.example',
    'Host:a',
    'HOST: \ta.example:8080 ',
    'host: [::1]:80',
    'Host: 127.0.0.1',
    "Host: a%20~!$&'()*+,;=_:",
  ],
);

const rest = among('aZ09-._~!$&\'()*+,;=:@/?%[]{}|^`\\"<>', 0, 16);
const authority = fc.constantFrom(
  'a',
  'A.example:80',
  '[2001:db8::1]',
  '[::1]:9501',
  '127.0.0.1:',
  "a%41~!$&'()*+,;=_-",
);
const absolute = fc
  .tuple(fc.constantFrom('http', 'HTTP', 'https', 'hTTpS'), authority, fc.constantFrom('', '/', '?'), rest)
  .map(([scheme, where, mark, text]) => `${scheme}://${where}${mark}${mark === '' ? '' : text}`);
const origin = rest.map((text) => `/${text}`);
const line = fc.oneof(
  { weight: 6, arbitrary: fc.tuple(fc.constantFrom('GET', 'POST', ...methods), origin) },
  { weight: 2, arbitrary: fc.tuple(fc.constantFrom('GET', 'PUT', 'OPTIONS'), absolute) },
  { weight: 1, arbitrary: fc.constant(['OPTIONS', '*'] as const) },
);

interface Body {
  readonly lines: readonly string[];
  readonly content: string;
}

const content = seldom(
  fc.constantFrom('0\r\n\r\n', 'GET / HTTP/1.1\r\nHost: b\r\n\r\n', '\r\n'),
  among('ab\r\n\0\xff', 0, 20),
);
/** By the grammar; that of a quoted string without what Node does not know there. */
const extension = seldom(
  fc.tuple(token, token, among('a ;=!\t,', 0, 6)).map(([a, b, c]) => `;${a};${a}=${b};${b}="${c}"`),
  fc.constantFrom('', '', ';a', ';a=b', ';a="b c"'),
);
const size = fc.tuple(fc.nat(3), fc.boolean(), extension);
const sized = (length: number, [zeros, upper, more]: [number, boolean, string]): string => {
  const digits = '0'.repeat(zeros) + length.toString(16);
  return (upper ? digits.toUpperCase() : digits) + more;
};
const chunk = fc
  .tuple(size, among('ab\r\n\0\xff', 1, 18))
  .map(([form, text]) => `${sized(text.length, form)}\r\n${text}\r\n`);
const chunks = fc
  .tuple(fc.array(chunk, { maxLength: 3 }), size, fc.array(plainLine, { maxLength: 2 }))
  .map(
    ([pieces, last, lines]) =>
      `${pieces.join('')}${sized(0, last)}\r\n${lines.map((each) => `${each}\r\n`).join('')}\r\n`,
  );
const lengthLine = fc.constantFrom('Content-Length: ', 'content-length:', 'CONTENT-LENGTH:  000');
const chunkedLine = fc.constantFrom(
  'Transfer-Encoding: chunked',
  'transfer-encoding:CHUNKED ',
  'Transfer-Encoding:  Chunked',
);
const body: fc.Arbitrary<Body> = fc.oneof(
  fc.constant({ lines: [], content: '' }),
  fc.tuple(lengthLine, content).map(([field, text]) => ({ lines: [field + text.length], content: text })),
  fc.tuple(chunkedLine, chunks).map(([field, text]) => ({ lines: [field], content: text })),
);

const request = (fields: fc.Arbitrary<string>): fc.Arbitrary<string> =>
  fc
    .tuple(
      line,
      fc.constantFrom('1.1', '1.1', '1.1', '1.1', '1.0'),
      host,
      fc.array(fields, { maxLength: 4 }),
      fc.nat(5),
      body,
    )
    .map(([[method, target], version, named, others, at, { lines, content: text }]) => {
      const all = [named, ...others];
      // HTTP/1.0 has no chunks.
      all.splice(at, 0, ...lines);
      const spoken = lines.some((each) => /chunked/i.test(each)) ? '1.1' : version;
      return `${[`${method} ${target} HTTP/${spoken}`, ...all].join('\r\n')}\r\n\r\n${text}`;
    });

const usual = fc.oneof({ weight: 3, arbitrary: plainLine }, { weight: 1, arbitrary: telling });
/** Requests of one connection, one behind the other, now and then with an empty line between. */
export const pipelines = fc
  .array(fc.tuple(fc.constantFrom('', '', '', '\r\n'), request(usual)), { minLength: 1, maxLength: 3 })
  .map((all) => all.flat().join(''));
/** One that may ask for another protocol. */
export const upgrades = request(fc.oneof(usual, upgrade));
/** Each for a connection of its own: behind some of them Node reads no further. */
export const requests = fc
  .tuple(
    fc.constantFrom('', '', '', '\r\n'),
    request(fc.oneof(usual, upgrade, fc.constantFrom('Proxy-Connection: close', 'Keep-Alive: timeout=5'))),
  )
  .map(([before, text]) => before + text);

const extensionName = "[!#$%&'*+\\-.^_`|~\\dA-Za-z]+";
const extensionsOfNode = new RegExp(`^(?:;${extensionName}(?:=(?:${extensionName}|"[\\t !#-\\[\\]-~]*"))?)*$`);

/** Extensions are ignored whatever they hold (RFC 9112 7.1.1). Node wants names and values, and refuses the rest. */
export function hasStrangeExtension(text: string): boolean {
  const extensions = text.matchAll(/(?<=\r\n)[\dA-Fa-f]+(;[^\r]*)\r\n/g);
  return [...extensions].some(([, extension = '']) => !extensionsOfNode.test(extension));
}

/** Node does not know what comes after HTTP/1.1; here it is read as HTTP/1.1 (RFC 9110 2.5). */
export function asKnownVersion(text: string): string {
  return text.replace(/( HTTP\/1\.)[2-9](?=\r\n)/g, '$11');
}

/** The same of one request, whose body may look like another. */
export function asKnownVersionOfOne(request: string): string {
  return request.replace(/^([\r\n]*[^\r\n]* HTTP\/1\.)[2-9](?=\r\n)/, '$11');
}

const scrap = fc.constantFrom(
  ...[
    '\r',
    '\n',
    '\r\n',
    '\r\n\r\n',
    '\n\n',
    '\r\r\n',
    '\n\r',
    '\r\n ',
    '\r\n\t',
    '\0',
    '\t',
    ' ',
    '\x0b',
    '\x0c',
    '\x1f',
    '\x7f',
  ],
  ...[
    '\x80',
    '\x85',
    '\xa0',
    '\xff',
    ':',
    ' :',
    ';',
    ',',
    '"',
    '=',
    '0',
    '1',
    'f',
    '-',
    '+',
    '_',
    '#',
    '@',
    '%',
    '//',
    '\\',
    '0x',
    ...'+/?[].*a5',
  ],
  ...[
    'chunked',
    ', chunked',
    'chunked, ',
    ';q=1',
    'close',
    ', close',
    'HTTP/1.1',
    'HTTP/1.0',
    'HTTP/2.0',
    'GET ',
    ' HTTP/1.1\r\n',
  ],
  ...[
    '0\r\n\r\n',
    '1\r\n',
    '\r\n0\r\n\r\n',
    'Content-Length',
    'Transfer-Encoding',
    'Host',
    'ffffffffffffffff',
    '18446744073709551617',
  ],
);
const strangeLine = fc.constantFrom(
  ...[
    'Content-Length: 0',
    'Content-Length: 5',
    'Content-Length : 5',
    'Content-Length:\t5',
    'Content-Length: +5',
    'Content-Length: 0x5',
  ],
  ...[
    'Content-Length: 5, 5',
    'Content-Length: 5 5',
    'Content-Length:',
    'Content-Length: -0',
    'Content_Length: 5',
    ' Content-Length: 5',
  ],
  ...[
    'Content-Length\0: 5',
    'Content-Length: 5\x0b',
    'Content-Length: \xa05',
    'X\nContent-Length: 5',
    'Content-Length: 9007199254740993',
  ],
  ...[
    'Transfer-Encoding: chunked',
    'Transfer-Encoding : chunked',
    'Transfer-Encoding:\x0bchunked',
    'Transfer-Encoding: xchunked',
  ],
  ...[
    'Transfer-Encoding: chunked, chunked',
    'Transfer-Encoding: gzip, chunked',
    'Transfer-Encoding: chunked, gzip',
    'Transfer-Encoding:',
  ],
  ...[
    'Transfer-Encoding: identity',
    'Transfer-Encoding: "chunked"',
    'Transfer-Encoding: chunked;q=1',
    'Transfer-Encoding: ,chunked',
  ],
  ...[
    'Transfer-Encoding: chunked\t',
    'Transfer-Encoding:\tchunked',
    'Transfer_Encoding: chunked',
    '\tTransfer-Encoding: chunked',
  ],
  ...[
    'Host: b',
    'Host:',
    'Host : b',
    'Host: b/c',
    'Hos\tt: b',
    'X',
    ': y',
    'X y: z',
    'X(: y',
    '\xe9: y',
    'Expect: more',
    'Expect: 100-continue, x',
  ],
  ...[
    'Connection: close',
    'Connection: close;x',
    'Connection: keep-alive close',
    'Connection : close',
    'Upgrade: x',
    'GET / HTTP/1.1',
    '',
  ],
);

const kinds = [
  ...(['insert', 'replace', 'remove', 'repeat', 'set byte', 'flip bit', 'cut off'] as const),
  ...(['insert line', 'replace line', 'remove line', 'repeat line', 'move line'] as const),
] as const;

export interface Damage {
  readonly kind: (typeof kinds)[number];
  readonly where: number;
  readonly length: number;
  readonly scrap: string;
  readonly line: string;
  readonly byte: number;
}

export const damages: fc.Arbitrary<Damage> = fc.record({
  kind: fc.constantFrom(...kinds),
  where: fc.nat(9999),
  length: fc.integer({ min: 1, max: 5 }),
  scrap,
  line: strangeLine,
  byte: fc.nat(255),
});

export function damaged(text: string, damage: Damage): string {
  return damage.kind.endsWith('line') ? withOtherLines(text, damage) : withOtherBytes(text, damage);
}

function withOtherBytes(text: string, { kind, where, length, scrap, byte }: Damage): string {
  const at = where % (text.length + 1);
  const before = text.slice(0, at);
  if (kind === 'insert') return before + scrap + text.slice(at);
  if (kind === 'replace') return before + scrap + text.slice(at + length);
  if (kind === 'remove') return before + text.slice(at + length);
  if (kind === 'repeat') return text.slice(0, at + length) + text.slice(at);
  if (kind === 'cut off') return before;
  const other = kind === 'set byte' ? byte : text.charCodeAt(at) ^ (1 << length) || 0x20;
  return before + String.fromCharCode(other) + text.slice(at + 1);
}

function withOtherLines(text: string, { kind, where, length, line }: Damage): string {
  const lines = text.split('\r\n');
  const at = where % lines.length;
  const there = lines[at]!;
  if (kind === 'insert line') lines.splice(at, 0, line);
  else if (kind === 'repeat line') lines.splice(Math.max(0, at - length + 1), 0, there);
  else lines.splice(at, 1, ...(kind === 'replace line' ? [line] : []));
  if (kind === 'move line') lines.splice(at + length, 0, there);
  return lines.join('\r\n');
}
