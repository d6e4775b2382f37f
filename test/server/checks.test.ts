import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { resolveOptions, type ServerOptions } from '../../src/options/index.js';
import { isLinux } from '../../src/os/libc.js';
import { type CommandLine, checkCommandLine, currentCommandLine } from '../../src/server/command-line.js';
import type { StartContext } from '../../src/server/context.js';
import { fileToSend } from '../../src/server/file-to-send.js';
import { ListenPort } from '../../src/server/listen-port.js';
import { ReplacedCallbacks } from '../../src/server/replaced-callbacks.js';
import { requireCallbacks, uncalledEvents } from '../../src/server/required-callbacks.js';
import { checkUserProcess } from '../../src/server/user-processes.js';
import { openDescriptors } from '../helpers/leaks.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'checks-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

describe('a file to send', () => {
  const content = 'abcdefghij';
  const path = (): string => join(folder, 'it');
  beforeEach(() => writeFileSync(path(), content));

  it.each([
    [{}, 0, 10],
    [{ offset: 3 }, 3, 7],
    [{ length: 4 }, 0, 4],
    [{ offset: 3, length: 4 }, 3, 4],
    [{ offset: 10 }, 10, 0],
    [{ offset: 10, length: 0 }, 10, 0],
    [{ offset: undefined, length: undefined }, 0, 10],
  ])('is the part %j', (range, offset, length) => {
    expect(fileToSend(path(), range)).toEqual({ path: path(), offset, length });
  });

  it.each([{ offset: 11 }, { length: 11 }, { offset: 3, length: 8 }, { offset: -1 }, { length: -1 }, { offset: 0.5 }])(
    'is not the part %j, which is beyond it',
    (range) => {
      expect(() => fileToSend(path(), range)).toThrow(
        expect.objectContaining({
          code: 'ERR_FILE_RANGE',
          detail: expect.objectContaining({ path: path(), size: 10 }),
        }),
      );
    },
  );

  it.each([{ offset: '3' }, { length: 2n }, { offset: Number.NaN }, { length: null }])('takes no %s', (range) => {
    expect(() => fileToSend(path(), range as object)).toThrow(expect.objectContaining({ code: 'ERR_FILE_RANGE' }));
  });

  it('may be named by a relative path, or a link', () => {
    symlinkSync(path(), join(folder, 'link'));
    expect(fileToSend(join(folder, 'link'), {})).toMatchObject({ path: join(folder, 'link'), length: 10 });
    expect(fileToSend('package.json', { length: 1 })).toEqual({
      ...{ path: join(process.cwd(), 'package.json'), offset: 0, length: 1 },
    });
  });

  it('that is empty is read, and gives no bytes', () => {
    writeFileSync(path(), '');
    expect(fileToSend(path(), {})).toEqual({ bytes: Buffer.alloc(0) });
  });

  it.runIf(isLinux)('that does not say its size is read at once', () => {
    const before = openDescriptors();
    const all = fileToSend('/proc/self/comm', {}) as { bytes: Buffer };
    expect(all.bytes.length).toBeGreaterThan(1);
    expect(fileToSend('/proc/self/comm', { offset: 1 })).toEqual({ bytes: all.bytes.subarray(1) });
    expect(openDescriptors()).toEqual(before);
  });

  it.each([undefined, null, '', 5, 'a\0b', Buffer.from('x')])('is not %j', (given) => {
    expect(() => fileToSend(given, {})).toThrow(
      expect.objectContaining({
        code: 'ERR_FILE',
        detail: expect.objectContaining({ why: 'its path must be a text' }),
      }),
    );
  });

  it('must be a file that can be read', () => {
    const refused = (name: string): unknown => {
      try {
        return fileToSend(join(folder, name), {});
      } catch (error) {
        return (error as { code: string; detail: { why: string } }).detail.why;
      }
    };
    mkdirSync(join(folder, 'folder'));
    chmodSync(path(), 0);
    expect(refused('none')).toBe('ENOENT');
    expect(refused('folder')).toBe('it is not a regular file');
    if (process.getuid?.() !== 0) expect(refused('it')).toBe('EACCES');
  });

  it('is no socket', async () => {
    const server = createServer().listen(join(folder, 'socket'));
    await new Promise((resolve) => server.once('listening', resolve));
    expect(() => fileToSend(join(folder, 'socket'), {})).toThrow(expect.objectContaining({ code: 'ERR_FILE' }));
    await new Promise((resolve) => server.close(resolve));
  });
});

