import { closeSync } from 'node:fs';
import { afterEach, describe, expect, it } from 'vitest';
import { Arena } from '../../src/shared/arena.js';
import {
  LimiterCells,
  type LimiterParts,
  type LimiterRule,
  limiterFiguresAt,
  limiterSpec,
} from '../../src/shared/limiter-cells.js';
import { RateLimiter, type RateLimiterOptions } from '../../src/shared/rate-limiter.js';
import { PACE } from '../helpers/deadline.js';
import { runSharers } from '../helpers/sharers.js';
import { dies, Fate } from '../helpers/table-world.js';

const opened: Arena[] = [];
afterEach(() => {
  for (const { descriptor } of opened.splice(0)) closeSync(descriptor);
});

/** A limiter, as several processes have it, and their clock. */
class World {
  readonly arena = Arena.create({ pid: 1, isRunning: () => true, startTimeOf: () => '1' });
  readonly dead = new Set<number>();
  readonly #rule: LimiterRule;
  now = 5_000_000.25;

  constructor(rule: Partial<LimiterRule> & { readonly burst: number }) {
    this.#rule = { periodMs: 100, keys: 1000, ...rule };
    opened.push(this.arena);
  }

  process(pid: number, parts: Partial<LimiterParts> = {}): LimiterCells {
    const arena = Arena.open(this.arena.descriptor, {
      ...{ pid, isRunning: (other: number) => !this.dead.has(other), startTimeOf: () => '1' },
    });
    return new LimiterCells(this.#attach(arena), this.#rule, () => this.now, { patienceMs: 20, ...parts });
  }

  get figures() {
    return limiterFiguresAt(this.#attach(this.arena), this.now);
  }

  get memory(): ArrayBuffer {
    return this.#attach(this.arena).memory;
  }

  #attach(arena: Arena) {
    return arena.attach({ ...limiterSpec(this.#rule, 5_000_000), name: 'a' });
  }
}

describe('a rate limiter', () => {
  it('allows the burst at once, and then one per period, over all processes', () => {
    const world = new World({ burst: 3 });
    const [one, two] = [world.process(1), world.process(2)];
    expect([one, two, one].map((process) => process.take('a', 1))).toEqual([
      { allowed: true, remaining: 2, retryAfterMs: 0 },
      { allowed: true, remaining: 1, retryAfterMs: 0 },
      { allowed: true, remaining: 0, retryAfterMs: 0 },
    ]);
    expect(two.take('a', 1)).toEqual({ allowed: false, remaining: 0, retryAfterMs: 100 });
    world.now += 99;
    expect(two.take('a', 1)).toEqual({ allowed: false, remaining: 0, retryAfterMs: 1 });
    world.now += 1;
    expect(one.take('a', 1).allowed).toBe(true);
    expect(two.take('a', 1).allowed).toBe(false);
    expect(two.take('b', 1).remaining).toBe(2);
  });

  it.each([
    [1000 / 3, 10],
    [1, 1000],
    [0.01, 100_000],
    [86_400_000, 5],
    [1000 / 7, 7],
  ])('allows exactly the burst where the period is %d ms and the burst %d', (periodMs, burst) => {
    const world = new World({ periodMs, burst });
    const process = world.process(1);
    for (let i = 0; i < Math.min(burst, 5000); i++) process.take('a', burst > 5000 ? burst / 5000 : 1);
    expect(process.take('a', 1).allowed).toBe(false);
    world.now += periodMs * 1.001 + 0.001;
    expect([process.take('a', 1).allowed, process.take('a', 1).allowed]).toEqual([true, false]);
  });

  it('takes several at once or none, and 0 looks', () => {
    const process = new World({ burst: 5 }).process(1);
    expect(process.take('a', 4).remaining).toBe(1);
    expect(process.take('a', 2)).toEqual({ allowed: false, remaining: 1, retryAfterMs: 100 });
    expect(process.take('a', 0)).toEqual({ allowed: true, remaining: 1, retryAfterMs: 0 });
    expect(process.take('a', 6)).toMatchObject({ allowed: false, retryAfterMs: Number.POSITIVE_INFINITY });
    expect(process.take('a', 1).allowed).toBe(true);
  });

  it('allows no more where the clock of a process is behind', () => {
    const world = new World({ burst: 1 });
    const process = world.process(1);
    process.take('a', 1);
    world.now -= 5000;
    expect(process.take('a', 1).allowed).toBe(false);
  });

  it('forgets the key that was idle for longest where there are too many, and refuses none', () => {
    const world = new World({ burst: 1, keys: 1 });
    const process = world.process(1);
    for (let i = 0; i < 17; i++) {
      world.now += 1;
      expect(process.take(`key ${i}`, 1).allowed).toBe(true);
    }
    expect(world.figures).toMatchObject({ keys: 16, evictions: 1, allowed: 17 });
    for (let i = 2; i < 17; i++) expect(process.take(`key ${i}`, 1).allowed).toBe(false);
    expect(process.take('key 0', 1).allowed).toBe(true);
    world.now += 1000;
    expect(process.take('another', 1).allowed).toBe(true);
    expect(world.figures).toMatchObject({ keys: 1, evictions: 2, refused: 15 });
  });

  it('forgets hardly a key where as many are known as declared', () => {
    const world = new World({ burst: 1, keys: 10_000 });
    const process = world.process(1);
    for (let i = 0; i < 10_000; i++) process.take(`10.0.${i >> 8}.${i & 255}`, 1);
    expect(world.figures.evictions).toBeLessThan(30);
  });

  it('goes on where a process died with the cell in hand, and says so where it was stopped', () => {
    const world = new World({ burst: 2, keys: 1 });
    const [one, two] = [world.process(1), world.process(2)];
    one.take('a', 1);
    const ints = new Int32Array(world.memory);
    ints[1024] = Arena.open(world.arena.descriptor, { pid: 3, startTimeOf: () => '1' }).owners.word;
    expect(() => two.take('a', 1)).toThrow(expect.objectContaining({ code: 'ERR_LIMITER_BUSY' }));
    world.dead.add(3);
    expect(two.take('a', 1)).toMatchObject({ allowed: true, remaining: 0 });
  });

  it('tells strings apart that are alike', () => {
    const world = new World({ burst: 1 });
    const process = world.process(1);
    const keys = ['', '\0', '\0\0', 'a', 'a\0', 'b', 'ab', 'ba', '\ud800', '\ud801', 'é', 'x'.repeat(9999)];
    expect(keys.map((key) => process.take(key, 1).allowed)).toEqual(keys.map(() => true));
    expect(keys.map((key) => process.take(key, 1).allowed)).toEqual(keys.map(() => false));
  });

  it('is exact over four processes', async () => {
    const told = await runSharers(4, 'limiter', 20_000 * Math.ceil(PACE));
    expect(told.reduce((sum, text) => sum + Number(text), 0)).toBe(1000);
  });
});

describe('a process that dies at any step of take()', () => {
  /** One set of 16 keys, each of a burst of 3. */
  const full = (world: World, keys: number): void => {
    const process = world.process(1);
    for (let n = 0; n < keys; n++) {
      world.now += 0.01;
      process.take(`other ${n}`, 2);
    }
  };

  it.each<[what: string, others: number, known: boolean, cost: number, steps: number]>([
    ['of a key that is known', 4, true, 1, 3],
    ['of one that is refused', 4, true, 3, 2],
    ['of a new key', 4, false, 1, 6],
    ['of one that takes the place of another', 16, false, 1, 7],
  ])('%s leaves nothing held, and no key more than its burst', (_, others, known, cost, steps) => {
    for (let step = 0; ; step++) {
      const world = new World({ burst: 3, keys: 1 });
      full(world, others);
      const survivor = world.process(1);
      if (known) survivor.take('key', 1);
      const before = known ? 2 : 3;
      const fate = new Fate();
      fate.left = step;
      const isDead = dies(() => world.process(20, { atStep: fate.step }).take('key', cost));
      world.dead.add(20);
      const after = survivor.take('key', 0).remaining;
      expect([before, cost > before ? before : before - cost], `step ${step}`).toContain(after);
      const allowed = [1, 2, 3, 4].filter(() => survivor.take('key', 1).allowed).length;
      expect(allowed, `step ${step}`).toBe(after);
      expect(survivor.take('key', 1)).toMatchObject({ allowed: false, remaining: 0 });
      for (let n = 1; n < others; n++) expect(survivor.take(`other ${n}`, 0).remaining, `step ${step}`).toBe(1);
      if (!isDead) {
        expect(step).toBe(steps);
        return;
      }
    }
  });
});

describe('the constructor of RateLimiter', () => {
  it('takes both forms', () => {
    const window = new RateLimiter({ name: 'window', limit: 2, windowMs: 60_000 });
    const rate = new RateLimiter({ perSecond: 0.5, burst: 2, keys: 10 });
    for (const limiter of [window, rate]) {
      expect([1, 2, 3].map(() => limiter.take('a').allowed)).toEqual([true, true, false]);
    }
    expect(window.take('a').retryAfterMs).toBeGreaterThan(29_000);
    expect(window.take('a').retryAfterMs).toBeLessThanOrEqual(30_000);
  });

  it.each([
    ['nothing', undefined, 'ERR_OPTION_TYPE'],
    ['neither form', { keys: 5 }, 'ERR_OPTION_VALUE'],
    ['both forms', { perSecond: 1, burst: 1, limit: 1, windowMs: 1 }, 'ERR_OPTION_VALUE'],
    ['half a form', { perSecond: 1 }, 'ERR_OPTION_TYPE'],
    ['a rate of 0', { perSecond: 0, burst: 1 }, 'ERR_OPTION_RANGE'],
    ['a burst of 0.5', { perSecond: 1, burst: 0.5 }, 'ERR_OPTION_TYPE'],
    ['no keys', { perSecond: 1, burst: 1, keys: 0 }, 'ERR_OPTION_RANGE'],
    ['another name', { perSecond: 1, burst: 1, key: 5 }, 'ERR_OPTION_UNKNOWN'],
    ['a name that is a number', { name: 5, perSecond: 1, burst: 1 }, 'ERR_OPTION_TYPE'],
  ])('refuses %s', (_, options, code) => {
    expect(() => new RateLimiter(options as RateLimiterOptions)).toThrow(expect.objectContaining({ code }));
  });

  it('checks what take() gets', () => {
    const limiter = new RateLimiter({ perSecond: 1, burst: 1 });
    const wrong = expect.objectContaining({ code: 'ERR_SHARED_ARGUMENT' });
    expect(() => limiter.take(5 as unknown as string)).toThrow(wrong);
    for (const cost of [-1, Number.NaN, Number.POSITIVE_INFINITY, '1']) {
      expect(() => limiter.take('a', cost as number)).toThrow(wrong);
    }
  });
});
