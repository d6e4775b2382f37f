/**
 * What clients may send and may not, by the sections of RFC 6455 and RFC 7692 that say so: one table, for the reactor on
 * fakes and for whole servers. The texts of messages are latin1: a byte is a character.
 */
import { deflateRawSync } from 'node:zlib';
import { clientFrame, closePayload, type FrameFields, Op } from './websocket-frames.js';

/** `maxMessageBytes` of the servers that the table is for. */
export const LIMIT = 100_000;

export interface WebSocketCase {
  readonly section: string;
  readonly title: string;
  readonly frames: readonly Buffer[];
  /** permessage-deflate was agreed upon. */
  readonly deflate?: boolean;
  /** What the worker gets, inflated: 't' or 'b', and the payload. */
  readonly messages?: readonly string[];
  /** Payloads of the pongs that the client gets. */
  readonly pongs?: readonly string[];
  /** How it ends; missing: it stays open. */
  readonly close?: number;
  /** Whose close that is: the client's, where nobody says otherwise and `reason` is set. */
  readonly reason?: string;
}

type Row = Omit<WebSocketCase, 'section'>;
type Fields = FrameFields;

export const text = (payload: string | Buffer, fields?: Fields): Buffer => clientFrame(Op.text, payload, fields);
export const binary = (payload: string | Buffer, fields?: Fields): Buffer => clientFrame(Op.binary, payload, fields);
export const more = (payload: string | Buffer, fields?: Fields): Buffer =>
  clientFrame(Op.continuation, payload, fields);
export const ping = (payload: string | Buffer = '', fields?: Fields): Buffer => clientFrame(Op.ping, payload, fields);
export const pong = (payload: string | Buffer = '', fields?: Fields): Buffer => clientFrame(Op.pong, payload, fields);
export const close = (payload: string | Buffer = '', fields?: Fields): Buffer => clientFrame(Op.close, payload, fields);

const first = { fin: false };
const bytes = (...values: number[]): Buffer => Buffer.from(values);
const hex = (digits: string): Buffer => Buffer.from(digits.replaceAll(' ', ''), 'hex');
const latin1 = (payload: string | Buffer): string => Buffer.from(payload as string).toString('latin1');
const asText = (payload: string | Buffer): string => `t${latin1(payload)}`;
const asBinary = (payload: string | Buffer): string => `b${latin1(payload)}`;
const deflated = (payload: string | Buffer): Buffer => {
  const whole = deflateRawSync(Buffer.from(payload as string), { finishFlush: 2 }); // Z_SYNC_FLUSH
  return whole.subarray(0, -4);
};

const refused = (title: string, ...frames: Buffer[]): Row => ({ title, frames, close: 1002 });

const masking: readonly Row[] = [
  refused('a text that is not masked', text('a', { mask: null })),
  refused('an empty text that is not masked', text('', { mask: null })),
  refused('a binary message that is not masked', binary('abc', { mask: null })),
  refused('a ping that is not masked', ping('', { mask: null })),
  refused('a close that is not masked', close(closePayload(1000), { mask: null })),
  refused('a continuation that is not masked', text('a', first), more('b', { mask: null })),
  { ...refused('what is not masked behind a message', text('a'), text('b', { mask: null })), messages: ['ta'] },
  { title: 'a mask of zeros', frames: [text('zeros', { mask: 0 })], messages: ['tzeros'] },
  { title: 'a mask of ones', frames: [binary('ones', { mask: 0xffffffff })], messages: ['bones'] },
  {
    title: 'a mask for each fragment',
    frames: [text('abc', { ...first, mask: 0x01020304 }), more('defgh', { mask: 0xf0e0d0c0 })],
    messages: ['tabcdefgh'],
  },
];

const reservedBits: readonly Row[] = [1, 2, 3, 4, 5, 6, 7].flatMap((rsv) => [
  refused(`RSV ${rsv} on a text`, text('a', { rsv })),
  refused(`RSV ${rsv} on a ping`, ping('a', { rsv })),
  refused(`RSV ${rsv} on a close`, close(closePayload(1000), { rsv })),
  refused(`RSV ${rsv} on a continuation`, text('a', first), more('b', { rsv })),
]);

const opcodes: readonly Row[] = [3, 4, 5, 6, 7, 11, 12, 13, 14, 15].flatMap((opcode) => [
  refused(`opcode ${opcode}`, clientFrame(opcode)),
  { ...refused(`opcode ${opcode} behind a message`, text('a'), clientFrame(opcode, 'b')), messages: ['ta'] },
]);

