import { resolve as abs, dirname, join } from 'node:path';
import { describe, expect, it, test } from 'vitest';
import { definitions, type OptionName } from '../../src/options/definitions.js';
import { optionNames, parseOption, resolveOptions, type ServerOptions } from '../../src/options/index.js';
import { setScriptPath } from '../../src/util/script.js';

const resolve = <N extends OptionName>(name: N, value: unknown) =>
  resolveOptions({ [name]: value } as ServerOptions)[name];
const HTTP = { protocol: 'http' } as const;
const folder = dirname(process.argv[1] ?? '');

/** Refused, by that name and with that code. */
function expectRefused(name: OptionName, value: unknown, code: string, inner = ''): void {
  expect(() => resolveOptions({ ...HTTP, [name]: value } as ServerOptions)).toThrowError(
    expect.objectContaining({ code: `ERR_OPTION_${code}`, detail: expect.objectContaining({ name: name + inner }) }),
  );
}

const show = (name: OptionName, value: unknown): string =>
  (definitions[name].kind.show as (resolved: unknown) => string)(resolve(name, value));

describe('what JavaScript brings with no options by name', () => {
  it.each([
    ['a Map', new Map()],
    ['a Set', new Set()],
    ['a Date', new Date()],
    ['a RegExp', /x/],
    ['a URL', new URL('http://it')],
    ['bytes', Buffer.alloc(0)],
    ['a promise', Promise.resolve()],
  ])('is no value of any option: %s', (_, value) => {
    const refused = expect.objectContaining({ code: expect.stringMatching(/^ERR_OPTION_/) });
    for (const name of optionNames) {
      expect(() => resolveOptions({ ...HTTP, [name]: value } as ServerOptions), name).toThrowError(refused);
    }
    expect(() => resolveOptions(value as ServerOptions)).toThrowError(refused);
  });

  it('is told from an object of a class, one without a prototype, and a module', async () => {
    class Chosen {
      format = 'json';
    }
    const bare = Object.assign(Object.create(null) as object, { format: 'json' });
    for (const value of [new Chosen(), bare]) expect(resolve('accessLog', value)?.format).toBe('json');
    expectRefused('accessLog', await import('../helpers/deadline.js'), 'UNKNOWN', '.PACE');
  });
});

