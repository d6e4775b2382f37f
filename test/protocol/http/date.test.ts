import { afterEach, describe, expect, it, vi } from 'vitest';
import { dateOfNow, httpDate, parseHttpDate } from '../../../src/protocol/http/date.js';

const EXAMPLE = Date.UTC(1994, 10, 6, 8, 49, 37);
const NOW = Date.UTC(2026, 5, 1);

afterEach(() => {
  vi.useRealTimers();
});

describe('httpDate', () => {
  it('writes the format that is to be sent', () => {
    expect(httpDate(EXAMPLE)).toBe('Sun, 06 Nov 1994 08:49:37 GMT');
    expect(httpDate(EXAMPLE + 999)).toBe('Sun, 06 Nov 1994 08:49:37 GMT');
    expect(httpDate(0)).toBe('Thu, 01 Jan 1970 00:00:00 GMT');
    expect(httpDate(-1)).toBe('Wed, 31 Dec 1969 23:59:59 GMT');
    expect(httpDate(Date.UTC(2024, 1, 29, 23, 59, 59))).toBe('Thu, 29 Feb 2024 23:59:59 GMT');
  });

  it('stays within years of four digits whatever a file claims', () => {
    expect(httpDate(Number.MAX_SAFE_INTEGER)).toBe('Fri, 31 Dec 9999 23:59:59 GMT');
    expect(httpDate(Number.POSITIVE_INFINITY)).toBe('Fri, 31 Dec 9999 23:59:59 GMT');
    expect(httpDate(Number.NEGATIVE_INFINITY)).toBe('Sat, 01 Jan 0000 00:00:00 GMT');
    expect(httpDate(Number.NaN)).toBe('Thu, 01 Jan 1970 00:00:00 GMT');
  });

  it('writes the time now anew when its second is over, and when the clock was set back', () => {
    vi.useFakeTimers({ now: EXAMPLE });
    expect(httpDate()).toBe('Sun, 06 Nov 1994 08:49:37 GMT');
    vi.setSystemTime(EXAMPLE + 999);
    expect(httpDate()).toBe('Sun, 06 Nov 1994 08:49:37 GMT');
    vi.setSystemTime(EXAMPLE + 1000);
    expect(httpDate()).toBe('Sun, 06 Nov 1994 08:49:38 GMT');
    vi.setSystemTime(EXAMPLE - 1);
    expect(httpDate()).toBe('Sun, 06 Nov 1994 08:49:36 GMT');
  });

  it('does not confuse the time now with another time', () => {
    expect(dateOfNow(EXAMPLE)).toBe('Sun, 06 Nov 1994 08:49:37 GMT');
    expect(httpDate(EXAMPLE + 5000)).toBe('Sun, 06 Nov 1994 08:49:42 GMT');
    expect(dateOfNow(EXAMPLE + 1)).toBe('Sun, 06 Nov 1994 08:49:37 GMT');
  });
});

describe('parseHttpDate', () => {
  it.each([
    'Sun, 06 Nov 1994 08:49:37 GMT',
    'Sunday, 06-Nov-94 08:49:37 GMT',
    'Sun Nov  6 08:49:37 1994',
    'Sun Nov 06 08:49:37 1994',
  ])('reads %j', (text) => {
    expect(parseHttpDate(text, NOW)).toBe(EXAMPLE);
  });

  it('reads back what httpDate writes', () => {
    for (let time = -2_000_000_000_000; time < 200_000_000_000_000; time += 987_654_321_000) {
      expect(parseHttpDate(httpDate(time))).toBe(time);
    }
    expect(parseHttpDate('Sat, 01 Jan 0000 00:00:00 GMT')).toBe(Date.parse('0000-01-01T00:00:00Z'));
    expect(parseHttpDate('Fri, 31 Dec 9999 23:59:59 GMT')).toBe(Date.UTC(9999, 11, 31, 23, 59, 59));
  });

  it('takes a year of two digits for one at most 50 years ahead', () => {
    const yearOf = (twoDigits: string): number =>
      new Date(parseHttpDate(`Sunday, 06-Nov-${twoDigits} 08:49:37 GMT`, NOW)).getUTCFullYear();
    expect(['26', '76', '77', '99', '00'].map(yearOf)).toEqual([2026, 2076, 1977, 1999, 2000]);
  });

  it('reads a leap second', () => {
    expect(parseHttpDate('Sat, 31 Dec 2016 23:59:60 GMT')).toBe(Date.UTC(2017, 0, 1));
  });

  it.each([
    '',
    ' ',
    '0',
    '784111777',
    '1994-11-06T08:49:37Z',
    'Sun, 06 Nov 1994 08:49:37',
    'Sun, 06 Nov 1994 08:49:37 UTC',
    'Sun, 06 Nov 1994 08:49:37 +0000',
    'Sun, 06 Nov 1994 08:49:37 GMT ',
    ' Sun, 06 Nov 1994 08:49:37 GMT',
    'Sun, 06 Nov 1994 08:49:37 GMT\n',
    'sun, 06 nov 1994 08:49:37 gmt',
    'Sun, 6 Nov 1994 08:49:37 GMT',
    'Sun, 06  Nov 1994 08:49:37 GMT',
    'Xxx, 06 Nov 1994 08:49:37 GMT',
    'Sun, 06 Xxx 1994 08:49:37 GMT',
    'Sun, 06 Nov 94 08:49:37 GMT',
    'Sun, 06 Nov 1994 24:00:00 GMT',
    'Sun, 06 Nov 1994 08:60:37 GMT',
    'Sun, 06 Nov 1994 08:49:61 GMT',
    'Sun, 00 Nov 1994 08:49:37 GMT',
    'Thu, 31 Nov 1994 08:49:37 GMT',
    'Wed, 29 Feb 2023 08:49:37 GMT',
    'Sun, 06-Nov-94 08:49:37 GMT',
    'Sunday, 06-Nov-1994 08:49:37 GMT',
    'Sunday, 06 Nov 1994 08:49:37 GMT',
    'Sun Nov 6 08:49:37 1994',
    'Sun Nov  6 08:49:37 1994 GMT',
    'Sun Nov  0 08:49:37 1994',
  ])('does not take %j', (text) => {
    expect(parseHttpDate(text, NOW)).toBeNaN();
  });
});
