import { describe, expect, it } from 'vitest';
import { mostBytes, putJsonLine, putLine } from '../../src/access-log/entry.js';
import { RequestText } from '../../src/access-log/request-text.js';

const AT = Date.UTC(2026, 10, 8, 9, 5, 3, 7);
const texts = { requestLine: 'GET /a?b=c HTTP/1.1', host: 'h.example', referer: '', userAgent: 'curl/8' };
const answer = { client: '192.0.2.7', status: 200, bytes: 12, ms: 3, isCut: false };
type Shown = typeof texts & typeof answer;

/** Into memory with other lines before and behind it, which must stay as they are. */
function line(format: 'combined' | 'common' | 'json', changed: Partial<Shown> = {}, at = AT): string {
  const shown = { ...texts, ...answer, ...changed };
  const entry = { ...shown, request: new RequestText().set(shown) };
  const most = mostBytes(entry);
  const bytes = Buffer.alloc(most + 20, '.');
  const end =
    format === 'json' ? putJsonLine(entry, at, bytes, 10) : putLine(entry, at, format === 'combined', bytes, 10);
  expect(end).toBeLessThanOrEqual(10 + most);
  expect([bytes.toString('latin1', 0, 10), bytes.toString('latin1', 10 + most)]).toEqual([
    '.'.repeat(10),
    '.'.repeat(10),
  ]);
  return bytes.toString('latin1', 10, end);
}

describe('a line of the access log', () => {
  it('is what Apache and nginx write', () => {
    const common = '192.0.2.7 - - [08/Nov/2026:09:05:03 +0000] "GET /a?b=c HTTP/1.1" 200 12';
    expect(line('common')).toBe(`${common}\n`);
    expect(line('combined')).toBe(`${common} "-" "curl/8"\n`);
    expect(line('common', { client: '', requestLine: '' })).toBe('- - - [08/Nov/2026:09:05:03 +0000] "-" 200 12\n');
  });

  it('as JSON names what there is, and leaves out the rest', () => {
    expect(JSON.parse(line('json'))).toEqual({
      ...{ time: '2026-11-08T09:05:03.007Z', client: '192.0.2.7', method: 'GET', url: '/a?b=c', httpVersion: '1.1' },
      ...{ status: 200, bytes: 12, ms: 3, host: 'h.example', userAgent: 'curl/8' },
    });
    expect(JSON.parse(line('json', { isCut: true }))).toMatchObject({ cut: true });
    expect(JSON.parse(line('json', { requestLine: '-', client: '', host: '' }))).toEqual({
      ...{ time: '2026-11-08T09:05:03.007Z', method: '-', status: 200, bytes: 12, ms: 3, userAgent: 'curl/8' },
    });
    const text = Buffer.from('Zoë').toString('latin1');
    expect(JSON.parse(line('json', { userAgent: text }))).toMatchObject({ userAgent: 'Zoë' });
  });

  it.each([
    ['a quote', 'a"b', 'a\\x22b'],
    ['a backslash', 'a\\b', 'a\\x5Cb'],
    ['a line feed', 'a\nb', 'a\\x0Ab'],
    ['an escape sequence', '\u001b[2J', '\\x1B[2J'],
    ['bytes beyond ASCII', 'é\u009b', '\\xE9\\x9B'],
  ])('cannot be forged by %s', (_, given, shown) => {
    expect(line('combined', { userAgent: given })).toBe(line('combined', { userAgent: '~' }).replace('~', shown));
    expect(line('common', { requestLine: given })).toContain(`"${shown}"`);
    expect(line('json', { userAgent: given }).split('\n')).toHaveLength(2);
  });

  it.each(['GET', '', ' ', ' HTTP/1.1', 'GET HTTP/1.1', 'GET / HTTP', 'GET /'])(
    'as JSON shows %j, which is no request, whole',
    (given) => {
      const shown = JSON.parse(line('json', { requestLine: given })) as object;
      expect(shown).toMatchObject(given === '' ? {} : { method: given });
      expect(shown).not.toHaveProperty('url');
    },
  );

  it('as JSON takes the last version for the version', () => {
    const shown = JSON.parse(line('json', { requestLine: 'GET /a HTTP/1.0 b HTTP/1.1' })) as object;
    expect(shown).toMatchObject({ method: 'GET', url: '/a HTTP/1.0 b', httpVersion: '1.1' });
  });

  it('as JSON fits, whatever it shows', () => {
    const worst = '\u0000"\\\x80'.repeat(200);
    const all = {
      client: worst,
      requestLine: `${worst} ${worst} HTTP/1.1`,
      host: worst,
      referer: worst,
      userAgent: worst,
    };
    const text = line('json', {
      ...all,
      status: 999,
      bytes: Number.MAX_SAFE_INTEGER,
      ms: Number.MAX_SAFE_INTEGER,
      isCut: true,
    });
    expect(text).toMatch(/^[\x20-\x7e]*\n$/);
    expect(JSON.parse(text)).toMatchObject({ method: '\u0000"\\\ufffd'.repeat(200), bytes: Number.MAX_SAFE_INTEGER });
  });

  it('fits where there is room for it, whatever it shows', () => {
    const worst = '\n'.repeat(500);
    const all = { client: worst, requestLine: worst, referer: worst, userAgent: worst };
    const shown = line('combined', { ...all, status: 999, bytes: Number.MAX_SAFE_INTEGER });
    expect(shown.split('\\x0A')).toHaveLength(2001);
    expect(shown).toContain(` 999 ${Number.MAX_SAFE_INTEGER} "`);
  });

  it.each([0, 1, 9, 10, 99, 100, 12_345, 4_294_967_296, 999_999_999_999_999])('shows %i bytes', (bytes) => {
    expect(line('common', { bytes })).toMatch(new RegExp(` 200 ${bytes}\n$`));
  });

  it('has the time of its own second, in whatever order they are asked for', () => {
    expect(line('common', {}, AT + 1000)).toContain('[08/Nov/2026:09:05:04 +0000]');
    expect(line('common', {}, AT - 9 * 3_600_000)).toContain('[08/Nov/2026:00:05:03 +0000]');
    expect(line('json', {}, AT + 992)).toContain('09:05:03.999Z');
    expect(line('json', {}, AT + 993)).toContain('09:05:04.000Z');
  });
});