describe('what a server cannot do without', () => {
  const receive = (): void => {};
  const context = (given: ServerOptions, events: object = {}, more: object = {}): StartContext => {
    const options = resolveOptions({ port: 0, ...given });
    const port = new ListenPort(
      undefined,
      () => undefined,
      () => {},
    );
    port.resolve(options);
    return { options, events, ports: [port], ...more } as unknown as StartContext;
  };
  const refusal = (given: StartContext): unknown => {
    try {
      return requireCallbacks(given);
    } catch (error) {
      const { code, detail } = error as { code: string; detail: unknown };
      return { code, detail };
    }
  };

  it.each([
    ['receive', 'tcp', {}],
    ['packet', 'udp', { type: 'udp' }],
  ] as const)('is "%s" for its listen port for %s', (event, type, given) => {
    expect(refusal(context(given))).toEqual({
      code: 'ERR_CALLBACK_MISSING',
      detail: { event, where: expect.stringContaining(`the listen port for ${type} on `), port: 0 },
    });
    expect(refusal(context(given, { [event]: receive }))).toBeUndefined();
  });

  it('is "packet" for datagrams of a unix socket, which is named by its path', () => {
    expect(refusal(context({ type: 'unix-dgram', path: '/tmp/it' }, { receive }))).toEqual({
      code: 'ERR_CALLBACK_MISSING',
      detail: { event: 'packet', where: expect.stringContaining('/tmp/it') },
    });
  });

  it('is "request" where it speaks HTTP, unless an app or files answer', () => {
    const http = { protocol: 'http' } as ServerOptions;
    expect(refusal(context(http, { receive }))).toMatchObject({ detail: { event: 'request' } });
    expect(refusal(context(http, { request: receive }))).toBeUndefined();
    expect(refusal(context(http, {}, { httpHalf: { answers: true } }))).toBeUndefined();
    expect(refusal(context(http, {}, { httpHalf: { answers: false } }))).toMatchObject({
      code: 'ERR_CALLBACK_MISSING',
    });
    expect(refusal(context({ ...http, staticFiles: folder } as ServerOptions))).toBeUndefined();
  });

  it('is "task" where it has task workers', () => {
    expect(refusal(context({ taskWorkerNum: 2 }, { receive }))).toEqual({
      code: 'ERR_CALLBACK_MISSING',
      detail: { event: 'task', where: 'task workers (taskWorkerNum: 2)' },
    });
    expect(refusal(context({ taskWorkerNum: 2 }, { receive, task: receive }))).toBeUndefined();
  });

  it.each([
    ['receive', 'http', '"http"'],
    ['message', 'http', '"http"'],
    ['request', 'raw', '"raw"'],
    ['packet', 'websocket', '"websocket"'],
  ] as const)('of a port alone is refused where it is never called: "%s" for %s', (event, protocol, speaks) => {
    const given = context({ protocol } as ServerOptions, {
      receive,
      request: receive,
      packet: receive,
      message: receive,
    });
    expect(refusal(given)).toBeUndefined();
    given.ports[0]?.on(event as 'receive', receive);
    expect(refusal(given)).toEqual({
      code: 'ERR_CALLBACK_UNUSED',
      detail: { event, speaks, where: expect.stringContaining('the listen port for tcp on '), port: 0 },
    });
  });

  it.each(['connect', 'receive', 'close', 'bufferFull', 'bufferEmpty', 'request', 'open'] as const)(
    'of a datagram port is never "%s"',
    (event) => {
      const given = context({ type: 'udp' }, { packet: receive });
      given.ports[0]?.on(event as 'receive', receive);
      expect(refusal(given)).toMatchObject({ code: 'ERR_CALLBACK_UNUSED', detail: { event, speaks: 'datagrams' } });
    },
  );

  it.each(['connect', 'request', 'handshake', 'open', 'message', 'close', 'bufferFull', 'bufferEmpty'] as const)(
    'of a WebSocket port may be "%s"',
    (event) => {
      const given = context({ protocol: 'websocket' } as ServerOptions, { request: receive });
      given.ports[0]?.on(event as 'receive', receive);
      expect(refusal(given)).toBeUndefined();
    },
  );

  it('is told of where the server has a callback that none of its ports calls', () => {
    const all = { receive, request: receive, packet: receive, message: receive, close: receive, task: receive };
    expect(uncalledEvents(context({}, all))).toEqual(['packet', 'request', 'message']);
    expect(uncalledEvents(context({ protocol: 'http' } as ServerOptions, all))).toEqual([
      'receive',
      'packet',
      'message',
    ]);
    expect(uncalledEvents(context({ type: 'udp' }, all))).toEqual(['receive', 'request', 'message', 'close']);
    expect(uncalledEvents(context({}, { receive }))).toEqual([]);
  });

  it('may be a callback of the port alone', () => {
    const given = context({});
    given.ports[0]?.on('receive', receive);
    expect(refusal(given)).toBeUndefined();
    given.ports[0]?.off('receive');
    expect(refusal(given)).toMatchObject({ code: 'ERR_CALLBACK_MISSING' });
  });
});

describe('a callback that replaces another one', () => {
  const told: string[] = [];
  const log = { warn: (line: string) => told.push(line) };
  beforeEach(() => {
    told.length = 0;
  });

  it('is told once per event and port', () => {
    const replaced = new ReplacedCallbacks(log, () => true);
    for (const port of [undefined, undefined, 1, 1, 2]) replaced.replaced('receive', port);
    replaced.replaced('close');
    expect(told).toEqual(
      ['"receive"', '"receive" of listen port 1', '"receive" of listen port 2', '"close"'].map(
        (name) => `the event ${name} had a callback already, and the later one replaces it`,
      ),
    );
  });

  it('is told by the first process alone', () => {
    new ReplacedCallbacks(log, () => false).replaced('receive');
    expect(told).toEqual([]);
  });
});

