import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { EventEmitter } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ServerError, serializeError } from '../../src/errors/index.js';
import { startDaemon } from '../../src/master/daemon.js';
import { StopWish } from '../../src/master/stop-wish.js';
import { resolveOptions, type ServerOptions } from '../../src/options/index.js';
import { DAEMON_VARIABLE } from '../../src/util/early-prints.js';
import { openDescriptors } from '../helpers/leaks.js';

vi.mock(import('node:child_process'), async (original) => ({ ...(await original()), spawn: vi.fn() }));
vi.mock(import('../../src/ipc/boot-output.js'), async (original) => ({
  ...(await original()),
  borrowStandardError: vi.fn(),
}));
vi.mock(import('../../src/os/socket.js'), async (original) => ({ ...(await original()), closeOnExec: vi.fn() }));
/** Descriptor 3 is that of the starting process in a daemon only. */
vi.mock(import('node:fs'), async (original) => {
  const fs = await original();
  const unlessReport = <F extends (descriptor: number, ...rest: never[]) => unknown>(call: F) =>
    vi.fn((descriptor: number, ...rest: never[]) => (descriptor === 3 ? 0 : call(descriptor, ...rest)));
  return { ...fs, writeSync: unlessReport(fs.writeSync as never), closeSync: unlessReport(fs.closeSync) } as never;
});

const turn = () => new Promise(setImmediate);

