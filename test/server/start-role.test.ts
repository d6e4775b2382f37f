import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { runBaseWorker } from '../../src/base/run-worker.js';
import { ServerError } from '../../src/errors/index.js';
import type { Inheritance } from '../../src/ipc/inheritance.js';
import type { StopWish } from '../../src/master/stop-wish.js';
import { WorkerBoard, WorkerField } from '../../src/memory/boards.js';
import { peerOf } from '../../src/memory/layout.js';
import { Region } from '../../src/memory/region.js';
import type { ClaimedTask } from '../../src/messaging/task-queue.js';
import type { WorkSource } from '../../src/messaging/work-source.js';
import { resolveOptions, type ServerOptions } from '../../src/options/index.js';
import { exitWithoutTeardown } from '../../src/os/exit.js';
import { bindToCore, giveUpRights, settleIn } from '../../src/os/isolation.js';
import { setProcessTitle } from '../../src/os/process-title.js';
import type { Runtime, StartContext } from '../../src/server/context.js';
import { ListenPort } from '../../src/server/listen-port.js';
import { startManager } from '../../src/server/start-manager.js';
import { startMaster } from '../../src/server/start-master.js';
import { startRole } from '../../src/server/start-role.js';
import { Log } from '../../src/util/log.js';
import { runWorker } from '../../src/worker/run.js';
import { startStackWatch } from '../../src/worker/stack-watch.js';
import { eventually } from '../helpers/eventually.js';
import { testShape } from '../helpers/test-shape.js';

vi.mock(import('../../src/worker/run.js'), () => ({ runWorker: vi.fn() }));
vi.mock(import('../../src/worker/stack-watch.js'), () => ({ startStackWatch: vi.fn() }));
vi.mock(import('../../src/base/run-worker.js'), () => ({ runBaseWorker: vi.fn() }));
vi.mock(import('../../src/server/start-master.js'), () => ({ startMaster: vi.fn() }));
vi.mock(import('../../src/server/start-manager.js'), () => ({ startManager: vi.fn() }));
vi.mock(import('../../src/os/process-title.js'), () => ({ setProcessTitle: vi.fn() }));
vi.mock(import('../../src/os/lost-output.js'), () => ({ ignoreLostOutput: vi.fn() }));
vi.mock(import('../../src/os/exit.js'), async (original) => ({ ...(await original()), exitWithoutTeardown: vi.fn() }));
vi.mock(import('../../src/os/isolation.js'), async (original) => ({
  ...(await original()),
  ...{ bindToCore: vi.fn(), giveUpRights: vi.fn(), settleIn: vi.fn() },
}));

const STRAY = ['SIGUSR1', 'SIGUSR2', 'SIGINT', 'SIGHUP'] as const;

let region: Region;
let log: string[];
/** What the process has sent to the manager, and done otherwise, in order. */
let steps: unknown[];
let runtime: Runtime | undefined;
let source: WorkSource | undefined;
let boot: () => Promise<void>;
let queue: { tasks: ClaimedTask[]; finished: unknown[]; takes: number };
let listenersBefore: Map<string, unknown[]>;

beforeEach(() => {
  region = Region.create(testShape({ workerNum: 2, taskWorkerNum: 1, userProcessNum: 1 }));
  [log, steps, runtime, source, boot] = [[], [], undefined, undefined, async () => {}];
  queue = { tasks: [], finished: [], takes: -1 };
  vi.spyOn(Region, 'open').mockReturnValue(region);
  vi.mocked(runWorker).mockImplementation(() => running() as never);
  listenersBefore = new Map(STRAY.map((signal) => [signal, process.listeners(signal)]));
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.clearAllMocks();
  for (const signal of STRAY) {
    for (const listener of process.listeners(signal)) {
      if (!listenersBefore.get(signal)?.includes(listener)) process.removeListener(signal, listener);
    }
  }
});

const step =
  (name: string) =>
  (...given: unknown[]): number =>
    steps.push(given.length === 0 ? name : [name, ...given]);
const running = () => ({
  worker: {
    setSource: (given: WorkSource) => {
      source = given;
    },
    boot: () => {
      steps.push('boot');
      return boot();
    },
    wakeSoon: step('wakeSoon'),
    askToBeReplaced: step('askToBeReplaced'),
  },
  outbox: 'outbox',
  channel: { send: step('send'), flushed: async () => void steps.push('flushed') },
  record: { callbackTook: step('took') },
  messaging: {
    queue: {
      takeFor: (id: number) => {
        queue.takes = id;
      },
      get hasWaiting() {
        return queue.tasks.length > 0;
      },
      claim: () => queue.tasks.shift(),
      finish: (_task: ClaimedTask, failed: boolean, value: unknown) => queue.finished.push([failed, value]),
    },
    wakeFreeTaskWorker: step('wakeAnother'),
  },
});

