import { describe, expect, test } from 'vitest';
import { ServerError } from '../../src/errors/index.js';
import { EventStream, encodeEvent } from '../../src/http/event-stream.js';
import { defaultRequestLimits, HttpRequest } from '../../src/http/request.js';
import { HttpResponse } from '../../src/http/response.js';
import { FakeExchange } from '../helpers/fake-exchange.js';

function answerOf() {
  const exchange = new FakeExchange();
  const request = new HttpRequest(exchange, () => ({ remoteAddress: '', remotePort: 0 }), defaultRequestLimits);
  return { exchange, request, response: new HttpResponse(exchange, request, { compression: null }) };
}

const bare = (): object => Object.assign(Object.create(null), { x: 1 });
/** What cannot be made a text, a number or a list by JavaScript itself, which would tell of it in its own words. */
const odd: [string, unknown][] = [
  ...([null, undefined, 1n, Symbol('s'), {}, [], () => {}, Number.NaN, 1.5, true] as const).map(
    (value): [string, unknown] => [value === null ? 'null' : typeof value, value],
  ),
  ['an object without a prototype', bare()],
  ['a list of one', [bare()]],
  ['a list of a symbol', [Symbol('s')]],
];

/** With the value in each place of the arguments. */
const calls: [string, (value: never) => unknown][] = [
  ['req.header(name)', (value) => answerOf().request.header(value)],
  ['res.statusCode', (value) => Object.assign(answerOf().response, { statusCode: value })],
  ['res.statusMessage', (value) => Object.assign(answerOf().response, { statusMessage: value })],
  ['res.setHeader(name)', (value) => answerOf().response.setHeader(value, 'x')],
  ['res.setHeader(value)', (value) => answerOf().response.setHeader('x', value)],
  ['res.appendHeader(name)', (value) => answerOf().response.appendHeader(value, 'x')],
  ['res.appendHeader(value)', (value) => answerOf().response.appendHeader('x', value)],
  ['res.getHeader(name)', (value) => answerOf().response.getHeader(value)],
  ['res.hasHeader(name)', (value) => answerOf().response.hasHeader(value)],
  ['res.removeHeader(name)', (value) => answerOf().response.removeHeader(value)],
  ['res.cookie(name)', (value) => answerOf().response.cookie(value, 'x')],
  ['res.cookie(value)', (value) => answerOf().response.cookie('x', value)],
  ['res.cookie(options)', (value) => answerOf().response.cookie('x', 'x', value)],
  ['res.rawCookie(value)', (value) => answerOf().response.rawCookie('x', value)],
  ['res.trailer(name)', (value) => answerOf().response.trailer(value, 'x')],
  ['res.trailer(value)', (value) => answerOf().response.trailer('x-x', value)],
  ['res.inform(status)', (value) => answerOf().response.inform(value)],
  ['res.inform(headers)', (value) => answerOf().response.inform(103, value)],
  ['res.redirect(url)', (value) => answerOf().response.redirect(value)],
  ['res.redirect(status)', (value) => answerOf().response.redirect('/', value)],
  ['res.write(data)', (value) => answerOf().response.write(value)],
  ['res.end(data)', (value) => answerOf().response.end(value)],
  ['res.json(value)', (value) => answerOf().response.json(value)],
  ['res.fail(status)', (value) => answerOf().response.fail(value, 'x')],
  ['res.fail(message)', (value) => answerOf().response.fail(500, value)],
  ['res.fail(fields)', (value) => answerOf().response.fail(500, 'x', value)],
  ['events.send(event)', (value) => encodeEvent(value)],
  ['events.send({ event })', (value) => encodeEvent({ event: value })],
  ['events.send({ id })', (value) => encodeEvent({ id: value })],
  ['events.send({ retry })', (value) => encodeEvent({ retry: value })],
  ['events.send({ data })', (value) => encodeEvent({ data: value })],
  ['events.comment(text)', (value) => eventsTo([]).comment(value)],
  ['events.join(room)', (value) => eventsTo([]).join(value)],
];

function eventsTo(written: string[]): EventStream {
  const sink = {
    write: (text: string): boolean => written.push(text) > 0,
    end: () => true,
    drain: () => Promise.resolve(),
  };
  return new EventStream(sink, new AbortController().signal, { join: () => true });
}

describe('a value that an argument cannot be is told in words of the server:', () => {
  test.each(calls)('%s', (_, call) => {
    const thrown = odd.flatMap(([name, value]) => {
      try {
        call(value as never);
        return [];
      } catch (error) {
        return error instanceof ServerError ? [] : [`${name}: ${error}`];
      }
    });
    expect(thrown).toEqual([]);
  });
});

const failure = (code: string, message: RegExp) =>
  expect.objectContaining({ code, message: expect.stringMatching(message) });
