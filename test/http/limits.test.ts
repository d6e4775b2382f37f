import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { describe, expect, it, test } from 'vitest';
import { defaultFormLimits } from '../../src/http/form.js';
import { isRunning, OwnedFolder, ownerOf } from '../../src/http/owned-folder.js';
import { defaultRequestLimits, HttpRequest } from '../../src/http/request.js';
import { HttpResponse } from '../../src/http/response.js';
import { chooseEncoding } from '../../src/protocol/http/accept-encoding.js';
import { FakeExchange } from '../helpers/fake-exchange.js';

const peer = () => ({ remoteAddress: '', remotePort: 0 });

function answerOf() {
  const exchange = new FakeExchange();
  const request = new HttpRequest(exchange, peer, defaultRequestLimits);
  return { exchange, request, response: new HttpResponse(exchange, request, { compression: null }) };
}

describe('once the head has gone out', () => {
  const calls: [string, (response: HttpResponse) => unknown][] = [
    ['setHeader()', (response) => response.setHeader('a', '1')],
    ['appendHeader()', (response) => response.appendHeader('a', '1')],
    ['removeHeader()', (response) => response.removeHeader('a')],
    ['cookie()', (response) => response.cookie('a', '1')],
    ['rawCookie()', (response) => response.rawCookie('a', '1')],
    ['json()', (response) => response.json({})],
    ['redirect()', (response) => response.redirect('/')],
    ['sse()', (response) => response.sse()],
    ['detach()', (response) => response.detach()],
  ];

  test.each(calls)('%s is refused, by its name', (method, call) => {
    const { response } = answerOf();
    response.write('begun');
    expect(() => call(response)).toThrowError(
      expect.objectContaining({ code: 'ERR_HTTP_HEADERS_SENT', detail: expect.objectContaining({ method }) }),
    );
  });
});

describe('a form', () => {
  const form = (body: string, fieldsSize: number) => {
    const headers = ['content-type', 'application/x-www-form-urlencoded'];
    const exchange = new FakeExchange({ method: 'POST', headers, body });
    return new HttpRequest(exchange, peer, { form: { ...defaultFormLimits, fieldsSize } }).form();
  };

  it('may be as long as its limit, not a byte longer', async () => {
    expect((await form('a=12345', 7)).fields).toEqual({ a: '12345' });
    await expect(form('a=12345', 6)).rejects.toMatchObject({
      detail: { limit: 'fieldsSize', value: 6, status: 413 },
    });
  });
});

it('of the codings that a client names, the first 32 count', () => {
  const names = (count: number) => [...Array.from({ length: count - 1 }, (_, i) => `x${i}`), 'gzip'].join(',');
  expect([chooseEncoding(names(32), ['gzip']), chooseEncoding(names(33), ['gzip'])]).toEqual(['gzip', 'identity']);
});

describe('a temporary folder', () => {
  it('says by its name whose it is, and goes with all that is in it', async () => {
    const parent = mkdtempSync(join(tmpdir(), 'owned-'));
    const folder = OwnedFolder.make(parent);
    expect([dirname(folder.path), existsSync(folder.path)]).toEqual([parent, true]);
    expect(basename(folder.path)).toMatch(/^tswoole-form-/);
    const owner = ownerOf(basename(folder.path));
    expect(owner).toMatchObject({ pid: process.pid, scope: expect.stringMatching(/^[0-9a-f]{8}$/) });
    if (owner === undefined) throw new Error('it has no owner');
    expect(isRunning(owner)).toBe(true);
    expect(isRunning({ ...owner, start: '1' })).toBe(false);
    expect(isRunning({ ...owner, scope: '01234567' })).toBeUndefined();
    await folder.remove();
    await folder.remove();
    expect(existsSync(folder.path)).toBe(false);
    const other = OwnedFolder.make(parent);
    other.removeNow();
    expect(existsSync(other.path)).toBe(false);
    rmSync(parent, { recursive: true });
  });

  it.each(['tswoole-form-', 'tswoole-form-01234567-1-1', 'tswoole-form-0123456x-1-1-abcdef', 'other'])(
    'is none of ours by the name %s',
    (name) => {
      expect(ownerOf(name)).toBeUndefined();
    },
  );
});