describe('a daemon that is started', () => {
  let folder: string;
  let logFile: string;
  let child: ChildProcess & EventEmitter;
  let report: PassThrough;
  let stderr: PassThrough;
  let kills: unknown[];
  let stopWish: StopWish;
  let written: string[];
  let before: string[];

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'daemon-'));
    logFile = join(folder, 'it.log');
    [report, stderr, kills, stopWish, written] = [new PassThrough(), new PassThrough(), [], new StopWish(), []];
    child = Object.assign(new EventEmitter(), {
      ...{ pid: 4711, stderr, stdio: [null, null, stderr, report] },
      ...{ unref: () => kills.push('unref'), kill: (signal: string) => kills.push(signal) > 0 },
    }) as unknown as ChildProcess & EventEmitter;
    vi.mocked(spawn)
      .mockReset()
      .mockReturnValue(child as never);
    vi.spyOn(process.stderr, 'write').mockImplementation((text) => written.push(String(text)) > 0);
    before = openDescriptors();
  });
  afterEach(() => {
    vi.restoreAllMocks();
    vi.useRealTimers();
    rmSync(folder, { recursive: true });
  });

  const start = (given: ServerOptions = {}) => startDaemon(resolveOptions({ logFile, ...given }), stopWish);
  const spawned = (): [string, string[], SpawnOptions] => vi.mocked(spawn).mock.calls[0] as never;
  const failure = (given?: ServerOptions): Promise<ServerError> =>
    start(given).then(
      () => Promise.reject(new Error('it has started')),
      (error: ServerError) => error,
    );
  const say = (what: object): unknown => report.end(`${JSON.stringify(what)}\n`);
  const exit = (code: number | null, signal: string | null = null): void => {
    child.emit('exit', code, signal);
    for (const stream of [report, stderr]) stream.end();
  };

  it('is up when it says so, under its pid, with its addresses', async () => {
    const started = start();
    say({ type: 'ready', listening: ['127.0.0.1:80'] });
    stderr.end();
    expect(await started).toEqual({ pid: 4711, listening: ['127.0.0.1:80'] });
    expect(kills).toEqual(['unref']);
    expect(openDescriptors()).toEqual(before);
  });

  it('is the same script in a session of its own, which is told that it is the daemon', async () => {
    const argv = process.argv;
    process.argv = ['/usr/bin/node', '/srv/it.js', '--port', '1'];
    const started = start({ processTitle: 'web' });
    process.argv = argv;
    say({ type: 'ready', listening: [] });
    stderr.end();
    await started;
    const [program, args, { detached, stdio, env }] = spawned();
    expect([program, args.slice(-3), detached]).toEqual([process.execPath, ['/srv/it.js', '--port', '1'], true]);
    expect(args.filter((word) => word.startsWith('--title='))).toEqual([expect.stringMatching(/^--title=web: master/)]);
    const [input, output, error, own, final] = stdio as unknown[];
    expect([input, error, own, final]).toEqual(['ignore', 'pipe', 'pipe', output]);
    expect(env).toMatchObject({ [DAEMON_VARIABLE]: 'json' });
  });

  it.each([
    [{ logFormat: 'text' }, 'text'],
    [{ logFormat: 'json' }, 'json'],
    [{ logFile: '' }, 'none'],
  ] as const)('is told with %j that its log is %s', async (given, log) => {
    const started = start(given);
    say({ type: 'ready', listening: [] });
    stderr.end();
    await started;
    expect(spawned()[2].env).toMatchObject({ [DAEMON_VARIABLE]: log });
  });

  it('has what it printed before in its log, also what is not of the log', async () => {
    const started = start();
    stderr.write('{"level":"warn","msg":"of the log"}\nWarning: of Node\n');
    say({ type: 'ready', listening: [] });
    stderr.end();
    await started;
    const [first, second, ...more] = readFileSync(logFile, 'utf8').split('\n');
    expect([first, more]).toEqual(['{"level":"warn","msg":"of the log"}', ['']]);
    expect(JSON.parse(second as string)).toMatchObject({ role: 'master', pid: 4711, stream: 'stderr' });
    expect(second).toContain('Warning: of Node');
  });

  it('has it there as it is where its log is text', async () => {
    const started = start({ logFormat: 'text' });
    stderr.write('Warning: of Node\n');
    say({ type: 'ready', listening: [] });
    stderr.end();
    await started;
    expect(readFileSync(logFile, 'utf8')).toBe('Warning: of Node\n');
  });

  it('that fails tells why, and what it has printed is printed', async () => {
    const failed = failure();
    stderr.write('{"level":"error","msg":"from the log"}\nas it is\n');
    say({ type: 'failed', error: serializeError(new ServerError('ERR_PORT_IN_USE', { host: 'a', port: 1 })) });
    await turn();
    exit(1);
    expect(await failed).toMatchObject({ code: 'ERR_PORT_IN_USE', detail: { host: 'a', port: 1 } });
    expect(written.join('')).toBe('from the log\nas it is\n');
    expect(openDescriptors()).toEqual(before);
  });

  it('that fails without a word prints none', async () => {
    const failed = failure();
    say({ type: 'failed', error: serializeError(new Error('no')) });
    exit(1);
    expect(await failed).toMatchObject({ message: 'no' });
    expect(written).toEqual([]);
  });

  it.each([
    [3, null, 'exited with code 3'],
    [null, 'SIGKILL', 'was killed by SIGKILL'],
  ])('that ends without a report (%s, %s) is told by its end', async (code, signal, how) => {
    const failed = failure();
    stderr.write('last words\n');
    exit(code, signal);
    expect(await failed).toMatchObject({ code: 'ERR_DAEMON', detail: { how, logFile, wrote: 'last words' } });
  });

  it('without a log file says how to get one', async () => {
    const failed = failure({ logFile: '' });
    exit(1);
    const { detail } = await failed;
    expect(detail).toEqual({ how: 'exited with code 1', logFile: 'none: set "logFile"' });
  });

  it('that cannot be started is told so', async () => {
    const failed = failure();
    child.emit('error', new Error('spawn EAGAIN'));
    for (const stream of [report, stderr]) stream.end();
    expect(await failed).toMatchObject({ code: 'ERR_DAEMON', detail: { how: 'could not be started: spawn EAGAIN' } });
  });

  it('whose children hold its standard error is not waited for longer', async () => {
    const started = start();
    say({ type: 'ready', listening: [] });
    expect(await started).toMatchObject({ pid: 4711 }); // stderr stays open
    stderr.end();
  });

  it('gets twice the time of its processes, and 15 s, then it is killed', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const failed = failure({ bootTimeoutMs: 1000 });
    vi.advanceTimersByTime(16_999);
    expect(kills).toEqual([]);
    vi.advanceTimersByTime(1);
    expect(kills).toEqual(['SIGKILL']);
    exit(null, 'SIGKILL');
    await failed;
    expect(vi.getTimerCount()).toBe(0);
  });

  it('is asked to end where the starting process is', async () => {
    const failed = failure();
    stopWish.make();
    expect(kills).toEqual(['SIGTERM']);
    say({ type: 'failed', error: serializeError(new ServerError('ERR_START_ENDED', {})) });
    exit(0);
    expect(await failed).toMatchObject({ code: 'ERR_START_ENDED' });
  });

  it('is not started where its end was asked for before', async () => {
    stopWish.make();
    expect(await failure()).toMatchObject({ code: 'ERR_START_ENDED' });
    expect(spawn).not.toHaveBeenCalled();
  });

  it('is not started where its log cannot be opened', async () => {
    expect(await failure({ logFile: join(folder, 'none', 'it') })).toMatchObject({
      ...{ code: 'ERR_LOG_FILE', detail: { why: expect.stringContaining('ENOENT') } },
    });
    expect(spawn).not.toHaveBeenCalled();
  });
});

