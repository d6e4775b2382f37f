import { describe, expect, it, vi } from 'vitest';
import { checkJobData } from '../../src/cluster/jobs/job-data.js';
import { fromJobId, toEngineId, toEngineKey, toJobId } from '../../src/cluster/jobs/job-id.js';
import { backoffOf, toDelay, toLimiter, toRepeat, toTemplate } from '../../src/cluster/jobs/job-options.js';
import { checkFields } from '../../src/cluster/jobs/known-fields.js';
import type { JobRule } from '../../src/cluster/jobs/queue.js';

const limits = { maxBytes: 1_000, maxDepth: 5 };

describe('data of a job', () => {
  it.each([
    [null],
    [0],
    ['text'],
    [{ a: [1, { b: 'x' }], c: false }],
    [new Date(0)],
    [Object.create(null)],
    [[[[[]]]]],
    ['ü'.repeat(499)],
  ])('takes what comes back as it was: no. %#', (data) => {
    expect(() => checkJobData(data, limits)).not.toThrow();
  });

  const circular: { self?: unknown } = {};
  circular.self = circular;
  it.each([
    [undefined, 'data'],
    [{ a: undefined }, 'data.a'],
    [[1, undefined], 'data[1]'],
    [new Array(2), 'data[0]'],
    [{ a: [{ n: 1n }] }, 'data.a[0].n'],
    [Number.NaN, 'data'],
    [{ f: () => 1 }, 'data.f'],
    [Symbol('s'), 'data'],
    [new Map(), 'data'],
    [{ set: new Set() }, 'data.set'],
    [new Uint8Array(1), 'data'],
    [circular, 'data.self.self.self.self.self'],
    [[[[[[[]]]]]], 'data[0][0][0][0][0]'],
    [{ toJSON: () => undefined }, 'data'],
    [{ toJSON: () => 1n }, 'data'],
  ])('refuses %s, with its path', (data, path) => {
    expect(() => checkJobData(data, limits)).toThrow(
      expect.objectContaining({ code: 'ERR_JOB_DATA', detail: expect.objectContaining({ path }) }),
    );
  });

  it('is bounded in bytes, not in characters, at exactly that size', () => {
    expect(() => checkJobData('x'.repeat(998), limits)).not.toThrow();
    expect(() => checkJobData('x'.repeat(999), limits)).toThrow(
      expect.objectContaining({ code: 'ERR_JOB_SIZE', detail: { bytes: 1001, maxBytes: 1000 } }),
    );
    expect(() => checkJobData('ü'.repeat(500), limits)).toThrow('at least 1002');
  });

  it('refuses what is far too long without writing it as JSON', () => {
    const toJSON = vi.fn();
    for (const data of ['x'.repeat(100_000_000), Object.assign(Buffer.alloc(501), { toJSON })]) {
      expect(() => checkJobData({ data }, limits)).toThrow(expect.objectContaining({ code: 'ERR_JOB_SIZE' }));
    }
    expect(toJSON).not.toHaveBeenCalled();
    expect(() => checkJobData(Buffer.alloc(100), limits)).not.toThrow();
  });

  it('refuses in short time what names one array again and again', () => {
    let data: unknown[] = [];
    for (let at = 0; at < 60; at++) data = [data, data];
    expect(() => checkJobData(data, { maxBytes: 100_000, maxDepth: 1000 })).toThrow(
      expect.objectContaining({ code: 'ERR_JOB_SIZE' }),
    );
  });
});

describe('ids of jobs', () => {
  it.each(['1', '0', 'a:b', 'repeat', '%3A', ':', '=', '=1', 'ü', 'x'.repeat(256)])(
    'id no. %# comes back as it was',
    (id) => {
      const engineId = toEngineId(id);
      expect(engineId).not.toMatch(/^\d|:/);
      expect(toJobId('mail', engineId)).toBe(`mail:${id}`);
      expect(fromJobId(`mail:${id}`)).toEqual({ name: 'mail', engineId });
    },
  );

  it('no two ids are one to the engine', () => {
    const ids = ['a:b', 'a%3Ab', 'a%253Ab', 'a%b', 'a%25b'];
    expect(new Set(ids.map(toEngineId)).size).toBe(ids.length);
  });

  it('those of a schedule go through', () => {
    expect(toJobId('mail', 'repeat:k%3A1:5')).toBe('mail:repeat:k%3A1:5');
    expect(fromJobId('mail:repeat:k%3A1:5')).toEqual({ name: 'mail', engineId: 'repeat:k%3A1:5' });
  });

  it.each(['', 'repeat:x', 'x'.repeat(257), 'ü'.repeat(129), '\ud800', 5, undefined])('id no. %# is refused', (id) => {
    expect(() => toEngineId(id)).toThrow(expect.objectContaining({ code: 'ERR_JOB_OPTION' }));
  });

  it.each(['', 'x'.repeat(129), null])('key no. %# is refused', (key) => {
    expect(() => toEngineKey(key)).toThrow(expect.objectContaining({ code: 'ERR_JOB_OPTION' }));
  });

  it.each(['mail', ':x', 'a b:x', 7])('%j is no JobId', (id) => {
    expect(() => fromJobId(id)).toThrow(expect.objectContaining({ code: 'ERR_JOB_OPTION' }));
  });
});