function contextOf(given: ServerOptions = {}, more: Partial<StartContext> = {}): StartContext {
  const options = resolveOptions({ port: 0, processTitle: 'web', workerNum: 2, taskWorkerNum: 1, ...given });
  const port = new ListenPort(
    undefined,
    () => undefined,
    () => {},
  );
  port.resolve(options);
  return {
    ...{ options, ports: [port], events: {}, userProcesses: [], server: { workerId: 0 } },
    log: new Log({ role: 'test', level: 'info', write: (line) => log.push(line) }),
    stopWish: { listen: step('listen') } as unknown as StopWish,
    openLog: () => void steps.push('openLog'),
    running: (given: Runtime) => {
      runtime = given;
      steps.push('running');
    },
    ...more,
  } as unknown as StartContext;
}
const inheritance = (role: string, id = 0, more: object = {}): Inheritance =>
  ({
    role,
    id,
    lane: 0,
    generation: 1,
    region: 4,
    overflow: 5,
    settings: 6,
    arena: 6,
    datagrams: [-1],
    bells: [],
    ...more,
  }) as Inheritance;
/** Until the process has booted: then it serves for ever. */
async function started(given: Inheritance, context: StartContext): Promise<void> {
  void startRole(given, context);
  await eventually(() => expect(steps).toContain('boot'));
}
const title = (): unknown => vi.mocked(setProcessTitle).mock.calls;

describe('a process', () => {
  it('that a user starts is the master, and hears the wish to end before all else', async () => {
    const context = contextOf();
    await startRole(undefined, context);
    expect([vi.mocked(startMaster).mock.calls, title()]).toEqual([[[context]], [['web: master']]]);
    expect(steps).toEqual(['listen']);
    expect(exitWithoutTeardown).toHaveBeenCalledOnce();
  });

  it('whose parent says so is the manager', async () => {
    const [given, context] = [inheritance('manager'), contextOf()];
    await startRole(given, context);
    expect(vi.mocked(startManager).mock.calls).toEqual([[given, context]]);
    expect([title(), steps]).toEqual([[['web: manager']], ['openLog']]);
    expect(vi.mocked(settleIn).mock.calls).toEqual([[context.options]]);
    expect(startMaster).not.toHaveBeenCalled();
  });

  it('does not end by signals that are for the master, or for nobody', async () => {
    const counts = (): number[] => STRAY.map((signal) => process.listenerCount(signal));
    const before = counts();
    await startRole(inheritance('manager'), contextOf());
    expect(counts()).toEqual(before.map((count) => count + 1));
  });

  it('starts although it may not write to its log, and says so', async () => {
    const openLog = (): never => {
      throw new Error('EACCES');
    };
    await startRole(inheritance('manager'), contextOf({}, { openLog }));
    expect(log.join('')).toMatch(/standard error.*EACCES/);
    expect(startManager).toHaveBeenCalledOnce();
  });

  it.each([
    ['worker', 1, 'web: worker 1'],
    ['task', 2, 'web: task worker 2'],
    ['user', 3, 'web: process mail'],
  ])('of the role %s %i is called %s', async (role, id, name) => {
    await started(
      inheritance(role, id),
      contextOf({ maxWorkerNum: 2 }, { userProcesses: [{ name: 'mail', run: () => {} }] }),
    );
    expect(title()).toEqual([[name]]);
  });
});