describe('staticFiles', () => {
  const files = (value: unknown) => resolveOptions({ ...HTTP, staticFiles: value } as ServerOptions).staticFiles;
  const usual = {
    ...{ root: '/srv', prefix: '/', index: ['index.html'], cacheControl: 'public, max-age=0', dotFiles: 'ignore' },
    ...{ fallthrough: true, precompressed: true, fields: [] },
  };

  it('is none, a folder, or several in their order', () => {
    expect(files(null)).toEqual([]);
    expect(files('/srv')).toEqual([usual]);
    expect(files({ root: '/srv' })).toEqual([usual]);
    expect(files(['/srv', { root: '/other' }])).toEqual([usual, { ...usual, root: '/other' }]);
    expect(files('public')[0]?.root).toBe(join(folder, 'public'));
    expect([Object.isFrozen(files('/srv')), Object.isFrozen(files('/srv')[0])]).toEqual([true, true]);
  });

  it.each([
    ['/', '/'],
    ['', '/'],
    ['//', '/'],
    ['static', '/static/'],
    ['/static', '/static/'],
    ['static/', '/static/'],
    ['/a/b.c/', '/a/b.c/'],
    ['/...', '/.../'],
  ])('has its files below %j, which is %j', (prefix, resolved) => {
    expect(files({ root: '/srv', prefix })[0]?.prefix).toBe(resolved);
  });

  it.each(['/a//b', '/.', '/..', '/a/../b', '/a?b', '/a#b', '/a\\b', '/a\u0000b'])('has none below %j', (prefix) => {
    expectRefused('staticFiles', { root: '/srv', prefix }, 'VALUE', '.prefix');
  });

  it.each([
    [false, []],
    ['main.html', ['main.html']],
    [
      ['a.html', '...'],
      ['a.html', '...'],
    ],
    [[], []],
    [Array(16).fill('a'), Array(16).fill('a')],
    ['a'.repeat(255), ['a'.repeat(255)]],
  ])('has files that stand for a folder: %j', (index, resolved) => {
    expect(files({ root: '/srv', index })[0]?.index).toEqual(resolved);
  });

  it.each([
    [true, 'TYPE'],
    [['a', 1], 'TYPE'],
    ['', 'VALUE'],
    ['..', 'VALUE'],
    ['a/b', 'VALUE'],
    ['a\\b', 'VALUE'],
    ['a\n', 'VALUE'],
    [['a', '.'], 'VALUE'],
    [Array(17).fill('a'), 'VALUE'],
    ['a'.repeat(256), 'VALUE'],
  ])('has none of %j', (index, code) => {
    expectRefused('staticFiles', { root: '/srv', index }, code, '.index');
  });

  it.each([
    [{ maxAge: 999 }, 'public, max-age=0'],
    [{ maxAge: 1000 }, 'public, max-age=1'],
    [{ maxAge: 365 * 24 * 3_600_000, immutable: true }, 'public, max-age=31536000, immutable'],
    [{ immutable: false }, 'public, max-age=0'],
    [{ cacheControl: ' no-store ', maxAge: 5000, immutable: true }, 'no-store'],
    [{ cacheControl: '' }, ''],
  ])('tells clients how long they may use a file: %j', (more, cacheControl) => {
    expect(files({ root: '/srv', ...more })[0]?.cacheControl).toBe(cacheControl);
  });

  it.each([
    [{ maxAge: -1 }, 'RANGE', '.maxAge'],
    [{ maxAge: 365 * 24 * 3_600_000 + 1 }, 'RANGE', '.maxAge'],
    [{ maxAge: '1d' }, 'TYPE', '.maxAge'],
    [{ immutable: 1 }, 'TYPE', '.immutable'],
    [{ cacheControl: 'é' }, 'VALUE', '.cacheControl'],
    [{ cacheControl: 5 }, 'TYPE', '.cacheControl'],
    [{ dotFiles: 'deny' }, 'VALUE', '.dotFiles'],
    [{ fallthrough: 'no' }, 'TYPE', '.fallthrough'],
    [{ precompressed: null, fields: null, root: '' }, 'RANGE', '.root'],
    [{ fields: [] }, 'TYPE', '.fields'],
    [{ fields: 'x' }, 'TYPE', '.fields'],
    [{ fields: { 'a b': '1' } }, 'VALUE', '.fields'],
    [{ fields: { '': '1' } }, 'VALUE', '.fields'],
    [{ fields: { 'X-A': 1 } }, 'TYPE', ".fields['X-A']"],
    [{ fields: { 'X-A': 'a\r\nb' } }, 'VALUE', ".fields['X-A']"],
  ])('refuses %j', (more, code, inner) => {
    expectRefused('staticFiles', { root: '/srv', ...more }, code, inner);
  });

  const own = [
    ...['accept-ranges', 'cache-control', 'connection', 'content-encoding', 'content-length', 'content-range'],
    ...['content-type', 'date', 'etag', 'keep-alive', 'last-modified', 'location', 'trailer', 'transfer-encoding'],
    ...['upgrade', 'vary'],
  ];
  it.each(own)('does not let %s be said twice', (field) => {
    expectRefused('staticFiles', { root: '/srv', fields: { [field.toUpperCase()]: '1' } }, 'VALUE', '.fields');
  });

  it('takes what else it may be given', () => {
    const more = { dotFiles: 'allow', fallthrough: false, precompressed: false, fields: { 'X-A': ' 1 ', 'x-b': '' } };
    expect(files({ root: '/srv', ...more })).toEqual([
      { ...usual, dotFiles: 'allow', fallthrough: false, precompressed: false, fields: ['x-a', '1', 'x-b', ''] },
    ]);
  });

  it('names the folder that is wrong, and the name that is unknown', () => {
    expectRefused('staticFiles', ['/srv', 5], 'TYPE', '[1]');
    expectRefused('staticFiles', ['/srv', null], 'TYPE', '[1]');
    expectRefused('staticFiles', { root: '/srv', maxage: 1 }, 'UNKNOWN', '.maxage');
    expectRefused('staticFiles', {}, 'TYPE', '.root');
  });

  it('is shown as it may be given', () => {
    expect(show('staticFiles', null)).toBe('null');
    expect(parseOption('staticFiles', '{"root":"/srv"}', '--static-files')).toEqual({ root: '/srv' });
  });
});

