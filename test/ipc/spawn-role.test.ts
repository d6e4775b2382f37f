import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { EventEmitter } from 'node:events';
import { Socket } from 'node:net';
import { PassThrough } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { BootOutput } from '../../src/ipc/boot-output.js';
import { FIRST_VARIABLE, type FirstPlan } from '../../src/ipc/first-processes.js';
import { CONTROL_DESCRIPTOR, type Inheritance, type SharedDescriptors } from '../../src/ipc/inheritance.js';
import { inspectWish } from '../../src/ipc/inspect.js';
import { commandOf, type StartedChild, spawnManager, spawnRole, whenEnded } from '../../src/ipc/spawn-role.js';
import { CHILD_VARIABLE } from '../../src/util/child-variable.js';
import { heapArguments } from '../../src/util/heap-argument.js';
import type { Log } from '../../src/util/log.js';

vi.mock(import('node:child_process'), async (original) => ({ ...(await original()), spawn: vi.fn() }));
vi.mock(import('../../src/ipc/inspect.js'), async (original) => ({ ...(await original()), inspectWish: vi.fn() }));

const turn = () => new Promise(setImmediate);

/** A process that never was: its streams, and what happens to it, are the test's. */
function fakeChild(isStarted = true) {
  const streams = Array.from({ length: 5 }, () => new PassThrough());
  const [, stdout, stderr] = streams;
  const started = { pid: 4711, stdout, stderr, stdio: streams };
  return { streams, child: Object.assign(new EventEmitter(), isStarted ? started : {}) as unknown as ChildProcess };
}

describe('a process of a role', () => {
  let argv: string[];
  let execArgv: string[];
  const shared: SharedDescriptors = {
    region: 20,
    overflow: 21,
    settings: 13,
    arena: 12,
    datagrams: [],
    bells: [{ read: 22, write: 22 }],
  };
  const worker = { role: 'worker', id: 1, lane: 0, generation: 1 } as const;
  const call = (): [string, string[], SpawnOptions] => vi.mocked(spawn).mock.calls[0] as never;

  beforeEach(() => {
    [argv, execArgv] = [process.argv, process.execArgv];
    process.argv = ['/usr/bin/node', '/srv/it.js', '--port', '1'];
    process.execArgv = ['--import', './trace.js', '--inspect=9229', '--title=tswoole: master'];
  });
  afterEach(() => {
    [process.argv, process.execArgv] = [argv, execArgv];
    vi.mocked(spawn).mockReset();
  });
  const start = (output?: Parameters<typeof spawnRole>[4], isStarted = true) => {
    const made = fakeChild(isStarted);
    vi.mocked(spawn).mockReturnValue(made.child as never);
    return { ...made, started: spawnRole(worker, 'tswoole: worker 1', shared, undefined, output) };
  };

  it('runs the same script with the same arguments, from where this one was started, under a title of its own', () => {
    const { child, started } = start();
    const [program, args, options] = call();
    expect([program, options.cwd, started.process]).toEqual([process.execPath, process.cwd(), child]);
    expect(args.slice(-5)).toEqual(['--import', './trace.js', '/srv/it.js', '--port', '1']);
    expect(args[0]).toMatch(/^--title=tswoole: worker 1/);
    expect(args.filter((argument) => argument.startsWith('--title'))).toHaveLength(1);
    expect(args).not.toContain('--inspect=9229');
  });

  it('begins full collections of its heap where one is worth it, unless its user has sized the heap, or it runs no callbacks', () => {
    const heap = '--initial-old-space-size=64';
    const argsOf = (role: Parameters<typeof spawnRole>[0]): string[] => {
      vi.mocked(spawn)
        .mockReset()
        .mockReturnValue(fakeChild(true).child as never);
      spawnRole(role, 'tswoole: it', shared);
      return call()[1];
    };
    // A small machine does without.
    expect(argsOf(worker).includes(heap)).toBe(heapArguments([], '').length > 0);
    expect(argsOf({ role: 'manager' })).not.toContain(heap);
    process.execArgv = ['--max-old-space-size=100'];
    expect(argsOf(worker)).not.toContain(heap);
  });

  describe('that is the first manager', () => {
    const roleOf = (id: number) => ({ role: 'worker', id, lane: 0, generation: 0 }) as const;
    const begin = (count: number): ReturnType<typeof call> => {
      vi.mocked(spawn).mockReturnValue(fakeChild().child as never);
      const roles = Array.from({ length: count }, (_, id) => ({ title: `tswoole: worker ${id}`, role: roleOf(id) }));
      spawnManager('tswoole: manager', shared, undefined, { entry: '/srv/first-entry.cjs', roles, output: undefined });
      return call();
    };

    it('does so by a program in place of the script, unless another would run before it', () => {
      const wordsOf = (...execArgv: string[]): string[] => {
        vi.mocked(spawn).mockReset();
        process.execArgv = execArgv;
        return begin(2)[1];
      };
      const command = ['/srv/it.js', '--port', '1'];
      expect(wordsOf('--trace-warnings').slice(1)).toEqual(['--trace-warnings', '/srv/first-entry.cjs', ...command]);
      const title = expect.stringMatching(/^--title=tswoole: manager/);
      expect(wordsOf('--import', 'x')).toEqual([title, '--require=/srv/first-entry.cjs', '--import', 'x', ...command]);
    });

    it('is told how to start the first workers, as it would start them itself', () => {
      const [, args, { env = {} }] = begin(2);
      expect(args).toContain('--require=/srv/first-entry.cjs');
      const plan = JSON.parse(env[FIRST_VARIABLE] ?? '') as FirstPlan;
      expect(plan.master).toBe(process.pid);
      expect(plan.processes.map(({ role }) => role)).toEqual([roleOf(0), roleOf(1)]);
      const asManager = JSON.parse(env[CHILD_VARIABLE] ?? '') as Inheritance;
      const wanted = commandOf(roleOf(0), 'tswoole: worker 0', asManager);
      expect([plan.processes[0]?.title, ...plan.args]).toEqual(wanted.args);
      const inheritance = JSON.parse(wanted.env[CHILD_VARIABLE] ?? '') as object;
      expect({ ...roleOf(0), ...plan.inheritance }).toEqual(inheritance);
      expect(plan.stdio.length).toBe(wanted.stdio.length);
    });

    it.each([
      ['there are none', 0],
      ['there are too many for a variable', 2000],
      ['a debugger is to see them', 2],
    ])('starts all itself where %s', (why, count) => {
      const wish = { flag: '--inspect', host: '127.0.0.1', port: 9229 };
      vi.mocked(inspectWish).mockReturnValue(why.includes('debugger') ? wish : undefined);
      const [, args, { env = {} }] = begin(count);
      vi.mocked(inspectWish).mockReset();
      expect([args[0], env[FIRST_VARIABLE]]).toEqual([expect.stringMatching(/^--title=/), undefined]);
    });
  });

  it('is heard over its control channel', () => {
    const { started, streams } = start();
    expect(started.control).toBe(streams[CONTROL_DESCRIPTOR]);
    expect(started.heard).toEqual([]);
  });

  it('has a channel that says nothing where there was no descriptor left for it', () => {
    const { started } = start(undefined, false);
    expect(started.control).toBeInstanceOf(Socket);
    expect(started.boot.text).toBe('');
  });

  it('has its last words on standard error kept until it is ready', async () => {
    const { started, streams } = start({ log: { print: () => {} } as unknown as Log, printed: true, relayed: false });
    streams[2]?.write('Error: no\n');
    await turn();
    expect(started.boot.text).toBe('Error: no');
    expect(started.heard).toEqual([streams[1], streams[2]]);
  });
});

