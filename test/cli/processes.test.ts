import { type ChildProcess, spawn } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { createServer, Server as NetServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { stopServer } from '../../src/cli/commands/stop.js';
import { CliError, ExitCode } from '../../src/cli/exit.js';
import { chooseServer } from '../../src/cli/servers.js';
import { PidFile } from '../../src/control/pid-file.js';
import { type RunEntry, writeEntry } from '../../src/control/run-dir.js';
import { RUN_APP_ENTRY, SCRIPT_GUARD_ENTRY } from '../../src/entries.js';
import { processStartTime } from '../../src/os/other-process.js';
import { heapArguments } from '../../src/util/heap-argument.js';
import { scriptHas } from '../../src/util/script-state.js';
import { CliWorld, collect, run } from '../helpers/cli-world.js';

const exec = vi.hoisted(() => ({ calls: [] as unknown[][] }));
vi.mock('../../src/os/exec.js', () => ({ replaceProcess: (...given: unknown[]) => void exec.calls.push(given) }));

let world: CliWorld;
beforeEach(() => {
  world = new CliWorld();
});
afterEach(async () => {
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
  for (const child of children.splice(0)) child.kill('SIGKILL');
  await world.end();
});

/** What a server is to the command line: a process, with an environment of its own. */
const children: ChildProcess[] = [];
async function someProcess(env: NodeJS.ProcessEnv = {}): Promise<ChildProcess & { pid: number }> {
  const child = spawn('/bin/sleep', ['600'], { env, stdio: 'ignore' });
  children.push(child);
  await new Promise((resolve) => child.once('spawn', resolve));
  return child as ChildProcess & { pid: number };
}

/** Waits are over at once, and the clock says that they took their time. */
function skipWaits(): void {
  const later = globalThis.setTimeout;
  const now = performance.now.bind(performance);
  let skipped = 0;
  vi.spyOn(performance, 'now').mockImplementation(() => now() + skipped);
  vi.spyOn(globalThis, 'setTimeout').mockImplementation(((then: () => void, ms: number) => {
    if (ms > 100) return later(then, ms);
    skipped += ms;
    return later(then, 0);
  }) as typeof setTimeout);
}

const cliError = (what: Promise<unknown>): Promise<unknown> =>
  what.catch((error: unknown) => (error instanceof CliError ? [error.exitCode, error.message] : error));

describe('tswoole stop', () => {
  it('returns when the process is gone', async () => {
    const child = await someProcess();
    const shutdown = vi.fn(() => void child.kill());
    await world.serve({ shutdown }, child.pid);
    expect((await world.run('stop')).out).toBe(`The server with pid ${child.pid} has ended.\n`);
    expect(shutdown).toHaveBeenCalledOnce();
    expect(processStartTime(child.pid)).toBeUndefined();
  });

  it.each([
    [[], 'tswoole: ending "web", the only server that runs: /app.js\n'],
    [['web'], ''],
  ])('says which one it is where none was named, and it runs elsewhere: %j', async (names, told) => {
    const child = await someProcess();
    await world.serve({ shutdown: () => void child.kill() }, child.pid);
    expect((await world.run('stop', ...names)).err).toBe(told);
  });

  it('says so when it does not end in time', async () => {
    const child = await someProcess();
    await world.serve({}, child.pid);
    skipWaits();
    expect(await cliError(stopServer(await chooseServer({ runDir: world.runDir }), 2000))).toEqual([
      ...[ExitCode.timedOut, expect.stringMatching(/still there after 2 s\. "tswoole stop \d+ --force"/)],
    ]);
    expect(world.calls).toEqual([['shutdown']]);
  });

  it('by force asks again, later than a server takes for a repetition', async () => {
    const child = await someProcess();
    const times: number[] = [];
    const shutdown = (): void => {
      times.push(performance.now());
      if (times.length === 2) child.kill();
    };
    await world.serve({ shutdown }, child.pid);
    skipWaits();
    expect((await world.run('stop', '--force')).failure).toBeUndefined();
    const [first = 0, second = 0] = times;
    expect(times).toHaveLength(2);
    expect(second - first).toBeGreaterThan(1000);
  });

  it('by force asks once where that is enough', async () => {
    const child = await someProcess();
    const shutdown = vi.fn(() => void child.kill());
    await world.serve({ shutdown }, child.pid);
    await world.run('stop', '-f', '-s', 'web');
    expect(shutdown).toHaveBeenCalledOnce();
  });

  it('sends a signal to a server that has no control socket', async () => {
    const path = join(world.runDir, 'pid');
    const file = PidFile.acquire(path);
    const kill = vi.spyOn(process, 'kill').mockReturnValue(true);
    skipWaits();
    expect(await cliError(stopServer(await chooseServer({ pidFile: path, runDir: world.runDir }), 0))).toEqual([
      ...[ExitCode.timedOut, expect.any(String)],
    ]);
    expect(kill).toHaveBeenLastCalledWith(process.pid, 'SIGTERM');
    file.remove();
  });
});

describe('a config file that cannot be used', () => {
  it('does not keep anybody from a server that runs: its pid is a way', async () => {
    const file = join(world.runDir, 'broken.json');
    writeFileSync(file, '{');
    const words = [['stop', 'web'], ['status'], ['reload', 'web']].map((each) => [...each, '--config', file]);
    for (const each of words) {
      expect((await world.run(...each)).failure).toEqual([ExitCode.usage, expect.stringMatching(/is not JSON[^\n]*$/)]);
    }
    const child = await someProcess();
    await world.serve({}, child.pid);
    for (const each of words) {
      const told = expect.stringMatching(
        /is not JSON[^\n]*\nBy its pid a server is reached all the same: "tswoole list"/,
      );
      expect((await world.run(...each)).failure).toEqual([ExitCode.usage, told]);
    }
  });
});

type RunFolderCase = [what: string, why: string, change: (runDir: string) => void];

describe.runIf(process.platform === 'linux')('tswoole restart', () => {
  /** A daemon that ends when asked, and a program in its place that writes down what it was started with. */
  async function daemon(script: string, env: NodeJS.ProcessEnv = {}): Promise<ChildProcess & { pid: number }> {
    const child = await someProcess(env);
    await world.serve({ shutdown: () => void child.kill() }, child.pid, {
      ...{ isDaemon: true, cwd: world.runDir, flags: { port: '80' }, command: ['/bin/sh', '-c', script] },
    });
    return child;
  }
  const seen = (): string[] => readFileSync(join(world.runDir, 'seen'), 'utf8').split('\n');

  it('starts a daemon as it was started, in its folder, with its flags and its environment', async () => {
    const env = { KEPT: '1', TSWOOLE_BOOT: 'x', TSWOOLE_OPTION_NAME: 'web' };
    const { pid } = await daemon('env > seen', env);
    vi.stubEnv('OF_THE_CALLER', '1');
    const { out, failure } = await world.run('restart');
    expect(failure).toBeUndefined();
    expect(out).toBe(`The server with pid ${pid} has ended.\n`);
    expect(seen()).toEqual(expect.arrayContaining(['KEPT=1', 'TSWOOLE_OPTION_NAME=web']));
    expect(seen().filter((line) => line.endsWith('={"port":"80"}'))).toHaveLength(1);
    expect(seen().filter((line) => /^(TSWOOLE_BOOT|OF_THE_CALLER)=/.test(line))).toEqual([]);
  });

  it('takes the environment of the caller when told to', async () => {
    await daemon('env > seen', { KEPT: '1' });
    vi.stubEnv('OF_THE_CALLER', '1');
    await world.run('restart', '--update-env');
    expect(seen()).toContain('OF_THE_CALLER=1');
    expect(seen()).not.toContain('KEPT=1');
  });

  it.each(['exit 3', 'kill -9 $$'])('fails when the new one does not come up: %s', async (script) => {
    await daemon(script);
    expect((await world.run('restart')).failure).toEqual([
      ...[
        ExitCode.failed,
        expect.stringMatching(/did not start again.*start it again in .*: tswoole start .* --port=80/),
      ],
    ]);
  });

  it.each<RunFolderCase>([
    ['is gone', 'ENOENT', (runDir) => renameSync(runDir, `${runDir}.gone`)],
    ...(process.geteuid?.() === 0
      ? []
      : [['may not be written to', 'EACCES', (dir) => chmodSync(dir, 0o500)] satisfies RunFolderCase]),
  ])('leaves the server alone when no command would find the new one: its run folder %s', async (_, why, change) => {
    const { pid } = await daemon('env > seen');
    const shown = join(world.runDir, 'shown');
    mkdirSync(shown, { mode: 0o700 });
    const entry = JSON.parse(readFileSync(join(world.runDir, `${pid}.json`), 'utf8')) as RunEntry;
    const own = mkdtempSync(join(tmpdir(), 'own-'));
    writeEntry(shown, { ...entry, socket: join(own, `${pid}.sock`) });
    change(own);
    expect((await run('restart', '--run-dir', shown)).failure).toEqual([
      ...[ExitCode.failed, expect.stringMatching(new RegExp(`${why}.*the one with pid ${pid} goes on.*ERR_RUN_DIR`))],
    ]);
    expect(processStartTime(pid)).toBeDefined();
    for (const path of [own, `${own}.gone`]) rmSync(path, { recursive: true, force: true });
  });

  it('fails, and says why, when there is nothing to start', async () => {
    const child = await someProcess();
    await world.serve({ shutdown: () => void child.kill() }, child.pid, {
      ...{ isDaemon: true, cwd: world.runDir, command: ['/no/such/node', 'x'] },
    });
    const { err, failure } = await world.run('restart');
    expect(err).toMatch(/^tswoole: \/no\/such\/node cannot be started: .*ENOENT/);
    expect(failure).toEqual([ExitCode.failed, expect.any(String)]);
  });

  it('does not touch a server that somebody else has started', async () => {
    const child = await someProcess();
    await world.serve({}, child.pid);
    expect((await world.run('restart')).failure).toEqual([
      ...[ExitCode.failed, expect.stringContaining(`pid ${child.pid} is not a daemon`)],
    ]);
    expect(world.calls).toEqual([]);
  });
});

/** None on a small machine. */
const HEAP = heapArguments([]);

describe('tswoole start', () => {
  let script: string;
  beforeEach(() => {
    script = join(world.runDir, 'app.js');
    writeFileSync(script, '');
    vi.spyOn(process, 'once').mockReturnValue(process);
    exec.calls.length = 0;
  });

  const started = async (...words: string[]): Promise<{ words: string[]; env: NodeJS.ProcessEnv }> => {
    expect(await run('start', ...words)).toMatchObject({ failure: undefined, err: '' });
    const [file, args, env] = exec.calls[0] as [string, string[], NodeJS.ProcessEnv];
    expect(file).toBe(process.execPath);
    return { words: args, env };
  };
  const flagsIn = (env: NodeJS.ProcessEnv): string[] =>
    Object.entries(env).flatMap(([name, value]) => (name.startsWith('TSWOOLE_') ? [`${name}=${value}`] : []));

  it('becomes Node with the guard and the script', async () => {
    vi.stubEnv('TSWOOLE_FLAGS', 'of another server');
    vi.stubEnv('TSWOOLE_INSPECT', 'of another server');
    const { words, env } = await started(script);
    expect(words).toEqual([...HEAP, '--import', SCRIPT_GUARD_ENTRY.href, script]);
    expect(flagsIn(env).filter((text) => text.includes('another'))).toEqual([]);
    expect(env['PATH']).toBe(process.env['PATH']);
  });

  it('hands flags of the server on by the environment, and arguments of Node and of the script as they are', async () => {
    const { words, env } = await started('--trace-warnings', '--port', '80', script, '--', 'a', '--b');
    expect(words).toEqual([...HEAP, '--import', SCRIPT_GUARD_ENTRY.href, '--trace-warnings', script, 'a', '--b']);
    expect(flagsIn(env)).toContainEqual(expect.stringMatching(/^TSWOOLE_\w+=\{"port":"80"\}$/));
  });

  it('runs an app in a program of ours', async () => {
    const { words } = await started(script, '--http');
    expect(words.slice(HEAP.length + 2)).toEqual([fileURLToPath(RUN_APP_ENTRY), script]);
  });

  it('leaves the debugger to the workers', async () => {
    const { words, env } = await started('--inspect=9300', script);
    expect(words.slice(HEAP.length + 2)).toEqual([script]);
    expect(flagsIn(env)).toContainEqual(expect.stringContaining('9300'));
  });

  it('ends in order by a signal that comes first', async () => {
    const exit = vi.spyOn(process, 'exit').mockReturnValue(undefined as never);
    await started(script);
    const handlers = vi.mocked(process.once).mock.calls.filter(([name]) => String(name).startsWith('SIG'));
    expect(handlers.map(([name]) => name)).toEqual(['SIGTERM', 'SIGHUP']);
    for (const [, handler] of handlers) handler();
    expect(exit.mock.calls).toEqual([[0], [0]]);
  });

  it.each([
    ['', /The name of the script is empty \(""\): is a variable of the shell not set/],
    ['/dev/null', /\/dev\/null is a device, a pipe or a socket, and not a file/],
    ['/tmp/', /\/tmp is a folder\. Give the script of the server: tswoole start \/tmp\/server\.js/],
  ])('refuses %j for a script', async (name, why) => {
    expect((await run('start', name)).failure).toEqual([ExitCode.usage, expect.stringMatching(why)]);
    expect(exec.calls).toEqual([]);
  });

  it('refuses what is no script before anything happens', async () => {
    expect((await run('start', join(world.runDir, 'none.js'))).failure).toEqual([ExitCode.usage, expect.any(String)]);
    expect(exec.calls).toEqual([]);
  });
});

it('exit codes are those of docs/operating.md, on which scripts rely', () => {
  expect(ExitCode).toEqual({ ok: 0, failed: 1, usage: 2, notRunning: 3, several: 4, timedOut: 5, unwell: 6 });
});

describe('the program', () => {
  const main = async (...words: string[]): Promise<{ out: string; err: string; code: unknown }> => {
    const { argv } = process;
    const [out, err] = [collect(process.stdout), collect(process.stderr)];
    const on = vi.spyOn(process.stdout, 'on').mockReturnValue(process.stdout);
    process.argv = ['node', 'tswoole', ...words];
    process.exitCode = undefined;
    vi.resetModules();
    try {
      await import('../../src/cli/main.js');
      await vi.waitFor(() => expect(process.exitCode).toBeDefined());
      return { out: out.text(), err: err.text(), code: process.exitCode };
    } finally {
      process.argv = argv;
      process.exitCode = undefined;
      for (const one of [out, err]) one.restore();
      on.mockRestore();
    }
  };

  it('ends with 0 where only help or the version was asked for', async () => {
    expect(await main('--version')).toMatchObject({ out: expect.stringMatching(/^tswoole \d/), err: '', code: 0 });
    expect(await main('--help')).toMatchObject({ out: expect.stringContaining('Exit codes: 0 done'), code: 0 });
  });

  it('ends with 2 at wrong usage, which is said once', async () => {
    const { err, code } = await main('stpo');
    expect(code).toBe(ExitCode.usage);
    expect(err.match(/unknown command/g)).toHaveLength(1);
    expect(err).toContain('See "tswoole --help".');
    const { err: ofStop, code: codeOfStop } = await main('stop', '--no-such');
    expect([codeOfStop, ofStop]).toEqual([ExitCode.usage, expect.stringContaining('See "tswoole stop --help".')]);
    expect((await main('worker', 'stop', '--no-such')).err).toContain('See "tswoole worker stop --help".');
  });

  it('shows the help of a command, and of one in a group', async () => {
    for (const words of [['help'], ['help', 'help'], ['help', 'status'], ['help', 'ls'], ['help', 'worker', 'stop']]) {
      const { out, err, code } = await main(...words);
      expect([code, err, out]).toEqual([0, '', expect.stringMatching(/^Usage: tswoole/)]);
    }
    expect((await main('help', 'worker', 'stop')).out).toContain('Usage: tswoole worker stop');
  });

  it.each([
    [['help', 'statsu'], "error: unknown command 'statsu'\n(Did you mean status?)", 'tswoole'],
    [['help', 'nothing'], "error: unknown command 'nothing'\n", 'tswoole'],
    [['help', 'worker', 'sotp'], "error: unknown command 'sotp'\n(Did you mean stop?)", 'tswoole worker'],
    [['worker', 'help', 'sotp'], "error: unknown command 'sotp'\n(Did you mean stop?)", 'tswoole worker'],
    [['help', 'status', 'more'], "error: unknown command 'more'\n", 'tswoole status'],
  ])('knows no help for what is no command: %j', async (words, says, nearest) => {
    const { out, err, code } = await main(...words);
    expect([code, out, err]).toEqual([ExitCode.usage, '', expect.stringContaining(says)]);
    expect(err).toContain(`See "${nearest} --help".`);
  });

  it('tells an error of ours by its sentence, and ends with its code', async () => {
    const { err, code } = await main('stop', '--run-dir', world.runDir);
    expect(err).toMatch(/^tswoole: No server of this user runs\..*\n$/);
    expect(code).toBe(ExitCode.notRunning);
  });

  it('tells an error of the server by its sentence and code', async () => {
    chmodSync(world.runDir, 0o777);
    const { err, code } = await main('list', '--run-dir', world.runDir);
    expect(err).toMatch(/^tswoole: .*\(ERR_RUN_DIR\)\n$/);
    expect(code).toBe(ExitCode.failed);
  });

  it('tells any other error with its stack', async () => {
    vi.spyOn(process, 'getuid').mockImplementation(() => {
      throw new Error('unforeseen');
    });
    const { err, code } = await main('list');
    expect(err).toMatch(/^tswoole: Error: unforeseen\n {4}at /);
    expect(code).toBe(ExitCode.failed);
  });

  it('ends quietly when nobody reads on, and with any other error of its output', async () => {
    const on = vi.spyOn(process.stdout, 'on').mockReturnValue(process.stdout);
    const exit = vi.spyOn(process, 'exit').mockReturnValue(undefined as never);
    const { argv } = process;
    process.argv = ['node', 'tswoole', 'list', '--run-dir', world.runDir];
    const out = collect(process.stdout);
    vi.resetModules();
    await import('../../src/cli/main.js');
    out.restore();
    process.argv = argv;
    const [, listener] = on.mock.calls.find(([name]) => String(name) === 'error') as unknown as [
      string,
      (e: Error) => void,
    ];
    const failed = new Error('disk full');
    expect(() => listener(failed)).toThrow(failed);
    expect(exit).not.toHaveBeenCalled();
    exit.mockImplementation(() => {
      throw new Error('has left');
    });
    expect(() => listener(Object.assign(new Error('no reader'), { code: 'EPIPE' }))).toThrow('has left');
    expect(exit).toHaveBeenCalledWith(0);
  });
});

describe('the guard of a script', () => {
  const { listen } = NetServer.prototype;
  type Listener = (...given: unknown[]) => void;
  let listeners: Map<string, Listener>;
  let exits: unknown[];

  beforeEach(async () => {
    listeners = new Map();
    exits = [];
    vi.spyOn(process, 'on').mockImplementation(((name: string, listener: Listener) => {
      listeners.set(name, listener);
      return process;
    }) as typeof process.on);
    vi.spyOn(process, 'exit').mockImplementation((code) => void exits.push(code) as never);
    vi.spyOn(process, 'listenerCount').mockReturnValue(1);
    vi.resetModules();
    await import('../../src/cli/script-guard.js');
    vi.mocked(process.on).mockRestore();
  });
  afterEach(() => {
    NetServer.prototype.listen = listen;
    process.exitCode = undefined;
  });

  /** What it writes, and the exit code that stands behind it. */
  const atExit = (code = 0): { err: string; code: unknown } => {
    const err = collect(process.stderr);
    process.exitCode = undefined;
    listeners.get('exit')?.(code);
    err.restore();
    const after = { err: err.text(), code: process.exitCode };
    process.exitCode = undefined;
    return after;
  };

  it.each([
    ['SIGTERM', 0],
    ['SIGHUP', 0],
    ['SIGINT', 130],
  ])('lets %s end a script that has started nothing, with %i', (signal, code) => {
    listeners.get(signal)?.();
    expect(exits).toEqual([code]);
    expect(atExit()).toEqual({ err: '', code: undefined });
  });

  it('leaves signals to the server that was started, and to a script with a listener of its own', () => {
    vi.mocked(process.listenerCount).mockReturnValue(2);
    listeners.get('SIGTERM')?.();
    vi.mocked(process.listenerCount).mockReturnValue(1);
    scriptHas('started');
    listeners.get('SIGTERM')?.();
    expect(exits).toEqual([]);
  });

  it('reports a script that ends and has made no server, or has not started it', () => {
    expect(atExit()).toEqual({ err: expect.stringMatching(/^tswoole: .*it makes none\..*--http\n$/), code: 2 });
  });

  it('reports a script that ends and has not started its server', () => {
    scriptHas('made');
    expect(atExit()).toEqual({ err: expect.stringMatching(/does not call its start\(\)\.\n$/), code: 2 });
  });

  it('says nothing of one that has failed by itself, or has started its server', () => {
    expect(atExit(1)).toEqual({ err: '', code: undefined });
    scriptHas('started');
    expect(atExit()).toEqual({ err: '', code: undefined });
  });

  it.each([
    ['http', (): NetServer => createHttpServer(), /it listens by node:http, .*--http\. As a plain program: node /],
    ['net', (): NetServer => createServer(), /it listens by itself, .*was ended\. As a plain program: node /],
  ])(
    'ends a script that listens by node:%s and makes no server of ours within two seconds',
    async (_, create, text) => {
      const later = vi.spyOn(globalThis, 'setTimeout').mockReturnValue(undefined as never);
      const server = create();
      server.listen(0, '127.0.0.1');
      const grace = later.mock.calls.find(([, ms]) => ms === 2000)?.[0];
      later.mockRestore();
      await new Promise((resolve) => server.once('listening', resolve)); // it was let through
      await new Promise((resolve) => server.close(resolve));
      expect(NetServer.prototype.listen).toBe(listen);
      const err = collect(process.stderr);
      grace?.();
      err.restore();
      expect(err.text()).toMatch(text);
      expect(exits).toEqual([ExitCode.usage]);
      expect(atExit().err).toBe(''); // told once
    },
  );

  it('lets a script listen that makes a server of ours too', () => {
    const later = vi.spyOn(globalThis, 'setTimeout').mockReturnValue(undefined as never);
    const server = createServer();
    server.listen(0, '127.0.0.1').close();
    const grace = later.mock.calls.find(([, ms]) => ms === 2000)?.[0];
    later.mockRestore();
    scriptHas('made');
    grace?.();
    expect(exits).toEqual([]);
  });

  it('is not handed on to children', async () => {
    const { execArgv } = process;
    const { href } = new URL('../../src/cli/script-guard.ts', import.meta.url);
    process.execArgv = ['--a', '--import', href, '--b'];
    vi.resetModules();
    vi.spyOn(process, 'on').mockReturnValue(process);
    await import('../../src/cli/script-guard.js');
    const left = process.execArgv;
    process.execArgv = execArgv;
    expect(left).toEqual(['--a', '--b']);
  });
});