describe('compression', () => {
  const usual = { encodings: ['br', 'zstd', 'gzip', 'deflate'], minLength: 1024, types: null, level: 4 };
  const compression = (value: unknown) => resolveOptions({ ...HTTP, compression: value } as ServerOptions).compression;

  it('is on, off, or as it is said', () => {
    expect([compression(true), compression({}), compression(false), compression(null)]).toEqual([
      usual,
      usual,
      null,
      null,
    ]);
    const given = { encodings: ['gzip', 'br'], minLength: '2k', types: ['Text/*', 'application/JSON'], level: 11 };
    expect(compression(given)).toEqual({
      ...{ encodings: ['br', 'gzip'], minLength: 2048, types: ['text/*', 'application/json'], level: 11 },
    });
    expect(compression({ types: null, minLength: 0, level: 1 })).toEqual({ ...usual, minLength: 0, level: 1 });
  });

  it.each([
    [1, 'TYPE', ''],
    [[], 'TYPE', ''],
    [{ minlength: 1 }, 'UNKNOWN', '.minlength'],
    [{ encodings: 'gzip' }, 'TYPE', '.encodings'],
    [{ encodings: [] }, 'VALUE', '.encodings'],
    [{ encodings: ['gzip', 'gzip'] }, 'VALUE', '.encodings'],
    [{ encodings: ['gzip', 'lzma'] }, 'VALUE', '.encodings'],
    [{ minLength: 64 * 1024 * 1024 + 1 }, 'RANGE', '.minLength'],
    [{ types: 'text/*' }, 'TYPE', '.types'],
    [{ types: ['text'] }, 'VALUE', '.types'],
    [{ types: [1] }, 'VALUE', '.types'],
    [{ types: ['*/*'] }, 'VALUE', '.types'],
    [{ level: 0 }, 'RANGE', '.level'],
    [{ level: 12 }, 'RANGE', '.level'],
  ])('refuses %j', (value, code, inner) => {
    expectRefused('compression', value, code, inner);
  });

  it('is given as a word, or as JSON', () => {
    const parse = (text: string) => parseOption('compression', text, '--compression');
    expect([parse('on'), parse('false'), parse('{"level":2}')]).toEqual([true, false, { level: 2 }]);
    expect([show('compression', false), JSON.parse(show('compression', true))]).toEqual(['false', usual]);
  });
});