const refused = (call: () => unknown): unknown => {
  try {
    return call();
  } catch (error) {
    return error;
  }
};

describe('a header', () => {
  test.each([null, undefined, 5, 1n, Symbol('s'), bare()])('is not looked for by %o', (name) => {
    const { request, response } = answerOf();
    const wrong = failure('ERR_HTTP_HEADER_NAME', /its name must be a string/);
    expect(refused(() => request.header(name as never))).toEqual(wrong);
    expect(refused(() => response.getHeader(name as never))).toEqual(wrong);
    expect(refused(() => response.hasHeader(name as never))).toEqual(wrong);
    expect(refused(() => response.removeHeader(name as never))).toEqual(wrong);
  });

  test('may be looked for by any text', () => {
    const { request, response } = answerOf();
    expect([request.header('a b'), response.getHeader('ä'), response.hasHeader('')]).toEqual([
      undefined,
      undefined,
      false,
    ]);
  });
});

describe('headers of an interim answer', () => {
  test.each([null, 5, 'link: x', [['link', 'x']], new Map([['link', 'x']]), new Headers({ link: 'x' })])(
    'are not %o, which holds none by name',
    (headers) => {
      const { exchange, response } = answerOf();
      expect(refused(() => response.inform(103, headers as never))).toEqual(failure('ERR_OPTION_TYPE', /"headers"/));
      expect(exchange.told).toEqual([]);
    },
  );

  test('may be in an object without a prototype', () => {
    const { exchange, response } = answerOf();
    expect(response.inform(103, Object.assign(Object.create(null), { link: '<x>' }))).toBe(true);
    expect(exchange.told).toHaveLength(1);
  });
});

describe('a value that JSON cannot express', () => {
  const circle: Record<string, unknown> = {};
  circle['self'] = circle;
  const mine = new Error('no JSON of me');
  const throws = (error: unknown) => ({
    toJSON: () => {
      throw error;
    },
  });

  test.each([
    ['a bigint', 1n, /received bigint 1n: .*BigInt/],
    ['a bigint in an object', { a: [1n] }, /received object \{a\}: .*BigInt/],
    ['a circle', circle, /received object \{self\}: .*circular structure/],
    ['one whose toJSON throws', throws(mine), /received object \{toJSON\}: no JSON of me\./],
    ['one whose toJSON throws nothing', throws(undefined), /received object \{toJSON\}: undefined\./],
    ['undefined', undefined, /received undefined: it has no text/],
    ['an object without a prototype that has one', Object.assign(bare(), { a: 1n }), /received object \{x, a\}/],
  ])('is refused by json(), and nothing is sent: %s', (_, value, message) => {
    const { exchange, response } = answerOf();
    const error = refused(() => response.json(value)) as Error;
    expect(error).toEqual(failure('ERR_DATA_TYPE', message));
    expect(error.message).not.toContain('\n');
    expect(exchange.told).toEqual([]);
    expect(response.end('other')).toBe(true);
  });

  test('has the error as its cause', () => {
    expect(refused(() => answerOf().response.json(throws(mine)))).toHaveProperty('cause', mine);
  });
});

describe('the answer of a handler that fails', () => {
  test.each([99, 199, 600])('has no status %d', (status) => {
    expect(refused(() => answerOf().response.fail(status, 'x'))).toEqual(failure('ERR_HTTP_STATUS', /200 to 599/));
  });

  test('has no fields that end their line early', () => {
    const { exchange, response } = answerOf();
    const fields = ['x-a', 'b\r\nset-cookie: c=d'];
    expect(refused(() => response.fail(500, 'x', fields))).toEqual(failure('ERR_HTTP_HEADER_VALUE', /x-a/));
    expect(refused(() => response.fail(500, 'x', ['x-a']))).toEqual(failure('ERR_OPTION_TYPE', /in turn/));
    expect(exchange.told).toEqual([]);
  });
});

describe('a file', () => {
  test.each(odd)('has no path, folder or name that is %s', async (_, value) => {
    const wrong = (sent: Promise<unknown>): Promise<unknown> =>
      sent.then(
        () => 'sent',
        (error: unknown) => error,
      );
    expect(await wrong(answerOf().response.sendFile(value as never))).toEqual(failure('ERR_FILE', /must be a text/));
    if (value === undefined) return;
    const root = await wrong(answerOf().response.sendFile('package.json', { root: value as never }));
    expect(root).toEqual(failure('ERR_OPTION_TYPE', /"options.root"/));
    if (value === true) return;
    const download = await wrong(answerOf().response.sendFile('package.json', { download: value as never }));
    expect(download).toEqual(failure('ERR_OPTION_TYPE', /"options.download"/));
  });
});

test('an event is an object: a text alone would send an empty one', () => {
  expect(refused(() => encodeEvent('news' as never))).toEqual(failure('ERR_OPTION_TYPE', /"event"/));
});
