import { isIP } from 'node:net';
import { describe, expect, it } from 'vitest';
import { resolveOptions } from '../../../src/options/resolve.js';
import type { TrustProxyOptions } from '../../../src/options/trust-proxy.js';
import { type Forwarded, ProxyTrust, parseNode } from '../../../src/protocol/http/forwarded.js';

type Fields = Readonly<Record<string, string>>;
type Given = TrustProxyOptions | TrustProxyOptions['from'];

const PEER = '10.0.0.3';

function trustOf(trustProxy: Given): ProxyTrust {
  const resolved = resolveOptions({ trustProxy }).trustProxy;
  if (resolved === null) throw new Error('nobody is trusted');
  return new ProxyTrust(resolved);
}

function read(fields: Fields, given: Given = ['10.0.0.0/8', '2001:db8::/32'], peer = PEER): Forwarded | undefined {
  return trustOf(given).read(peer, (name) => fields[name]);
}

const addressOf = (list: string, given?: Given): string | undefined =>
  read({ 'x-forwarded-for': list }, given)?.client?.remoteAddress;

describe('the address of a node', () => {
  it.each([
    ['192.0.2.1', '192.0.2.1', 0],
    ['192.0.2.1:4711', '192.0.2.1', 4711],
    ['192.0.2.1:_hidden', '192.0.2.1', 0],
    ['2001:DB8::1', '2001:db8::1', 0],
    ['2001:db8:0:0:0:0:0:1', '2001:db8::1', 0],
    ['[2001:db8::1]', '2001:db8::1', 0],
    ['[2001:db8::1]:65535', '2001:db8::1', 65_535],
    ['::ffff:192.0.2.1', '192.0.2.1', 0],
    ['[::ffff:c000:201]:80', '192.0.2.1', 80],
    ['::', '::', 0],
  ])('%s', (text, remoteAddress, remotePort) => expect(parseNode(text)).toEqual({ remoteAddress, remotePort }));

  it.each([
    ...[
      '',
      'unknown',
      '_hidden',
      '_x:80',
      'localhost',
      '192.0.2',
      '192.0.2.256',
      '1.2.3.4.5',
      '192.0.2.1:',
      '192.0.2.1:65536',
    ],
    ...[
      '192.0.2.1:123456',
      '192.0.2.1:-1',
      '192.0.2.1 ',
      '[192.0.2.1]',
      '[::1',
      '::1]',
      '[::1]80',
      '[::1]:x',
      'fe80::1%eth0',
    ],
    ...[
      '[fe80::1%25eth0]',
      '1::2::3',
      '0x7f.0.0.1',
      '127.1',
      '2130706433',
      '１.2.3.4',
      '1.2.3.4\u0000',
      '"1.2.3.4"',
      '::1:99999',
    ],
  ])('%j names none', (text) => expect(parseNode(text)).toBeUndefined());
});

describe('X-Forwarded-For', () => {
  it('is not believed of a peer that is not trusted', () => {
    expect(read({ 'x-forwarded-for': '192.0.2.1', forwarded: 'for=192.0.2.1' }, ['10.0.0.0/8'], '11.0.0.1')).toBe(
      undefined,
    );
    expect(read({ 'x-forwarded-for': '192.0.2.1' }, ['10.0.0.0/8'], '')).toBe(undefined);
  });

  it.each([
    ['the last address', '6.6.6.6, 192.0.2.1', '192.0.2.1'],
    ['the last one that is not trusted', '6.6.6.6, 192.0.2.1, 10.0.0.2, 2001:db8::1', '192.0.2.1'],
    ['the first, where all are trusted', '10.0.0.1, 10.0.0.2', '10.0.0.1'],
    ['the one behind garbage', '6.6.6.6, unknown, 10.0.0.2', '10.0.0.2'],
    ['the one behind an obfuscated name', '6.6.6.6, _gazonk, 10.0.0.2', '10.0.0.2'],
    ['none, where garbage is last', '192.0.2.1, garbage', undefined],
    ['none of an empty field', '', undefined],
    ['none of commas', ' , ,, ', undefined],
    ['the last one beside empty elements', '6.6.6.6,, 192.0.2.1 , ,', '192.0.2.1'],
    ['the last one behind an open quote', '", 192.0.2.1', '192.0.2.1'],
  ])('names %s', (_, list, address) => expect(addressOf(list)).toBe(address));

  it('has as many elements as one likes, and is read for as far as proxies stand', () => {
    const commas = ','.repeat(10_000);
    expect(addressOf(`6.6.6.6${commas}192.0.2.1`)).toBe('192.0.2.1');
    expect(addressOf(`192.0.2.1${commas}`)).toBe(undefined);
    expect(addressOf(`192.0.2.1${', 10.0.0.1'.repeat(10_000)}`)).toBe('10.0.0.1');
    expect(addressOf(`192.0.2.1${', 10.0.0.1'.repeat(63)}`)).toBe('192.0.2.1');
  });

  it('is counted by a number of proxies, whatever their addresses', () => {
    const list = '6.6.6.6, 192.0.2.1, 198.51.100.1';
    expect([1, 2, 3, 9].map((hops) => addressOf(list, hops))).toEqual([
      '198.51.100.1',
      '192.0.2.1',
      '6.6.6.6',
      '6.6.6.6',
    ]);
  });

  it('tells the port where it has one', () => {
    expect(read({ 'x-forwarded-for': '192.0.2.1:4711' })?.client).toEqual({
      remoteAddress: '192.0.2.1',
      remotePort: 4711,
    });
  });

  it('is believed of a unix socket only where that is named', () => {
    const fields = { 'x-forwarded-for': '192.0.2.1' };
    expect(read(fields, ['loopback', 'private'], '')).toBe(undefined);
    expect(read(fields, ['unix'], '')?.client?.remoteAddress).toBe('192.0.2.1');
    expect(read(fields, ['unix'], '127.0.0.1')).toBe(undefined);
    expect(read(fields, 1, '')?.client?.remoteAddress).toBe('192.0.2.1');
  });
});

