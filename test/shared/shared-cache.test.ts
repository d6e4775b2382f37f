import { closeSync } from 'node:fs';
import { afterEach, describe, expect, it } from 'vitest';
import { Arena } from '../../src/shared/arena.js';
import {
  CacheCore,
  type CacheSettings,
  cacheFigures,
  cacheSpec,
  type WrapTimes,
} from '../../src/shared/cache/cache-core.js';
import { SharedCache, type SharedCacheOptions } from '../../src/shared/cache/shared-cache.js';
import { DEADLINE_MS, PACE } from '../helpers/deadline.js';
import { heardFrom, runSharers, startSharer } from '../helpers/sharers.js';
import { deep, wasmModule } from '../helpers/unreadable.js';

const opened: Arena[] = [];
afterEach(() => {
  for (const { descriptor } of opened.splice(0)) closeSync(descriptor);
});

const DEATH = new Error('the process has died here');

/** A cache, as several processes have it; processes die at a step, and time goes on while they sleep. */
class World {
  readonly dead = new Set<number>();
  readonly arena = Arena.create({ pid: 1, isRunning: (pid) => !this.dead.has(pid), startTimeOf: () => '1' });
  readonly #settings: CacheSettings;
  now = 1_000_000;
  /** Until the process that is writing dies. */
  stepsLeft = Number.POSITIVE_INFINITY;

  constructor(settings: Partial<CacheSettings> = {}) {
    this.#settings = { maxBytes: 262_144, maxValueBytes: 16_384, ...settings };
    opened.push(this.arena);
  }

