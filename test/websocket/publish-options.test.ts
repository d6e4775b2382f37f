import { describe, expect, it } from 'vitest';
import { resolveOptions } from '../../src/options/index.js';
import { exceptOf } from '../../src/websocket/publish-options.js';
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
    [{ except: {} }, 'ERR_OPTION_TYPE'],
    [{ except: null }, 'ERR_OPTION_TYPE'],
    [{ except: Number.NaN }, 'ERR_OPTION_TYPE'],
    [{ except: [7, '8'] }, 'ERR_OPTION_TYPE'],
    [{ except: [1n] }, 'ERR_OPTION_TYPE'],
    [{ excpet: 7 }, 'ERR_OPTION_UNKNOWN'],
    [{ except: Array(65_536).fill(1) }, 'ERR_OPTION_RANGE'],
  ])('cannot be %o', (options, code) => {
    expect(() => exceptOf(options as never)).toThrow(expect.objectContaining({ code }));
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