describe('a worker', () => {
  it('can send and ask before its first callback', async () => {
    const context = contextOf();
    await started(inheritance('worker', 1, { datagrams: [7] }), context);
    expect(steps).toEqual(['openLog', 'running', 'boot']);
    expect([runtime?.outbox, runtime?.datagrams, runtime?.region === region]).toEqual(['outbox', [7], true]);
    expect(source).toBeUndefined();
    expect(vi.mocked(giveUpRights).mock.calls).toEqual([[context.options, expect.any(Function)]]);
    const [[place] = []] = vi.mocked(runWorker).mock.calls;
    expect([place?.region === region, place?.options, place?.services]).toEqual([true, context.options, []]);
    expect(place?.inheritance.id).toBe(1);
  });

  it('passes on to the manager what is asked for', async () => {
    await started(inheritance('worker', 1), contextOf());
    steps.length = 0;
    runtime?.requestShutdown();
    runtime?.requestReload(true);
    runtime?.requestStopWorker(5);
    expect(steps).toEqual([
      ['send', { type: 'request', action: 'shutdown' }],
      ['send', { type: 'request', action: 'reload', tasksOnly: true }],
      ['send', { type: 'request', action: 'stopWorker', workerId: 5, why: 'asked' }],
    ]);
  });

  it('that cannot start tells the manager why, and ends when that has left', async () => {
    vi.spyOn(process, 'exit').mockImplementation((code) => steps.push(['exit', code]) as never);
    boot = () => Promise.reject(new ServerError('ERR_RELOAD', { why: 'no' }));
    region.isUp = true;
    await started(inheritance('worker', 1), contextOf());
    await eventually(() => expect(steps).toContainEqual(['exit', 1]));
    expect(steps.slice(3)).toEqual([
      ['send', { type: 'bootFailed', error: expect.objectContaining({ code: 'ERR_RELOAD' }) }],
      'flushed',
      ['exit', 1],
    ]);
    expect(log.join('')).toContain('worker 1 could not start');
  });

  it('that cannot start while the server does not run yet leaves it to start() to say so', async () => {
    vi.spyOn(process, 'exit').mockImplementation((code) => steps.push(['exit', code]) as never);
    boot = () => Promise.reject(new ServerError('ERR_RELOAD', { why: 'no' }));
    await started(inheritance('worker', 1), contextOf());
    await eventually(() => expect(steps).toContainEqual(['exit', 1]));
    expect(steps).toContainEqual([
      'send',
      { type: 'bootFailed', error: expect.objectContaining({ code: 'ERR_RELOAD' }) },
    ]);
    expect(log).toEqual([]);
  });

  it('has the core of its number', async () => {
    await started(inheritance('worker', 1), contextOf({ cpuAffinity: [4, 6] }));
    expect(vi.mocked(bindToCore).mock.calls).toEqual([[6]]);
  });

  it.each([
    ['worker', 1, 1000, [[{ region: expect.any(Number), peer: peerOf(1, 0), timeoutMs: 1000 }, expect.any(Log)]]],
    ['worker', 1, 0, []],
    ['user', 3, 1000, []],
  ])('is watched for where it stands still (%s %i, %i ms)', async (role, id, workerTimeoutMs, calls) => {
    const context = contextOf({ workerTimeoutMs, maxWorkerNum: 2 }, { userProcesses: [{ name: 'x', run: () => {} }] });
    await started(inheritance(role, id), context);
    expect(vi.mocked(startStackWatch).mock.calls).toEqual(calls);
  });

  it('of BASE mode owns its connections', async () => {
    vi.mocked(runBaseWorker).mockImplementation(async () => running() as never);
    const own = { listeners: [9], give: 10, take: 11 };
    await started(inheritance('worker', 1, { own }), contextOf());
    expect(runWorker).not.toHaveBeenCalled();
    expect(vi.mocked(runBaseWorker).mock.calls[0]?.[0]).toMatchObject({ own, services: [] });
  });

  it('knows HTTP where a port speaks it', async () => {
    const service = () => ({});
    const httpHalf = { answers: true, load: async () => [service] } as unknown as StartContext['httpHalf'];
    await started(inheritance('worker', 1), contextOf({ protocol: 'http' } as ServerOptions, { httpHalf }));
    expect(vi.mocked(runWorker).mock.calls[0]?.[0].services).toEqual([service]);
    vi.mocked(runWorker).mockClear();
    await started(inheritance('task', 2), contextOf({ protocol: 'http' } as ServerOptions, { httpHalf }));
    await eventually(() => expect(runWorker).toHaveBeenCalled());
    expect(vi.mocked(runWorker).mock.calls[0]?.[0].services).toEqual([]);
  });

  it('calls the events of its port, and where it has none those of the server', async () => {
    const [receive, connect, workerStart] = [vi.fn(), vi.fn(), vi.fn()];
    const context = contextOf({}, { events: { receive: vi.fn(), connect, workerStart } });
    context.ports[0]?.on('receive', receive);
    await started(inheritance('worker', 1), context);
    const { callbacks } = vi.mocked(runWorker).mock.calls[0]?.[0] ?? {};
    expect(callbacks?.ports[0]).toMatchObject({ receive, connect });
    expect(callbacks?.workerStart).toBe(workerStart);
  });
});

