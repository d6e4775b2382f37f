import { beforeEach, describe, expect, it } from 'vitest';
import { type CommandHandler, CommandTable, checkCommand, commands } from '../../src/control/commands.js';
import type { Controlled } from '../../src/control/controlled.js';
import { deferred } from '../../src/util/deferred.js';

/** What the server was asked, with what. */
let asked: [name: string, ...given: unknown[]][];
let own: Map<string, CommandHandler>;
let table: CommandTable;
let answer: (name: string) => unknown;

const circle: Record<string, unknown> = {};
circle['self'] = circle;

beforeEach(() => {
  [asked, own] = [[], new Map()];
  answer = (name) => (name === 'status' ? { workerNum: 4 } : `${name} answered`);
  const server = new Proxy({} as Controlled, {
    get:
      (_, name: string) =>
      (...given: unknown[]) => {
        asked.push([name, ...given]);
        return answer(name);
      },
  });
  table = new CommandTable(server, own);
});

describe('a command', () => {
  it.each([
    ['status', {}, ['status']],
    ['stats', {}, ['stats']],
    ['workers', {}, ['workers']],
    ['metrics', {}, ['metrics']],
    ['settings', {}, ['settings']],
    ['shutdown', {}, ['shutdown']],
    ['reopenLogs', {}, ['reopenLogs']],
    ['connections', {}, ['connections', { after: 0, count: 100 }]],
    ['connections', { after: 7, count: 1, workerId: 0 }, ['connections', { after: 7, count: 1, workerId: 0 }]],
    ['connections', { port: 0, address: '::1' }, ['connections', { after: 0, count: 100, port: 0, address: '::1' }]],
    ['reload', {}, ['reload', false]],
    ['reload', { tasksOnly: true }, ['reload', true]],
    ['reload', { allNodes: false }, ['reload', false]],
    ['reload', { allNodes: true }, ['reloadNodes']],
    ['reload', { allNodes: true, tasksOnly: false }, ['reloadNodes']],
    ['nodes', {}, ['nodes']],
    ['jobs', {}, ['countJobs']],
    ['findJob', { id: 'mail:7' }, ['findJob', 'mail:7']],
    ['deadJobs', { name: 'mail' }, ['deadJobs', 'mail', 0, 50]],
    ['deadJobs', { name: 'mail', offset: 7, count: 1 }, ['deadJobs', 'mail', 7, 1]],
    ['retryJob', { id: 'mail:7' }, ['retryJob', 'mail:7']],
    ['jobSchedules', { name: 'mail' }, ['jobSchedules', 'mail', 0, 50]],
    ['jobSchedules', { name: 'mail', offset: 7, count: 1 }, ['jobSchedules', 'mail', 7, 1]],
    ['unschedule', { name: 'mail', key: 'nightly' }, ['unschedule', 'mail', 'nightly']],
    ['removeJob', { id: 'mail:7' }, ['removeJob', 'mail:7']],
    ['removeDeadJobs', { name: 'mail' }, ['removeDeadJobs', 'mail']],
    ['scale', { workerNum: 7 }, ['scale', 7]],
    ['stopWorker', { workerId: 3 }, ['stopWorker', 3, false]],
    ['stopWorker', { workerId: 0, force: true }, ['stopWorker', 0, true]],
    ['closeConnection', { fd: 1 }, ['closeConnection', 1, false]],
    ['closeConnection', { fd: 2 ** 53 - 1, reset: true }, ['closeConnection', 2 ** 53 - 1, true]],
    ['logLevel', { level: 'debug' }, ['setLogLevel', 'debug']],
    ['rooms', {}, ['rooms', 100]],
    ['rooms', { count: 10_000 }, ['rooms', 10_000]],
    ['publish', { room: 'a', text: '' }, ['publish', 'a', '']],
    ['publish', { room: '\n', text: 'two\nlines' }, ['publish', '\n', 'two\nlines']],
    [
      'profile',
      { target: 0, path: '/tmp/it' },
      ['profile', { target: 0, kind: 'cpu', durationMs: 10_000, path: '/tmp/it' }],
    ],
    [
      'profile',
      { target: 'master', kind: 'heap', seconds: 1, path: '/tmp/it' },
      ['profile', { target: 'master', kind: 'heap', durationMs: 1000, path: '/tmp/it' }],
    ],
  ])('%s with %j asks the server: %j', async (name, given, expected) => {
    expect(await table.run(name, given)).toEqual(answer(String(expected[0])));
    expect(asked).toEqual([expected]);
  });

  it.each([
    [{ by: 2 }, 6],
    [{ by: -1 }, 3],
    [{}, 4],
  ])('scale with %j counts from the workers there are now', async (given, workerNum) => {
    await table.run('scale', given);
    expect(asked.at(-1)).toEqual(['scale', workerNum]);
  });

  it('takes an argument that is undefined as missing', async () => {
    await table.run('reload', { tasksOnly: undefined });
    expect(asked).toEqual([['reload', false]]);
  });

  it.each([
    ['reload', { tasksOnly: 'yes' }],
    ['reload', { allNodes: 1 }],
    ['reload', { allNodes: true, tasksOnly: true }],
    ['stopWorker', {}],
    ['stopWorker', { workerId: undefined }],
    ['stopWorker', { workerId: -1 }],
    ['stopWorker', { workerId: 2001 }],
    ['stopWorker', { workerId: '3' }],
    ['scale', { workerNum: 0 }],
    ['scale', { workerNum: 1001 }],
    ['scale', { by: 1.5 }],
    ['connections', { count: 0 }],
    ['connections', { count: 1001 }],
    ['connections', { address: '' }],
    ['connections', { port: 65_536 }],
    ['closeConnection', { fd: 0 }],
    ['closeConnection', { fd: 2 ** 53 }],
    ['logLevel', { level: 'loud' }],
    ['logLevel', {}],
    ['profile', { target: 0 }],
    ['rooms', { count: 0 }],
    ['rooms', { count: 10_001 }],
    ['publish', { room: 'a' }],
    ['publish', { text: 'a' }],
    ['publish', { room: 7, text: 'a' }],
    ['publish', { room: 'a', text: {} }],
    ['profile', { target: 'worker', path: '/tmp/x' }],
    ['profile', { target: -1, path: '/tmp/x' }],
    ['profile', { target: 0, path: '/tmp/x', seconds: 601 }],
  ])('%s with %j is refused, and nothing is done', async (name, given) => {
    await expect(table.run(name, given)).rejects.toMatchObject({
      code: expect.stringMatching(/^ERR_OPTION_/),
      detail: { name: expect.any(String) },
    });
    expect(asked).toEqual([]);
  });

  it.each([
    ['reload', { taskOnly: true }, 'tasksOnly'],
    ['status', { x: 1 }, undefined],
    ['stopWorker', { workerId: 0, toString: 1 }, undefined],
  ])('%s with the unknown argument of %j says which one may be meant', async (name, given, nearest) => {
    await expect(table.run(name, given)).rejects.toMatchObject({ code: 'ERR_OPTION_UNKNOWN', detail: { nearest } });
  });

  it('rejects with what the server throws', async () => {
    answer = () => {
      throw new RangeError('no');
    };
    await expect(table.run('stats', {})).rejects.toThrow('no');
  });
});

