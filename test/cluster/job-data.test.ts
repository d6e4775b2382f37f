import { createRequire } from 'node:module';
import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import { cronFault } from '../../src/cluster/jobs/cron-fault.js';
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
  const round: { next?: unknown } = {};
  round.next = { back: round };
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
    [circular, 'data.self'],
    [{ a: [circular] }, 'data.a[0].self'],
    [{ a: round, b: round }, 'data.a.next.back'],
    [[[[[[[]]]]]], 'data[0][0][0][0][0]'],
    [{ toJSON: () => undefined }, 'data'],
    [{ toJSON: () => 1n }, 'data'],
  ])('refuses %s, with its path', (data, path) => {
    expect(() => checkJobData(data, limits)).toThrow(
      expect.objectContaining({ code: 'ERR_JOB_DATA', detail: expect.objectContaining({ path }) }),
    );
  });

  it('that holds itself is refused with what it holds, and a deep one with a path that can be read', () => {
    expect(() => checkJobData({ a: circular }, limits)).toThrow(
      'The "data.a.self" of a job must be an object that does not hold itself, received "data.a" again.',
    );
    let deep: unknown = {};
    for (let depth = 0; depth < 70; depth++) deep = { a: deep };
    expect(() => checkJobData(deep, { maxBytes: 10_000, maxDepth: 64 })).toThrow(
      `The "data${'.a'.repeat(16)}…" of a job must be at most 64 arrays and objects inside each other`,
    );
  });

  it('is called what it is, also where it is too long', () => {
    expect(() => checkJobData({ at: 1n }, limits, 'result')).toThrow('The "result.at" of a job must be');
    expect(() => checkJobData('x'.repeat(999), limits, 'result')).toThrow(
      'The JSON of the "result" of a job must have',
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
    ['options', '', { jobId: 'a' }, 'jobId', 'There is no "jobId" for jobs; the nearest known name is "id"'],
    ['options', 'options', { delay: 5 }, 'options.delay', 'the nearest known name is "delayMs"'],
    ['job', '', { name: 'a', data: 1, atempts: 2 }, 'atempts', 'the nearest known name is "attempts"'],
    [
      'scheduled',
      '',
      { name: 'a', data: 1, id: 'x' },
      'id',
      'It must be a known name (priority, attempts, backoff, keep, name, data), received string "x".',
    ],
    ['rule', 'rule', { pattern: '* * * * *' }, 'rule.pattern', 'the nearest known name is "cron"'],
    ['work', 'options', { limiter: { max: 1 } }, 'options.limiter', 'the nearest known name is "rate"'],
    ['work', 'options', { lease: 1 }, 'options.lease', 'the nearest known name is "leaseMs"'],
    [
      'page',
      'page',
      { count: 5 },
      'page.count',
      'There is no "page.count" for jobs. It must be a known name (offset, limit), received number 5.',
    ],
    ['rate', 'rate', { perMinute: 5 }, 'rate.perMinute', 'There is no "rate.perMinute" for jobs'],
    ['options', 'options', null, 'options', 'must be an object with priority, '],
    ['job', '', [], 'job', 'must be an object with '],
  ] as const)('of %s%s: %j is refused, and what is meant is named', (kind, inside, given, name, says) => {
    const error = { code: 'ERR_JOB_OPTION', detail: expect.objectContaining({ name }) };
    const message = expect.stringContaining(says);
    expect(() => checkFields(kind, inside, given)).toThrow(expect.objectContaining({ ...error, message }));
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
    [{} as never],
  ])('the rule %j is refused', (rule) => {
    expect(() => toRepeat(rule)).toThrow(invalid);
  });

  it.each([
    ['61 * * * *', 'whose minute has numbers from 0 to 59, received "61" in string "61 * * * *"'],
    ['* 24 * * *', 'whose hour has numbers from 0 to 23'],
    ['* * 0 * *', 'whose day has numbers from 1 to 31'],
    ['* * * 1,13 *', 'whose month has numbers from 1 to 12, or names of three letters, received "13" in'],
    ['* * * * 8', 'whose weekday has numbers from 0 to 7'],
    ['60 * * * * *', 'whose second has numbers from 0 to 59'],
    ['*/0 * * * *', 'whose minute has steps from 1 to 59'],
    ['*/100 * * * *', 'whose minute has steps from 1 to 59, such as */5, received "*/100" in'],
    ['0-59/60 * * * *', 'whose minute has steps from 1 to 59'],
    ['0 */24 * * *', 'whose hour has steps from 1 to 23'],
    ['0 0 */32 * *', 'whose day has steps from 1 to 31'],
    ['0 0 * 5/13 *', 'whose month has steps from 1 to 12'],
    ['0 0 * * mon-fri/8', 'whose weekday has steps from 1 to 7'],
    ['* * ? * *', 'whose day has numbers from 1 to 31, received "?"'],
    ['0 0 1 * ?', 'whose weekday has numbers from 0 to 7, or names of three letters, received "?"'],
    ['? * * * *', 'whose minute has numbers from 0 to 59, received "?"'],
    ['0 5-1 * * *', 'whose hour has ranges that go upwards'],
    ['0 0 * * fri-mon', 'whose weekday has ranges that go upwards'],
    ['1,,2 * * * *', 'whose minute has lists without gaps'],
    ['x * * * *', 'whose minute has numbers from 0 to 59, received "x" in'],
    ['* * * mai *', 'whose month has numbers from 1 to 12, or names of three letters, received "mai" in'],
    ['* * mon * *', 'whose day has numbers from 1 to 31, received "mon"'],
    ['0 0 30 2 *', 'of days that there are, received string "0 0 30 2 *"'],
    ['0 0 0 31 4,jun *', 'of days that there are'],
    ['@daily', 'must be five or six fields "[second] minute hour day month weekday"'],
    ['* * * *', 'must be five or six fields'],
  ])('the cron rule %s is refused with its field and what that may be', (cron, says) => {
    expect(() => toRepeat({ cron })).toThrow(says);
  });

  it('a rule with neither cron nor everyMs is told of both', () => {
    expect(() => toRepeat({} as never)).toThrow(/must be one with cron, .* or with everyMs, received object \{\}/);
  });

  it("refuses no cron rule that the engine's own parser takes, but for ? and steps beyond the field", () => {
    const { defaultRepeatStrategy } = createRequire(import.meta.url)('bullmq') as typeof import('bullmq');
    const isTaken = (pattern: string): boolean => {
      try {
        return defaultRepeatStrategy(0, { pattern }) !== undefined;
      } catch {
        return false;
      }
    };
    const words = [
      ...['*', '0', '1', '7', '8', '12', '23', '24', '31', '32', '59', '60', 'L', '5L', '1#2', 'H', 'H/5', 'H(1-5)'],
      ...['*/2', '*/0', '5/7', '60/2', '1-5', '5-1', '1-5/2', '1-5/0', '0-7', '1-2-3', '-', '1-', '/2', '1/2/3'],
      ...[
        'mon',
        'MON-fri',
        'sun-sat',
        'fri-mon',
        'jan',
        'Jan-dec/3',
        'mon,jan',
        '1,2,3',
        '1,',
        ',',
        '007',
        '1W',
        'xL',
        'l',
        'h',
        '0031',
        '29',
        '30',
        '2',
        'feb',
        'x',
        '1.5',
      ],
    ];
    const rules = words.flatMap((word) =>
      [0, 1, 2, 3, 4, 5].map((place) => ['0', '*', '*', '*', '*', '*'].with(place, word).join(' ')),
    );
    const taken = [...rules, ...rules.map((rule) => rule.slice(rule.indexOf(' ') + 1))].filter(isTaken);
    expect(taken.length).toBeGreaterThan(100);
    expect(taken.filter((rule) => cronFault(rule) !== undefined)).toEqual([]);
    const word = fc.oneof({ weight: 3, arbitrary: fc.constant('*') }, fc.constantFrom(...words));
    const random = fc.array(word, { minLength: 5, maxLength: 6 }).map((all) => all.join(' '));
    fc.assert(
      fc.property(random, (rule) => !isTaken(rule) || cronFault(rule) === undefined),
      { numRuns: 1000 },
    );
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