describe('X-Forwarded-Proto and X-Forwarded-Host', () => {
  const of = (fields: Fields, given?: Given): unknown[] => {
    const { isEncrypted, host } = read({ 'x-forwarded-for': '192.0.2.1', ...fields }, given) ?? {};
    return [isEncrypted, host];
  };

  it.each([
    ['https', true],
    ['HTTPS', true],
    ['wss', true],
    ['http', false],
    ['ws', false],
    ['http, https', true],
    ['gopher', undefined],
    ['constructor', undefined],
    ['', undefined],
  ])('%j', (proto, isEncrypted) => expect(of({ 'x-forwarded-proto': proto })[0]).toBe(isEncrypted));

  it.each([
    ['example.com', 'example.com'],
    ['example.com:8443', 'example.com:8443'],
    ['[::1]:80', '[::1]:80'],
    ['evil.com, example.com', 'example.com'],
    ['a b', undefined],
    ['user@example.com', undefined],
    ['example.com/path', undefined],
    ['', undefined],
  ])('%j is the host', (host, expected) => expect(of({ 'x-forwarded-host': host })[1]).toBe(expected));

  it('stand in the place of the client where each proxy appends, else alone', () => {
    const chain = { 'x-forwarded-for': '6.6.6.6, 192.0.2.1, 10.0.0.2' };
    const appended = { 'x-forwarded-proto': 'http, https, http', 'x-forwarded-host': 'evil.com, example.com, inside' };
    expect(of({ ...chain, ...appended })).toEqual([true, 'example.com']);
    expect(of({ ...chain, 'x-forwarded-proto': 'https', 'x-forwarded-host': 'example.com' })).toEqual([
      true,
      'example.com',
    ]);
  });

  it('are believed without X-Forwarded-For', () => {
    expect(read({ 'x-forwarded-proto': 'https' })).toEqual({ client: undefined, isEncrypted: true, host: undefined });
  });

  it('are left alone where they are not among the fields', () => {
    const both = { 'x-forwarded-proto': 'https', 'x-forwarded-host': 'example.com' };
    expect(of(both, { from: ['10.0.0.0/8'], fields: ['x-forwarded-for', 'x-forwarded-proto'] })).toEqual([
      true,
      undefined,
    ]);
  });
});

