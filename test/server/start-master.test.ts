import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type AloneParts, aloneMode } from '../../src/base/alone.js';
import { baseMode } from '../../src/base/base-mode.js';
import { runBaseWorker } from '../../src/base/run-worker.js';
import { ServerError } from '../../src/errors/index.js';
import { createBells } from '../../src/ipc/bells.js';
import { returnStandardError } from '../../src/ipc/boot-output.js';
import { isTheDaemon, reportToStarter, startDaemon } from '../../src/master/daemon.js';
import { Master } from '../../src/master/master.js';
import { Operation, type OperationParts } from '../../src/master/operation.js';
import { StopWish } from '../../src/master/stop-wish.js';
import { Region } from '../../src/memory/region.js';
import { PeerLoop } from '../../src/messaging/peer-loop.js';
import { resolveOptions, type ServerOptions } from '../../src/options/index.js';
import type { DoorbellDescriptors } from '../../src/os/doorbell.js';
import { checkIsolation } from '../../src/os/isolation.js';
import { loadDispatch } from '../../src/reactor/dispatch/custom.js';
import type { Runtime, StartContext } from '../../src/server/context.js';
import { ListenPort } from '../../src/server/listen-port.js';
import { startMaster } from '../../src/server/start-master.js';
import { heapArguments } from '../../src/util/heap-argument.js';
import { Log } from '../../src/util/log.js';
import { version } from '../../src/version.js';
import { closeDoorbell } from '../helpers/doorbell.js';
import { eventually } from '../helpers/eventually.js';
import { testShape } from '../helpers/test-shape.js';

vi.mock(import('../../src/master/master.js'), async (original) => ({
  ...(await original()),
  Master: vi.fn() as never,
}));
vi.mock(import('../../src/master/operation.js'), () => ({ Operation: vi.fn() as never }));
vi.mock(import('../../src/messaging/peer-loop.js'), () => ({ PeerLoop: vi.fn() as never }));
vi.mock(import('../../src/base/run-worker.js'), () => ({ runBaseWorker: vi.fn() }));
vi.mock(import('../../src/base/alone.js'), async (original) => ({ ...(await original()), aloneMode: vi.fn() }));
vi.mock(import('../../src/base/base-mode.js'), () => ({ baseMode: vi.fn() }));
vi.mock(import('../../src/reactor/dispatch/custom.js'), () => ({ loadDispatch: vi.fn(async () => () => 0) }));
vi.mock(import('../../src/os/isolation.js'), async (original) => ({
  ...(await original()),
  ...{ checkIsolation: vi.fn(), settleIn: vi.fn() },
}));
vi.mock(import('../../src/ipc/boot-output.js'), async (original) => ({
  ...(await original()),
  returnStandardError: vi.fn(async () => {}),
}));
vi.mock(import('../../src/master/daemon.js'), () => ({
  ...{ isTheDaemon: vi.fn(() => false), leaveNotice: vi.fn(), reportToStarter: vi.fn(), startDaemon: vi.fn() },
}));

type Fake = Record<string, unknown>;

const SIGNALS = ['SIGUSR1', 'SIGUSR2', 'SIGWINCH'] as const;
let region: Region;
let bells: DoorbellDescriptors[];
/** What has happened, in order. */
let steps: unknown[];
let log: string[];
let written: string[];
let stopWish: StopWish;
let master: Fake & { onShutdownRequest(): void };
let startServer: () => Promise<void>;
let operation: OperationParts | undefined;
let runtime: Runtime | undefined;
let listenersBefore: Map<string, unknown[]>;

const step =
  (name: string) =>
  (...given: unknown[]): void =>
    void steps.push(given.length === 0 ? name : [name, ...given]);
const asyncStep = (name: string) => async (): Promise<void> => void steps.push(name);