describe('admin', () => {
  const usual = { port: 0, host: '127.0.0.1', token: '', readToken: '', hosts: [], dashboard: false };
  const token = 't'.repeat(16);

  it.each([
    [null, null],
    [9100, { ...usual, port: 9100 }],
    [{}, usual],
    [
      { port: 9100, host: '::1', token: '' },
      { ...usual, port: 9100, host: '::1' },
    ],
    [{ host: 'localhost' }, { ...usual, host: 'localhost' }],
    [{ host: '127.255.0.1' }, { ...usual, host: '127.255.0.1' }],
    [
      { host: '0.0.0.0', token },
      { ...usual, host: '0.0.0.0', token },
    ],
    [{ token: 't'.repeat(256) }, { ...usual, token: 't'.repeat(256) }],
    [
      { host: '0.0.0.0', readToken: token },
      { ...usual, host: '0.0.0.0', readToken: token },
    ],
    [
      { token, readToken: `${token}2`, dashboard: true },
      { ...usual, token, readToken: `${token}2`, dashboard: true },
    ],
    [{ hosts: ['a.test', '[::1]', '::1'] }, { ...usual, hosts: ['a.test', '::1', '::1'] }],
  ])('takes %j', (value, resolved) => {
    expect(resolve('admin', value)).toEqual(resolved);
  });

  it.each([
    ['9100', 'TYPE', ''],
    [[], 'TYPE', ''],
    [65_536, 'RANGE', ''],
    [{ port: -1 }, 'RANGE', '.port'],
    [{ host: 'a b' }, 'VALUE', '.host'],
    [{ name: 'x' }, 'VALUE', ''],
    [{ host: '0.0.0.0' }, 'VALUE', ''],
    [{ host: '10.127.0.0' }, 'VALUE', ''],
    [{ host: 'localhost.test' }, 'VALUE', ''],
    [{ token: 't'.repeat(15) }, 'RANGE', '.token'],
    [{ token: 't'.repeat(257) }, 'RANGE', '.token'],
    [{ token: `${token}\n` }, 'VALUE', '.token'],
    [{ token: 5 }, 'TYPE', '.token'],
    [{ readToken: 't'.repeat(15) }, 'RANGE', '.readToken'],
    [{ token, readToken: token }, 'VALUE', '.readToken'],
    [{ dashboard: 'yes' }, 'TYPE', '.dashboard'],
    [{ hosts: 'a.test' }, 'TYPE', '.hosts'],
    [{ hosts: ['a.test:80'] }, 'VALUE', '.hosts'],
  ])('refuses %j', (value, code, inner) => {
    expectRefused('admin', value, code, inner);
  });

  it('never shows its token, also where it is wrong', () => {
    const secret = 'a secret that is long';
    const usual = { port: 0, host: '127.0.0.1', token: '', readToken: '', hosts: [], dashboard: false };
    const shown = (value: unknown): unknown => JSON.parse(show('admin', value));
    expect(shown({ token: secret })).toEqual({ ...usual, token: '(hidden)' });
    expect(shown({ readToken: secret })).toEqual({ ...usual, readToken: '(hidden)' });
    expect(shown({})).toEqual(usual);
    expect(show('admin', null)).toBe('null');
    for (const value of [`{token: ${secret}`, { token: `${secret}\n` }, { token: secret, readToken: secret }]) {
      const text = (() => {
        try {
          return String(resolve('admin', value));
        } catch (error) {
          return `${error} ${JSON.stringify(error)}`;
        }
      })();
      expect(text).not.toContain(secret);
      expect(text).toContain('not shown');
    }
  });

  it('is given as a port, or as JSON', () => {
    expect(parseOption('admin', '9100', '--admin')).toBe(9100);
    expect(parseOption('admin', '{"port":1}', '--admin')).toEqual({ port: 1 });
  });
});

describe('watch', () => {
  it.each([
    [true, 'script', 'true'],
    [false, [], 'false'],
    ['src', [abs('src')], JSON.stringify([abs('src')])],
    [['a', '/b'], [abs('a'), '/b'], JSON.stringify([abs('a'), '/b'])],
    [[], [], 'false'],
  ])('takes %j', (value, resolved, shown) => {
    expect([resolve('watch', value), show('watch', value)]).toEqual([resolved, shown]);
  });

  it.each([
    [1, 'TYPE'],
    [null, 'TYPE'],
    ['', 'RANGE'],
    [['a', ''], 'RANGE'],
    [['a', 1], 'TYPE'],
  ])('refuses %j', (value, code) => {
    expectRefused('watch', value, code);
  });

  it('is given as a word, or as a list', () => {
    const parse = (text: string) => parseOption('watch', text, '--watch');
    expect([parse('true'), parse('false'), parse('a, b'), parse('["a"]'), parse('truely')]).toEqual([
      true,
      false,
      ['a', 'b'],
      ['a'],
      ['truely'],
    ]);
  });
});

describe('maxMemory', () => {
  const MIB = 1024 * 1024;
  it.each([
    [0, 0, '0'],
    [64 * MIB, 64 * MIB, "'64m'"],
    ['1g', 1024 * MIB, "'1g'"],
    [1024 * 1024 * MIB, 1024 * 1024 * MIB, "'1024g'"],
  ])('takes %j', (value, resolved, shown) => {
    expect([resolve('maxMemory', value), show('maxMemory', value)]).toEqual([resolved, shown]);
  });

  it.each([
    [1, 'RANGE'],
    [64 * MIB - 1, 'RANGE'],
    [1024 * 1024 * MIB + 1, 'RANGE'],
    ['0', 'RANGE'],
    [null, 'TYPE'],
  ])('refuses %j', (value, code) => {
    expectRefused('maxMemory', value, code);
  });

  it('of 0 as text is none', () => {
    expect([parseOption('maxMemory', '0', 'x'), parseOption('maxMemory', '64m', 'x')]).toEqual([0, '64m']);
  });
});

