import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { AnswerHeads, fieldLines, headOf, Persistence, statusLine } from '../../src/http/answer-head.js';

const { stays, ends, staysIfTold } = Persistence;
const DATE = /^date: \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT$/;

/** The lines of a head, but for the date. */
function linesOf(text: string): string[] {
  const lines = text.split('\r\n');
  expect(lines.pop()).toBe('');
  expect(lines.filter((line) => DATE.test(line))).toHaveLength(1);
  return lines.filter((line) => !DATE.test(line));
}

describe('the head of an answer', () => {
  it('has status, fields, date and length, and says nothing of a connection that stays', () => {
    const { text, closes } = headOf(200, '', ['Content-Type', 'text/plain', 'x-a', '1'], 12, stays);
    expect(linesOf(text)).toEqual(['HTTP/1.1 200 OK', 'Content-Type: text/plain', 'x-a: 1', 'content-length: 12']);
    expect(closes).toBe(false);
  });

  it.each([
    [-1, []],
    [0, ['content-length: 0']],
    [1, ['content-length: 1']],
  ])('of a body of %i bytes', (bytes, lines) => {
    expect(linesOf(headOf(204, '', [], bytes, stays).text)).toEqual(['HTTP/1.1 204 No Content', ...lines]);
  });

  it.each([
    [stays, [], false],
    [ends, ['connection: close'], true],
    [staysIfTold, ['connection: keep-alive'], false],
  ] as const)('says whether the connection stays: %i', (persistence, lines, closes) => {
    const head = headOf(204, '', [], -1, persistence);
    expect(linesOf(head.text)).toEqual(['HTTP/1.1 204 No Content', ...lines]);
    expect(head.closes).toBe(closes);
  });

  it('keeps the date that the handler has set', () => {
    const { text } = headOf(200, '', ['Date', 'Thu, 01 Jan 1970 00:00:00 GMT'], -1, stays);
    expect(text).toBe('HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n');
  });

  it.each(['content-length', 'Transfer-Encoding', 'keep-alive', 'TE', 'proxy-connection', 'http2-settings'])(
    'leaves %s to the server',
    (name) => {
      expect(linesOf(headOf(200, '', [name, '5', 'x-a', '1'], 3, stays).text)).toEqual([
        'HTTP/1.1 200 OK',
        'x-a: 1',
        'content-length: 3',
      ]);
    },
  );

  it.each([
    ['close', stays, ['connection: close'], true],
    ['Close', staysIfTold, ['connection: close'], true],
    ['keep-alive', stays, [], false],
    ['keep-alive', ends, ['connection: close'], true],
  ] as const)(
    'ends the connection where the handler wants it, not the other way round: %s',
    (value, persistence, lines, closes) => {
      const head = headOf(200, '', ['Connection', value], -1, persistence);
      expect(linesOf(head.text)).toEqual(['HTTP/1.1 200 OK', ...lines]);
      expect(head.closes).toBe(closes);
    },
  );

  it('ends the connection where one of several fields wants it', () => {
    expect(headOf(200, '', ['Connection', 'keep-alive', 'x-a', '1', 'Connection', 'close'], -1, stays).closes).toBe(
      true,
    );
  });

  it('offers an upgrade only by Connection, or with 426', () => {
    expect(linesOf(headOf(200, '', ['Upgrade', 'h2c'], -1, stays).text)).toEqual(['HTTP/1.1 200 OK']);
    expect(linesOf(headOf(101, '', ['Upgrade', 'a', 'Connection', 'Upgrade', 'upgrade', 'b'], -1, stays).text)).toEqual(
      ['HTTP/1.1 101 Switching Protocols', 'upgrade: a, b', 'connection: upgrade'],
    );
    expect(linesOf(headOf(426, '', ['upgrade', 'TLS/1.0'], 0, ends).text)).toEqual([
      'HTTP/1.1 426 Upgrade Required',
      'content-length: 0',
      'upgrade: TLS/1.0',
      'connection: close, upgrade',
    ]);
  });

  it('leaves out what Connection names for this hop alone', () => {
    const fields = ['x-a', '1', 'X-Hop', '2', 'connection', 'x-hop, close', 'x-b', '3'];
    expect(linesOf(headOf(200, '', fields, -1, stays).text)).toEqual([
      'HTTP/1.1 200 OK',
      'x-a: 1',
      'x-b: 3',
      'connection: close',
    ]);
  });
});