describe('an unknown command', () => {
  it.each([
    ['relaod', 'reload'],
    ['greeet', 'greet'],
    ['toString', undefined],
    ['', undefined],
  ])('%j is refused, and %s named', async (name, nearest) => {
    own.set('greet', () => 1);
    await expect(table.run(name, {})).rejects.toMatchObject({
      code: 'ERR_COMMAND_UNKNOWN',
      detail: nearest === undefined ? { name } : { name, nearest },
    });
    expect(table.has(name)).toBe(false);
  });
});

describe("the user's own commands", () => {
  it('get what was given as it is, and answer', async () => {
    own.set('greet', async ({ name }) => `hello ${String(name)}`);
    expect(await table.run('greet', { name: 'you' })).toBe('hello you');
    await expect(
      Promise.resolve().then(() => {
        own.set('fail', () => Promise.reject(new Error('no')));
        return table.run('fail', {});
      }),
    ).rejects.toThrow('no');
  });

  it.each([1n, { of: [1n] }, circle])('of the user fails where JSON cannot express its result', async (result) => {
    own.set('own', () => result);
    await expect(table.run('own', {})).rejects.toMatchObject({
      code: 'ERR_COMMAND_FAILED',
      detail: { name: 'own', why: expect.stringMatching(/^its result, .*, cannot be written as JSON: [^\n]+$/) },
    });
  });

  it.each(['a', 'cache:clear', 'a-b_C9', `a${'x'.repeat(63)}`])('may be called %s', (name) => {
    expect(() => checkCommand(name as string, () => {})).not.toThrow();
  });

  it.each(['', 'A', '1a', 'a b', 'a/b', `a${'x'.repeat(64)}`, 'ä', undefined, null, 5, 'commands', 'reload', 'status'])(
    'may not be called %j',
    (name) => {
      expect(() => checkCommand(name as string, () => {})).toThrow(
        expect.objectContaining({
          code: 'ERR_COMMAND_NAME',
          detail: { expected: expect.any(String), received: expect.any(String) },
        }),
      );
    },
  );

  it('may be called as what every object has', () => {
    expect(() => checkCommand('constructor', () => {})).not.toThrow();
  });
});

