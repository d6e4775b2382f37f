import { execFileSync } from 'node:child_process';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type CronSchedule, nextOf, parseCron, type Zone } from '../../src/util/cron.js';

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;
const utc: Zone = { wallOf: (ms) => ms, unixOf: (ms) => ms };

/** The wall clock goes an hour forward at `at` (`jumpMs` > 0), or an hour back; before, it shows UTC. */
function changing(at: number, jumpMs: number): Zone {
  return {
    wallOf: (unixMs) => (unixMs < at ? unixMs : unixMs + jumpMs),
    unixOf: (wallMs) => {
      if (wallMs < at) return wallMs; // shown before the change, and shown for the first time
      return jumpMs > 0 && wallMs < at + jumpMs ? wallMs : wallMs - jumpMs;
    },
  };
}

function schedule(text: string): CronSchedule {
  const parsed = parseCron(text);
  if (parsed === undefined) throw new Error(`not an expression: ${text}`);
  return parsed;
}

function runs(text: string, from: string, count: number, zone = utc): string[] {
  const times: string[] = [];
  let at: number | undefined = Date.parse(from);
  while (times.length < count) {
    at = nextOf(schedule(text), at, zone);
    if (at === undefined) break;
    times.push(new Date(at).toISOString().slice(0, 16));
  }
  return times;
}

describe('a cron expression', () => {
  it.each([
    ['* * * * *', 60, 24, 31, 12, 7],
    ['0 4 * * *', 1, 1, 31, 12, 7],
    ['*/15 8-18/2 1,15 jan-mar MON-fri', 4, 6, 2, 3, 5],
    ['5/20 22-23,0 * * fri-sun', 3, 3, 31, 12, 3],
    ['59 23 31 12 0,7', 1, 1, 1, 1, 1],
    ['  1-3,2-4   0 *  Feb  7 ', 4, 1, 31, 1, 1],
  ])('%s is taken', (text, ...counts) => {
    const { minutes, hours, days, months, weekdays } = schedule(text);
    expect([minutes, hours, days, months, weekdays].map(({ length }) => length)).toEqual(counts);
  });

  it.each([
    '',
    '* * * *',
    '* * * * * *',
    '60 * * * *',
    '* 24 * * *',
    '* * 0 * *',
    '* * 32 * *',
    '* * * 13 *',
    '* * * * 8',
    '5-1 * * * *',
    '*/0 * * * *',
    '*/60 * * * *',
    '0-59/60 * * * *',
    '0 5/24 * * *',
    '0 0 */32 * *',
    '0 0 * */13 *',
    '0 0 * * */8',
    '* * ? * *',
    '*/ * * * *',
    '1/2/3 * * * *',
    '1-2-3 * * * *',
    ', * * * *',
    '1, * * * *',
    '-1 * * * *',
    '1.5 * * * *',
    '* * mon * *',
    '* * * monday *',
    '0 0 30 2 *',
    '0 0 31 apr,jun *',
    '@daily',
  ])('%j is refused', (text) => {
    expect(parseCron(text)).toBeUndefined();
  });

  it('of a day of the month and one of the week comes on either, unless one of the two begins with *', () => {
    expect(runs('0 0 13 * fri', '2026-02-01T00:00Z', 3)).toEqual([
      '2026-02-06T00:00',
      '2026-02-13T00:00',
      '2026-02-20T00:00',
    ]);
    expect(runs('0 0 */13 * fri', '2026-02-01T00:00Z', 2)).toEqual(['2026-02-27T00:00', '2026-03-27T00:00']);
  });

  it('finds the days that are rare', () => {
    expect(runs('0 0 29 2 *', '2096-03-01T00:00Z', 1)).toEqual(['2104-02-29T00:00']);
    expect(runs('30 12 29 2 */7', '2032-03-01T00:00Z', 1)).toEqual(['2060-02-29T12:30']);
  });

  it('comes after the moment that is asked for, never at it', () => {
    expect(runs('0 4 * * *', '2026-01-01T04:00Z', 1)).toEqual(['2026-01-02T04:00']);
    expect(runs('0 4 * * *', '2026-01-01T03:59:59.999Z', 1)).toEqual(['2026-01-01T04:00']);
  });
});