describe('a task worker', () => {
  const task = (id: number): ClaimedTask =>
    ({ id, fromWorkerId: 0, isAborted: false, readData: () => `data ${id}` }) as unknown as ClaimedTask;
  const field = (name: keyof typeof WorkerField): number => new WorkerBoard(region).field(2, WorkerField[name]);

  it('takes tasks for itself, as many at once as it may, and publishes its room', async () => {
    const seen: unknown[] = [];
    const pending: (() => void)[] = [];
    const onTask = ({ data }: { data: unknown }): Promise<void> => {
      seen.push(data);
      return new Promise((resolve) => pending.push(resolve));
    };
    await started(inheritance('task', 2), contextOf({ taskConcurrency: 2 }, { events: { task: onTask } as never }));
    source?.attach();
    expect([queue.takes, field('room'), field('pending')]).toEqual([2, 2, 0]);
    queue.tasks = [task(1), task(2), task(3)];
    steps.length = 0;
    // A turn that a busy machine interrupts for long takes none.
    await eventually(() => {
      source?.take(() => true);
      expect([seen, field('room'), field('pending')]).toEqual([['data 1', 'data 2'], 0, 2]);
    });
    expect(steps).toContain('wakeAnother');
    source?.release();
    pending[0]?.();
    await eventually(() => expect(queue.finished).toEqual([[false, undefined]]));
    expect(steps).toContainEqual(['took', expect.any(Number)]);
    expect(steps).toContain('wakeSoon');
  });

  it('asks to be replaced after taskMaxRequest tasks', async () => {
    await started(
      inheritance('task', 2),
      contextOf({ taskMaxRequest: 2 }, { events: { task: () => 'done' } as never }),
    );
    source?.attach();
    queue.tasks = [task(1), task(2)];
    source?.take(() => true);
    expect(queue.finished).toEqual([
      [false, 'done'],
      [false, 'done'],
    ]);
    expect(steps).toContainEqual(['askToBeReplaced', 'maxRequest']);
  });
});

describe('a process of the user', () => {
  const place = (run: (server: unknown, signal: AbortSignal) => unknown): StartContext =>
    contextOf({ maxWorkerNum: 2 }, { userProcesses: [{ name: 'mail', run }] });

  it('runs what the script has added, and none of the callbacks of workers', async () => {
    const seen: unknown[] = [];
    const context = place((server) => seen.push(server));
    Object.assign(context.events, { workerStart: vi.fn(), workerStop: vi.fn(), workerExit: vi.fn(), finish: vi.fn() });
    await started(inheritance('user', 3), context);
    source?.attach();
    expect(seen).toEqual([context.server]);
    const { callbacks } = vi.mocked(runWorker).mock.calls[0]?.[0] ?? {};
    expect(callbacks).toMatchObject({ workerStart: undefined, workerStop: undefined, workerExit: undefined });
    expect(callbacks?.finish).toBe(context.events.finish);
    await eventually(() => expect(steps).toContain('wakeSoon'));
  });

  it.each([
    ['that takes a signal is waited for', (_server: unknown, _signal: AbortSignal) => new Promise(() => {}), 1],
    ['that takes none is not', () => new Promise(() => {}), 0],
  ])('%s', async (_title, run, pending) => {
    await started(inheritance('user', 3), place(run));
    source?.attach();
    expect(source?.pending).toBe(pending);
  });

  it('that fails tells the manager of what, and ends when that has left', async () => {
    vi.spyOn(process, 'exit').mockImplementation((code) => steps.push(['exit', code]) as never);
    await started(
      inheritance('user', 3),
      place(() => {
        throw new Error('no mail');
      }),
    );
    source?.attach();
    await eventually(() => expect(steps).toContainEqual(['exit', 1]));
    expect(steps).toContainEqual(['send', { type: 'fatal', error: expect.objectContaining({ message: 'no mail' }) }]);
    expect(log.join('')).toContain('process mail failed');
  });

  it('that the script does not add is an error', async () => {
    const start = startRole(inheritance('user', 4), contextOf({ maxWorkerNum: 2 }));
    await expect(start).rejects.toMatchObject({
      code: 'ERR_RESTART_NEEDED',
      detail: { differences: 'a process less: 1' },
    });
  });
});
