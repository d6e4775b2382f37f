import { connect } from 'node:net';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ServerError, serializeError } from '../../src/errors/index.js';
import type { MasterToManager } from '../../src/ipc/message.js';
import type { ConnectionOwners } from '../../src/master/connection-owners.js';
import { Master } from '../../src/master/master.js';
import type { ManagerEvents, ManagerLink, MasterMode, OwnerParts } from '../../src/master/mode.js';
import { WorkerBoard, WorkerField } from '../../src/memory/boards.js';
import { resolveListen, resolveOptions, type ServerOptions } from '../../src/options/index.js';
import { type Deferred, deferred } from '../../src/util/deferred.js';
import { Log } from '../../src/util/log.js';
import { certificateFor, copyOf, overwrite } from '../helpers/certificates.js';
import { eventually } from '../helpers/eventually.js';

/** Everything that happens, in order: what the owners of the connections were told, what managers were, callbacks. */
let steps: string[];
let log: string[];
let managers: FakeManager[];
let owners: OwnerParts;
/** What an owner's step waits for; those that are missing are done at once. */
let held: Map<string, Deferred<void>>;
/** What a manager does not answer. */
let deaf: Set<string>;
/** Why the owners keep their certificates. */
let notRenewed: string | undefined;
let master: Master;
let listenersBefore: Map<string, unknown[]>;

/** A manager that does what it is told at once. */
class FakeManager implements ManagerLink {
  static nextPid = 5000;
  readonly pid = FakeManager.nextPid++;
  readonly events: ManagerEvents;
  readonly told: MasterToManager[] = [];

  constructor(events: ManagerEvents) {
    this.events = events;
    if (!deaf.has('boot')) queueMicrotask(() => events.message({ type: 'started' }));
  }

  send(message: MasterToManager): void {
    this.told.push(message);
    steps.push(`manager: ${message.type}`);
    if (deaf.has(message.type)) return;
    const answers: Partial<Record<MasterToManager['type'], () => void>> = {
      begin: () => this.events.message({ type: 'ready' }),
      settle: () => this.events.message({ type: 'settled' }),
      stop: () => this.events.exit(0, 0),
    };
    queueMicrotask(() => answers[message.type]?.());
  }

  kill(signal: NodeJS.Signals): void {
    steps.push(`manager: ${signal}`);
    queueMicrotask(() => this.events.exit(0, 9));
  }

  /** Of the last message of this type. */
  last<T extends MasterToManager['type']>(type: T): Extract<MasterToManager, { type: T }> {
    return this.told.findLast((message) => message.type === type) as Extract<MasterToManager, { type: T }>;
  }
}

const step =
  (name: string) =>
  async (...given: unknown[]): Promise<unknown> => {
    steps.push([`owners: ${name}`, ...given.filter((value) => typeof value === 'number')].join(' '));
    await held.get(name)?.promise;
    return name === 'renew' ? notRenewed : undefined;
  };

const fakeMode: MasterMode = {
  createOwners: (parts) => {
    owners = parts;
    const told = ['start', 'ready', 'accept', 'stopAccepting', 'quiesce', 'closeAll', 'renew', 'useWorkers'];
    const rest = ['withhold', 'rebind', 'stop', 'stopAtOnce'];
    return Object.fromEntries([...told, ...rest].map((name) => [name, step(name)])) as unknown as ConnectionOwners;
  },
  startManager: (_title, _shared, events) => {
    steps.push('manager: started');
    const manager = new FakeManager(events);
    managers.push(manager);
    return manager;
  },
};

const SIGNALS = ['exit', 'SIGCHLD'];

beforeEach(() => {
  [steps, log, managers, held, deaf, notRenewed] = [[], [], [], new Map(), new Set(), undefined];
  listenersBefore = new Map(SIGNALS.map((name) => [name, process.listeners(name as 'exit')]));
});
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
  for (const name of SIGNALS) {
    const known = listenersBefore.get(name) ?? [];
    for (const listener of process.listeners(name as 'exit')) {
      if (!known.includes(listener)) process.removeListener(name, listener as () => void);
    }
  }
});

