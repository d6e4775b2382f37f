import { describe, expect, it } from 'vitest';
import { LIMIT_RANGES, parseRange, type Ranges } from '../../../src/protocol/http/ranges.js';

/** `first-last` of each range, which is easier to compare with what was asked for. */
const said = (ranges: Ranges): string =>
  typeof ranges === 'string' ? ranges : ranges.map(({ offset, length }) => `${offset}-${offset + length - 1}`).join();

const LONG = '9'.repeat(400);

describe('parseRange', () => {
  it.each([
    ['bytes=0-0', '0-0'],
    ['bytes=0-499', '0-499'],
    ['bytes=500-999', '500-999'],
    ['bytes=0-999', '0-999'],
    ['bytes=0-1000', '0-999'],
    ['bytes=0-', '0-999'],
    ['bytes=999-', '999-999'],
    ['bytes=999-999', '999-999'],
    ['bytes=-1', '999-999'],
    ['bytes=-1000', '0-999'],
    ['bytes=-1001', '0-999'],
    [`bytes=-${LONG}`, '0-999'],
    [`bytes=5-${LONG}`, '5-999'],
    ['bytes=00005-0009', '5-9'],
    ['BYTES=1-2', '1-2'],
    ['bytes= 1-2', '1-2'],
    ['bytes=1-2,', '1-2'],
    ['bytes=,1-2', '1-2'],
    ['bytes=1-2 ,\t5-6', '1-2,5-6'],
    ['bytes=0-0,-1', '0-0,999-999'],
    ['bytes=500-600,0-10', '500-600,0-10'],
  ])('reads %j of 1000 bytes as %s', (value, expected) => {
    expect(said(parseRange(value, 1000))).toBe(expected);
  });

  it.each([
    ['overlap', 'bytes=0-10,5-20', '0-20'],
    ['touch', 'bytes=0-10,11-20', '0-20'],
    ['are the same', 'bytes=3-4,3-4,3-4', '3-4'],
    ['lie within another', 'bytes=0-100,5-20', '0-100'],
    ['are joined by a third', 'bytes=0-10,20-30,5-25', '0-30'],
    ['meet at the end', 'bytes=900-,-100', '900-999'],
  ])('makes one of ranges that %s', (_, value, expected) => {
    expect(said(parseRange(value, 1000))).toBe(expected);
  });

  it('keeps ranges apart that a byte lies between', () => {
    expect(said(parseRange('bytes=0-10,12-20', 1000))).toBe('0-10,12-20');
  });

  it('puts merged ranges where the first of them was asked for', () => {
    expect(said(parseRange('bytes=500-600,0-1,601-700', 1000))).toBe('500-700,0-1');
  });

  it.each(['bytes=1000-', 'bytes=1000-2000', 'bytes=-0', `bytes=${LONG}-`, 'bytes=1000-,2000-2001,-0'])(
    'cannot satisfy %j of 1000 bytes',
    (value) => {
      expect(parseRange(value, 1000)).toBe('unsatisfiable');
    },
  );

  it('leaves out what is outside of the file where something is within', () => {
    expect(said(parseRange('bytes=2000-,1-2,-0', 1000))).toBe('1-2');
  });

  it.each([
    undefined,
    '',
    'bytes',
    'bytes=',
    'bytes=,',
    'bytes=, ,',
    'bytes=-',
    'bytes=--1',
    'bytes=1',
    'bytes=1-2-3',
    'bytes=2-1',
    `bytes=${LONG}1-${LONG}0`,
    'bytes=a-b',
    'bytes=0x1-2',
    'bytes=1-2x',
    'bytes=1 - 2',
    'bytes=+1-2',
    'bytes=1.0-2',
    'bytes=1e1-',
    'bytes=١-٢',
    'bytes=1-2,x',
    'bytes=1-2;3-4',
    'bytes =1-2',
    'bytes:1-2',
    ' bytes=1-2',
    'items=0-5',
    'bytes=1-2\n',
  ])('sends everything for %j', (value) => {
    expect(parseRange(value, 1000)).toBe('whole');
  });

  it('sends everything to who asks for more parts than there may be', () => {
    const list = (count: number): string => `bytes=${Array.from({ length: count }, (_, i) => `${i * 10}-${i * 10}`)}`;
    expect(parseRange(list(LIMIT_RANGES), 1000)).toHaveLength(LIMIT_RANGES);
    expect(parseRange(list(LIMIT_RANGES + 1), 1000)).toBe('whole');
    expect(parseRange(`bytes=1-2${','.repeat(LIMIT_RANGES)}`, 1000)).toBe('whole');
  });

  it('sends an empty file whatever part of it is asked for', () => {
    for (const value of ['bytes=0-', 'bytes=-5', 'bytes=0-0', 'bytes=7-']) expect(parseRange(value, 0)).toBe('whole');
  });

  it('keeps within a file of one byte, and within a large one', () => {
    expect(said(parseRange('bytes=0-', 1))).toBe('0-0');
    expect(parseRange('bytes=1-', 1)).toBe('unsatisfiable');
    expect(said(parseRange('bytes=5000000000-', 5_000_000_001))).toBe('5000000000-5000000000');
  });

  it('never leaves the file, overlaps or is empty', () => {
    const parts = ['0-', '-1', '-3', '1-2', '2-5', '4-4', '9-12', '5-', '12-'];
    for (let size = 1; size < 12; size++) {
      for (const a of parts) {
        for (const b of parts) {
          const ranges = parseRange(`bytes=${a},${b}`, size);
          if (typeof ranges === 'string') continue;
          const sorted = [...ranges].sort((one, other) => one.offset - other.offset);
          let free = 0;
          for (const { offset, length } of sorted) {
            expect(offset).toBeGreaterThanOrEqual(free);
            expect(length).toBeGreaterThan(0);
            free = offset + length + 1;
          }
          expect(free - 1).toBeLessThanOrEqual(size);
        }
      }
    }
  });
});
