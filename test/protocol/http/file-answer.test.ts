import { describe, expect, it } from 'vitest';
import { httpDate } from '../../../src/protocol/http/date.js';
import {
  type FileAnswer,
  type FileAnswerOptions,
  type FileFacts,
  plainAnswer,
  planFileAnswer,
} from '../../../src/protocol/http/file-answer.js';

const NOW = Date.UTC(2026, 5, 1);
const CHANGED = NOW - 3_600_000;
const file: FileFacts = { path: '/srv/a.txt', size: 1000, mtimeMs: CHANGED + 0.5 };
const ETAG = `"3e8-${(CHANGED * 1000 + 500).toString(16)}"`;

interface Asked extends FileAnswerOptions {
  readonly method?: string;
  readonly of?: FileFacts;
  readonly type?: string;
}

function plan(headers: Record<string, string> = {}, { method = 'GET', of = file, type, ...options }: Asked = {}) {
  return planFileAnswer({ method, field: (name) => headers[name] }, of, type ?? 'text/plain', options, NOW);
}

function fieldsOf({ fields }: FileAnswer): Record<string, string> {
  expect(fields.length % 2).toBe(0);
  const pairs = fields.flatMap((name, i) => (i % 2 === 0 ? [[name, fields[i + 1]!] as const] : []));
  const named = Object.fromEntries(pairs);
  expect(Object.keys(named)).toHaveLength(pairs.length);
  return named;
}

/** What a client gets, of a file whose bytes are `content`. */
function bodyOf({ pieces }: FileAnswer, content = Buffer.alloc(0)): string {
  const parts = pieces.map((piece) => {
    if ('text' in piece) return piece.text;
    if ('bytes' in piece) return piece.bytes.toString('latin1');
    return content.subarray(piece.offset, piece.offset + piece.length).toString('latin1');
  });
  return parts.join('');
}