describe('the end of a process', () => {
  let child: ChildProcess;
  let control: PassThrough;
  let stderr: PassThrough;
  let heard: PassThrough;
  let ends: unknown[][];

  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    ({ child } = fakeChild());
    [control, stderr, heard, ends] = [new PassThrough(), new PassThrough(), new PassThrough(), []];
    const started: StartedChild = {
      ...{ process: child, control: control as unknown as Socket, boot: new BootOutput(stderr), heard: [heard] },
    };
    whenEnded(started, (...end) => ends.push(end));
  });
  afterEach(() => vi.useRealTimers());

  it('is told when its last words have been read', async () => {
    child.emit('exit', 3, null);
    stderr.write('Error: why\n');
    await turn();
    for (const stream of [control, heard]) stream.destroy();
    await turn();
    expect(ends).toEqual([]);
    stderr.destroy();
    await turn();
    expect(ends).toEqual([[3, 0, 'Error: why']]);
  });

  it('is told with the number of the signal', async () => {
    for (const stream of [control, heard, stderr]) stream.destroy();
    await turn();
    child.emit('exit', null, 'SIGKILL');
    expect(ends).toEqual([[0, 9, '']]);
  });

  it('is told soon also where another process holds its streams open, and once', async () => {
    child.emit('exit', 1, null);
    vi.advanceTimersByTime(49);
    expect(ends).toEqual([]);
    vi.advanceTimersByTime(1);
    expect(ends).toEqual([[1, 0, '']]);
    for (const stream of [control, heard, stderr]) stream.destroy();
    await turn();
    expect(ends).toHaveLength(1);
  });

  it('that could not be started is told as the code 1', () => {
    child.emit('error', new Error('spawn ENOENT'));
    expect(ends).toEqual([[1, 0, '']]);
  });
});