describe('the list of commands', () => {
  it('has every command with its help and its arguments, and those of the user', async () => {
    own.set('greet', () => 1);
    const list = (await table.run('commands', {})) as { name: string; help: string; takes: string[] }[];
    expect(list.map(({ name }) => name)).toEqual([...Object.keys(commands), 'greet']);
    expect(list.every(({ help }) => help.length > 0)).toBe(true);
    expect(list.find(({ name }) => name === 'scale')?.takes).toEqual(['workerNum', 'by']);
    expect(table.has('commands')).toBe(true);
  });

  it('tells the log what it was given, but no texts and nothing of the user’s commands', () => {
    own.set('greet', () => null);
    const given = { name: 'mail', key: 'k'.repeat(200) };
    expect(table.loggable('unschedule', given)).toEqual({ name: 'mail', key: 'k'.repeat(128) });
    expect(table.loggable('removeDeadJobs', { name: 'mail', text: 'x' })).toEqual({ name: 'mail' });
    expect(table.loggable('publish', { room: 'a', text: 'secret' })).toEqual({ room: 'a' });
    expect(table.loggable('greet', { name: 'secret' })).toEqual({});
  });

  it('says which only look: they need no token that may change something', () => {
    const looks = Object.keys(commands).filter((name) => !table.changes(name));
    expect(looks).toEqual([
      ...['status', 'stats', 'workers', 'metrics', 'connections', 'rooms', 'history', 'log', 'ends', 'objects'],
      ...['nodes', 'jobs', 'findJob', 'deadJobs', 'jobSchedules', 'settings'],
    ]);
    expect(['commands', 'greet', 'unknown'].map((name) => table.changes(name))).toEqual([false, true, true]);
  });
});

describe('a client that is no user of this machine', () => {
  it('gets a profile itself, and cannot name a path', async () => {
    await table.runForRemote('profile', { target: 1, seconds: 2 });
    expect(asked).toEqual([['takeProfile', { target: 1, kind: 'cpu', durationMs: 2000 }]]);
    await expect(table.runForRemote('profile', { target: 1, path: '/etc/passwd' })).rejects.toMatchObject({
      code: 'ERR_OPTION_UNKNOWN',
    });
    expect(asked).toHaveLength(1);
  });

  it('gets one profile at a time, and the next one also when the first has failed', async () => {
    const first = deferred<unknown>();
    answer = () => first.promise;
    const running = table.runForRemote('profile', { target: 1 });
    await expect(table.runForRemote('profile', { target: 1 })).rejects.toMatchObject({ code: 'ERR_PROFILE' });
    first.reject(new Error('no'));
    await expect(running).rejects.toThrow('no');
    answer = () => 'taken';
    expect(await table.runForRemote('profile', { target: 1 })).toBe('taken');
  });

  it('gets everything else as others do', async () => {
    expect(await table.runForRemote('stats', {})).toBe('stats answered');
  });
});

describe('the limits of arguments', () => {
  it.each([
    ['scale', 'by', -1000, 1000],
    ['scale', 'workerNum', 1, 1000],
    ['connections', 'count', 1, 1000],
    ['connections', 'port', 0, 65_535],
    ['connections', 'after', 0, Number.MAX_SAFE_INTEGER],
    ['connections', 'workerId', 0, 2000],
  ])('of %s, %s, are %d and %d', async (name, argument, min, max) => {
    for (const value of [min, max]) await table.run(name, { [argument]: value });
    expect(asked.filter(([asking]) => asking === name)).toHaveLength(2);
    for (const value of [min - 1, max + 1]) {
      await expect((async () => table.run(name, { [argument]: value }))()).rejects.toMatchObject({
        code: expect.stringMatching(/^ERR_OPTION_/),
      });
    }
  });

  it('of an address are 1 and 64 characters', async () => {
    const run = async (length: number): Promise<unknown> => table.run('connections', { address: 'x'.repeat(length) });
    for (const length of [1, 64]) await run(length);
    for (const length of [0, 65])
      await expect(run(length)).rejects.toMatchObject({ code: expect.stringMatching(/^ERR_OPTION_/) });
  });
});

it('a profile is one of the processor, of ten seconds, where nothing else is said', async () => {
  await table.run('profile', { target: 0, path: '/tmp/it' });
  await table.runForRemote('profile', { target: 'master' });
  await table.runForRemote('profile', { target: 'manager', kind: 'heap', seconds: 1 });
  expect(asked).toEqual([
    ['profile', { target: 0, kind: 'cpu', durationMs: 10_000, path: '/tmp/it' }],
    ['takeProfile', { target: 'master', kind: 'cpu', durationMs: 10_000 }],
    ['takeProfile', { target: 'manager', kind: 'heap', durationMs: 1000 }],
  ]);
});