  process(pid: number, mortal = false): CacheCore {
    const arena = Arena.open(this.arena.descriptor, {
      ...{ pid, isRunning: (other: number) => !this.dead.has(other), startTimeOf: () => '1' },
    });
    const parts = {
      now: () => this.now,
      patienceMs: 20,
      sleep: (ms: number, signal?: AbortSignal) => this.#sleep(ms, signal),
    };
    const step = (): void => {
      if (this.stepsLeft-- > 0) return;
      this.dead.add(pid);
      throw DEATH;
    };
    return new CacheCore(this.#attach(arena), this.#settings, mortal ? { ...parts, step } : parts);
  }

  get figures() {
    return cacheFigures(this.#attach(this.arena));
  }

  get bytes(): Buffer {
    return Buffer.from(this.#attach(this.arena).memory);
  }

  /** One that may end early lets others make the time pass. */
  async #sleep(ms: number, signal?: AbortSignal): Promise<void> {
    const until = this.now + ms;
    if (signal === undefined) this.now = until;
    do await new Promise((resolve) => setImmediate(resolve));
    while (this.now < until && !signal?.aborted);
  }

  #attach(arena: Arena) {
    return arena.attach({ ...cacheSpec(this.#settings), name: 'a' });
  }
}

const ever = Number.POSITIVE_INFINITY;
const times: WrapTimes = { ttlMs: 1000, staleMs: 0, timeoutMs: 500 };

describe('a shared cache', () => {
  it.each([
    ['ASCII', 'plain'],
    ['no text', ''],
    ['other text', 'é€\0😀'],
    ['a lone surrogate', 'a\ud800b'],
    ['a Buffer', Buffer.from([0, 255, 7])],
    ['an object', { a: [1, new Date(5), new Map([['k', 2n]])], b: null }],
    ['a typed array', new Float64Array([1.5, 2])],
    ['null', null],
  ])('gives %s back in every process', (_, value) => {
    const world = new World();
    expect(world.process(1).set('key', value, ever)).toBe(true);
    expect(world.process(2).get('key')).toEqual(value);
  });

  it('tells keys apart', () => {
    const world = new World();
    const cache = world.process(1);
    const keys = ['', '\0', '\0\0', 'a', 'b', 'é', '\ud800', '\ud801', '€a', 'x'.repeat(1024)];
    for (const key of keys) cache.set(key, `value of ${JSON.stringify(key)}`, ever);
    expect(keys.map((key) => cache.get(key))).toEqual(keys.map((key) => `value of ${JSON.stringify(key)}`));
    expect(world.figures).toMatchObject({ keys: 10, hits: 10, misses: 0 });
  });

  it('refuses what could not be read again, and computes anew what cannot be read all the same', async () => {
    const world = new World();
    const cache = world.process(1);
    const refused = expect.objectContaining({ code: 'ERR_DATA_NOT_CLONEABLE' });
    for (const value of [deep(1001), deep(2200), wasmModule()]) {
      expect(() => cache.set('a', value, 1000)).toThrow(refused);
      await expect(cache.wrap('a', async () => value, times)).rejects.toThrow(refused);
    }
    expect(cache.set('a', deep(1000), 1000)).toBe(true);
    expect(cache.get('a')).toEqual(deep(1000));
    cache.set('b', { of: 'a stranger' }, 1000);
    const { bytes } = world;
    bytes[bytes.indexOf('a stranger') - 2] = 0x7e; // the kind of the text
    expect(world.process(2).get('b')).toBeUndefined();
    expect(await world.process(2).wrap('b', () => 'anew', times)).toBe('anew');
    expect(cache.get('b')).toBe('anew');
  });

  it('replaces, deletes, and forgets what is too old', () => {
    const world = new World();
    const cache = world.process(1);
    cache.set('a', 1, 100);
    cache.set('a', 2, 100);
    expect([cache.get('a'), cache.delete('a'), cache.delete('a'), cache.get('a')]).toEqual([2, true, false, undefined]);
    cache.set('a', 3, 100);
    world.now += 99;
    expect(cache.get('a')).toBe(3);
    world.now += 1;
    expect(cache.get('a')).toBeUndefined();
    expect(world.figures).toMatchObject({ hits: 2, misses: 2 });
  });

  it('does not keep what is too large', () => {
    const cache = new World().process(1);
    expect(cache.set('a', 'x'.repeat(16_384), ever)).toBe(true);
    expect(cache.set('a', 'x'.repeat(16_385), ever)).toBe(false);
  });

  it('makes room by the oldest, and gives those that were read a second chance', () => {
    const world = new World();
    const cache = world.process(1);
    cache.set('read', 'r', ever);
    cache.set('never', 'n', ever);
    for (let i = 0; i < 1000; i++) {
      cache.set(`key ${i}`, `${i}`.padEnd(1000), ever);
      expect(cache.get('read')).toBe('r');
    }
    expect(cache.get('never')).toBeUndefined();
    for (let i = 900; i < 1000; i++) expect(cache.get(`key ${i}`)).toBe(`${i}`.padEnd(1000));
    const { bytes, bytesUsed, evictions } = world.figures;
    expect(bytes).toBeLessThanOrEqual(262_144);
    expect(bytesUsed / bytes).toBeGreaterThan(0.85);
    expect(evictions).toBeGreaterThan(700);
  });

  it('equals a model through thousands of writes of all sizes', () => {
    const world = new World({ maxBytes: 2 ** 20, maxValueBytes: 60_000 });
    const caches = [world.process(1), world.process(2)];
    const model = new Map<string, string>();
    let seed = 1;
    const random = (below: number): number => {
      seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
      return (seed >>> 8) % below;
    };
    for (let i = 0; i < 20_000; i++) {
      const cache = caches[i & 1] as CacheCore;
      const key = `key ${random(300)}`;
      if (random(10) === 0) {
        cache.delete(key);
        model.delete(key);
      } else if (random(2) === 0) {
        const value = String(i).repeat(1 + random(random(20) === 0 ? 10_000 : 50));
        expect(cache.set(key, value, ever)).toBe(true);
        model.set(key, value);
      } else {
        const value = cache.get(key);
        if (value !== undefined) expect(value === model.get(key)).toBe(true);
      }
    }
  });

  it('is whole wherever a writer dies', () => {
    const world = new World();
    const value = (key: number, round: number): string => `${key}/${round}/`.repeat(20 + ((key * 7 + round) % 90));
    const survivor = world.process(1);
    const known = new Map<number, Set<string>>();
    let deaths = 0;
    for (let round = 0; round < 3000; round++) {
      const pid = 100 + round;
      const mortal = world.process(pid, true);
      const key = (round * 31) % 200;
      const now = value(key, round);
      world.stepsLeft = round % 13;
      known.set(key, (known.get(key) ?? new Set()).add(now));
      try {
        if (round % 17 === 0) mortal.delete(`${key}`);
        else mortal.set(`${key}`, now, ever);
      } catch (error) {
        expect(error).toBe(DEATH);
        deaths++;
      }
      world.stepsLeft = Number.POSITIVE_INFINITY;
      world.dead.add(pid);
      for (const other of [key, (key + 31) % 200, (key + 62) % 200]) {
        const found = survivor.get(`${other}`) as string | undefined;
        if (found !== undefined) expect(known.get(other)?.has(found)).toBe(true);
      }
      expect(survivor.set('probe', round, ever)).toBe(true);
      expect(survivor.get('probe')).toBe(round);
    }
    expect(deaths).toBeGreaterThan(1000);
    for (let key = 0; key < 200; key++) survivor.delete(`${key}`); // the last deaths may be in any stripe
    expect(world.figures.brokenLocks).toBe(deaths);
  });

  it('misses, and does not keep, where a process was stopped that writes', () => {
    const world = new World();
    world.process(1).set('a', 1, ever);
    const stopped = world.process(2, true);
    world.stepsLeft = 2;
    expect(() => stopped.set('a', 2, ever)).toThrow(DEATH);
    world.dead.delete(2);
    const other = world.process(3);
    expect([other.set('a', 3, ever), other.get('a')]).toEqual([false, 1]);
  });
});

describe('wrap', () => {
  it('computes once over all processes', async () => {
    const world = new World();
    let made = 0;
    const make = async (): Promise<number> => {
      for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
      return ++made;
    };
    const processes = [1, 2, 3, 4].map((pid) => world.process(pid));
    const asked = processes.flatMap((process) => [process.wrap('a', make, times), process.wrap('a', make, times)]);
    expect(await Promise.all(asked)).toEqual([1, 1, 1, 1, 1, 1, 1, 1]);
    expect(await processes[0]?.wrap('a', make, times)).toBe(1);
    world.now += 1000;
    expect(await processes[1]?.wrap('a', make, times)).toBe(2);
  });

  it('computes undefined once too', async () => {
    const world = new World();
    let made = 0;
    const make = (): undefined => void made++;
    await world.process(1).wrap('a', make, times);
    await world.process(2).wrap('a', make, times);
    expect(made).toBe(1);
  });

  it('does not keep an error: the next process computes', async () => {
    const world = new World();
    const fails = world.process(1).wrap('a', () => Promise.reject(new Error('no')), times);
    const waits = world.process(2).wrap('a', () => 2, times);
    await expect(fails).rejects.toThrow('no');
    expect(await waits).toBe(2);
  });

  it('goes on in another process at once where the one that computes dies', async () => {
    const world = new World();
    void world.process(7).wrap('a', () => new Promise(() => {}), times);
    const waits = world.process(2).wrap('a', () => 2, { ...times, timeoutMs: 1e9 });
    world.dead.add(7);
    expect(await waits).toBe(2);
  });

  it('computes in every process where the first is too slow, or the value is too large to be kept', async () => {
    const world = new World();
    void world.process(7).wrap('slow', () => new Promise(() => {}), times);
    expect(await world.process(2).wrap('slow', () => 2, times)).toBe(2);
    const large = 'x'.repeat(20_000);
    const asked = [1, 2, 3].map((pid) => world.process(pid).wrap('large', () => large, times));
    expect(await Promise.all(asked)).toEqual([large, large, large]);
  });

  it('returns a stale value while one process computes', async () => {
    const world = new World();
    const [one, two] = [world.process(1), world.process(2)];
    const stale = { ...times, staleMs: 5000 };
    let made = 0;
    await one.wrap('a', () => ++made, stale);
    world.now += 1500;
    const make = async (): Promise<number> => {
      await new Promise((resolve) => setImmediate(resolve));
      return ++made;
    };
    expect(await Promise.all([one, two, two].map((each) => each.wrap('a', make, stale)))).toEqual([1, 1, 1]);
    await new Promise((resolve) => setTimeout(resolve, 10));
    expect([one.get('a'), made]).toEqual([2, 2]);
    world.now += 1500;
    expect(await one.wrap('a', () => Promise.reject(new Error('no')), stale)).toBe(2);
    world.now += 5000;
    await expect(one.wrap('a', () => Promise.reject(new Error('no')), stale)).rejects.toThrow('no');
  });
});

describe('real processes that write to a cache', () => {
  it('leave it whole when they are killed', { timeout: 60_000 * PACE }, async () => {
    const arena = Arena.create();
    opened.push(arena);
    const reader = startSharer(arena, 'reader', 0);
    const heard = heardFrom(reader);
    for (let round = 0; round < 12; round++) {
      const writers = [1, 2].map(() => startSharer(arena, 'writer', 0));
      const ends = writers.map(heardFrom);
      await Promise.all(writers.map((writer) => new Promise((resolve) => writer.stdout?.once('data', resolve))));
      await new Promise((resolve) => setTimeout(resolve, 20 + round));
      for (const writer of writers) writer.kill('SIGKILL');
      await Promise.all(ends);
    }
    reader.kill('SIGTERM');
    const [found, wrong] = (await heard).split(' ').map(Number);
    expect(found).toBeGreaterThan(1000);
    expect(wrong).toBe(0);
  });
});

describe('four real processes that ask for one value at once', () => {
  it('compute it once', { timeout: DEADLINE_MS }, async () => {
    const told = await runSharers(4, 'wrapper', 0);
    expect(told.sort()).toEqual(['computes;value 1', 'value 1', 'value 1', 'value 1']);
  });

  it('compute it once more where the one that computes is killed', { timeout: DEADLINE_MS }, async () => {
    const arena = Arena.create();
    opened.push(arena);
    const all = [1, 2, 3, 4].map(() => startSharer(arena, 'wrapper', 1));
    const told = all.map(heardFrom);
    const first = await Promise.race(
      all.map((child) => new Promise<typeof child>((resolve) => child.stdout?.once('data', () => resolve(child)))),
    );
    first.kill('SIGKILL');
    expect((await Promise.all(told)).sort()).toEqual(['computes;', 'computes;value 2', 'value 2', 'value 2']);
  });
});

describe('the class SharedCache', () => {
  it('keeps, wraps and tells', async () => {
    const cache = new SharedCache<string>({ name: 'pages', maxBytes: '1m', ttlMs: 60_000 });
    expect(cache.get('a')).toBeUndefined();
    expect(cache.set('a', 'b')).toBe(true);
    expect([cache.get('a'), await cache.wrap('a', () => 'c'), await cache.wrap('d', async () => 'e')]).toEqual([
      'b',
      'b',
      'e',
    ]);
    expect(cache.delete('a')).toBe(true);
    expect(cache.stats()).toMatchObject({ keys: 1, hits: 2, misses: 2, evictions: 0 });
  });

  it.each([
    ['nothing', undefined, 'ERR_OPTION_TYPE'],
    ['no size', {}, 'ERR_OPTION_TYPE'],
    ['too small a size', { maxBytes: '1k' }, 'ERR_OPTION_RANGE'],
    ['values that would fill it', { maxBytes: '1m', maxValueBytes: '1m' }, 'ERR_OPTION_RANGE'],
    ['a ttl of 0', { maxBytes: '1m', ttlMs: 0 }, 'ERR_OPTION_RANGE'],
    ['another name', { maxBytes: '1m', ttl: 5 }, 'ERR_OPTION_UNKNOWN'],
  ])('refuses %s', (_, options, code) => {
    expect(() => new SharedCache(options as SharedCacheOptions)).toThrow(expect.objectContaining({ code }));
  });

  it('checks its arguments', async () => {
    const cache = new SharedCache({ maxBytes: '1m' });
    const wrong = expect.objectContaining({ code: 'ERR_SHARED_ARGUMENT' });
    expect(() => cache.get(5 as unknown as string)).toThrow(wrong);
    expect(() => cache.set('x'.repeat(1025), 1)).toThrow(wrong);
    expect(() => cache.set('a', undefined)).toThrow(wrong);
    expect(() => cache.set('a', () => 1)).toThrow(expect.objectContaining({ code: 'ERR_DATA_NOT_CLONEABLE' }));
    await expect(cache.wrap('a', 5 as unknown as () => unknown)).rejects.toThrow(wrong);
  });
});

describe('a mistyped option', () => {
  it.each([
    ['of a cache', async () => new SharedCache({ maxBytes: '1m', ttl: 5 } as never)],
    ['of set', async () => new SharedCache({ maxBytes: '1m' }).set('k', 1, { ttl: 5 } as object)],
    ['of wrap', () => new SharedCache({ maxBytes: '1m' }).wrap('k', () => 1, { stale: 5 } as object)],
  ])('%s is refused, with those that there are', async (_, make) => {
    await expect(make()).rejects.toMatchObject({
      code: 'ERR_OPTION_UNKNOWN',
      message: expect.stringContaining('ttlMs'),
    });
  });
});

describe('callers of one process', () => {
  it('do not wait for one that never ends longer than they say, and those that come later wait for the next', async () => {
    const world = new World();
    const cache = world.process(10);
    const never = cache.wrap('k', () => new Promise(() => {}), times);
    let calls = 0;
    let finish = (_: string): void => {};
    const make = (): Promise<string> => {
      calls++;
      return new Promise((resolve) => {
        finish = resolve;
      });
    };
    const second = cache.wrap('k', make, times);
    const third = cache.wrap('k', make, times);
    await new Promise(setImmediate);
    expect(calls).toBe(0);
    world.now += 500;
    while (calls === 0) await new Promise(setImmediate);
    const later = cache.wrap('k', make, times);
    finish('made');
    expect(await Promise.all([second, third, later])).toEqual(['made', 'made', 'made']);
    expect(calls).toBe(1);
    void never;
  });

  it('in a real process leave no timer behind', async () => {
    const cache = new SharedCache({ maxBytes: '1m' });
    const timers = (): number => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
    const before = timers();
    const make = (): Promise<number> => new Promise((resolve) => setTimeout(resolve, 5, 7));
    expect(await Promise.all([1, 2, 3].map(() => cache.wrap('k', make)))).toEqual([7, 7, 7]);
    expect(timers()).toBe(before);
  });
});