describe('a whole file', () => {
  it('is answered with all that there is to say', () => {
    const answer = plan();
    expect(answer.status).toBe(200);
    expect(answer.pieces).toEqual([{ path: '/srv/a.txt', offset: 0, length: 1000 }]);
    expect(answer.contentLength).toBe(1000);
    expect(fieldsOf(answer)).toEqual({
      'content-type': 'text/plain',
      'content-length': '1000',
      'accept-ranges': 'bytes',
      'last-modified': httpDate(CHANGED),
      etag: ETAG,
    });
  });

  it('has the fields of the options besides', () => {
    const fields = ['x-frame-options', 'DENY'];
    const answer = plan({}, { cacheControl: 'public, max-age=60', encoding: 'br', varies: true, fields });
    expect(fieldsOf(answer)).toMatchObject({
      'cache-control': 'public, max-age=60',
      'content-encoding': 'br',
      vary: 'accept-encoding',
      etag: ETAG.replace(/"$/, '-br"'),
      'x-frame-options': 'DENY',
    });
  });

  it('is told to HEAD without its body', () => {
    const answer = plan({ range: 'bytes=0-1' }, { method: 'HEAD' });
    expect(answer).toEqual({ ...plan(), pieces: [] });
  });

  it('is sent from memory where its bytes are there', () => {
    const bytes = Buffer.from('0123456789');
    const of = { ...file, size: 10, bytes };
    expect(plan({}, { of }).pieces).toEqual([{ bytes }]);
    expect(bodyOf(plan({ range: 'bytes=2-4' }, { of }))).toBe('234');
  });

  it('has no pieces when it is empty', () => {
    const answer = plan({ range: 'bytes=0-' }, { of: { ...file, size: 0 } });
    expect(answer).toMatchObject({ status: 200, pieces: [], contentLength: 0 });
    expect(fieldsOf(answer)['content-length']).toBe('0');
  });

  it('has no type where none is known', () => {
    expect(fieldsOf(plan({}, { type: '' }))['content-type']).toBeUndefined();
  });

  it('has the tag that is given, or none', () => {
    expect(fieldsOf(plan({}, { etag: '"mine"' }))['etag']).toBe('"mine"');
    expect(plan({ 'if-none-match': '"mine"' }, { etag: '"mine"' }).status).toBe(304);
    expect(fieldsOf(plan({}, { etag: '' }))['etag']).toBeUndefined();
  });
});

describe('a file that was just written', () => {
  const written = (ago: number) => ({ ...file, mtimeMs: NOW - ago });

  it('has a weak tag until it cannot change under the same time any more', () => {
    expect(fieldsOf(plan({}, { of: written(0) }))['etag']).toMatch(/^W\/"/);
    expect(fieldsOf(plan({}, { of: written(1999) }))['etag']).toMatch(/^W\/"/);
    expect(fieldsOf(plan({}, { of: written(2000) }))['etag']).toMatch(/^"/);
  });

  it('is not modified for who has it, but not continued', () => {
    const of = written(500);
    const { etag = '', 'last-modified': date = '' } = fieldsOf(plan({}, { of }));
    expect(plan({ 'if-none-match': etag }, { of }).status).toBe(304);
    expect(plan({ 'if-none-match': etag.slice(2) }, { of }).status).toBe(304);
    expect(plan({ range: 'bytes=5-', 'if-range': etag }, { of }).status).toBe(200);
    expect(plan({ range: 'bytes=5-', 'if-range': date }, { of }).status).toBe(200);
    expect(plan({ range: 'bytes=5-' }, { of }).status).toBe(206);
  });

  it('is not said to be of the future', () => {
    expect(fieldsOf(plan({}, { of: written(-86_400_000) }))['last-modified']).toBe(httpDate(NOW));
  });
});

it('another size, time or coding is another tag', () => {
  const tags = [
    plan(),
    plan({}, { of: { ...file, size: 1001 } }),
    plan({}, { of: { ...file, mtimeMs: file.mtimeMs + 0.25 } }),
    plan({}, { encoding: 'gzip' }),
    plan({}, { encoding: 'br' }),
  ].map((answer) => fieldsOf(answer)['etag']);
  expect(new Set(tags).size).toBe(tags.length);
});

describe('304', () => {
  it('says what a cache has to know, and no more', () => {
    const options = { cacheControl: 'no-cache', varies: true, encoding: 'br', fields: ['x-a', '1'] } as const;
    const etag = ETAG.replace(/"$/, '-br"');
    const answer = plan({ 'if-none-match': etag, range: 'bytes=0-1' }, options);
    expect(answer).toMatchObject({ status: 304, pieces: [], contentLength: 0 });
    expect(fieldsOf(answer)).toEqual({
      'last-modified': httpDate(CHANGED),
      etag,
      'cache-control': 'no-cache',
      vary: 'accept-encoding',
      'x-a': '1',
    });
  });

  it('is not for who has another coding of the same file', () => {
    expect(plan({ 'if-none-match': ETAG }, { encoding: 'br' }).status).toBe(200);
  });

  it('minds the second of a file, not its fraction', () => {
    expect(plan({ 'if-modified-since': httpDate(CHANGED) }).status).toBe(304);
    expect(plan({ 'if-modified-since': httpDate(CHANGED - 1000) }).status).toBe(200);
  });
});

describe('412', () => {
  it('is told when the client has meant another file', () => {
    const answer = plan({ 'if-match': '"other"' }, { fields: ['x-a', '1'] });
    expect(answer.status).toBe(412);
    expect(bodyOf(answer)).toBe('412 Precondition Failed\n');
    expect(fieldsOf(answer)).toEqual({
      'content-type': 'text/plain; charset=utf-8',
      'content-length': '24',
      'x-a': '1',
    });
    expect(plan({ 'if-match': '"other"' }, { method: 'HEAD' })).toMatchObject({ pieces: [], contentLength: 24 });
  });
});

describe('416', () => {
  it('says how large the file is', () => {
    const answer = plan({ range: 'bytes=1000-' });
    expect(answer.status).toBe(416);
    expect(fieldsOf(answer)).toMatchObject({ 'content-range': 'bytes */1000', 'content-length': '26' });
    expect(bodyOf(answer)).toHaveLength(answer.contentLength);
    expect(fieldsOf(answer)['etag']).toBeUndefined();
  });

  it('comes behind the conditions', () => {
    expect(plan({ range: 'bytes=1000-', 'if-none-match': ETAG }).status).toBe(304);
    expect(plan({ range: 'bytes=1000-', 'if-match': '"b"' }).status).toBe(412);
    expect(plan({ range: 'bytes=1000-', 'if-range': '"b"' }).status).toBe(200);
    expect(plan({ range: 'bytes=1000-' }, { method: 'HEAD' }).status).toBe(200);
  });
});

describe('206', () => {
  it('sends one range as it is', () => {
    const answer = plan({ range: 'bytes=10-19', 'if-range': ETAG }, { encoding: undefined });
    expect(answer.status).toBe(206);
    expect(answer.pieces).toEqual([{ path: '/srv/a.txt', offset: 10, length: 10 }]);
    expect(answer.contentLength).toBe(10);
    expect(fieldsOf(answer)).toEqual({
      'content-type': 'text/plain',
      'content-length': '10',
      'content-range': 'bytes 10-19/1000',
      'accept-ranges': 'bytes',
      'last-modified': httpDate(CHANGED),
      etag: ETAG,
    });
  });

  it('is met by the date that the file was told to have', () => {
    expect(plan({ range: 'bytes=0-1', 'if-range': httpDate(CHANGED) }).status).toBe(206);
    expect(plan({ range: 'bytes=0-1', 'if-range': httpDate(CHANGED + 1000) }).status).toBe(200);
  });

  it('sends several ranges as parts of one body', () => {
    const content = Buffer.from(Array.from({ length: 1000 }, (_, i) => 97 + (i % 26)));
    const answer = plan({ range: 'bytes=500-502,0-1,-2' }, { type: 'text/plain; charset=utf-8' });
    const fields = fieldsOf(answer);
    const boundary = /^multipart\/byteranges; boundary=([\w-]{20,70})$/.exec(fields['content-type'] ?? '')?.[1];
    expect(answer.status).toBe(206);
    expect(fields['content-range']).toBeUndefined();
    const part = (range: string, text: string): string =>
      `--${boundary}\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-range: bytes ${range}/1000\r\n\r\n${text}\r\n`;
    const body = bodyOf(answer, content);
    expect(body).toBe(`${part('500-502', 'ghi')}${part('0-1', 'ab')}${part('998-999', 'kl')}--${boundary}--\r\n`);
    expect(answer.contentLength).toBe(body.length);
    expect(fields['content-length']).toBe(`${body.length}`);
  });

  it('has another boundary each time', () => {
    const [one, other] = [plan({ range: 'bytes=0-0,5-5' }), plan({ range: 'bytes=0-0,5-5' })].map(fieldsOf);
    expect(one?.['content-type']).not.toBe(other?.['content-type']);
  });

  it('has parts without a type where none is known', () => {
    expect(bodyOf(plan({ range: 'bytes=0-0,5-5' }, { type: '' }))).not.toContain('content-type');
  });
});

it('a plain answer says its status', () => {
  const answer = plainAnswer('GET', 404, 'Not Found');
  expect(answer).toMatchObject({ status: 404, contentLength: 14 });
  expect(bodyOf(answer)).toBe('404 Not Found\n');
  expect(plainAnswer('HEAD', 404, 'Not Found')).toEqual({ ...answer, pieces: [] });
});
