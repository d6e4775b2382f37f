import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { defaultRequestLimits, HttpRequest } from '../../src/http/request.js';
import { HttpResponse } from '../../src/http/response.js';
import { FakeExchange, type Told } from '../helpers/fake-exchange.js';

function answerOf(): { exchange: FakeExchange; response: HttpResponse } {
  const exchange = new FakeExchange();
  const request = new HttpRequest(exchange, () => ({ remoteAddress: '', remotePort: 0 }), defaultRequestLimits);
  return { exchange, response: new HttpResponse(exchange, request, { compression: null }) };
}

/** What an attacker may have brought into a text that becomes a part of a head. */
const INJECTIONS = [
  'x\r\nset-cookie: evil=1',
  'x\nset-cookie: evil=1',
  'x\rset-cookie: evil=1',
  '\r\n\r\n<script>',
  'x\r\n',
  '\n',
  'x\0y',
  'x\x01y',
  'x\x0by',
  'x\x7fy',
  'x\u010ay', // its low byte is a line feed
  'x\u010dy', // its low byte is a carriage return
  'x\u560a\u560dy',
  'x\u2028y',
  'x\ud83d\ude0ay',
];

type Attempt = (response: HttpResponse, text: string) => unknown;

let folder = '';
let file = '';

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tswoole-test-'));
  file = join(folder, 'file.txt');
  await writeFile(file, 'content');
});
afterAll(() => rm(folder, { recursive: true }));

/** Each either throws or sends it made harmless. */
const ATTEMPTS: Record<string, Attempt> = {
  'setHeader, value': (response, text) => response.setHeader('x-a', text),
  'setHeader, name': (response, text) => response.setHeader(text, 'a'),
  'setHeader, name behind a colon': (response, text) => response.setHeader(`a:${text}`, 'a'),
  'setHeader, one of several': (response, text) => response.setHeader('x-a', ['ok', text]),
  'setHeader, behind a value that is fine': (response, text) => response.setHeader('x-a', 'x').setHeader('x-a', text),
  'appendHeader, value': (response, text) => response.appendHeader('x-a', text),
  'appendHeader, name': (response, text) => response.appendHeader(text, 'a'),
  'appendHeader, content-length': (response, text) => response.appendHeader('content-length', text),
  'setHeader, content-length': (response, text) => response.setHeader('content-length', `5${text}`),
  statusMessage: (response, text) => {
    response.statusMessage = text;
  },
  'cookie, name': (response, text) => response.cookie(text, 'a'),
  'cookie, value': (response, text) => response.cookie('a', text),
  'cookie, path': (response, text) => response.cookie('a', 'b', { path: `/${text}` }),
  'cookie, domain': (response, text) => response.cookie('a', 'b', { domain: `a.${text}` }),
  'cookie, sameSite': (response, text) => response.cookie('a', 'b', { sameSite: text as 'lax' }),
  'cookie, priority': (response, text) => response.cookie('a', 'b', { priority: text as 'low' }),
  'cookie, maxAge': (response, text) => response.cookie('a', 'b', { maxAge: text as unknown as number }),
  'cookie, expires': (response, text) =>
    response.cookie('a', 'b', { expires: Object.assign(new Date(), { toUTCString: () => text }) }),
  'clearCookie, path': (response, text) => response.clearCookie('a', { path: `/${text}` }),
  redirect: (response, text) => response.redirect(`/${text}`),
  'trailer, value': (response, text) => response.trailer('x-a', text),
  'trailer, name': (response, text) => response.trailer(text, 'a'),
  'inform, value': (response, text) => response.inform(103, { link: text }),
  'inform, name': (response, text) => response.inform(103, { [text]: 'a' }),
  'inform, one of several': (response, text) => response.inform(103, { link: ['ok', text] }),
  'sendFile, type': (response, text) => response.sendFile(file, { type: text }),
  'sendFile, cacheControl': (response, text) => response.sendFile(file, { cacheControl: text }),
  'sendFile, name of the download': (response, text) => response.sendFile(file, { download: text }),
  'sendFile, path': (response, text) => response.sendFile(`${file}${text}`, { download: true }),
  'a value that is no string': (response, text) =>
    response.setHeader('x-a', { toString: () => text, length: 1 } as unknown as string),
};

const BAD = /[^\t\x20-\x7e\x80-\xff]/;

/** Whatever of a head an exchange was told. */
function headParts(told: Told): string[] {
  const fields = 'fields' in told ? told.fields : [];
  const trailers = 'trailers' in told ? (told.trailers ?? []) : [];
  return [...fields, ...trailers, ...('reason' in told ? [told.reason] : [])];
}

describe('nothing can end a line of the head early', () => {
  describe.each(Object.entries(ATTEMPTS))('%s', (_title, attempt) => {
    test.each(INJECTIONS.map((text) => [JSON.stringify(text), text]))('with %s', async (_shown, text) => {
      const { exchange, response } = answerOf();
      const error: unknown = await Promise.resolve()
        .then(() => attempt(response, text))
        .then(
          () => undefined,
          (thrown: unknown) => thrown,
        );
      response.end();
      const parts = exchange.told.flatMap(headParts);
      expect(parts.filter((part) => BAD.test(part))).toEqual([]);
      expect(parts).not.toContain('evil=1');
      if (error !== undefined) expect(error).toMatchObject({ code: expect.stringMatching(/^ERR_(HTTP_|FILE)/) });
    });
  });

  test('what is encoded instead of refused says the same', async () => {
    const { exchange, response } = answerOf();
    response.cookie('a', 'x\r\ny; Path=/; ä');
    await response.sendFile(file, { download: 'ä"\r\n.txt' });
    expect(exchange.fields.slice(-4)).toEqual([
      'set-cookie',
      'a=x%0D%0Ay%3B%20Path%3D%2F%3B%20%C3%A4',
      'content-disposition',
      `attachment; filename="____.txt"; filename*=UTF-8''%C3%A4%22%0D%0A.txt`,
    ]);
  });
});
