import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Headers, parseFields, toHeaders } from '../../../src/protocol/http/fields.js';
import { methods } from '../../../src/protocol/http/methods.js';
import { corpus, corpusLimits } from '../../corpus/http/index.js';
import { type NodeReading, readByNode } from './node-parser.js';
import { Reader, type ReadRequest } from './reader.js';

const runs = process.env['SOAK'] === '1' ? 42_000 : 4200;
const mutants = 4;

// Well-formed by the grammar.

const text = (units: string, maxLength: number): fc.Arbitrary<string> =>
  fc.string({ unit: fc.constantFrom(...units), maxLength });
const tokens = fc.constantFrom(
  'X',
  'x-y',
  'Accept',
  'Cookie',
  'Set-Cookie',
  'User-Agent',
  "!#$%&'*+-.^_`|~0",
  'From',
  '__proto__',
);
const value = text('aZ09 \t,;="\'():/\\\x80\xa0\xff', 24);
const fieldLine = fc
  .tuple(tokens, fc.constantFrom('', ' ', '\t', ' \t '), value)
  .map(([name, blank, text]) => `${name}:${blank}${text}`);
const special = fc.constantFrom(
  ...['Connection: keep-alive', 'Connection: close', 'Connection: , x', 'connection:Upgrade', 'Upgrade: websocket'],
  ...['Expect: 100-continue', 'Keep-Alive: timeout=5', 'Proxy-Connection: close', 'TE: trailers', 'Trailer: X'],
);
const host = fc.constantFrom('Host: a.example', 'host:a', 'HOST: \t[::1]:80 ', 'Host: 127.0.0.1:9501', 'Host: a%20b:');
const path = text('aZ09-._~!$&\'()*+,;=:@/?%[]{}|^`\\"<>', 24).map((rest) => `/${rest}`);
const target = fc.oneof(
  { weight: 6, arbitrary: path },
  fc
    .tuple(
      fc.constantFrom('http://a', 'HTTPS://a.b:80', 'http://[::1]', 'http://1.2.3.4:', "http://!$&'()*+,;=~_%41"),
      path,
    )
    .map(([origin, rest]) => origin + rest),
  fc.constantFrom('http://a', 'http://a?b', 'https://a:1?', '*'),
);
const bytes = fc.string({ unit: fc.constantFrom(...'aZ0 \r\n\0\x7f\xff:'), maxLength: 30 });
const size = (length: number, style: number): string =>
  style === 0
    ? length.toString(16)
    : length
        .toString(16)
        .toUpperCase()
        .padStart(1 + style, '0');
const extension = fc.constantFrom('', '', '', ';a', ';a=b', ';a="b c"', ';a=b;c=d');
const chunk = fc
  .tuple(bytes, fc.nat(4), extension)
  .map(([body, style, more]) => (body === '' ? '' : `${size(body.length, style)}${more}\r\n${body}\r\n`));
const chunkedBody = fc
  .tuple(
    fc.array(chunk, { maxLength: 3 }),
    fc.constantFrom('0', '000'),
    extension,
    fc.array(fieldLine, { maxLength: 2 }),
  )
  .map(
    ([parts, last, more, lines]) =>
      `${parts.join('')}${last}${more}\r\n${lines.map((line) => `${line}\r\n`).join('')}\r\n`,
  );
const body = fc.oneof(
  fc.constant({ line: [] as string[], content: '' }),
  bytes.map((content) => ({ line: [`Content-Length: ${content.length}`], content })),
  bytes.map((content) => ({ line: [`content-length:  000${content.length} `], content })),
  chunkedBody.map((content) => ({ line: ['Transfer-Encoding: chunked'], content })),
  chunkedBody.map((content) => ({ line: ['transfer-encoding:CHUNKED  '], content })),
);
const wellFormed = fc
  .record({
    before: fc.constantFrom('', '', '', '\r\n'),
    method: fc.oneof(fc.constantFrom('GET', 'POST', 'OPTIONS'), fc.constantFrom(...methods)),
    target,
    version: fc.constantFrom('1.1', '1.1', '1.1', '1.0'),
    host,
    fields: fc.array(fc.oneof({ weight: 3, arbitrary: fieldLine }, special), { maxLength: 5 }),
    at: fc.nat(5),
    body,
  })
  .map(({ before, method, target, version, host, fields, at, body }) => {
    const lines = [host, ...fields];
    lines.splice(Math.min(at, lines.length), 0, ...body.line);
    return `${before}${[`${method} ${target} HTTP/${version}`, ...lines].join('\r\n')}\r\n\r\n${body.content}`;
  });

// Damage.