describe('where the wall clock is changed', () => {
  const at = Date.parse('2026-03-29T02:00Z');

  it('a time that is left out runs once', () => {
    const zone = changing(at, HOUR_MS);
    // 02:30 is not shown: half an hour after the change.
    expect(runs('30 2 * * *', '2026-03-28T12:00Z', 2, zone)).toEqual(['2026-03-29T02:30', '2026-03-30T01:30']);
  });

  it('a time that is shown twice runs once, at the first', () => {
    const zone = changing(at, -HOUR_MS);
    expect(runs('30 1 * * *', '2026-03-28T12:00Z', 2, zone)).toEqual(['2026-03-29T01:30', '2026-03-30T02:30']);
  });

  it.each([HOUR_MS, -HOUR_MS, HOUR_MS / 2, DAY_MS])('by %i ms, each wall time runs once', (jumpMs) => {
    const zone = changing(at, jumpMs);
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 23 }), fc.integer({ min: 0, max: 59 }), (hour, minute) => {
        const text = `${minute} ${hour} * * *`;
        const from = at - 3 * DAY_MS;
        const until = at + 3 * DAY_MS;
        const expected = new Set<number>();
        for (let wall = zone.wallOf(from) - 2 * DAY_MS; wall < zone.wallOf(until) + 2 * DAY_MS; wall += MINUTE_MS) {
          const date = new Date(wall);
          if (date.getUTCHours() !== hour || date.getUTCMinutes() !== minute) continue;
          const unix = zone.unixOf(wall);
          if (unix > from && unix < until) expected.add(unix);
        }
        expect(allBetween(schedule(text), from, until, zone)).toEqual([...expected].sort((a, b) => a - b));
      }),
      { numRuns: 40 },
    );
  });

  it('in a zone of the world, too', () => {
    const script = `
      import { parseCron, nextOf } from ${JSON.stringify(new URL('../../build/util/cron.js', import.meta.url).href)};
      const next = (text, from) => new Date(nextOf(parseCron(text), Date.parse(from))).toISOString();
      console.log([
        next('30 2 * * *', '2026-03-28T12:00Z'), next('30 2 * * *', '2026-03-29T01:30Z'),
        next('30 2 * * *', '2026-10-24T12:00Z'), next('30 2 * * *', '2026-10-25T00:30Z'),
      ].join());`;
    const env = { ...process.env, TZ: 'Europe/Berlin' };
    const said = execFileSync(process.execPath, ['--input-type=module', '-e', script], { env, encoding: 'utf8' });
    expect(said.trim().split(',')).toEqual([
      '2026-03-29T01:30:00.000Z', // 03:30 CEST: 02:30 is left out
      '2026-03-30T00:30:00.000Z',
      '2026-10-25T00:30:00.000Z', // 02:30 CEST, and not again in CET
      '2026-10-26T01:30:00.000Z',
    ]);
  });
});

function allBetween(of: CronSchedule, from: number, until: number, zone: Zone): number[] {
  const all: number[] = [];
  for (let next = nextOf(of, from, zone); next !== undefined && next < until; next = nextOf(of, next, zone)) {
    all.push(next);
  }
  return all;
}

describe('against brute force', () => {
  const field = (min: number, max: number): fc.Arbitrary<{ text: string; fits: (value: number) => boolean }> => {
    const range = fc
      .tuple(fc.integer({ min, max }), fc.integer({ min, max }), fc.integer({ min: 1, max: Math.min(9, max) }))
      .map(([a, b, step]) => {
        const [from, to] = [Math.min(a, b), Math.max(a, b)];
        const fits = (value: number) => value >= from && value <= to && (value - from) % step === 0;
        return { text: `${from}-${to}/${step}`, fits };
      });
    const every = fc.integer({ min: 1, max: Math.min(9, max) }).map((step) => ({
      text: step === 1 ? '*' : `*/${step}`,
      fits: (value: number) => (value - min) % step === 0,
    }));
    const list = fc.array(range, { minLength: 1, maxLength: 3 }).map((parts) => ({
      text: parts.map(({ text }) => text).join(','),
      fits: (value: number) => parts.some(({ fits }) => fits(value)),
    }));
    return fc.oneof(every, range, list);
  };

  it('the next minute is the first that fits all fields', () => {
    const fields = [field(0, 59), field(0, 23), field(1, 28), field(1, 12), field(0, 6)] as const;
    fc.assert(
      fc.property(...fields, fc.integer({ min: 0, max: 400 * 24 * 60 }), (minute, hour, day, month, weekday, start) => {
        const text = [minute, hour, day, month, weekday].map((of) => of.text).join(' ');
        const from = Date.UTC(2026, 0, 1) + start * MINUTE_MS;
        const either = !day.text.startsWith('*') && !weekday.text.startsWith('*');
        const fits = (ms: number): boolean => {
          const date = new Date(ms);
          if (!month.fits(date.getUTCMonth() + 1) || !hour.fits(date.getUTCHours())) return false;
          const days = [day.fits(date.getUTCDate()), weekday.fits(date.getUTCDay())];
          return minute.fits(date.getUTCMinutes()) && (either ? days.some(Boolean) : days.every(Boolean));
        };
        const next = nextOf(schedule(text), from, utc);
        if (next === undefined) throw new Error(`no time for ${text}`);
        expect(fits(next)).toBe(true);
        // Nothing is skipped; of years only the last day is looked at.
        let first = Math.max(from + MINUTE_MS, next - DAY_MS);
        while (!fits(first)) first += MINUTE_MS;
        expect(first).toBe(next);
      }),
      { numRuns: 100 },
    );
  });
});
