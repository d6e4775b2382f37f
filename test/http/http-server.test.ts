import { describe, expect, it } from 'vitest';
import { HttpServer } from '../../src/http/http-server.js';

const failure = (code: string, detail: object = {}) => expect.objectContaining({ code, detail });

describe('a server of HTTP', () => {
  it.each([null, 'options', 5])('is made of options, not of %s', (options) => {
    expect(() => new HttpServer(options as never)).toThrowError(
      failure('ERR_OPTION_TYPE', {
        name: 'options',
        expected: 'an object with options by name',
        received: expect.any(String),
      }),
    );
  });

  it('looks at its apps as it is made', () => {
    expect(() => new HttpServer({ fetch: 5 as never })).toThrowError(
      failure('ERR_OPTION_TYPE', { name: 'fetch', expected: 'a function', received: 'number 5' }),
    );
  });

  it('speaks HTTP unless it is told otherwise, and has no answers before it has started', () => {
    const server = new HttpServer({ fetch: () => new Response() });
    expect(server.options).toMatchObject({ protocol: 'http' });
    expect(() => server.response(64, 1)).toThrowError(failure('ERR_NOT_STARTED', { method: 'response' }));
  });
});
