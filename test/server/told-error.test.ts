import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ServerError } from '../../src/errors/index.js';
import { told, toldFromAfar } from '../../src/server/told-error.js';

type Listener = (error: unknown) => void;

let listenersBefore: Listener[];
let written: string[];
let exits: unknown[];

/** The test runner listens too: without it the process is as a user's. */
beforeEach(() => {
  listenersBefore = process.listeners('uncaughtException') as Listener[];
  process.removeAllListeners('uncaughtException');
  [written, exits] = [[], []];
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => written.push(String(text)) > 0);
  vi.spyOn(process, 'exit').mockImplementation((code) => exits.push(code) as never);
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
  process.removeAllListeners('uncaughtException');
  for (const listener of listenersBefore) process.on('uncaughtException', listener as NodeJS.UncaughtExceptionListener);
});

const inUse = (cause?: unknown): ServerError<'ERR_PORT_IN_USE'> =>
  new ServerError('ERR_PORT_IN_USE', { host: '127.0.0.1', port: 80 }, { cause });
/** What Node does when nobody has caught it. */
const uncaught = (error: unknown): void => {
  for (const listener of process.listeners('uncaughtException')) (listener as Listener)(error);
};

describe('an error that its reader can mend', () => {
  it('comes back as it is, and where their script stands is kept; what is of this package and of Node is not', () => {
    const error = inUse();
    error.stack = [
      `ServerError: ${error.message}`,
      `    at bindPort (${new URL('../../src/listen/bind-port.ts', import.meta.url).pathname}:1:1)`,
      '    at start (/srv/app/server.js:5:3)',
      '    at node:internal/modules/run_main:1:1',
    ].join('\n');
    expect(told(error)).toBe(error);
    expect(error.stack.split('\n').slice(-1)).toEqual(['    at start (/srv/app/server.js:5:3)']);
    expect(error.stack).not.toMatch(/bind-port|node:/);
    expect(error.stack).toContain(error.message);
  });

  it('has the frames of the caller where those of this package, or the limit of Node, leave none', () => {
    const deep = (depth: number): ServerError => (depth === 0 ? told(ours()) : deep(depth - 1));
    const ours = (): ServerError => {
      const error = inUse();
      const frame = `    at check (${new URL('../../src/options/check.ts', import.meta.url).pathname}:1:1)`;
      error.stack = [`ServerError: ${error.message}`, ...Array(10).fill(frame)].join('\n');
      return error;
    };
    const limit = Error.stackTraceLimit;
    expect(deep(20).stack).toMatch(/\n\s+at .*told-error\.test\.ts/);
    expect(deep(0).stack).not.toContain('options/check.ts');
    expect(Error.stackTraceLimit).toBe(limit);
  });

  it('has them also where a copy of this package, or a package that it calls, made it in another process', () => {
    const error = inUse();
    error.stack = [
      `ServerError: ${error.message}`,
      '    at answer (/srv/other/node_modules/tswoole/dist/server.cjs:1:1)',
      '    at Job.add (/srv/other/node_modules/bullmq/dist/job.js:1:1)',
    ].join('\n');
    expect(told(error).stack).toMatch(/\n\s+at .*told-error\.test\.ts/);
    expect(error.stack).not.toContain('/srv/other');
  });

  it('is told with its code, without a stack of ours, when nobody catches it, and the process ends with 1', () => {
    const error = told(inUse(new TypeError('the reason')));
    uncaught(error);
    expect(written.join('')).toContain(error.message.split('\n')[0]);
    expect(written.join('')).toContain('(ERR_PORT_IN_USE)');
    expect(written.join('')).toMatch(/because: .*the reason/);
    expect(exits).toEqual([1]);
    expect(process.listenerCount('uncaughtException')).toBe(0);
  });

  it('is told without the call of the kernel that has failed: the sentence has it', () => {
    const cause = Object.assign(new Error('bind failed'), { name: 'SyscallError' });
    uncaught(told(inUse(cause)));
    expect(written.join('')).not.toContain('because');
  });

  it('is not told when the script has caught it', () => {
    told(inUse());
    expect(process.listenerCount('uncaughtException')).toBe(1);
    vi.runAllTimers();
    expect(process.listenerCount('uncaughtException')).toBe(0);
    expect([written, exits]).toEqual([[], []]);
  });

  it('is left to a script that listens to uncaught errors itself', () => {
    const seen: unknown[] = [];
    process.on('uncaughtException', (error) => seen.push(error));
    const error = told(inUse());
    expect(process.listenerCount('uncaughtException')).toBe(1);
    uncaught(error);
    expect(seen).toEqual([error]);
    expect([written, exits]).toEqual([[], []]);
  });

  it('lets another error that comes meanwhile be seen, with its stack', () => {
    told(inUse());
    uncaught(new RangeError('another one'));
    expect(written.join('')).toMatch(/RangeError: another one\n\s+at /);
    expect(exits).toEqual([1]);
  });

  it('lets another one that comes meanwhile be told as well', () => {
    told(inUse());
    uncaught(told(new ServerError('ERR_ONE_SERVER', {})));
    expect(written.join('')).toContain('(ERR_ONE_SERVER)');
  });

  it('does not tell for ever of causes that go round', () => {
    const error = inUse();
    Object.defineProperty(error, 'cause', { value: error });
    uncaught(told(error));
    expect(exits).toEqual([1]);
  });
});

describe('any other error', () => {
  it.each([new Error('theirs'), 'a text', undefined, null])('comes back untouched: %s', (error) => {
    expect(told(error)).toBe(error);
    expect(process.listenerCount('uncaughtException')).toBe(0);
  });

  it('from another process is told by its stack, without what is of this package', () => {
    const error = new Error('in a worker');
    error.stack = 'Error: in a worker\n    at job (/srv/app/job.js:1:1)\n    at node:internal/x:1:1';
    expect(toldFromAfar(error)).toBe(error);
    uncaught(error);
    expect(written.join('')).toBe('Error: in a worker\n    at job (/srv/app/job.js:1:1)\n');
  });

  it('from another process, where it is ours, has been told of already', () => {
    expect(toldFromAfar(inUse())).toBeInstanceOf(ServerError);
    expect(toldFromAfar('a text')).toBe('a text');
    expect(process.listenerCount('uncaughtException')).toBe(0);
  });
});