const lengths: readonly Row[] = [0, 1, 2, 3, 4, 7, 8, 124, 125, 126, 127, 128, 65_535, 65_536, LIMIT].flatMap((n) => [
  { title: `a text of ${n} bytes`, frames: [text('x'.repeat(n))], messages: [`t${'x'.repeat(n)}`] },
  { title: `${n} bytes`, frames: [binary(Buffer.alloc(n, 0xfe))], messages: [asBinary(Buffer.alloc(n, 0xfe))] },
]);

const longer = (length: number | bigint, lengthBits: 16 | 64): Buffer =>
  binary(Buffer.alloc(Math.min(Number(length), 70_000)), { length, lengthBits });

const lengthForms: readonly Row[] = [
  ...[0, 1, 125].map((n) => refused(`a length of ${n} in 16 bits`, longer(n, 16))),
  ...[0, 125, 126, 65_535].map((n) => refused(`a length of ${n} in 64 bits`, longer(n, 64))),
  ...[2n ** 63n, 2n ** 64n - 1n, 2n ** 53n].map((n) => refused(`a length of ${n}`, binary('', { length: n }))),
  ...[BigInt(LIMIT + 1), 2n ** 31n, 2n ** 32n, 2n ** 40n, 2n ** 53n - 1n].map((n) => ({
    title: `a length of ${n}, above the limit`,
    frames: [binary('', { length: n })],
    close: 1009,
  })),
  {
    title: 'fragments that are too long together',
    frames: [binary(Buffer.alloc(LIMIT), first), more(Buffer.alloc(0), first), more('x')],
    close: 1009,
  },
  {
    title: 'a control frame in fragments that are as long as a message may be',
    frames: [binary(Buffer.alloc(LIMIT - 1), first), ping('12345'), more('x')],
    messages: [asBinary(Buffer.concat([Buffer.alloc(LIMIT - 1), Buffer.from('x')]))],
    pongs: ['12345'],
  },
];

const severalFrames: readonly Row[] = [
  {
    title: 'ten frames in one write',
    frames: Array.from({ length: 10 }, (_, index) => (index % 2 === 0 ? text(`m${index}`) : binary(`m${index}`))),
    messages: Array.from({ length: 10 }, (_, index) => `${index % 2 === 0 ? 't' : 'b'}m${index}`),
  },
  { title: 'the examples of 5.7', frames: [hex('81 85 37fa213d 7f9f4d5158')], messages: ['tHello'] },
  { title: 'the ping of 5.7', frames: [hex('89 85 37fa213d 7f9f4d5158')], pongs: ['Hello'] },
];

const fragments: readonly Row[] = [
  { title: 'two fragments', frames: [text('Hel', first), more('lo')], messages: ['tHello'] },
  { title: 'three', frames: [binary('a', first), more('b', first), more('c')], messages: ['babc'] },
  { title: 'an empty first one', frames: [text('', first), more('a')], messages: ['ta'] },
  { title: 'an empty last one', frames: [text('a', first), more('')], messages: ['ta'] },
  { title: 'an empty one between', frames: [text('a', first), more('', first), more('b')], messages: ['tab'] },
  { title: 'nothing but empty ones', frames: [binary('', first), more('', first), more('')], messages: ['b'] },
  {
    title: 'thirty of one byte',
    frames: [text('a', first), ...Array.from({ length: 28 }, () => more('b', first)), more('c')],
    messages: [`ta${'b'.repeat(28)}c`],
  },
  {
    title: 'two messages in fragments',
    frames: [text('a', first), more('b'), binary('c', first), more('d')],
    messages: ['tab', 'bcd'],
  },
  {
    title: 'a message in fragments between whole ones',
    frames: [text('a'), text('b', first), more('c'), text('d')],
    messages: ['ta', 'tbc', 'td'],
  },
  {
    title: 'fragments longer than 65,535 bytes',
    frames: [binary(Buffer.alloc(40_000, 1), first), more(Buffer.alloc(40_000, 2))],
    messages: [asBinary(Buffer.concat([Buffer.alloc(40_000, 1), Buffer.alloc(40_000, 2)]))],
  },
  { title: 'no end', frames: [text('a', first), more('b', first)] },
  refused('a continuation without a beginning', more('a')),
  refused('a continuation without a beginning and an end', more('a', first)),
  { ...refused('a continuation behind a message', text('a'), more('b')), messages: ['ta'] },
  { ...refused('a continuation behind the last one', text('a', first), more('b'), more('c')), messages: ['tab'] },
  refused('a text inside of a text', text('a', first), text('b')),
  refused('a text inside of bytes', binary('a', first), text('b', first), more('c')),
  refused('bytes inside of a text', text('a', first), binary('b')),
  refused('an empty text inside of a text', text('', first), text('')),
];