describe('cronReload', () => {
  it.each([
    ['', ''],
    [' 0 4 * * mon-fri ', '0 4 * * mon-fri'],
  ])('takes %j', (value, resolved) => {
    expect(resolve('cronReload', value)).toBe(resolved);
  });

  it.each([
    ['0 4 * *', 'VALUE'],
    ['0 0 30 2 *', 'VALUE'],
    [4, 'TYPE'],
  ])('refuses %j', (value, code) => {
    expectRefused('cronReload', value, code);
  });
});

describe('logRotation', () => {
  it.each([
    ['daily', { every: 'daily', sizeBytes: 0, keep: 7 }],
    ['hourly', { every: 'hourly', sizeBytes: 0, keep: 7 }],
    [{ size: '64k' }, { every: 'never', sizeBytes: 65_536, keep: 7 }],
    [
      { every: 'hourly', size: 70_000, keep: 0 },
      { every: 'hourly', sizeBytes: 70_000, keep: 0 },
    ],
    [
      { every: 'daily', keep: 10_000 },
      { every: 'daily', sizeBytes: 0, keep: 10_000 },
    ],
  ])('takes %j', (value, resolved) => {
    expect(resolveOptions({ logFile: '/log', logRotation: value } as ServerOptions).logRotation).toEqual(resolved);
  });

  it.each([
    ['weekly', 'VALUE', ''],
    [5, 'VALUE', ''],
    [{}, 'VALUE', ''],
    [{ keep: 3 }, 'VALUE', ''],
    [{ every: 'weekly' }, 'VALUE', ''],
    [{ every: 'daily', other: 1 }, 'VALUE', ''],
    [{ size: '63k' }, 'RANGE', '.size'],
    [{ every: 'daily', keep: 10_001 }, 'RANGE', '.keep'],
    [{ every: 'daily', keep: -1 }, 'RANGE', '.keep'],
  ])('refuses %j', (value, code, inner) => {
    expect(() => resolveOptions({ logFile: '/log', logRotation: value } as ServerOptions)).toThrowError(
      expect.objectContaining({
        code: `ERR_OPTION_${code}`,
        detail: expect.objectContaining({ name: `logRotation${inner}` }),
      }),
    );
  });
});

describe('logger', () => {
  const call = (): void => {};
  const whole = { debug: call, info: call, warn: call, error: call };

  it('is an object with all four calls, as it is', () => {
    expect([resolve('logger', whole), resolve('logger', null)]).toEqual([whole, null]);
    for (const name of Object.keys(whole)) expectRefused('logger', { ...whole, [name]: 1 }, 'TYPE');
    for (const value of ['pino', 5, () => {}]) expectRefused('logger', value, 'TYPE');
    const { show: shown } = definitions.logger.kind;
    expect([shown(null), shown(whole)]).toEqual(['null', '{…}']);
  });
});

describe('proxyProtocol', () => {
  it.each(['10.0.0.1', '::1', '10.0.0.0/8', '10.0.0.0/0', '10.0.0.0/32', '2001:db8::/32', '::/128', '::/33'])(
    'takes %s',
    (one) => {
      expect(resolve('proxyProtocol', [one])).toEqual([one]);
    },
  );

  it.each([
    '10.0.0.0/33',
    '::/129',
    '10.0.0.0/',
    '10.0.0.0/8/8',
    '10.0.0.0/-1',
    '10.0.0/8',
    'a.test',
    'fe80::1%eth0',
    '10.0.0.0/1000',
    5,
  ])('refuses %s', (one) => {
    expectRefused('proxyProtocol', [one], 'VALUE');
  });

  it('is a list', () => {
    expectRefused('proxyProtocol', '10.0.0.1', 'TYPE');
  });
});

