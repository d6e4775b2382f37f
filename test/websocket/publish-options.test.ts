import { describe, expect, it } from 'vitest';
import { resolveOptions } from '../../src/options/index.js';
import { exceptOf, mayCompress } from '../../src/websocket/publish-options.js';
import { WebSocketServer } from '../../src/websocket/web-socket-server.js';

describe('who does not get what is published', () => {
  it.each([
    [undefined, []],
    [{}, []],
    [{ compress: false }, []],
    [{ except: 7 }, [7]],
    [{ except: [7, 8] }, [7, 8]],
  ])('of %j is %j', (options, fds) => {
    expect(exceptOf(options)).toEqual(fds);
  });

  it.each([
    [null, 'ERR_OPTION_TYPE'],
    [5, 'ERR_OPTION_TYPE'],
    ['x', 'ERR_OPTION_TYPE'],
    [[], 'ERR_OPTION_TYPE'],
    [() => {}, 'ERR_OPTION_TYPE'],
    [new Error('of what?'), 'ERR_OPTION_TYPE'],
    [new Date(0), 'ERR_OPTION_TYPE'],
    [new WeakMap(), 'ERR_OPTION_TYPE'],
    [Promise.resolve(), 'ERR_OPTION_TYPE'],
    [{ except: {} }, 'ERR_OPTION_TYPE'],
    [{ except: null }, 'ERR_OPTION_TYPE'],
    [{ except: Number.NaN }, 'ERR_OPTION_TYPE'],
    [{ except: [7, '8'] }, 'ERR_OPTION_TYPE'],
    [{ except: [1n] }, 'ERR_OPTION_TYPE'],
    [{ excpet: 7 }, 'ERR_OPTION_UNKNOWN'],
    [{ compress: 'no' }, 'ERR_OPTION_TYPE'],
    [{ compress: null }, 'ERR_OPTION_TYPE'],
    [{ except: Array(65_536).fill(1) }, 'ERR_OPTION_RANGE'],
  ])('cannot be %o', (options, code) => {
    expect(() => exceptOf(options as never)).toThrow(expect.objectContaining({ code }));
  });
});

describe('a message to one', () => {
  it('may be compressed or not, and nothing else is said of it', () => {
    for (const options of [undefined, {}, { compress: true }]) expect(mayCompress(options)).toBe(true);
    expect(mayCompress({ compress: false })).toBe(false);
    for (const options of [null, 5, [], new Error('x'), { compress: 0 }, { compress: 'no' }])
      expect(() => mayCompress(options as never)).toThrow(expect.objectContaining({ code: 'ERR_OPTION_TYPE' }));
    for (const options of [{ compres: false }, { except: 7 }])
      expect(() => mayCompress(options as never)).toThrow(expect.objectContaining({ code: 'ERR_OPTION_UNKNOWN' }));
  });
});

describe('the path', () => {
  it('of WebSocket begins with a slash', () => {
    expect(resolveOptions({ websocketPath: '/chat' }).websocketPath).toBe('/chat');
    for (const websocketPath of ['chat', '/chat?a', '/#']) {
      expect(() => resolveOptions({ websocketPath })).toThrow(/begins with "\/", without a query/);
    }
  });

  it.each([null, 5, 'x'])('options are an object, not %j', (options) => {
    expect(() => new WebSocketServer(options as never)).toThrow(expect.objectContaining({ code: 'ERR_OPTION_TYPE' }));
  });

  it('of a unix socket beside a port is taken for a mistake, which is explained', () => {
    expect(() => new WebSocketServer({ port: 0, path: '/chat' })).toThrow(/the path of requests is "websocketPath"/);
  });
});
