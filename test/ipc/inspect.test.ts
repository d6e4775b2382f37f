import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import * as inspect from '../../src/ipc/inspect.js';

const environment = { ...process.env };
const execArgv = [...process.execArgv];

beforeEach(() => {
  vi.resetModules();
  delete process.env['NODE_OPTIONS'];
  delete process.env[inspect.INSPECT_VARIABLE];
});

afterEach(() => {
  for (const name of ['NODE_OPTIONS', inspect.INSPECT_VARIABLE]) {
    if (environment[name] === undefined) delete process.env[name];
    else process.env[name] = environment[name];
  }
  process.execArgv.splice(0, process.execArgv.length, ...execArgv);
});

/** As a process that was just started has it. */
const fresh = (): Promise<typeof inspect> => import('../../src/ipc/inspect.js');

describe('arguments of Node that ask for a debugger', () => {
  it.each([
    [['--inspect'], '--inspect=127.0.0.1:9229'],
    [['--inspect-brk'], '--inspect-brk=127.0.0.1:9229'],
    [['--inspect-wait=7000'], '--inspect-wait=127.0.0.1:7000'],
    [['--inspect=0'], '--inspect=127.0.0.1:0'],
    [['--inspect=0.0.0.0'], '--inspect=0.0.0.0:9229'],
    [['--inspect=0.0.0.0:9300'], '--inspect=0.0.0.0:9300'],
    [['--inspect=[::1]:9300'], '--inspect=[::1]:9300'],
    [['--inspect=:9300'], '--inspect=127.0.0.1:9300'],
    [['--inspect', '--inspect-port=9400'], '--inspect=127.0.0.1:9400'],
    [['--debug-port=9400', '--inspect'], '--inspect=127.0.0.1:9400'],
    [['--inspect=1', '--inspect-brk=2'], '--inspect-brk=127.0.0.1:2'],
  ])('%j', (words, text) => {
    const wish = inspect.parseInspect(words);
    expect(wish && inspect.textOf(wish)).toBe(text);
    for (const word of words) expect(inspect.isInspect(word)).toBe(true);
  });

  it.each([[[]], [['--inspect-port=9400']], [['--inspector']], [['inspect']], [['--no-inspect']]])(
    'not %j',
    (words) => {
      expect(inspect.parseInspect(words)).toBeUndefined();
    },
  );

  it('wait for a person, but for plain --inspect', () => {
    const waits = (word: string) => inspect.waitsForDebugger(inspect.parseInspect([word]));
    expect(['--inspect', '--inspect-brk', '--inspect-wait', '--other'].map(waits)).toEqual([false, true, true, false]);
  });

  it('are told from others', () => {
    expect(['--inspect-publish-uid=http', '--title=x', '--trace-warnings'].map(inspect.isInspect)).toEqual([
      true,
      false,
      false,
    ]);
  });
});

describe('a process that is inspected', () => {
  it('gives each lane of each process id a port of its own, behind its own', async () => {
    process.execArgv.push('--inspect=9500');
    const { inspectArgs, INSPECT_VARIABLE } = await fresh();
    const args = [0, 1, 2].flatMap((id) => [0, 1].map((lane) => inspectArgs(id, lane)));
    expect(args).toEqual([9501, 9502, 9503, 9504, 9505, 9506].map((port) => [`--inspect=127.0.0.1:${port}`]));
    expect(process.env[INSPECT_VARIABLE]).toBe('--inspect=127.0.0.1:9501');
    expect(process.env).not.toHaveProperty('NODE_OPTIONS');
  });

  it('gives free ports where it has one, and where there are no more', async () => {
    process.execArgv.push('--inspect=0');
    expect((await fresh()).inspectArgs(3, 1)).toEqual(['--inspect=127.0.0.1:0']);
    vi.resetModules();
    process.env[inspect.INSPECT_VARIABLE] = '--inspect=127.0.0.1:65534';
    const { inspectArgs } = await fresh();
    expect([inspectArgs(0, 1), inspectArgs(1, 0)]).toEqual([['--inspect=127.0.0.1:65535'], ['--inspect=127.0.0.1:0']]);
  });

  it('takes the wish out of NODE_OPTIONS, and leaves the rest there', async () => {
    process.env['NODE_OPTIONS'] = '--trace-warnings  --inspect=9600 --no-deprecation';
    expect((await fresh()).inspectWish()).toEqual({ flag: '--inspect', host: '127.0.0.1', port: 9601 });
    expect(process.env['NODE_OPTIONS']).toBe('--trace-warnings --no-deprecation');
  });

  it('that runs callbacks starts others without one', async () => {
    process.execArgv.push('--inspect=9700', '--trace-warnings');
    const { leaveInspect, inspectWish } = await fresh();
    leaveInspect();
    expect(process.env[inspect.INSPECT_VARIABLE]).toBeUndefined();
    expect(process.execArgv.slice(-1)).toEqual(['--trace-warnings']);
    expect(process.execArgv.some(inspect.isInspect)).toBe(false);
    expect(inspectWish()?.port).toBe(9701);
  });

  it('that is not, has no arguments for others and opens no debugger', async () => {
    process.env['NODE_OPTIONS'] = '--trace-warnings';
    const { inspectArgs, openDebugger } = await fresh();
    expect([inspectArgs(0, 0), await openDebugger()]).toEqual([[], undefined]);
    expect([process.env['NODE_OPTIONS'], process.env[inspect.INSPECT_VARIABLE]]).toEqual([
      '--trace-warnings',
      undefined,
    ]);
  });
});