describe('a host name', () => {
  const label = 'a'.repeat(63);
  it.each(['a', 'A-b.test', 'a.', '1.a', `${label}.${label}.${label}.${'a'.repeat(61)}`])('may be %s', (name) => {
    expect(resolve('host', name)).toBe(name);
  });

  it.each(['', '.', '-a', 'a-', 'a..b', `${label}a`, '1.2.3', `${label}.${label}.${label}.${'a'.repeat(62)}`, 'a/b'])(
    'may not be "%s"',
    (name) => {
      expectRefused('host', name, 'VALUE');
    },
  );
});

describe('cores and umask', () => {
  it.each([
    [true, 'all'],
    [false, []],
    [
      [0, 1023],
      [0, 1023],
    ],
  ])('cpuAffinity takes %j', (value, resolved) => {
    expect(resolve('cpuAffinity', value)).toEqual(resolved);
  });

  it('cpuAffinity refuses others', () => {
    expectRefused('cpuAffinity', [1024], 'RANGE');
    expectRefused('cpuAffinity', [-1], 'RANGE');
    expectRefused('cpuAffinity', 'all', 'TYPE');
  });

  it.each([
    ['027', 0o27],
    ['0o27', 0o27],
    ['-1', -1],
    ['777', 0o777],
  ])('umask is octal: %s', (text, value) => {
    expect(parseOption('umask', text, '--umask')).toBe(value);
  });

  it('umask has no more rights than there are', () => {
    for (const text of ['8', '1000', '', '-2']) expect(() => parseOption('umask', text, '--umask')).toThrow();
    expect([show('umask', 0o27), show('umask', -1)]).toEqual(['0o27', '-1']);
  });
});

describe('framing', () => {
  const field = (letter: unknown) =>
    resolveOptions({ framing: { type: 'length', field: letter } } as ServerOptions).framing;

  test.each([
    ['c', 'i8'],
    ['C', 'u8'],
    ['n', 'u16be'],
    ['v', 'u16le'],
    ['N', 'u32be'],
    ['V', 'u32le'],
    ['J', 'u64be'],
    ['P', 'u64le'],
    ['s', /^i16[bl]e$/],
    ['S', /^u16[bl]e$/],
    ['i', /^i32[bl]e$/],
    ['I', /^u32[bl]e$/],
    ['l', /^i32[bl]e$/],
    ['L', /^u32[bl]e$/],
    ['q', /^i64[bl]e$/],
    ['Q', /^u64[bl]e$/],
  ])("Swoole's letter %s", (letter, known) => {
    const resolved = field(letter);
    expect(resolved).toMatchObject({ type: 'length', offset: 0, bodyOffset: 0, field: expect.stringMatching(known) });
  });

  test.each(['x', '', 'constructor', 'toString', 5, ['n'], undefined])('%s is no field', (letter) => {
    expectRefused('framing', { type: 'length', field: letter }, 'VALUE', '.field');
  });

  const length = { type: 'length', field: 'n' };
  test.each([
    [{ type: 'eof', delimiter: '' }, 'RANGE', '.delimiter'],
    [{ type: 'eof', delimiter: 'é'.repeat(33) }, 'RANGE', '.delimiter'],
    [{ type: 'eof', delimiter: 5 }, 'TYPE', '.delimiter'],
    [{ type: 'eof', delimiter: 'a', split: 1 }, 'TYPE', '.split'],
    [{ ...length, offset: -1 }, 'RANGE', '.offset'],
    [{ ...length, offset: 8193 }, 'RANGE', '.offset'],
    [{ ...length, offset: '1' }, 'TYPE', '.offset'],
    [{ ...length, bodyOffset: -8193 }, 'RANGE', '.bodyOffset'],
    [{ ...length, bodyOffset: 0.5 }, 'TYPE', '.bodyOffset'],
    [{ ...length, bodyoffset: 1 }, 'UNKNOWN', '.bodyoffset'],
    [{ type: 'custom', length: '' }, 'TYPE', '.length'],
    [{ type: 'none' }, 'VALUE', '.type'],
    [{}, 'VALUE', '.type'],
    ['raw', 'TYPE', ''],
    [null, 'TYPE', ''],
  ])('refuses %j', (value, code, inner) => {
    expect(() => resolveOptions({ framing: value } as ServerOptions)).toThrowError(
      expect.objectContaining({
        code: `ERR_OPTION_${code}`,
        detail: expect.objectContaining({ name: `framing${inner}` }),
      }),
    );
  });

  test('takes its boundary values', () => {
    const framing = (value: object) => resolveOptions({ framing: value } as ServerOptions).framing;
    expect(framing({ ...length, offset: 8192, bodyOffset: -8192 })).toMatchObject({ offset: 8192, bodyOffset: -8192 });
    expect(framing({ type: 'eof', delimiter: 'é'.repeat(32), split: false })).toMatchObject({ split: false });
    expect(framing({ type: 'eof', delimiter: '\n' })).toEqual({
      type: 'eof',
      delimiter: Uint8Array.of(10),
      split: true,
    });
  });
});