describe('fields of options', () => {
  it.each([
    ['options', '', { jobId: 'a' }, 'jobId', '"id" (did you mean that?), or one of priority, attempts,'],
    ['options', 'options', { delay: 5 }, 'options.delay', '"delayMs" (did you mean'],
    ['job', '', { name: 'a', data: 1, atempts: 2 }, 'atempts', '"attempts" (did'],
    ['scheduled', '', { name: 'a', data: 1, id: 'x' }, 'id', 'one of priority, attempts, backoff, keep, name, data'],
    ['rule', 'rule', { pattern: '* * * * *' }, 'rule.pattern', '"cron" (did'],
    ['work', 'options', { limiter: { max: 1 } }, 'options.limiter', '"rate" (did'],
    ['options', 'options', null, 'options', 'an object with priority, '],
    ['job', '', [], 'job', 'an object with '],
  ] as const)('of %s%s: %j is refused, and what is meant is named', (kind, inside, given, name, expected) => {
    const detail = { name, expected: expect.stringContaining(expected) };
    expect(() => checkFields(kind, inside, given)).toThrow(
      expect.objectContaining({ code: 'ERR_JOB_OPTION', detail: expect.objectContaining(detail) }),
    );
  });

  it('may be undefined, whatever they are called', () => {
    checkFields('options', 'options', { id: 'a', jobId: undefined });
  });
});

describe('options of a job', () => {
  const invalid = expect.objectContaining({ code: 'ERR_JOB_OPTION' });

  it.each([
    [{ attempts: 0 }],
    [{ attempts: 1.5 }],
    [{ priority: 0 }],
    [{ priority: 2 ** 21 + 1 }],
    [{ keep: { done: -1 } }],
    [{ backoff: { type: 'linear' as 'fixed', delayMs: 1 } }],
    [{ backoff: { type: 'fixed' as const, delayMs: -1 } }],
    [{ backoff: { type: 'fixed' as const, delayMs: 1, jitter: 1.1 } }],
    [{ backoff: 5 as never }],
    [{ backoff: null as never }],
    [{ backoff: { type: 'fixed', delay: 5 } as never }],
    [{ keep: null as never }],
    [{ keep: { count: 5 } as never }],
  ])('%j is refused', (options) => {
    expect(() => toTemplate(options)).toThrow(invalid);
  });

  it.each([-1, 0.5, Number.NaN, 1e15])('a delay of %d is refused', (delayMs) => {
    expect(() => toDelay(delayMs)).toThrow(invalid);
  });

  it.each<[JobRule]>([
    [{ everyMs: 99 }],
    [{ cron: '* * *' }],
    [{ cron: '' }],
    [{ cron: 5 as unknown as string }],
    [null as never],
    ['* * * * *' as never],
    [{ pattern: '* * * * *' } as never],
    [{ cron: '* * * * *', everyMs: 1000 } as never],
  ])('the rule %j is refused', (rule) => {
    expect(() => toRepeat(rule)).toThrow(invalid);
  });

  it('a pause doubles up to its bound, and jitter takes only away', () => {
    const backoff = { delay: 100, maxDelayMs: 500, jitter: 0 };
    expect([1, 2, 3, 4, 1000].map((made) => backoffOf(made, backoff))).toEqual([100, 200, 400, 500, 500]);
    for (let times = 0; times < 100; times++) {
      const pause = backoffOf(2, { ...backoff, jitter: 0.5 });
      expect(pause).toBeGreaterThanOrEqual(100);
      expect(pause).toBeLessThanOrEqual(200);
    }
  });

  it('a rate below one a second is one in a longer window', () => {
    expect(toLimiter({ perSecond: 5 })).toEqual({ max: 5, duration: 1000 });
    expect(toLimiter({ perSecond: 0.25 })).toEqual({ max: 1, duration: 4000 });
    expect(() => toLimiter({ perSecond: 1.5 })).toThrow(invalid);
    expect(() => toLimiter({ perSecond: 0 })).toThrow(invalid);
    for (const rate of [null, 5, { max: 5, duration: 1000 }]) expect(() => toLimiter(rate as never)).toThrow(invalid);
  });
});
