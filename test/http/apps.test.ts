import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { askApp, forgetAddress, isAsked, knownAddress } from '../../src/http/app-address.js';
import { checkApps, type HttpApps } from '../../src/http/apps.js';
import { Compression } from '../../src/http/compression.js';

const call = (): never => undefined as never;

describe('what answers requests', () => {
  it.each([{}, { fetch: call }, { listener: call }, { listener: new Server() }, { app: call }])(
    'is one: %j',
    (apps) => {
      expect(checkApps(apps as HttpApps)).toBe(apps);
    },
  );

  it.each([
    [{ fetch: 1 }, 'fetch', 'a function'],
    [{ app: {} }, 'app', 'a function'],
    [{ listener: {} }, 'listener', 'a function of (request, response), or a http.Server'],
    [{ listener: null }, 'listener', 'a function of (request, response), or a http.Server'],
    [{ listener: 'x' }, 'listener', 'a function of (request, response), or a http.Server'],
  ])('is not %j', (apps, name, expected) => {
    expect(() => checkApps(apps as never)).toThrowError(
      expect.objectContaining({
        code: 'ERR_OPTION_TYPE',
        detail: { name, expected, received: expect.any(String) },
      }),
    );
  });

  it.each([
    [{ fetch: call, listener: call }, 'fetch', 'listener'],
    [{ app: call, listener: call }, 'listener', 'app'],
    [{ app: call, fetch: call }, 'fetch', 'app'],
  ])('is not two at a time', (apps, name, other) => {
    expect(() => checkApps(apps as HttpApps)).toThrowError(
      expect.objectContaining({ code: 'ERR_OPTION_CONFLICT', detail: { name, other, why: expect.any(String) } }),
    );
  });
});

describe('where an app listens', () => {
  const argv = process.argv;
  let folder: string | undefined;

  afterEach(() => {
    process.argv = argv;
    forgetAddress();
    if (folder !== undefined) rmSync(folder, { recursive: true });
    folder = undefined;
  });

  function ask(script: string): ReturnType<typeof askApp> {
    folder = mkdtempSync(join(tmpdir(), 'asked-'));
    const path = join(folder, 'app.mjs');
    writeFileSync(path, `import { writeSync } from 'node:fs';\n${script}`);
    process.argv = [process.execPath, path, 'its argument'];
    return askApp();
  }

  it('is told by a process of its own, which then ends, and known from then on', async () => {
    expect([isAsked(), knownAddress()]).toEqual([false, undefined]);
    const told = await ask(`
      const host = [process.argv[2], typeof process.env.TSWOOLE_ASKED_FOR_ADDRESS].join();
      writeSync(3, JSON.stringify({ port: process.pid, host }) + '\\n');
      setInterval(() => {}, 1000);`);
    expect(told).toEqual({ port: expect.any(Number), host: 'its argument,string' });
    expect(() => process.kill(told.port as number, 0)).toThrow(); // ESRCH
    expect(knownAddress()).toEqual(told);
    forgetAddress();
    expect(knownAddress()).toBeUndefined();
  });

  it.each([
    ['says nothing', ''],
    ['says what cannot be understood', `writeSync(3, '{"port"\\n');`],
    ['throws', 'throw new Error("broken");'],
  ])('is not known of one that %s', async (_, script) => {
    expect(await ask(script)).toEqual({});
    expect(knownAddress()).toEqual({});
  });
});

describe('media types that are compressed', () => {
  const isCompressed = (type: string, compression = new Compression({ threshold: 0 })): boolean =>
    compression.apply(['content-type', type], 10, 'gzip') === 'gzip';

  it.each([
    ...['text/html', 'text/x-own', 'application/json', 'application/javascript', 'application/xml', 'application/wasm'],
    ...['application/rtf', 'application/x-javascript', 'application/x-www-form-urlencoded', 'application/graphql'],
    ...['application/yaml', 'application/manifest+json', 'application/vnd.ms-fontobject', 'font/ttf', 'font/otf'],
    ...['image/bmp', 'image/x-icon', 'application/x-ndjson', 'application/toml', 'application/sql', 'image/svg+xml'],
    ...['application/ld+json', 'application/x+text', 'TEXT/HTML; charset=utf-8', ' Application/JSON ;x=y'],
  ])('%s', (type) => {
    expect(isCompressed(type)).toBe(true);
  });

  it.each(['image/png', 'application/octet-stream', 'video/mp4', 'font/woff2', 'application/zip', 'textual', 'a/json'])(
    'not %s',
    (type) => {
      expect(isCompressed(type)).toBe(false);
    },
  );

  it('are those of a list, and kinds of them, or what a function says', () => {
    const list = new Compression({ threshold: 0, types: ['Image/*', 'a/b'] });
    expect(['image/png', 'a/b', 'a/bc', 'imagex/png', 'text/html'].map((type) => isCompressed(type, list))).toEqual([
      true,
      true,
      false,
      false,
      false,
    ]);
    const own = new Compression({ threshold: 0, types: (type) => type === 'x/y' });
    expect([isCompressed('x/y; a=b', own), isCompressed('text/html', own)]).toEqual([true, false]);
  });
});

describe('settings of compression', () => {
  it.each([
    [{ threshold: -1 }, 'threshold'],
    [{ threshold: 0.5 }, 'threshold'],
    [{ encodings: 'gzip' }, 'encodings'],
    [{ encodings: ['toString'] }, 'encodings'],
    [{ types: 'text/*' }, 'types'],
    [{ types: [1] }, 'types'],
    [{ levels: { br: 12 } }, 'levels.br'],
    [{ levels: { br: -1 } }, 'levels.br'],
    [{ levels: { gzip: 0 } }, 'levels.gzip'],
    [{ levels: { gzip: 10 } }, 'levels.gzip'],
    [{ levels: { deflate: 10 } }, 'levels.deflate'],
    [{ levels: { zstd: 20 } }, 'levels.zstd'],
    [{ levels: { zstd: 0 } }, 'levels.zstd'],
    [{ levels: { lzma: 1 } }, 'levels.lzma'],
  ])('%j is refused', (options, name) => {
    expect(() => new Compression(options as never)).toThrowError(
      expect.objectContaining({
        code: 'ERR_OPTION_VALUE',
        detail: expect.objectContaining({ name: `compression.${name}` }),
      }),
    );
  });

  it('take their boundary values', () => {
    for (const levels of [{ br: 0 }, { br: 11 }, { gzip: 1 }, { gzip: 9 }, { deflate: 9 }, { zstd: 1 }, { zstd: 19 }]) {
      expect(() => new Compression({ levels })).not.toThrow();
    }
  });

  it('leave shorter bodies as they are: from 1024 bytes on, where nothing else is said', () => {
    const usual = new Compression();
    const apply = (bytes: number) => usual.apply(['content-type', 'text/plain'], bytes, 'gzip');
    expect([apply(1023), apply(1024), apply(-1)]).toEqual(['', 'gzip', 'gzip']);
  });
});