const control: readonly Row[] = [
  ...[0, 1, 4, 124, 125].map((n) => ({
    title: `a ping of ${n} bytes`,
    frames: [ping(Buffer.alloc(n, 0xc3))],
    pongs: [latin1(Buffer.alloc(n, 0xc3))],
  })),
  { title: 'a pong that nobody has asked for', frames: [pong('a'), pong('')] },
  { title: 'a pong of 125 bytes', frames: [pong(Buffer.alloc(125))] },
  ...([126, 127, 65_536] as const).flatMap((n) => [
    refused(`a ping of ${n} bytes`, ping(Buffer.alloc(n))),
    refused(`a pong of ${n} bytes`, pong(Buffer.alloc(n))),
    refused(`a close of ${n} bytes`, close(Buffer.alloc(n))),
  ]),
  refused('a ping without FIN', ping('a', first)),
  refused('a pong without FIN', pong('a', first)),
  refused('a close without FIN', close(closePayload(1000), first)),
  refused('a ping without FIN inside of a message', text('a', first), ping('b', first), more('c')),
  {
    title: 'a ping between fragments',
    frames: [text('a', first), ping('p'), more('b')],
    messages: ['tab'],
    pongs: ['p'],
  },
  {
    title: 'pings and pongs between all fragments',
    frames: [ping('1'), text('a', first), pong('x'), ping('2'), more('', first), ping('3'), more('b'), ping('4')],
    messages: ['tab'],
    pongs: ['1', '2', '3', '4'],
  },
  {
    title: 'pings between messages',
    frames: [text('a'), ping('1'), text('b'), ping('2')],
    messages: ['ta', 'tb'],
    pongs: ['1', '2'],
  },
  { title: 'a ping alone, in a message without end', frames: [text('a', first), ping('p')], pongs: ['p'] },
];

const validTexts: readonly [string, Buffer][] = [
  ['U+7F', hex('7f')],
  ['U+0', hex('00')],
  ['U+80', hex('c280')],
  ['U+7FF', hex('dfbf')],
  ['U+800', hex('e0a080')],
  ['U+D7FF', hex('ed9fbf')],
  ['U+E000', hex('ee8080')],
  ['U+FFFF', hex('efbfbf')],
  ['U+10000', hex('f0908080')],
  ['U+10FFFF', hex('f48fbfbf')],
  ['a byte order mark', hex('efbbbf41')],
  ['Greek', Buffer.from('κόσμε')],
  ['characters of each length', Buffer.from('aé€😀')],
];

const invalidTexts: readonly [string, Buffer][] = [
  ['a surrogate', hex('eda080')],
  ['the last surrogate', hex('edbfbf')],
  ['a pair of surrogates', hex('eda080edb080')],
  ['an overlong NUL', hex('c080')],
  ['an overlong character of two bytes', hex('c1bf')],
  ['an overlong one of three', hex('e09fbf')],
  ['an overlong one of four', hex('f08fbfbf')],
  ['what is above U+10FFFF', hex('f4908080')],
  ['F5', hex('f5808080')],
  ['five bytes', hex('f888808080')],
  ['FE', hex('fe')],
  ['FF', hex('ff')],
  ['a continuation byte alone', hex('80')],
  ['BF', hex('bf')],
  ['a character cut after one byte of two', hex('c3')],
  ['one cut after two bytes of three', hex('e282')],
  ['one cut after three bytes of four', hex('f09f98')],
  ['a character that ASCII cuts', hex('c328')],
  ['one that ASCII cuts in the middle', hex('e28228a1')],
];

const kilobyte = Buffer.alloc(1024, 'x');
const cutIn = (payload: Buffer, at: number): Buffer[] => [
  text(payload.subarray(0, at), first),
  more(payload.subarray(at)),
];