describe('tls', () => {
  it('shows nothing of its keys', () => {
    const { show: shown, check } = definitions.tls.kind;
    expect([shown(null), shown(check('tls', { cert: '/a', key: '/b' }))]).toEqual(['null', '{…}']);
  });

  it('takes what it may be given at most', () => {
    const given = {
      cert: '/a',
      key: '/b',
      alpn: ['x'.repeat(255)],
      handshakeTimeoutMs: 120_000,
      minVersion: 'TLSv1.3',
    };
    expect(resolve('tls', given)).toMatchObject({
      alpn: given.alpn,
      handshakeTimeoutMs: 120_000,
      minVersion: 'TLSv1.3',
    });
    expectRefused('tls', { ...given, alpn: ['x'.repeat(256)] }, 'VALUE', '.alpn');
    expectRefused('tls', { ...given, alpn: 'h2' }, 'VALUE', '.alpn');
    expectRefused('tls', { ...given, handshakeTimeoutMs: 120_001 }, 'VALUE', '.handshakeTimeoutMs');
    expectRefused('tls', { ...given, sni: [] }, 'TYPE', '.sni');
    expectRefused('tls', { ...given, ca: '' }, 'VALUE', '.ca');
    expectRefused('tls', { ...given, passphrase: 5 }, 'VALUE', '.passphrase');
  });

  it.each(['a', '*.a.test', 'A_b-1.test'])('is for the server name %s', (name) => {
    const { sni } = resolve('tls', { cert: '/a', key: '/b', sni: { [name]: { cert: '/c', key: '/d' } } }) ?? {
      sni: {},
    };
    expect(sni).toEqual({ [name.toLowerCase()]: { cert: '/c', key: '/d', passphrase: undefined } });
  });

  it.each(['', '*', '*.', 'a.*.test', 'a..b', '.a'])('is for no server name "%s"', (name) => {
    expectRefused('tls', { cert: '/a', key: '/b', sni: { [name]: { cert: '/c', key: '/d' } } }, 'VALUE', '.sni');
  });
});

describe('what is given as text', () => {
  test.each([
    ['true', true],
    ['YES', true],
    ['on', true],
    ['1', true],
    ['false', false],
    ['No', false],
    ['off', false],
    ['0', false],
  ])('a flag: %s', (text, value) => {
    expect(parseOption('noDelay', text, '--no-delay')).toBe(value);
  });

  test.each(['', 'y', 'constructor', 'truthy'])('no flag: "%s"', (text) => {
    expect(() => parseOption('noDelay', text, '--no-delay')).toThrowError(
      expect.objectContaining({ code: 'ERR_OPTION_TYPE' }),
    );
  });

  test.each(['1.5', '1e3', ' 1', '0x1', ''])('no integer: "%s"', (text) => {
    expect(() => parseOption('workerNum', text, '--worker-num')).toThrowError(
      expect.objectContaining({ code: 'ERR_OPTION_TYPE' }),
    );
  });
});

it('a folder of files is found from the script of the user, also where a program of ours runs it', () => {
  setScriptPath('/srv/app/main.js');
  expect(resolveOptions({ ...HTTP, staticFiles: 'public' }).staticFiles[0]?.root).toBe('/srv/app/public');
});
