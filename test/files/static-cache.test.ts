import { beforeEach, describe, expect, it } from 'vitest';
import { StaticCache } from '../../src/files/static-cache.js';

type Outcome = Parameters<StaticCache['set']>[1];

/** Of a file whose content is kept, in two encodings. */
const file = (...bytes: number[]): Outcome =>
  ({ kind: 'file', variants: bytes.map((size) => ({ file: { bytes: Buffer.alloc(size) } })) }) as unknown as Outcome;
const absent = { kind: 'absent' } as Outcome;
const folder = { kind: 'folder' } as unknown as Outcome;

let cache: StaticCache;
beforeEach(() => {
  cache = new StaticCache(100);
});

describe('what was found at a path', () => {
  it('is believed for a second, and not before it was found', () => {
    const found = file(1);
    cache.set('/a', found, 5000);
    expect([5000, 5999].map((now) => cache.get('/a', now))).toEqual([found, found]);
    expect([4999, 6000].map((now) => cache.get('/a', now))).toEqual([undefined, undefined]);
    expect(cache.get('/b', 5000)).toBeUndefined();
  });

  it('is known however old it is, where it is a file', () => {
    const found = file(1) as Extract<Outcome, { kind: 'file' }>;
    cache.set('/a', found, 0);
    cache.set('/none', absent, 0);
    cache.set('/folder', folder, 0);
    expect(cache.known('/a')).toBe(found.variants);
    expect([cache.known('/none'), cache.known('/folder'), cache.known('/b')]).toEqual([[], [], []]);
  });

  it('takes the place of what was found before', () => {
    cache.set('/a', file(30, 20), 0);
    expect([cache.bytes, cache.size]).toEqual([50, 1]);
    cache.set('/a', file(10), 0);
    expect([cache.bytes, cache.size]).toEqual([10, 1]);
    cache.set('/a', absent, 0);
    expect([cache.bytes, cache.size, cache.get('/a', 0)]).toEqual([0, 1, absent]);
    cache.set('/a', file(5), 0);
    expect([cache.bytes, cache.size]).toEqual([5, 1]);
  });
});

describe('there is room', () => {
  it('for so many bytes; those that were not asked for go first', () => {
    cache.set('/a', file(40), 0);
    cache.set('/b', file(60), 0);
    expect([cache.bytes, cache.size]).toEqual([100, 2]);
    cache.set('/a', file(40), 1); // asked for again
    cache.set('/c', file(1), 1);
    expect([cache.get('/b', 1), cache.bytes, cache.size]).toEqual([undefined, 41, 2]);
    cache.set('/d', file(101), 1);
    expect([cache.bytes, cache.size]).toEqual([0, 0]);
  });

  it('for 16 MiB where nothing else is said', () => {
    const usual = new StaticCache();
    const mib = 1024 * 1024;
    for (let i = 0; i < 16; i++) usual.set(`/${i}`, file(mib), 0);
    expect([usual.bytes, usual.size]).toEqual([16 * mib, 16]);
    usual.set('/one-more', file(1), 0);
    expect([usual.bytes, usual.size]).toEqual([15 * mib + 1, 16]);
  });

  it('for 800 files, and for 200 names that are none, which take no room from files', () => {
    for (let i = 0; i < 801; i++) cache.set(`/${i}`, file(0), 0);
    expect([cache.size, cache.get('/0', 0), cache.get('/1', 0) !== undefined]).toEqual([800, undefined, true]);
    for (let i = 0; i < 201; i++) cache.set(`/none/${i}`, absent, 0);
    expect([cache.size, cache.get('/none/0', 0), cache.get('/none/1', 0)]).toEqual([1000, undefined, absent]);
    expect(cache.get('/1', 0)).toBeDefined();
  });
});