const texts: readonly Row[] = [
  ...validTexts.map(([title, payload]) => ({ title, frames: [text(payload)], messages: [asText(payload)] })),
  ...validTexts.flatMap(([title, payload]) =>
    Array.from({ length: payload.length - 1 }, (_, index) => ({
      title: `${title}, in fragments cut at ${index + 1}`,
      frames: cutIn(payload, index + 1),
      messages: [asText(payload)],
    })),
  ),
  {
    title: 'what is not ASCII behind 1 KiB of ASCII',
    frames: [text(Buffer.concat([kilobyte, Buffer.from('é')]))],
    messages: [asText(Buffer.concat([kilobyte, Buffer.from('é')]))],
  },
  ...invalidTexts.map(([title, payload]) => ({ title, frames: [text(payload)], close: 1007 })),
  ...invalidTexts.map(([title, payload]) => ({
    title: `${title}, behind 1 KiB of ASCII`,
    frames: [text(Buffer.concat([kilobyte, payload]))],
    close: 1007,
  })),
  ...invalidTexts.map(([title, payload]) => ({
    title: `${title}, in fragments`,
    frames: cutIn(Buffer.concat([bytes(0x41), payload]), 2),
    close: 1007,
  })),
  ...invalidTexts.map(([title, payload]) => ({
    title: `${title}, behind a message`,
    frames: [text('a'), text(payload), text('b')],
    messages: ['ta'],
    close: 1007,
  })),
  ...invalidTexts.map(([title, payload]) => ({
    title: `${title}, as bytes`,
    frames: [binary(payload)],
    messages: [asBinary(payload)],
  })),
  { title: 'a text that is broken before its end', frames: [text(hex('41c328'), first)], close: 1007 },
  {
    title: 'a character that the last fragment leaves cut',
    frames: [text('a', first), more(hex('e282'))],
    close: 1007,
  },
  {
    title: 'a ping inside of a character',
    frames: [text(hex('e2'), first), ping('p'), more(hex('82ac'))],
    messages: ['t\xe2\x82\xac'],
    pongs: ['p'],
  },
];

const allowedCodes = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999];
const forbiddenCodes = [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 1999, 2000, 2999, 5000, 32_768, 65_535];
const byClient = (title: string, code: number, reason: string, ...frames: Buffer[]): Row => {
  return { title, frames, close: code, reason };
};

const closes: readonly Row[] = [
  byClient('a close without a code', 1005, '', close()),
  ...allowedCodes.map((code) => byClient(`a close with ${code}`, code, '', close(closePayload(code)))),
  byClient('a close with a reason', 1000, 'bye', close(closePayload(1000, 'bye'))),
  byClient('a reason that is not ASCII', 4001, 'tschüß €', close(closePayload(4001, 'tschüß €'))),
  byClient('a reason of 123 bytes', 1000, 'r'.repeat(123), close(closePayload(1000, 'r'.repeat(123)))),
  ...forbiddenCodes.map((code) => refused(`a close with ${code}`, close(closePayload(code)))),
  refused('a close with half a code', close(bytes(3))),
  ...invalidTexts.slice(0, 17).map(([title, payload]) => ({
    title: `a reason with ${title}`,
    frames: [close(closePayload(1000, payload))],
    close: 1007,
  })),
  {
    ...byClient('a close behind messages', 1000, '', text('a'), text('b'), close(closePayload(1000))),
    messages: ['ta', 'tb'],
  },
  {
    ...byClient('a close behind pings', 1000, '', ping('1'), text('a'), ping('2'), close(closePayload(1000))),
    messages: ['ta'],
    pongs: ['1', '2'],
  },
  byClient('a close between fragments', 1001, '', text('a', first), close(closePayload(1001)), more('b')),
  byClient('a message behind a close', 1000, '', close(closePayload(1000)), text('a')),
  byClient('a ping behind a close', 1000, '', close(closePayload(1000)), ping('a')),
  byClient('a second close', 3001, '', close(closePayload(3001)), close(closePayload(1000))),
  byClient('what breaks every rule behind a close', 1000, '', close(closePayload(1000)), Buffer.alloc(40, 0xff)),
  { ...refused('a message behind what is refused', clientFrame(3), text('a')) },
  { ...refused('a close behind what is refused', clientFrame(3), close(closePayload(1000))) },
];

const compressed = { rsv: 4 };
const deflate = true;

