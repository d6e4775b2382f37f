import { describe, expect, it } from 'vitest';
import { ChunkedDecoder, type ChunkedLimits } from '../../../src/protocol/http/chunked.js';

const limits: ChunkedLimits = { bodyBytes: 1000, extensionBytes: 20, trailerBytes: 100, trailerCount: 3 };
const none = (): void => {
  throw new Error('there is no body here');
};

function pieces(): { readonly list: [number, number][]; readonly take: (start: number, end: number) => void } {
  const list: [number, number][] = [];
  return { list, take: (start, end) => list.push([start, end]) };
}

describe('ChunkedDecoder', () => {
  it('gives the pieces of a body as places in what was given', () => {
    const bytes = Buffer.from('..5\r\nhello\r\n3;a=b\r\nyou\r\n0\r\n\r\nGET');
    const { list, take } = pieces();
    const decoder = new ChunkedDecoder(limits);
    expect(decoder.decode(bytes, 2, bytes.length, take)).toBe(bytes.length - 5);
    expect(list.map(([start, end]) => bytes.toString('latin1', start, end))).toEqual(['hello', 'you']);
    expect([decoder.isDone, decoder.bodyBytes, decoder.trailers]).toEqual([true, 8, '']);
  });

  it('takes nothing behind the end', () => {
    const decoder = new ChunkedDecoder(limits);
    decoder.decode(Buffer.from('0\r\n\r\n'), 0, 5, none);
    expect(decoder.decode(Buffer.from('x'), 0, 1, none)).toBe(0);
    expect(decoder.isDone).toBe(true);
  });

  it('takes all there is while the body has not ended, and nothing of nothing', () => {
    const decoder = new ChunkedDecoder(limits);
    expect(decoder.decode(Buffer.alloc(0), 0, 0, none)).toBe(0);
    const bytes = Buffer.from('a\r\n012');
    const { list, take } = pieces();
    expect(decoder.decode(bytes, 0, 6, take)).toBe(6);
    expect(decoder.decode(Buffer.from('3456789'), 0, 7, take)).toBe(7);
    expect(list).toEqual([
      [3, 6],
      [0, 7],
    ]);
    expect([decoder.isDone, decoder.bodyBytes]).toEqual([false, 10]);
  });

  it('stays with its verdict, and with the first', () => {
    const decoder = new ChunkedDecoder(limits);
    expect(decoder.decode(Buffer.from('x\r\n'), 0, 3, none)).toBe(-400);
    const { why } = decoder;
    expect(why).not.toBe('');
    expect(decoder.decode(Buffer.from('0\r\n\r\n'), 0, 5, none)).toBe(-400);
    expect([decoder.why, decoder.isDone]).toEqual([why, false]);
  });

  it('refuses a body that is too large when the line of the size has ended, before a byte of it', () => {
    const decoder = new ChunkedDecoder(limits);
    expect(decoder.decode(Buffer.from('3e9\r'), 0, 4, none)).toBe(4);
    expect(decoder.decode(Buffer.from('\n'), 0, 1, none)).toBe(-413);
  });

  it('goes on in another process from any byte on', () => {
    const bytes = Buffer.from('00a;b="c"\r\n0123456789\r\n1\r\nx\r\n0\r\nA: b\r\nC:\t\xe9\r\n\r\n', 'latin1');
    for (let cut = 0; cut <= bytes.length; cut++) {
      const first = new ChunkedDecoder(limits);
      const { list, take } = pieces();
      expect(first.decode(bytes, 0, cut, take)).toBe(cut);
      const second = ChunkedDecoder.restored(limits, JSON.parse(JSON.stringify(first.state)));
      expect(second.state).toEqual(first.state);
      expect(second.decode(bytes, cut, bytes.length, take)).toBe(bytes.length - cut);
      expect(list.map(([start, end]) => bytes.toString('latin1', start, end)).join('')).toBe('0123456789x');
      expect([second.isDone, second.bodyBytes, second.trailers]).toEqual([true, 11, 'A: b\r\nC:\t\xe9\r\n']);
    }
  });

  it('keeps the limits when another process goes on', () => {
    const first = new ChunkedDecoder(limits);
    const { take } = pieces();
    first.decode(Buffer.from(`1;${'a'.repeat(15)}\r\nx\r\n1;12`), 0, 26, take);
    const second = ChunkedDecoder.restored(limits, first.state);
    expect(second.decode(Buffer.from('345'), 0, 3, none)).toBe(-400);
    expect(second.why).toBe('Chunk extensions are too long.');
  });
});
