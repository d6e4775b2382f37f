import { isDeepStrictEqual } from 'node:util';
import { describe, expect, it } from 'vitest';
import { corpus, corpusLimits, type Entry, type Meaning } from '../../corpus/http/index.js';
import { Reader, type ReadRequest } from './reader.js';

function read(bytes: Buffer, ...cuts: number[]): Reader {
  const reader = new Reader(corpusLimits);
  // What has not come yet is something else in memory.
  const there = Buffer.alloc(bytes.length, 0x0a);
  let from = 0;
  for (const to of [...cuts, bytes.length]) {
    bytes.copy(there, from, from, to);
    reader.take(there, to);
    from = to;
  }
  return reader;
}

/** Of the fields that were read, those the meaning names, in its order. */
function ofInterest({ rawHeaders }: ReadRequest, fields: Meaning['fields']): Meaning['fields'] {
  const found: [string, string][] = [];
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const wanted = fields[found.length];
    const field: [string, string] = [rawHeaders[i]!, rawHeaders[i + 1]!];
    if (wanted?.[0] === field[0] && wanted[1] === field[1]) found.push(field);
  }
  return found;
}

function verdictOf(reader: Reader, { verdict }: Entry): unknown {
  const accept = reader.requests.map((request, index) => {
    const { rawHeaders, ...rest } = request;
    return { ...rest, fields: ofInterest(request, verdict.accept[index]?.fields ?? []) };
  });
  return reader.refusal === undefined ? { accept } : { accept, refuse: reader.refusal };
}

describe('the corpus', () => {
  it('has at least 300 requests, no two of them with the same theme and title', () => {
    expect(corpus.length).toBeGreaterThanOrEqual(300);
    const titles = corpus.map(({ theme, title }) => `${theme}: ${title}`);
    expect(titles.filter((title, index) => titles.indexOf(title) !== index)).toEqual([]);
  });

  it('holds bytes, not characters', () => {
    expect(corpus.filter(({ bytes }) => Buffer.from(bytes, 'latin1').toString('latin1') !== bytes)).toEqual([]);
  });

  describe.each([...new Set(corpus.map(({ theme }) => theme))])('%s', (theme) => {
    it.each(corpus.filter((entry) => entry.theme === theme))('$title ($section)', (entry) => {
      const bytes = Buffer.from(entry.bytes, 'latin1');
      const whole = read(bytes);
      expect(verdictOf(whole, entry), whole.why).toEqual(entry.verdict);
    });
  });

  it('means the same cut in two anywhere', () => {
    for (const entry of corpus) {
      const bytes = Buffer.from(entry.bytes, 'latin1');
      const whole = read(bytes);
      for (let cut = 0; cut < bytes.length; cut++) expectSame(read(bytes, cut), whole, entry, `cut at ${cut}`);
    }
  });

  it('means the same byte by byte', () => {
    for (const entry of corpus) {
      const bytes = Buffer.from(entry.bytes, 'latin1');
      expectSame(read(bytes, ...bytes.keys()), read(bytes), entry, 'byte by byte');
    }
  });
});

/** `expect` takes longer than the parser. */
function expectSame(reader: Reader, whole: Reader, { title }: Entry, how: string): void {
  const isSame = reader.refusal === whole.refusal && reader.why === whole.why;
  if (isSame && isDeepStrictEqual(reader.requests, whole.requests)) return;
  expect([reader.refusal, reader.why, reader.requests], `${title}, ${how}`).toEqual([
    whole.refusal,
    whole.why,
    whole.requests,
  ]);
}