const compression: readonly Row[] = [
  { deflate, title: 'a compressed text', frames: [text(deflated('hello'), compressed)], messages: ['thello'] },
  { deflate, title: 'compressed bytes', frames: [binary(deflated(hex('00ff')), compressed)], messages: ['b\x00\xff'] },
  { deflate, title: 'a text that is not compressed', frames: [text('hello')], messages: ['thello'] },
  { deflate, title: 'the example of 7.2.3.1', frames: [text(hex('f248cdc9c90700'), compressed)], messages: ['tHello'] },
  {
    deflate,
    title: 'its fragments',
    frames: [text(hex('f248cd'), { ...first, ...compressed }), more(hex('c9c90700'))],
    messages: ['tHello'],
  },
  {
    deflate,
    title: 'a block that is stored: 7.2.3.3',
    frames: [text(hex('000500faff48656c6c6f00'), compressed)],
    messages: ['tHello'],
  },
  {
    deflate,
    title: 'a final block: 7.2.3.4',
    frames: [text(hex('f348cdc9c9070000'), compressed)],
    messages: ['tHello'],
  },
  {
    deflate,
    title: 'two blocks: 7.2.3.5',
    frames: [text(hex('f248050000 00ffffcac9c90700'), compressed)],
    messages: ['tHello'],
  },
  { deflate, title: 'an empty text: 7.2.3.6', frames: [text(hex('00'), compressed)], messages: ['t'] },
  { deflate, title: 'nothing at all as an empty text', frames: [text('', compressed)], messages: ['t'] },
  {
    deflate,
    title: 'both kinds in turn',
    frames: [text('a'), text(deflated('b'), compressed), binary('c'), binary(deflated('d'), compressed)],
    messages: ['ta', 'tb', 'bc', 'bd'],
  },
  {
    deflate,
    title: 'a ping inside of a compressed message',
    frames: [text(hex('f248cd'), { ...first, ...compressed }), ping('p'), more(hex('c9c90700'))],
    messages: ['tHello'],
    pongs: ['p'],
  },
  {
    deflate,
    title: 'a long compressed text',
    frames: [text(deflated('äöü '.repeat(9000)), compressed)],
    messages: [asText('äöü '.repeat(9000))],
  },
  { deflate, ...refused('RSV1 on a continuation', text('a', { ...first, ...compressed }), more('b', compressed)) },
  { deflate, ...refused('RSV1 on the continuation of a plain message', text('a', first), more('b', compressed)) },
  { deflate, ...refused('RSV1 on a ping', ping('a', compressed)) },
  { deflate, ...refused('RSV1 on a pong', pong('a', compressed)) },
  { deflate, ...refused('RSV1 on a close', close(closePayload(1000), compressed)) },
  ...[1, 2, 3, 5, 6, 7].map((rsv) => ({ deflate, ...refused(`RSV ${rsv} on a text`, text('a', { rsv })) })),
  { deflate, title: 'a plain text that is not UTF-8', frames: [text(hex('c3'))], close: 1007 },
];

/** What only a worker finds, since only a worker inflates. */
const inflating: readonly Row[] = [
  { deflate, title: 'what does not inflate', frames: [text(hex('ffffffff'), compressed)], close: 1007 },
  { deflate, title: 'what is cut', frames: [text(deflated('hello, hello').subarray(0, 5), compressed)], close: 1007 },
  {
    deflate,
    title: 'a compressed text that is not UTF-8',
    frames: [text(deflated(hex('41c328')), compressed)],
    close: 1007,
  },
  {
    deflate,
    title: 'bytes that are not UTF-8',
    frames: [binary(deflated(hex('41c328')), compressed)],
    messages: ['bA\xc3('],
  },
  {
    deflate,
    title: 'more than maxMessageBytes when it is inflated',
    frames: [binary(deflated(Buffer.alloc(LIMIT + 1)), compressed)],
    close: 1009,
  },
  {
    deflate,
    title: 'maxMessageBytes when it is inflated',
    frames: [binary(deflated(Buffer.alloc(LIMIT)), compressed)],
    messages: [asBinary(Buffer.alloc(LIMIT))],
  },
  {
    deflate,
    title: 'a message behind what does not inflate',
    frames: [text('a'), text(hex('ffffffff'), compressed), text('b')],
    messages: ['ta'],
    close: 1007,
  },
];

const of = (section: string, rows: readonly Row[]): WebSocketCase[] => rows.map((row) => ({ section, ...row }));

export const cases: readonly WebSocketCase[] = [
  ...of('5.1 and 5.3, masks', masking),
  ...of('5.2, reserved bits', reservedBits),
  ...of('5.2, opcodes', opcodes),
  ...of('5.2, lengths', lengths),
  ...of('5.2, forms of lengths, and 10.4, limits', lengthForms),
  ...of('5.6 and 5.7, several frames', severalFrames),
  ...of('5.4, fragments', fragments),
  ...of('5.5, control frames', control),
  ...of('5.6 and 8.1, texts', texts),
  ...of('5.5.1 and 7, closes', closes),
  ...of('RFC 7692 6 and 7.2, compression', compression),
];

export const inflatingCases: readonly WebSocketCase[] = of('RFC 7692 7.2.2, inflating', inflating);