beforeEach(() => {
  region = Region.create(testShape());
  region.ports = [9501];
  bells = createBells(region.shape);
  [steps, log, written, stopWish] = [[], [], [], new StopWish()];
  [operation, runtime] = [undefined, undefined];
  startServer = asyncStep('start');
  master = {
    ...{ region, outbox: 'outbox', shared: { overflow: -1, bells, datagrams: [-1] }, hasStarted: true },
    ...{ phase: 'running', crashLoops: [], onShutdownRequest: () => {} },
    start: () => startServer(),
    ...{ shutdown: asyncStep('shutdown'), reload: step('reload'), stopWorker: step('stopWorker') },
  };
  vi.mocked(Master).mockImplementation(function (this: unknown) {
    return master as never;
  });
  vi.mocked(Operation).mockImplementation(function (this: unknown, parts: OperationParts) {
    operation = parts;
    const calls = { open: asyncStep('open'), close: asyncStep('close'), ready: step('ready') };
    const logs = { reopenLogs: step('reopenLogs'), signalled: step('signalled') };
    return { ...calls, ...logs, stopping: step('stopping'), adminUrl: 'http://a/' } as never;
  });
  vi.mocked(PeerLoop).mockImplementation(function (this: unknown) {
    return { serve: step('serve'), close: step('loop closed') } as never;
  });
  vi.mocked(isTheDaemon).mockReturnValue(false);
  vi.spyOn(process, 'exit').mockImplementation((code) => steps.push(['exit', code]) as never);
  listenersBefore = new Map(SIGNALS.map((signal) => [signal, process.listeners(signal)]));
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.clearAllMocks();
  for (const bell of bells) closeDoorbell(bell);
  for (const signal of SIGNALS) {
    for (const listener of process.listeners(signal)) {
      if (!listenersBefore.get(signal)?.includes(listener)) process.removeListener(signal, listener);
    }
  }
});

function contextOf(given: ServerOptions = {}, more: Partial<StartContext> = {}): StartContext {
  const options = resolveOptions({ host: '127.0.0.1', port: 0, name: 'web', workerNum: 2, ...given });
  const port = new ListenPort(
    undefined,
    () => undefined,
    () => {},
  );
  port.resolve(options);
  return {
    ...{ options, given, ports: [port], events: { receive: () => {}, packet: () => {} }, userProcesses: [], stopWish },
    ...{ commands: new Map(), server: { workerId: -1 }, openLog: step('openLog') },
    log: new Log({ role: 'master', level: 'info', write: (line) => log.push(line) }),
    running: (given: Runtime) => {
      runtime = given;
      steps.push('running');
    },
    ...more,
  } as unknown as StartContext;
}
const failureOf = (context: StartContext): Promise<unknown> =>
  startMaster(context).then(
    () => undefined,
    (error: unknown) => error,
  );

describe('a start', () => {
  it('opens what operates the server, then starts it, and then tells everybody', async () => {
    const start = vi.fn();
    await startMaster(contextOf({}, { events: { receive: () => {}, start } }));
    expect(steps).toEqual(['openLog', ['serve', 'outbox'], 'running', 'open', 'start', ['ready', ['127.0.0.1:9501']]]);
    expect(vi.mocked(reportToStarter).mock.calls).toEqual([[['127.0.0.1:9501']]]);
    expect(returnStandardError).toHaveBeenCalledOnce();
    expect(start).toHaveBeenCalledOnce();
  });

  it('succeeds although the callback fails, which is logged', async () => {
    const start = (): never => {
      throw new Error('as the test wants');
    };
    await startMaster(contextOf({}, { events: { receive: () => {}, start } }));
    expect(log.join('')).toContain("the 'start' callback failed");
  });

  it('leaves a note with all that a restart needs', async () => {
    await startMaster(contextOf({ pidFile: '/tmp/a.pid', logFile: '/tmp/a.log' }));
    expect(operation?.note).toMatchObject({
      ...{ name: 'web', version, mode: 'process', pidFile: '/tmp/a.pid', logFile: '/tmp/a.log', isDaemon: false },
      ...{
        cwd: process.cwd(),
        command: [process.execPath, ...heapArguments(), ...process.execArgv, ...process.argv.slice(1)],
      },
    });
    expect(Math.abs((operation?.note.startedAt ?? 0) - Date.now())).toBeLessThan(60_000);
  });

  it('that fails undoes what was done, is told to who waits, and comes back', async () => {
    startServer = () => Promise.reject(new ServerError('ERR_PORT_IN_USE', { host: 'a', port: 1 }));
    const error = await failureOf(contextOf());
    expect(error).toMatchObject({ code: 'ERR_PORT_IN_USE' });
    expect(steps.slice(-3)).toEqual(['open', 'loop closed', 'close']);
    expect(vi.mocked(reportToStarter).mock.calls).toEqual([[[], error]]);
    expect(returnStandardError).toHaveBeenCalledOnce();
  });

  it('that its user ends meanwhile has not failed', async () => {
    startServer = () => {
      stopWish.make();
      return Promise.reject(new Error('undone'));
    };
    await startMaster(contextOf());
    expect(steps).toContainEqual(['exit', 0]);
    expect(log.join('')).toContain('before its start was complete');
    const [[, told] = []] = vi.mocked(reportToStarter).mock.calls;
    expect(told).toMatchObject({ code: 'ERR_START_ENDED' });
  });

  it.each([
    ['a callback', {}, { events: {} }, 'ERR_CALLBACK_MISSING'],
    ['a folder', { protocol: 'http', staticFiles: '/nowhere/at/all' }, {}, 'ERR_OPTION_VALUE'],
    ['a folder', { protocol: 'http', staticFiles: import.meta.filename }, {}, 'ERR_OPTION_VALUE'],
  ])('without %s (%j) does not begin', async (_what, given, more, code) => {
    expect(await failureOf(contextOf(given as ServerOptions, more))).toMatchObject({ code });
    expect(steps).toEqual([]);
  });

  it('has a folder for its files', async () => {
    await startMaster(contextOf({ protocol: 'http', staticFiles: import.meta.dirname } as ServerOptions));
    expect(steps).toContain('start');
  });

  it('loads the dispatch module before anything is bound, and does not begin where it cannot', async () => {
    const context = contextOf({ dispatchMode: { module: import.meta.filename } });
    await startMaster(context);
    expect(vi.mocked(loadDispatch).mock.calls).toEqual([[import.meta.url]]);
    steps.length = 0;
    vi.mocked(loadDispatch).mockRejectedValueOnce(new Error('no module'));
    expect(await failureOf(context)).toMatchObject({ message: 'no module' });
    expect(steps).toEqual([]);
    await startMaster(contextOf());
    expect(loadDispatch).toHaveBeenCalledTimes(2);
  });

  it('checks what the processes could not do', async () => {
    vi.mocked(checkIsolation).mockImplementationOnce(() => {
      throw new ServerError('ERR_NOT_ROOT', { option: 'user' });
    });
    expect(await failureOf(contextOf())).toMatchObject({ code: 'ERR_NOT_ROOT' });
    expect(steps).toEqual([]);
  });
});