const scrap = fc.constantFrom(
  ...[
    '\r',
    '\n',
    '\r\n',
    '\r\n\r\n',
    ' ',
    '\t',
    '\0',
    '\x0b',
    '\x7f',
    '\x80',
    '\xff',
    ':',
    ',',
    ';',
    '0',
    '5',
    'a',
    '-',
    '+',
  ],
  ...[
    '#',
    '%',
    '@',
    '*',
    '/',
    '?',
    '[',
    ']',
    '"',
    '=',
    '.',
    '_',
    '\r\n ',
    '\n\n',
    '0x',
    'chunked',
    ', chunked',
    ';x',
    'close',
  ],
  ...['\r\nContent-Length: 5', '\r\nTransfer-Encoding: chunked', '\r\nTransfer-Encoding: gzip', '\r\nHost: b', '\r\nX'],
  ...[
    '\r\nConnection: close',
    '\r\nExpect: x',
    '\r\nUpgrade: h2c',
    ' HTTP/1.1',
    'HTTP/1.0',
    'GET ',
    'http://',
    '0\r\n\r\n',
    '1\r\n',
  ],
);
interface Damage {
  readonly where: number;
  readonly kind: 'insert' | 'replace' | 'remove' | 'repeat' | 'flip';
  readonly scrap: string;
  readonly length: number;
}
const damage: fc.Arbitrary<Damage> = fc.record({
  where: fc.nat(9999),
  kind: fc.constantFrom('insert', 'replace', 'remove', 'repeat', 'flip'),
  scrap,
  length: fc.integer({ min: 1, max: 6 }),
});

function damaged(stream: string, { where, kind, scrap, length }: Damage): string {
  const at = where % (stream.length + 1);
  const before = stream.slice(0, at);
  const after = stream.slice(at + length);
  if (kind === 'insert') return before + scrap + stream.slice(at);
  if (kind === 'replace') return before + scrap + after;
  if (kind === 'remove') return before + after;
  if (kind === 'repeat') return before + stream.slice(Math.max(0, at - 5 * length));
  return before + String.fromCharCode(stream.charCodeAt(at) ^ (1 << length) || 0x20) + stream.slice(at + 1);
}

// The two readers.

interface Accepted {
  readonly request: ReadRequest;
  readonly bytes: Buffer;
}

function readByUs(stream: string, cut: number): Accepted[] {
  const all = Buffer.from(stream, 'latin1');
  const reader = new Reader(corpusLimits);
  reader.take(all, cut % (all.length + 1));
  reader.take(all, all.length);
  const { requests, ends } = reader;
  return requests.map((request, index) => ({ request, bytes: all.subarray(ends[index - 1] ?? 0, ends[index]) }));
}

const token = "[!#$%&'*+\\-.^_`|~\\dA-Za-z]+";
const known = new RegExp(`^(?:;${token}(?:=(?:${token}|"[\\t !#-\\[\\]-~]*"))?)*$`);

/** RFC 9112 has us ignore extensions, so what they are made of is not looked at; Node wants names and values. */
function hasStrangeExtension(bytes: Buffer): boolean {
  const extensions = bytes.toString('latin1').matchAll(/\r\n[\dA-Fa-f]+(;[^\r]*)(?=\r\n)/g);
  return [...extensions].some(([, extension = '']) => !known.test(extension));
}

/** Node's object has a prototype, so this one name is lost there. */
function withoutProto({ ['__proto__']: _, ...headers }: Headers): Headers {
  return headers;
}

function expectSame({ request, bytes }: Accepted, node: NodeReading): void {
  if (hasStrangeExtension(bytes)) return;
  const what = JSON.stringify(bytes.toString('latin1'));
  expect(node.error, `Node refuses what we accept: ${what}`).toBe('');
  const { method, target, version, rawHeaders, body, trailers } = request;
  const headers = withoutProto(toHeaders(rawHeaders));
  const rawTrailers = parseFields(trailers);
  const ours = { method, target, version, rawHeaders, headers, body, rawTrailers, isWhole: true };
  const byNode = node.requests.map((each) => ({ ...each, headers: { ...each.headers } }));
  if (!isDeepStrictEqual(byNode, [ours])) expect(byNode, what).toEqual([ours]);
}

/**
 * Each request on a connection of its own: where one ends in the same place for Node, it must be whole and alone there. On
 * one connection, Node goes by Proxy-Connection and stops at each Upgrade.
 * @returns how many of the streams begin with a request that is accepted
 */
async function expectNodeAgrees(streams: readonly string[], cut: number): Promise<number> {
  const read = streams.map((stream) => readByUs(stream, cut));
  const accepted = read.flat();
  const node = await readByNode(accepted.map(({ bytes }) => bytes));
  for (const [index, each] of accepted.entries()) expectSame(each, node[index]!);
  return read.filter(({ length }) => length > 0).length;
}

describe("beside Node's own parser", () => {
  it('reads well-formed requests, and accepts of damaged ones what Node accepts, in the same sense', async () => {
    let accepted = 0;
    const streams = fc.array(wellFormed, { minLength: 1, maxLength: 2 }).map((requests) => requests.join(''));
    await fc.assert(
      fc.asyncProperty(
        streams,
        fc.array(damage, { minLength: mutants, maxLength: mutants }),
        fc.nat(),
        async (stream, damages, cut) => {
          const twice = damages.slice(1).reduce(damaged, stream);
          accepted += await expectNodeAgrees(
            [stream, ...damages.slice(1).map((each) => damaged(stream, each)), twice],
            cut,
          );
        },
      ),
      { numRuns: runs },
    );
    // It says nothing if hardly anything is accepted, or hardly anything is not.
    const all = runs * (mutants + 1);
    expect(accepted / all).toBeGreaterThan(0.2);
    expect(accepted / all).toBeLessThan(0.9);
  }, 600_000);

  it('means the same as Node by what the corpus says is accepted', async () => {
    const streams = corpus.map((entry) => entry.bytes);
    expect(await expectNodeAgrees(streams, 0)).toBeGreaterThan(200);
  });
});
