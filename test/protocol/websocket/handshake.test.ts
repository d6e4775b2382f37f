import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { acceptKey, checkOpening, offeredProtocols } from '../../../src/protocol/websocket/handshake.js';

const KEY = 'dGhlIHNhbXBsZSBub25jZQ==';

/** The request of RFC 6455 1.2. */
const example: Readonly<Record<string, string>> = {
  host: 'server.example.com',
  upgrade: 'websocket',
  connection: 'Upgrade',
  'sec-websocket-key': KEY,
  origin: 'http://example.com',
  'sec-websocket-protocol': 'chat, superchat',
  'sec-websocket-version': '13',
};

interface Change {
  readonly method?: string;
  readonly httpVersion?: string;
  readonly [field: string]: string | undefined;
}

function open({ method = 'GET', httpVersion = '1.1', ...changed }: Change): ReturnType<typeof checkOpening> {
  const fields: Readonly<Record<string, string | undefined>> = { ...example, ...changed };
  return checkOpening({ method, httpVersion, header: (name) => fields[name] });
}

describe('checkOpening (RFC 6455 4.2.1)', () => {
  it('takes the request of 1.2', () => {
    expect(open({})).toEqual({ key: KEY });
  });

  it.each<[string, Change]>([
    ['Upgrade in other letters', { upgrade: 'WebSocket' }],
    ['Upgrade among others', { upgrade: 'h2c, websocket' }],
    ['Connection in other letters', { connection: 'upgrade' }],
    ["Firefox's Connection", { connection: 'keep-alive, Upgrade' }],
    ['Connection without blanks and with empty elements', { connection: ',keep-alive,,UPGRADE\t,' }],
    ['no protocol', { 'sec-websocket-protocol': undefined }],
    ['no origin', { origin: undefined }],
    ['extensions', { 'sec-websocket-extensions': 'permessage-deflate; client_max_window_bits, x' }],
    ['extensions that nobody knows', { 'sec-websocket-extensions': 'foo; a="b"' }],
    ['a key of all characters', { 'sec-websocket-key': 'AZaz09+/AZaz09+/AZaz0w==' }],
  ])('takes %s', (_, change) => {
    expect(open(change)).toHaveProperty('key');
  });

  it.each(['POST', 'HEAD', 'OPTIONS', 'CONNECT', 'get'])('refuses the method %s', (method) => {
    expect(open({ method })).toEqual({
      status: 405,
      why: 'A WebSocket is opened by GET.',
      headers: [['Allow', 'GET']],
    });
  });

  it.each<[string, Change, string]>([
    ['HTTP/1.0', { httpVersion: '1.0' }, 'A WebSocket is opened by HTTP/1.1.'],
    ['HTTP/2', { httpVersion: '2.0' }, 'A WebSocket is opened by HTTP/1.1.'],
    ['no Upgrade', { upgrade: undefined }, 'The Upgrade field does not name websocket.'],
    ['another Upgrade', { upgrade: 'h2c' }, 'The Upgrade field does not name websocket.'],
    ['a longer Upgrade', { upgrade: 'websocket2' }, 'The Upgrade field does not name websocket.'],
    ['an Upgrade of words', { upgrade: 'my websocket' }, 'The Upgrade field does not name websocket.'],
    ['no Connection', { connection: undefined }, 'The Connection field does not name upgrade.'],
    ['another Connection', { connection: 'keep-alive' }, 'The Connection field does not name upgrade.'],
    ['a longer Connection', { connection: 'no-upgrade, upgrades' }, 'The Connection field does not name upgrade.'],
    [
      'no protocol in the list',
      { 'sec-websocket-protocol': '' },
      'The Sec-WebSocket-Protocol is not a list of different names.',
    ],
    [
      'a protocol twice',
      { 'sec-websocket-protocol': 'a, b, a' },
      'The Sec-WebSocket-Protocol is not a list of different names.',
    ],
    [
      'a broken extension',
      { 'sec-websocket-extensions': 'a b' },
      'The Sec-WebSocket-Extensions is not a list of extensions.',
    ],
    [
      'no extension in the list',
      { 'sec-websocket-extensions': ' ' },
      'The Sec-WebSocket-Extensions is not a list of extensions.',
    ],
  ])('refuses %s', (_, change, why) => {
    expect(open(change)).toEqual({ status: 400, why, headers: [] });
  });

  it.each([undefined, '', '12', '8', '14', '013', '13.0', '13, 13', '13, 8', 'x'])(
    'refuses version %j, and names its own (4.4)',
    (version) => {
      expect(open({ 'sec-websocket-version': version })).toEqual({
        status: 426,
        why: 'The Sec-WebSocket-Version is not 13.',
        headers: [
          ['Sec-WebSocket-Version', '13'],
          ['Upgrade', 'websocket'],
          ['Connection', 'Upgrade'],
        ],
      });
    },
  );

  it.each([
    undefined,
    '',
    KEY.slice(0, -1),
    `${KEY}=`,
    ` ${KEY}`,
    `${KEY}\n`,
    `${KEY}, ${KEY}`,
    'dGhlIHNhbXBsZSBub25jZ-==',
    'dGhlIHNhbXBsZSBub25jZ_==',
    'dGhlIHNhbXBsZSBub25jZQ',
    'dGhlIHNhbXBsZSBub25jZQA=',
    randomBytes(15).toString('base64'),
    randomBytes(17).toString('base64'),
    randomBytes(18).toString('base64'),
  ])('refuses the key %j', (key) => {
    expect(open({ 'sec-websocket-key': key })).toMatchObject({
      status: 400,
      why: 'The Sec-WebSocket-Key is not the base64 form of 16 bytes.',
    });
  });

  it('takes any 16 bytes for a key', () => {
    for (let i = 0; i < 1000; i++) {
      const key = randomBytes(16).toString('base64');
      expect(open({ 'sec-websocket-key': key })).toEqual({ key });
    }
  });
});

describe('acceptKey (RFC 6455 4.2.2)', () => {
  it('gives the value of the example in 1.3', () => {
    expect(acceptKey(KEY)).toBe('s3pPLMBiTxaQ9kYGzzhZRbK+xOo=');
  });
});

describe('offeredProtocols (RFC 6455 4.1, item 10)', () => {
  it.each<[string | undefined, string[] | undefined]>([
    [undefined, []],
    ['chat', ['chat']],
    ['chat, superchat', ['chat', 'superchat']],
    ['chat,superchat\t, \tv1.json ', ['chat', 'superchat', 'v1.json']],
    ['Chat, chat', ['Chat', 'chat']],
    [',chat,,superchat,', ['chat', 'superchat']],
    ["!#$%&'*+-.^_`|~09AZaz", ["!#$%&'*+-.^_`|~09AZaz"]],
    ['', undefined],
    [' ,\t', undefined],
    ['chat, chat', undefined],
    ['my chat', undefined],
    ['chat;v=1', undefined],
    ['"chat"', undefined],
    ['soap/1', undefined],
    ['chät', undefined],
    ['chat\u00a0', undefined],
    ['chat\u0100', undefined],
    ['a=b', undefined],
  ])('of %j are %j', (value, expected) => {
    expect(offeredProtocols(value)).toEqual(expected);
  });

  it('takes a time that grows with the length alone', () => {
    expect(offeredProtocols(`a${' \t'.repeat(500_000)}b`)).toBeUndefined();
    expect(offeredProtocols(`a${','.repeat(500_000)}`)).toEqual(['a']);
  });
});