describe('a server that is up', () => {
  beforeEach(async () => {
    await startMaster(contextOf());
    steps.length = 0;
  });

  it('ends in order when it is asked to, and the process with it', async () => {
    master.onShutdownRequest();
    await eventually(() => expect(steps).toContainEqual(['exit', 0]));
    expect(steps).toEqual(['stopping', 'shutdown', 'close', ['exit', 0]]);
  });

  it('leaves the end to start() while it starts', async () => {
    master['hasStarted'] = false;
    stopWish.make();
    await new Promise(setImmediate);
    expect(steps).toEqual(['stopping', 'shutdown']);
  });

  it('reloads by signals, and opens its logs again', () => {
    for (const signal of SIGNALS) process.emit(signal);
    expect(steps).toEqual(['reload', ['reload', true], 'signalled']);
  });

  it('can be asked by its script', async () => {
    runtime?.requestReload(true);
    runtime?.requestStopWorker(1);
    expect(steps).toEqual([
      ['reload', true],
      ['stopWorker', 1],
    ]);
    runtime?.requestShutdown();
    await eventually(() => expect(steps).toContainEqual(['exit', 0]));
    expect([runtime?.outbox, runtime?.datagrams, runtime?.region === region]).toEqual(['outbox', [-1], true]);
  });

  it('can be asked by commands', async () => {
    const { controlled } = operation as OperationParts;
    controlled.reopenLogs();
    expect([steps, controlled.status().admin]).toEqual([['reopenLogs'], 'http://a/']);
    controlled.shutdown();
    await eventually(() => expect(steps).toContainEqual(['exit', 0]));
  });
});

describe('BASE mode', () => {
  const base: ServerOptions = { mode: 'base' };

  it('has workers that own the connections', async () => {
    await startMaster(contextOf(base, { userProcesses: [{ name: 'mail', run: () => {} }] }));
    expect(vi.mocked(baseMode).mock.calls[0]?.[0]).toMatchObject({ userProcessNames: ['mail'] });
    expect(vi.mocked(Master).mock.calls[0]?.[0]).toMatchObject({ userProcessNames: [expect.any(String)] });
    const { region: regionOf, messaging } = vi.mocked(baseMode).mock.calls[0]?.[0] ?? {};
    expect([regionOf?.() === region, messaging?.() === runtime?.messaging]).toEqual([true, true]);
    expect(aloneMode).not.toHaveBeenCalled();
  });

  it('of one worker has it in the process that starts the server', async () => {
    await startMaster(contextOf({ ...base, workerNum: 1 }));
    expect([vi.mocked(baseMode).mock.calls, steps.includes('running')]).toEqual([[], false]);
    const [[parts] = []] = vi.mocked(aloneMode).mock.calls as [AloneParts][];
    const worker = { boot: asyncStep('boot') };
    vi.mocked(runBaseWorker).mockResolvedValue({ worker, outbox: 'own', messaging: 'own messaging' } as never);
    const own = { listeners: [9], give: -1, take: -1 };
    await parts?.startWorker(master['shared'] as never, own, 'channel' as never, () => {});
    expect(steps.slice(-2)).toEqual(['running', 'boot']);
    expect([runtime?.workerId, runtime?.outbox, runtime?.messaging]).toEqual([0, 'own', 'own messaging']);
    const [[place] = []] = vi.mocked(runBaseWorker).mock.calls;
    expect(place?.inheritance).toMatchObject({ role: 'worker', id: 0, lane: 0, generation: 0, datagrams: [-1] });
    expect([place?.own, place?.alone?.channel]).toEqual([own, 'channel']);
  });

  it('is PROCESS mode where nothing else is said', async () => {
    await startMaster(contextOf({ workerNum: 1 }));
    expect([vi.mocked(baseMode).mock.calls, vi.mocked(aloneMode).mock.calls]).toEqual([[], []]);
  });
});