describe('Forwarded', () => {
  const of = (forwarded: string, given?: Given): Forwarded | undefined => read({ forwarded }, given);

  it('names the client, its protocol and its host in one element', () => {
    const list =
      'for=6.6.6.6;proto=http;host=evil.com, For="[2001:db9::7]:4711";PROTO=https;by=203.0.113.43;host="example.com:8443"';
    expect(of(`${list}, for=10.0.0.2;proto=http;host=inside`)).toEqual({
      client: { remoteAddress: '2001:db9::7', remotePort: 4711 },
      ...{ isEncrypted: true, host: 'example.com:8443' },
    });
  });

  it.each([
    ['for=192.0.2.1', '192.0.2.1'],
    ['for="192.0.2.1:80"', '192.0.2.1'],
    ['for=192.0.2.1:80', '192.0.2.1'],
    ['for="192\\.0.2.1"', '192.0.2.1'],
    ['for=192.0.2.1;', '192.0.2.1'],
    ['by=10.0.0.1 ; for=192.0.2.1', '192.0.2.1'],
    ['for=unknown', undefined],
    ['for=_secret', undefined],
    ['for="_a,b;c=\\"d"', undefined],
    ['for=192.0.2.1;for=192.0.2.2', undefined],
    ['for = 192.0.2.1', undefined],
    ['for', undefined],
    ['for=', undefined],
    ['=192.0.2.1', undefined],
    ['192.0.2.1', undefined],
    ['for="192.0.2.1', undefined],
    ['__proto__=1;for=192.0.2.1', '192.0.2.1'],
    ['', undefined],
  ])('%s', (list, address) => expect(of(list)?.client?.remoteAddress).toBe(address));

  it('is not changed by quotes that a client leaves open', () => {
    for (const begun of ['for="', 'for="a, ', '"', '\\"', 'for="\\', 'x="\\\\"', 'for="1", "']) {
      expect(of(`${begun}, for=192.0.2.1`)?.client?.remoteAddress).toBe('192.0.2.1');
    }
  });

  it('does not count beside an X-Forwarded-For, and alone where it alone is among the fields', () => {
    const both = { 'x-forwarded-for': '192.0.2.1', forwarded: 'for=192.0.2.2;proto=https' };
    expect(read(both)).toEqual({
      client: { remoteAddress: '192.0.2.1', remotePort: 0 },
      ...{ isEncrypted: undefined, host: undefined },
    });
    expect(read(both, { from: ['10.0.0.0/8'], fields: ['forwarded'] })).toEqual({
      client: { remoteAddress: '192.0.2.2', remotePort: 0 },
      ...{ isEncrypted: true, host: undefined },
    });
    expect(read(both, { from: ['10.0.0.0/8'], fields: ['x-forwarded-for'] })?.client?.remoteAddress).toBe('192.0.2.1');
  });

  it('tells protocol and host also where it hides the client', () => {
    expect(of('for=_hidden;proto=https;host=example.com')).toEqual({
      ...{ client: undefined, isEncrypted: true, host: 'example.com' },
    });
  });
});

/** The same numbers in each run. */
function randomFrom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

describe('random text', () => {
  const pieces = [
    ...[
      'for',
      'proto',
      'host',
      'by',
      '=',
      '=',
      ';',
      ',',
      ',',
      '"',
      '\\',
      ' ',
      '\t',
      '[',
      ']',
      ':',
      '.',
      '%',
      '_a',
      'unknown',
    ],
    ...['192.0.2.1', '10.0.0.1', '2001:db8::1', '::1', '80', '99999', 'https', 'example.com', '\u00ff', '\u0001', 'x'],
  ];

  it('never throws, names addresses only, and never takes the place of what a proxy appends', () => {
    const random = randomFrom(1);
    const trust = trustOf(['10.0.0.0/8', '2001:db8::/32']);
    for (let round = 0; round < 20_000; round++) {
      const text = Array.from({ length: random(24) }, () => pieces[random(pieces.length)]).join('');
      for (const name of ['x-forwarded-for', 'forwarded']) {
        const other = { 'x-forwarded-proto': text, 'x-forwarded-host': text };
        const { client } = trust.read(PEER, (wanted) => ({ ...other, [name]: text })[wanted]) ?? {};
        if (client !== undefined) expect(isIP(client.remoteAddress), text).not.toBe(0);
        const appended = `${text}, ${name === 'forwarded' ? 'for=198.51.100.9' : '198.51.100.9'}`;
        const behind = trust.read(PEER, (wanted) => (wanted === name ? appended : undefined));
        expect(behind?.client?.remoteAddress, appended).toBe('198.51.100.9');
      }
    }
  });

  it('takes no time that grows faster than its length', () => {
    const trust = trustOf(['10.0.0.0/8']);
    const begin = performance.now();
    for (const piece of ['\\', '"', '\\"', 'for="\\', 'for=a;', ' ', '1', ':', '[', ';', '"\\"', ',"']) {
      const text = piece.repeat(24_576 / piece.length);
      for (const name of ['x-forwarded-for', 'forwarded', 'x-forwarded-proto', 'x-forwarded-host']) {
        trust.read(PEER, (wanted) => (wanted === name ? text : undefined));
      }
    }
    expect(performance.now() - begin).toBeLessThan(2000);
  });
});