const make = (given: ServerOptions = {}, callbacks: object = {}): Master => {
  const options = resolveOptions({ host: '127.0.0.1', port: 0, workerNum: 2, reactorNum: 1, ...given });
  const { port } = options;
  const told = new Log({ role: 'master', level: 'debug', write: (line) => log.push(line) });
  const listens = [resolveListen({ port }, options)];
  master = new Master({ settings: '{}', options, userProcessNames: [], listens, mode: fakeMode, callbacks, log: told });
  return master;
};
/** Time stands still from here on. */
const stopTime = (): void => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance', 'Date'] });
};
const pass = (ms: number): Promise<unknown> => vi.advanceTimersByTimeAsync(ms);
const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const running = async (given?: ServerOptions, callbacks?: object): Promise<Master> => {
  await make(given, callbacks).start();
  steps.length = 0;
  return master;
};
const reaches = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const client = connect(port, '127.0.0.1', () => resolve(client.destroy() !== undefined));
    client.on('error', () => resolve(false));
  });
const boundPort = (): number => master.region.ports[0] ?? 0;
const manager = (): FakeManager => managers.at(-1) as FakeManager;

describe('the start', () => {
  it('takes clients last: owners, manager, workers, and only then the ports listen', async () => {
    make();
    expect([master.phase, master.hasStarted]).toEqual(['starting', false]);
    await master.start();
    expect(steps).toEqual(['owners: start', 'manager: started', 'owners: ready', 'manager: begin', 'owners: accept']);
    expect([master.phase, master.hasStarted]).toEqual(['running', true]);
    expect(manager().last('begin').first).toBe(true);
    expect(await reaches(boundPort())).toBe(true);
    await master.shutdown();
  });

  it('that finds its port in use rejects with that, and starts no manager', async () => {
    await running();
    const port = boundPort();
    const first = master;
    await expect(make({ port }).start()).rejects.toMatchObject({ code: 'ERR_PORT_IN_USE', detail: { port } });
    expect(managers).toHaveLength(1);
    expect(steps).toEqual(['owners: stopAccepting', 'owners: stop']);
    expect([master.phase, master.hasStarted]).toEqual(['ended', false]);
    await first.shutdown();
  });

  it("of which a worker cannot boot rejects with the worker's error, and leaves nothing", async () => {
    deaf.add('begin');
    const started = make().start();
    started.catch(() => {});
    await eventually(() => expect(steps).toContain('manager: begin'));
    const error = serializeError(new ServerError('ERR_WORKER_BOOT', { workerId: 0, exitCode: 1 } as never));
    manager().events.message({ type: 'bootFailed', error });
    await expect(started).rejects.toMatchObject({ code: 'ERR_WORKER_BOOT', detail: { workerId: 0 } });
    expect(steps.slice(-3)).toEqual(['manager: stop', 'owners: stopAccepting', 'owners: stop']);
    expect(manager().last('stop').deadlineMs).toBe(1000); // the others end in order
    expect(await reaches(boundPort())).toBe(false);
  });

  it('of which the manager dies rejects with how, and what it wrote', async () => {
    deaf.add('boot');
    const started = make().start();
    started.catch(() => {});
    await eventually(() => expect(managers).toHaveLength(1));
    manager().events.exit(1, 0, 'SyntaxError');
    await expect(started).rejects.toMatchObject({
      code: 'ERR_MANAGER_BOOT',
      detail: { exitCode: 1, wrote: 'SyntaxError' },
    });
  });

  it('waits for a manager for bootTimeoutMs, and kills it then', async () => {
    deaf.add('boot');
    make({ bootTimeoutMs: 5000 });
    stopTime();
    const started = master.start();
    started.catch(() => {});
    await eventually(() => expect(managers).toHaveLength(1));
    await pass(5000);
    await expect(started).rejects.toMatchObject({
      code: 'ERR_BOOT_TIMEOUT',
      detail: { role: 'manager', timeoutMs: 5000 },
    });
    expect(steps).toContain('manager: SIGKILL');
  });

  it('that fails in an owner rejects with its reason', async () => {
    deaf.add('begin');
    const started = make().start();
    started.catch(() => {});
    await eventually(() => expect(managers).toHaveLength(1));
    owners.failed(new Error('a reactor has failed'));
    await expect(started).rejects.toThrow('a reactor has failed');
    expect(master.phase).toBe('ended');
  });

  it.each([
    ['hangs before the manager is started', 'start', []],
    ['hangs after that', 'ready', ['manager: stop']],
  ])('that %s ends when the server shall shut down, with ERR_START_ENDED', async (_title, where, told) => {
    held.set(where, deferred());
    const started = make().start();
    started.catch(() => {});
    await eventually(() => expect(steps).toContain(`owners: ${where}`));
    await settle();
    await master.shutdown();
    await expect(started).rejects.toMatchObject({ code: 'ERR_START_ENDED' });
    expect(steps.filter((what) => what === 'manager: stop')).toEqual(told);
    expect(steps).not.toContain('owners: accept');
    expect(master.phase).toBe('ended');
  });

  it('ends, with a manager that has not begun, by killing it', async () => {
    deaf.add('boot');
    const started = make().start();
    started.catch(() => {});
    await eventually(() => expect(managers).toHaveLength(1));
    await master.shutdown();
    await expect(started).rejects.toMatchObject({ code: 'ERR_START_ENDED' });
    expect(steps).toContain('manager: SIGKILL');
  });
});