describe('a daemon', () => {
  const daemon = (): StartContext => contextOf({ daemonize: true });
  beforeEach(() => {
    const note = (text: unknown, done?: unknown): boolean => {
      written.push(String(text));
      if (typeof done === 'function') done();
      return true;
    };
    vi.spyOn(process.stdout, 'write').mockImplementation(note as never);
    vi.spyOn(process.stderr, 'write').mockImplementation(note as never);
    vi.mocked(startDaemon).mockReset();
  });

  it('is waited for, and where it listens is told, before this process ends', async () => {
    vi.mocked(startDaemon).mockResolvedValue({ pid: 4711, listening: ['a:1', 'b:2'] });
    await startMaster(contextOf({ daemonize: true, logFile: '/var/log/web.log' }));
    expect(written).toEqual(['web runs in the background as process 4711, listening on a:1, b:2\n']);
    expect(steps[0]).toEqual(['exit', 0]);
  });

  it('says what its starter is to know besides', async () => {
    vi.mocked(startDaemon).mockResolvedValue({ pid: 4711, listening: ['a:1'], notice: 'It serves alone.' });
    await startMaster(contextOf({ daemonize: true, logFile: '/var/log/web.log' }));
    expect(written).toEqual([expect.stringMatching(/^web runs/), 'It serves alone.\n']);
    expect(steps[0]).toEqual(['exit', 0]);
  });

  it('says that its log is lost, where it has no log file', async () => {
    vi.mocked(startDaemon).mockResolvedValue({ pid: 4711, listening: ['a:1'] });
    await startMaster(daemon());
    expect(written).toEqual([
      expect.stringMatching(/^web runs/),
      expect.stringMatching(/^It has no log file.*--log-file/),
    ]);
    expect(steps[0]).toEqual(['exit', 0]);
  });

  it('starts the server itself', async () => {
    vi.mocked(isTheDaemon).mockReturnValue(true);
    await startMaster(daemon());
    expect([steps.includes('start'), vi.mocked(startDaemon).mock.calls]).toEqual([true, []]);
  });

  const exits = class extends Error {};
  /** What the process that waited ends with. */
  async function codeOf(error: unknown, wish: () => void = () => {}): Promise<unknown> {
    vi.mocked(process.exit).mockImplementation((code) => {
      steps.push(['exit', code]);
      throw new exits();
    });
    vi.mocked(startDaemon).mockImplementation(() => {
      wish();
      return Promise.reject(error);
    });
    const failure = await failureOf(daemon());
    return failure instanceof exits ? (steps[0] as unknown[])[1] : failure;
  }
  const ended = (): ServerError => new ServerError('ERR_START_ENDED', {});
  const bySignal = (signal: NodeJS.Signals) => () => {
    vi.spyOn(stopWish, 'signal', 'get').mockReturnValue(signal);
    stopWish.make();
  };

  it('that fails is told by its error', async () => {
    const error = new ServerError('ERR_DAEMON', { how: 'x', logFile: 'y' });
    expect(await codeOf(error)).toBe(error);
    expect(written).toEqual([]);
  });

  it.each([
    ['somebody else', () => {}, 1],
    ['SIGINT of the terminal', bySignal('SIGINT'), 130],
    ['SIGTERM', bySignal('SIGTERM'), 0],
  ])('that was ended by %s is no failure of it', async (_who, wish, code) => {
    expect(await codeOf(ended(), wish)).toBe(code);
    expect(written.join('')).toContain('no process of it is left');
  });

  it('that fails while its end was asked for has ended', async () => {
    expect(await codeOf(new Error('undone'), bySignal('SIGTERM'))).toBe(0);
  });
});