it('a status line has the usual reason, the one that is given, or none', () => {
  expect([statusLine(404, ''), statusLine(404, 'Not Here'), statusLine(404, ''), statusLine(299, '')]).toEqual([
    'HTTP/1.1 404 Not Found\r\n',
    'HTTP/1.1 404 Not Here\r\n',
    'HTTP/1.1 404 Not Found\r\n',
    'HTTP/1.1 299 \r\n',
  ]);
});

it('field lines are one per field', () => {
  expect([fieldLines([]), fieldLines(['a', '1', 'B', ''])]).toEqual(['', 'a: 1\r\nB: \r\n']);
});

describe('heads that are kept', () => {
  beforeEach(() => {
    vi.useFakeTimers({ now: 1_700_000_000_000 });
  });

  afterEach(() => {
    vi.useRealTimers();
  });

  type Asked = Parameters<AnswerHeads['find']>;
  const usual: Asked = [200, '', ['x-a', '1'], 12, stays];
  const whole = ([status, reason, fields, bytes, persistence]: Asked) =>
    `${headOf(status, reason, fields, bytes, persistence).text}\r\n`;

  it('are the same bytes, with the empty line, from the second time on', () => {
    const heads = new AnswerHeads();
    expect(heads.find(...usual)).toBeUndefined();
    const bytes = heads.find(200, '', ['x-a', '1'], 12, stays);
    expect(bytes?.toString('latin1')).toBe(whole(usual));
    expect(heads.find(...usual)).toBe(bytes);
  });

  it.each<[string, Asked]>([
    ['status', [216, '', ['x-a', '1'], 12, stays]],
    ['reason', [200, 'Fine', ['x-a', '1'], 12, stays]],
    ['name of a field', [200, '', ['x-b', '1'], 12, stays]],
    ['value of a field', [200, '', ['x-a', '2'], 12, stays]],
    ['number of fields', [200, '', ['x-a', '1', ...Array.from({ length: 16 }, () => 'x-b')], 12, stays]],
    ['length', [200, '', ['x-a', '1'], 28, stays]],
    ['persistence', [200, '', ['x-a', '1'], 12, staysIfTold]],
  ])('are not those of another %s', (_, other) => {
    const heads = new AnswerHeads();
    for (let i = 0; i < 2; i++) heads.find(...usual);
    expect(heads.find(...other)).toBeUndefined();
    expect(heads.find(...other)?.toString('latin1')).toBe(whole(other));
    expect(heads.find(...usual)).toBeUndefined();
  });

  it('are several at a time', () => {
    const heads = new AnswerHeads();
    const many = Array.from({ length: 16 }, (_, length): Asked => [200, '', [], length, stays]);
    for (const one of many) expect(heads.find(...one)).toBeUndefined();
    for (const one of many) expect(heads.find(...one)?.toString('latin1')).toBe(whole(one));
  });

  it('tell the time of the second in which they are asked for', async () => {
    vi.resetModules(); // the date of this second is kept, and its timer is one of before
    const heads = new (await import('../../src/http/answer-head.js')).AnswerHeads();
    for (let i = 0; i < 2; i++) heads.find(...usual);
    const before = heads.find(...usual)?.toString('latin1');
    vi.advanceTimersByTime(1000);
    for (let i = 0; i < 2; i++) heads.find(...usual);
    const after = heads.find(...usual)?.toString('latin1');
    const seconds = (text = '') => Date.parse(/date: (.*)\r\n/.exec(text)?.[1] ?? '') / 1000;
    expect(seconds(after) - seconds(before)).toBe(1);
    expect(seconds(after)).toBe(Math.floor(Date.now() / 1000));
  });

  it('have another date as soon as the second is over', async () => {
    vi.resetModules();
    vi.setSystemTime(1_700_000_000_700);
    const { headOf: fresh } = await import('../../src/http/answer-head.js');
    const date = () => fresh(200, '', [], -1, stays).text;
    const before = date();
    vi.advanceTimersByTime(299);
    expect(date()).toBe(before);
    vi.advanceTimersByTime(1);
    expect(date()).not.toBe(before);
  });

  it('are none where a field of the handler ends the connection', () => {
    const heads = new AnswerHeads();
    const asked: Asked = [200, '', ['connection', 'close'], 0, stays];
    for (let i = 0; i < 3; i++) expect(heads.find(...asked)).toBeUndefined();
    const closing: Asked = [200, '', ['connection', 'close'], 0, ends];
    heads.find(...closing);
    expect(heads.find(...closing)?.toString('latin1')).toBe(whole(closing));
  });
});