describe('the shutdown', () => {
  const callbacks = {
    beforeShutdown: () => steps.push('beforeShutdown'),
    shutdown: () => steps.push('shutdown'),
  };
  const names = (): string[] => steps.map((what) => what.replace(/ [\d.]+$/, ''));

  it('goes down the ladder: accept no more, finish, close, stop the workers, stop the owners', async () => {
    await running({}, callbacks);
    const port = boundPort();
    const ended = master.shutdown();
    expect(master.phase).toBe('shutting down');
    await ended;
    expect(names()).toEqual([
      ...['beforeShutdown', 'owners: stopAccepting', 'owners: quiesce', 'manager: settle', 'owners: closeAll'],
      ...['manager: stop', 'owners: stop', 'shutdown'],
    ]);
    expect(master.phase).toBe('ended');
    expect(await reaches(port)).toBe(false);
  });

  it('is one, however often it is asked for', async () => {
    await running();
    await Promise.all([master.shutdown(), master.shutdown()]);
    await master.shutdown();
    expect(names().filter((what) => what === 'manager: stop')).toHaveLength(1);
  });

  it('serves on while beforeShutdown runs', async () => {
    const before = deferred<void>();
    await running({}, { beforeShutdown: () => before.promise });
    const ended = master.shutdown();
    expect(await reaches(boundPort())).toBe(true);
    before.resolve();
    await ended;
  });

  it.each(['beforeShutdown', 'shutdown'])('goes on when %s throws, and says so', async (name) => {
    await running({}, { [name]: () => Promise.reject(new Error('not so fast')) });
    await master.shutdown();
    expect(master.phase).toBe('ended');
    expect(log.join('\n')).toMatch(new RegExp(`the '${name}' callback failed.*not so fast`, 's'));
  });

  it.each([
    ['a callback', 'beforeShutdown', 'owners: stopAccepting'],
    ['the owners', 'quiesce', 'manager: settle'],
    ['the workers', 'settle', 'owners: closeAll'],
  ])('waits for %s no longer than maxWaitMs, and goes on', async (_title, what, next) => {
    await running({ maxWaitMs: 3000 }, { beforeShutdown: () => held.get('beforeShutdown')?.promise });
    held.set(what, deferred());
    deaf.add(what);
    stopTime();
    const ended = master.shutdown();
    await pass(2999);
    expect(names()).not.toContain(next);
    await pass(1);
    expect(names()).toContain(next);
    await ended;
    expect(master.phase).toBe('ended');
  });

  it('leaves half a second for replies that must leave, whatever has overrun before', async () => {
    await running({ maxWaitMs: 3000 });
    held.set('quiesce', deferred());
    stopTime();
    void master.shutdown();
    await pass(3000);
    expect(steps).toContain('owners: closeAll 500');
    await settle();
    expect(manager().last('stop').deadlineMs).toBe(100);
  });

  it('gives the manager what is left of the time, and two seconds more, then kills it', async () => {
    await running({ maxWaitMs: 3000 });
    deaf.add('stop');
    stopTime();
    const ended = master.shutdown();
    await pass(0);
    expect(manager().last('stop').deadlineMs).toBe(3000);
    await pass(4999);
    expect(steps).not.toContain('manager: SIGKILL');
    await pass(1);
    expect(steps).toContain('manager: SIGKILL');
    await ended;
    expect(vi.getTimerCount()).toBe(0);
  });

  it('does not wait for owners that do not close', async () => {
    await running({ maxWaitMs: 3000 });
    held.set('closeAll', deferred());
    stopTime();
    const ended = master.shutdown();
    await pass(3500);
    await ended;
    expect(names()).toContain('owners: stop');
  });

  it('hurries when it is asked for again a second later, and not before', async () => {
    await running({ maxWaitMs: 60_000 });
    held.set('quiesce', deferred());
    deaf.add('stop');
    stopTime();
    const ended = master.shutdown();
    await pass(1000);
    void master.shutdown();
    await pass(0);
    expect(names()).not.toContain('manager: settle');
    await pass(1);
    void master.shutdown();
    await pass(0);
    expect(names()).toContain('manager: stop');
    expect(manager().last('stop').deadlineMs).toBe(100);
    await pass(2100);
    await ended;
    expect(names()).toContain('manager: SIGKILL');
  });

  it('is over as soon as the manager has died by itself', async () => {
    await running({ maxWaitMs: 60_000 });
    deaf.add('settle');
    const ended = master.shutdown();
    await eventually(() => expect(steps).toContain('manager: settle'));
    manager().events.exit(0, 9);
    await ended;
    expect(names()).not.toContain('manager: stop');
  });

  it('may be asked for by any process of the server', async () => {
    await running();
    manager().events.message({ type: 'request', action: 'shutdown' });
    await eventually(() => expect(master.phase).toBe('ended'));
  });

  it('leaves no timer', async () => {
    await running();
    stopTime();
    const ended = master.shutdown();
    await pass(0);
    await ended;
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe('a manager that dies', () => {
  it('is replaced, after longer and longer, and at once again when it was healthy', async () => {
    await running();
    stopTime();
    const pauses: number[] = [];
    for (let death = 0; death < 6; death++) {
      const count = managers.length;
      manager().events.exit(0, 9);
      let waited = 0;
      await pass(0);
      for (; managers.length === count && waited < 10_000; waited += 50) await pass(50);
      pauses.push(waited);
      await pass(0);
    }
    expect(pauses).toEqual([0, 200, 1000, 5000, 5000, 5000]);
    await pass(5000);
    const count = managers.length;
    manager().events.exit(1, 0);
    await pass(0);
    expect(managers).toHaveLength(count + 1);
    expect(log.join('\n')).toMatch(/the manager was killed by SIGKILL; starting another one/);
    vi.useRealTimers();
    await master.shutdown();
  });

  it('twice in a row is told as a crash loop, with its last words', async () => {
    await running();
    stopTime();
    for (const _ of [1, 2]) {
      manager().events.message({ type: 'fatal', error: serializeError(new Error('the reason')) });
      manager().events.exit(1, 0, 'and more');
      await pass(5000 - 4999);
    }
    expect(master.crashLoops).toMatchObject([{ id: -1, name: 'the manager', failures: 2 }]);
    expect(master.crashLoops[0]?.reason).toMatch(/exited with code 1: the reason\n.*\nand more/);
    vi.useRealTimers();
    await master.shutdown();
  });

  it('leaves no worker as present, and the next one does not begin the server anew', async () => {
    await running();
    const board = new WorkerBoard(master.region);
    board.setField(1, WorkerField.pid, 4711);
    manager().events.exit(0, 9);
    expect(board.field(1, WorkerField.pid)).toBe(0);
    await eventually(() => expect(manager().told[0]).toEqual({ type: 'begin', first: false }));
    expect(master.region.managerPid).toBe(manager().pid);
    await master.shutdown();
  });

  it('is given by its successor what was asked for meanwhile', async () => {
    await running();
    manager().events.exit(0, 9);
    master.reload(true);
    master.reload();
    master.reload(true);
    await eventually(() => expect(manager().told).toContainEqual({ type: 'reload', tasksOnly: false, request: 0 }));
    await master.shutdown();
  });
});

describe('a reload', () => {
  it('resolves when the manager has done it, and reads certificates again', async () => {
    await running({ tls: certificateFor('before.test') });
    held.set('renew', deferred());
    const done = master.reloaded();
    await eventually(() => expect(steps).toEqual(['owners: renew']));
    held.get('renew')?.resolve();
    await eventually(() => expect(steps).toEqual(['owners: renew', 'manager: reload']));
    const { request } = manager().last('reload');
    manager().events.message({ type: 'reloaded', request });
    await done;
    await master.shutdown();
  });

  it('is refused where an owner of connections does not take the certificates, and replaces nothing', async () => {
    await running({ tls: certificateFor('before.test') });
    notRenewed = 'they were replaced meanwhile';
    const why = 'the certificates cannot be used, the old ones stay (they were replaced meanwhile)';
    await expect(master.reloaded()).rejects.toMatchObject({ code: 'ERR_RELOAD', detail: { why } });
    expect(steps).toEqual(['owners: renew']);
    await master.shutdown();
  });

  it('without TLS, or of a signal, waits for no certificates', async () => {
    await running();
    master.reload();
    expect(steps).toEqual(['owners: renew', 'manager: reload']);
    const done = master.reloaded();
    expect(steps).toEqual(['owners: renew', 'manager: reload', 'manager: reload']);
    manager().events.message({ type: 'reloaded', request: manager().last('reload').request });
    await done;
    await master.shutdown();
  });

  it('that finds certificates it cannot use is refused before anything is replaced', async () => {
    const tls = copyOf(certificateFor('before.test'), 'unusable');
    await running({ tls });
    overwrite(tls, { cert: certificateFor('after.test').cert, key: certificateFor('before.test').key });
    const why = expect.stringMatching(/^the certificates cannot be used, the old ones stay \(.*key/);
    await expect(master.reloaded()).rejects.toMatchObject({ code: 'ERR_RELOAD', detail: { why } });
    expect(steps).toEqual([]);
    await master.shutdown();
  });

  it('is refused where the shutdown begins while certificates are read', async () => {
    await running({ tls: certificateFor('before.test') });
    const done = master.reloaded();
    const shutdown = master.shutdown();
    await expect(done).rejects.toMatchObject({ code: 'ERR_RELOAD', detail: { why: 'the server is shutting down' } });
    expect(steps).not.toContain('manager: reload');
    await shutdown;
  });

  it('of task workers leaves certificates alone', async () => {
    await running();
    void master.reload(true);
    expect(steps).toEqual(['manager: reload']);
    expect(manager().last('reload').tasksOnly).toBe(true);
    await master.shutdown();
  });

  it.each([
    [
      'failed',
      () => manager().events.message({ type: 'reloaded', request: 1, failed: 'syntax error' }),
      'syntax error',
    ],
    ['lost its manager', () => manager().events.exit(0, 9), 'the manager has died meanwhile'],
  ])('that %s rejects with the reason', async (_title, happens, why) => {
    await running();
    const done = master.reloaded();
    happens();
    await expect(done).rejects.toMatchObject({ code: 'ERR_RELOAD', detail: { why } });
    await master.shutdown();
  });

  it('is refused while the server starts, and when it has ended', async () => {
    make();
    await expect(master.reloaded()).rejects.toMatchObject({
      code: 'ERR_RELOAD',
      detail: { why: 'the server is starting' },
    });
    await master.start();
    await master.shutdown();
    await expect(master.reloaded()).rejects.toMatchObject({ detail: { why: 'the server is ended' } });
  });
});

describe('another number of workers', () => {
  it.each([0, 5, -1])('is not %i where maxWorkerNum is 4', async (workerNum) => {
    await running({ maxWorkerNum: 4 });
    await expect(master.scale(workerNum)).rejects.toMatchObject({
      code: 'ERR_SCALE',
      detail: { why: `it must be from 1 to maxWorkerNum, which is 4, received ${workerNum}` },
    });
    await master.shutdown();
  });

  it.each([
    [1, 'owners: withhold 1'],
    [4, 'manager: scale'],
  ])('may be %i where maxWorkerNum is 4', async (workerNum, first) => {
    await running({ maxWorkerNum: 4 });
    void master.scale(workerNum);
    await settle();
    expect(steps[0]).toBe(first);
    await master.shutdown();
  });

  it('is refused in BASE mode, and while the server does not run', async () => {
    await expect(make().scale(1)).rejects.toMatchObject({ detail: { why: 'the server is starting' } });
    await running({ mode: 'base' });
    await expect(master.scale(1)).rejects.toMatchObject({ code: 'ERR_SCALE', detail: { why: /BASE mode/ } });
    await master.shutdown();
  });
});

it('every process gets the descriptors of what all share, the manager first', async () => {
  const startManager = vi.spyOn(fakeMode, 'startManager');
  await running({ processTitle: 'web' });
  const [title, shared] = startManager.mock.calls[0] ?? [];
  expect([title, shared]).toEqual(['web: manager', master.shared]);
  expect([master.shared.region, master.shared.datagrams]).toEqual([master.region.descriptor, [-1]]);
  expect(master.shared.region).toBeGreaterThan(2);
  expect(master.shared.overflow).toBeGreaterThan(2);
  expect(master.shared.bells.length).toBeGreaterThan(0);
  await master.shutdown();
});

it('a reload is refused while its manager is being replaced', async () => {
  await running();
  manager().events.exit(1, 0);
  await expect(master.reloaded()).rejects.toMatchObject({
    ...{ code: 'ERR_RELOAD', detail: { why: 'the manager is being replaced' } },
  });
  await master.shutdown();
});

it('passes on what the broker process of a cluster says', async () => {
  await running();
  const heard: object[] = [];
  manager().events.message({ type: 'cluster', said: { say: 'unheard' } });
  master.onClusterReport = (said) => heard.push(said);
  manager().events.message({ type: 'cluster', said: { say: 'nodes' } });
  expect(heard).toEqual([{ say: 'nodes' }]);
  await master.shutdown();
});

describe('a profile', () => {
  const order = { kind: 'cpu', durationMs: 1000, path: '/tmp/x' } as unknown as Parameters<Master['profile']>[1];

  it('resolves to what the process tells, and rejects with why there is none', async () => {
    await running();
    const [first, second] = [master.profile(0, order), master.profile(1, order)];
    manager().events.message({ type: 'profiled', request: 2, failed: 'no room', pieces: [] });
    manager().events.message({ type: 'profiled', request: 1, pieces: [] });
    expect(await first).toEqual([]);
    await expect(second).rejects.toMatchObject({ code: 'ERR_PROFILE', detail: { why: 'no room' } });
    await master.shutdown();
  });

  it('is waited for a minute beyond its time', async () => {
    await running();
    stopTime();
    const taken = master.profile(0, order);
    taken.catch(() => {});
    await pass(61_000);
    await expect(taken).rejects.toMatchObject({ code: 'ERR_PROFILE', detail: { why: /does not answer/ } });
    expect(vi.getTimerCount()).toBe(0);
    vi.useRealTimers();
    await master.shutdown();
  });
});

describe('the exit of the process', () => {
  const exits = (): void => {
    for (const listener of process.listeners('exit')) {
      if (!listenersBefore.get('exit')?.includes(listener)) listener(0);
    }
  };
  /** No process has this number. */
  const PID = 4_000_001;
  /** What a worker is told whose manager may not come to end it. */
  const signals = (): unknown[] => {
    const kill = vi.spyOn(process, 'kill').mockReturnValue(true);
    new WorkerBoard(master.region).setProcess(0, 0, PID);
    exits();
    return kill.mock.calls.filter(([pid, signal]) => pid === PID && signal !== 0).map(([, signal]) => signal);
  };

  it('stops the owners, kills the manager and what runs under it', async () => {
    await running();
    expect(signals()).toEqual(['SIGKILL']);
    expect(steps).toEqual(['owners: stopAtOnce', 'manager: SIGKILL']);
  });

  it('behind the shutdown kills nobody', async () => {
    await running();
    await master.shutdown();
    expect(signals()).toEqual([]);
  });
});

describe('a sudden end', () => {
  it('of an owner ends the process while the server runs', async () => {
    await running();
    const exit = vi.spyOn(process, 'exit').mockImplementation(() => undefined as never);
    owners.failed(new Error('gone'));
    expect(exit).toHaveBeenCalledWith(70);
    await master.shutdown();
  });

  it('of a worker that writes nonsense is brought about by SIGKILL', async () => {
    await running();
    const kill = vi.spyOn(process, 'kill').mockImplementation(() => true);
    new WorkerBoard(master.region).setField(1, WorkerField.pid, 4711);
    owners.brokenSender(1);
    owners.brokenSender(0); // there is no process
    expect(kill.mock.calls).toEqual([[4711, 'SIGKILL']]);
    expect(log.join('\n')).toMatch(/worker 1 wrote a frame that cannot be read; it is killed/);
    new WorkerBoard(master.region).setField(1, WorkerField.pid, 0);
    await master.shutdown();
  });
});
