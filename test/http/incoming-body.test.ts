import { describe, expect, it } from 'vitest';
import { byAnswer, byClient, byServer, cutError, cutOf } from '../../src/http/cut.js';
import { noBody, StreamedBody, WholeBody } from '../../src/http/incoming-body.js';
import { BodyFlag, CloseCode } from '../../src/ipc/frame.js';

function streamed(asksContinue = false) {
  const told: (number | string)[] = [];
  const source = { taken: (bytes: number) => told.push(bytes), sendContinue: () => told.push('continue') };
  return { told, body: new StreamedBody(source, asksContinue) };
}

const bytes = (length: number): Buffer => Buffer.alloc(length, 'x');
const nothing = Buffer.alloc(0);

describe('a body that came with its head', () => {
  it('is given once, and whatever becomes of the client', async () => {
    const body = new WholeBody(Buffer.from('all'));
    body.fail();
    expect([body.isComplete, body.whole.toString(), body.trailers]).toEqual([true, 'all', []]);
    expect([(await body.next())?.toString(), await body.next()]).toEqual(['all', null]);
  });

  it('that is empty is none', async () => {
    expect([await noBody.next(), noBody.whole?.length, noBody.isComplete]).toEqual([null, 0, true]);
  });
});

describe('a body in pieces', () => {
  it('is given piece by piece, to who asks before and after they come, then ended', async () => {
    const { body } = streamed();
    const first = body.next();
    body.push(Buffer.from('one'), 0);
    body.push(Buffer.from('two'), 0);
    body.push(Buffer.from('three'), BodyFlag.last);
    expect([body.whole, body.isComplete]).toEqual([null, true]);
    expect((await first)?.toString()).toBe('one');
    expect([String(await body.next()), String(await body.next()), await body.next()]).toEqual(['two', 'three', null]);
  });

  it('ends by an empty piece too, and an empty one before is none', async () => {
    const { body } = streamed();
    const next = body.next();
    body.push(nothing, 0);
    body.push(nothing, BodyFlag.last);
    expect([await next, await body.next()]).toEqual([null, null]);
  });

  it('has its trailers behind its end', async () => {
    const { body } = streamed();
    const next = body.next();
    body.push(Buffer.from('data'), 0);
    await next;
    const end = body.next();
    expect(body.trailers).toEqual([]);
    body.push(Buffer.from('X-Sum: 1\r\nx-b: 2\r\n'), BodyFlag.trailers | BodyFlag.last);
    expect([await end, body.trailers]).toEqual([null, ['X-Sum', '1', 'x-b', '2']]);
  });

  it('lets the client send on when 64 KiB of it were taken', async () => {
    const { told, body } = streamed();
    for (const length of [65_535, 1, 65_536, 10]) body.push(bytes(length), 0);
    await body.next();
    expect(told).toEqual([]);
    await body.next();
    expect(told).toEqual([65_536]);
    await body.next();
    await body.next();
    expect(told).toEqual([65_536, 65_536]);
    const waiting = body.next();
    body.push(bytes(65_526), 0);
    await waiting;
    expect(told).toEqual([65_536, 65_536, 65_536]);
  });

  it('asks for no more when all has come, or none will', async () => {
    const { told, body } = streamed();
    body.push(bytes(70_000), BodyFlag.last);
    await body.next();
    const cut = streamed();
    cut.body.push(bytes(70_000), 0);
    cut.body.fail(byClient);
    await cut.body.next();
    expect([told, cut.told]).toEqual([[], []]);
  });

  it('is cut behind what has come, each reader by an error of its own, the first cut counts', async () => {
    const { body } = streamed();
    body.push(Buffer.from('one'), 0);
    body.fail({ reason: 'timeout', status: 408, why: 'it took too long' });
    body.fail(byClient);
    body.push(Buffer.from('two'), BodyFlag.last);
    expect([String(await body.next()), body.isComplete]).toEqual(['one', false]);
    const errors = await Promise.all([body.next(), body.next()].map((next) => next.catch((error: unknown) => error)));
    expect(errors[0]).toMatchObject({
      code: 'ERR_HTTP_BODY_CUT',
      detail: { reason: 'timeout', status: 408, why: 'it took too long' },
    });
    expect(errors[1]).not.toBe(errors[0]);
  });

  it('that somebody waits for is cut at once', async () => {
    const { body } = streamed();
    const next = body.next();
    body.fail(byClient);
    await expect(next).rejects.toMatchObject({ code: 'ERR_HTTP_CLIENT_GONE' });
  });

  it('that has come whole is not cut any more', async () => {
    const { body } = streamed();
    body.push(Buffer.from('all'), BodyFlag.last);
    body.fail(byClient);
    expect([String(await body.next()), await body.next()]).toEqual(['all', null]);
  });

  it('says 100 Continue when it is first asked for', async () => {
    const { told, body } = streamed(true);
    const next = body.next();
    expect(told).toEqual(['continue']);
    body.push(Buffer.from('a'), 0);
    await next;
    void body.next();
    expect(told).toEqual(['continue']);
  });

  it.each([
    ['the client has not asked for it', false, () => {}],
    ['the client has not waited', true, (body: StreamedBody) => body.push(Buffer.from('a'), 0)],
    ['somebody else says it', true, (body: StreamedBody) => body.leaveContinue()],
  ])('does not say it where %s', async (_, asks, before) => {
    const { told, body } = streamed(asks);
    before(body);
    void body.next();
    void body.next();
    expect(told).toEqual([]);
  });
});

describe('why a body was cut', () => {
  it.each([
    ['CLIENT_CLOSED', '', { reason: 'client', status: 0, why: 'the client ended the connection' }],
    ['CLIENT_RESET', '', { reason: 'client', status: 0, why: 'the client reset the connection' }],
    ['SERVER_CLOSED', '', { reason: 'server', status: 0, why: 'the server closed the connection' }],
    ['HTTP_TIMEOUT', '408 It took too long.', { reason: 'timeout', status: 408, why: 'It took too long' }],
    ['HTTP_REFUSED', '413 It is too long.', { reason: 'limit', status: 413, why: 'It is too long' }],
    ['HTTP_REFUSED', '400 It is no chunk.', { reason: 'malformed', status: 400, why: 'It is no chunk' }],
    ['MEMORY_LIMIT', '503 Later', { reason: 'limit', status: 503, why: 'Later' }],
    ['SOCKET_ERROR', '', { reason: 'client', status: 0, why: 'the socket failed' }],
    [
      'WORKER_DIED',
      '',
      {
        reason: 'server',
        status: 0,
        why: 'the worker that owned the connection has died, or a process that held something for it',
      },
    ],
    ['CALLBACK_FAILED', 'no status', { reason: 'server', status: 0, why: 'a callback for this connection failed' }],
  ] as const)('%s %s', (code, message, cut) => {
    expect(cutOf(CloseCode[code], message)).toEqual(cut);
  });

  it('is told with what was answered, but for a client that has gone', () => {
    expect(cutError(byServer)).toMatchObject({ code: 'ERR_HTTP_BODY_CUT', detail: { reason: 'server', status: 0 } });
    expect(cutError(byAnswer)).toMatchObject({ code: 'ERR_HTTP_BODY_CUT', detail: { reason: 'answered', status: 0 } });
    const gone = cutError(byClient);
    expect(gone).toMatchObject({ code: 'ERR_HTTP_CLIENT_GONE', cause: { message: 'the client ended the connection' } });
  });
});