describe('the daemon itself', () => {
  /** As a process reads it first, with what it does to its descriptors. */
  const fresh = async (variable: string | undefined) => {
    vi.resetModules();
    delete process.env[DAEMON_VARIABLE];
    if (variable !== undefined) process.env[DAEMON_VARIABLE] = variable;
    const { closeSync, writeSync } = await import('node:fs');
    const { borrowStandardError } = await import('../../src/ipc/boot-output.js');
    const { closeOnExec } = await import('../../src/os/socket.js');
    const calls = { closeSync, writeSync, borrowStandardError, closeOnExec };
    for (const call of Object.values(calls)) vi.mocked(call).mockClear();
    return { ...(await import('../../src/master/daemon.js')), ...calls };
  };

  it('knows that it is, and the processes that it starts do not', async () => {
    const { isTheDaemon, closeOnExec, borrowStandardError } = await fresh('json');
    expect([isTheDaemon(), process.env[DAEMON_VARIABLE], isTheDaemon()]).toEqual([true, undefined, true]);
    expect(vi.mocked(closeOnExec).mock.calls).toEqual([[3]]);
    expect(vi.mocked(borrowStandardError).mock.calls).toEqual([[4]]);
  });

  it('is no other process', async () => {
    const { isTheDaemon, reportToStarter, writeSync, borrowStandardError } = await fresh(undefined);
    expect(isTheDaemon()).toBe(false);
    reportToStarter(['127.0.0.1:80']);
    expect(writeSync).not.toHaveBeenCalled();
    expect(borrowStandardError).not.toHaveBeenCalled();
  });

  it('reports once that it is up', async () => {
    const { isTheDaemon, reportToStarter, writeSync, closeSync } = await fresh('json');
    isTheDaemon();
    reportToStarter(['127.0.0.1:80']);
    reportToStarter([], new Error('later'));
    expect(vi.mocked(writeSync).mock.calls).toEqual([[3, '{"type":"ready","listening":["127.0.0.1:80"]}\n']]);
    expect(vi.mocked(closeSync).mock.calls).toEqual([[3]]);
  });

  it('reports besides what its starter is to know', async () => {
    const { isTheDaemon, leaveNotice, reportToStarter, writeSync } = await fresh('json');
    isTheDaemon();
    leaveNotice('It serves alone.');
    reportToStarter(['a:1']);
    const report = { type: 'ready', listening: ['a:1'], notice: 'It serves alone.' };
    expect(vi.mocked(writeSync).mock.calls).toEqual([[3, `${JSON.stringify(report)}\n`]]);
  });

  it('reports why it is not, and does not mind that nobody waits', async () => {
    const { isTheDaemon, reportToStarter, writeSync } = await fresh('json');
    isTheDaemon();
    vi.mocked(writeSync).mockImplementationOnce(() => {
      throw new Error('EPIPE');
    });
    reportToStarter([], new ServerError('ERR_RELOAD', { why: 'no' }));
    const [[, line] = []] = vi.mocked(writeSync).mock.calls as unknown as [number, string][];
    expect(JSON.parse(line as string)).toMatchObject({ type: 'failed', error: { code: 'ERR_RELOAD' } });
  });
});