describe('a listen port', () => {
  const server = resolveOptions({ host: '127.0.0.1', port: 9501, backlog: 7 });

  it('is as the server where nothing else is said', () => {
    const port = new ListenPort(
      { port: 9502 },
      () => undefined,
      () => {},
    );
    port.resolve(server);
    expect([port.host, port.port, port.type, port.path, port.settings.backlog]).toEqual([
      ...['127.0.0.1', 9502, 'tcp', '', 7],
    ]);
  });

  it('has the port it was bound to as soon as there is one', () => {
    let bound: number | undefined;
    const port = new ListenPort(
      { port: 0 },
      () => bound,
      () => {},
    );
    port.resolve(server);
    expect(port.port).toBe(0);
    bound = 40_000;
    expect(port.port).toBe(40_000);
  });

  it('says of an unknown event which one may be meant', () => {
    const port = new ListenPort(
      { port: 1 },
      () => undefined,
      () => {},
    );
    expect(() => port.on('recieve' as 'receive', () => {})).toThrow(
      expect.objectContaining({ code: 'ERR_EVENT_UNKNOWN', message: expect.stringContaining('receive') }),
    );
    expect(() => port.on('receive', 'no' as unknown as () => void)).toThrow(
      expect.objectContaining({ code: 'ERR_CALLBACK_TYPE' }),
    );
    expect(() => port.off('start' as 'receive')).toThrow(expect.objectContaining({ code: 'ERR_EVENT_UNKNOWN' }));
  });
});

describe('a process of the user', () => {
  const run = (): void => {};

  it('is a function, by its name, or has both', () => {
    expect(checkUserProcess(run, 0)).toEqual({ name: 'run', run });
    expect(checkUserProcess({ name: 'mail', run }, 0)).toEqual({ name: 'mail', run });
  });

  it('is called by its number where it has no name', () => {
    expect(checkUserProcess({ run }, 3).name).toBe('3');
    expect(
      checkUserProcess(
        Object.defineProperty(() => {}, 'name', { value: '' }),
        4,
      ).name,
    ).toBe('4');
  });

  it.each([
    ['a', 19],
    ['x'.repeat(32), 0],
  ])('may be called %s as number %i', (name, index) => {
    expect(checkUserProcess({ name, run }, index).name).toBe(name);
  });

  it.each([
    [{ name: '', run }, 0],
    [{ name: 'x'.repeat(33), run }, 0],
    [{ name: 5, run }, 0],
    [{ name: 'x' }, 0],
    [{ name: 'x', run: 'no' }, 0],
    [undefined, 0],
    [null, 0],
    ['run', 0],
    [{ name: 'x', run }, 20],
  ])('is not %j as number %i', (given, index) => {
    expect(() => checkUserProcess(given, index)).toThrow(
      expect.objectContaining({
        code: 'ERR_USER_PROCESS',
        detail: { expected: expect.any(String), received: expect.any(String) },
      }),
    );
  });
});

describe('a server is started from the command line', () => {
  const line: CommandLine = {
    ...{ platform: 'linux', isMainThread: true, script: '/srv/it.js', execArgv: [], scriptExists: true },
  };
  const why = (change: Partial<CommandLine>): unknown => {
    try {
      return checkCommandLine({ ...line, ...change });
    } catch (error) {
      const { code, detail } = error as { code: string; detail: { why: string } };
      return [code, detail.why];
    }
  };

  it('by a script, also with other arguments of Node', () => {
    expect(why({})).toBeUndefined();
    expect(why({ execArgv: ['--inspect', '--import', './trace.js', '--env-file=x'] })).toBeUndefined();
    expect(currentCommandLine()).toMatchObject({ platform: process.platform });
  });

  it.each([
    [{ platform: 'win32' }, 'ERR_PLATFORM', /Windows/],
    [{ isMainThread: false }, 'ERR_NOT_COMMAND_LINE', /worker thread/],
    [{ execArgv: ['-e', '0'] }, 'ERR_NOT_COMMAND_LINE', /--eval/],
    [{ execArgv: ['--eval=0'] }, 'ERR_NOT_COMMAND_LINE', /--eval/],
    [{ execArgv: ['--inspect', '-p'] }, 'ERR_NOT_COMMAND_LINE', /--print/],
    [{ script: undefined, scriptExists: false }, 'ERR_NOT_COMMAND_LINE', /no script/],
    [{ script: '', scriptExists: false }, 'ERR_NOT_COMMAND_LINE', /no script/],
    [{ script: '-' }, 'ERR_NOT_COMMAND_LINE', /standard input/],
    [{ script: '/x', scriptExists: false }, 'ERR_NOT_COMMAND_LINE', /'\/x' is not a file/],
  ])('and not with %j', (change, code, reason) => {
    expect(why(change)).toEqual([code, expect.stringMatching(reason)]);
  });
});
