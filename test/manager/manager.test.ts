import { beforeEach, describe, expect, it } from 'vitest';
import { serializeError } from '../../src/errors/index.js';
import type { ManagerToMaster, ManagerToWorker, ProcessEnd, WorkerToManager } from '../../src/ipc/message.js';
import { Backoff } from '../../src/manager/backoff.js';
import { Manager } from '../../src/manager/manager.js';
import type { WorkerErrorInfo } from '../../src/manager/manager-parts.js';
import type { WorkerProcess, WorkerProcessEvents, WorkerSpec } from '../../src/manager/worker-handle.js';
import { mayMove, move, type WorkerState } from '../../src/manager/worker-state.js';
import { WorkerBoard, WorkerField } from '../../src/memory/boards.js';
import { Region } from '../../src/memory/region.js';
import { Log } from '../../src/util/log.js';
import { FakeClock } from '../helpers/fake-clock.js';
import { testShape } from '../helpers/test-shape.js';

/** A worker process that does only what the test says. */
class FakeWorker implements WorkerProcess {
  static nextPid = 100;
  readonly pid = FakeWorker.nextPid++;
  readonly spec: WorkerSpec;
  readonly heard: string[] = [];
  gone = false;
  readonly #events: WorkerProcessEvents;

  constructor(spec: WorkerSpec, events: WorkerProcessEvents) {
    const { id, role, name, lane, generation } = spec;
    this.spec = { id, role, name, lane, generation };
    this.#events = events;
  }

  send(message: ManagerToWorker): void {
    this.heard.push(message.type);
  }

  kill(signal: NodeJS.Signals): void {
    this.heard.push(signal);
    if (signal === 'SIGKILL') this.die(0, 9);
  }

  ready(): void {
    this.#events.message({ type: 'ready' });
  }

  tell(message: WorkerToManager): void {
    this.#events.message(message);
  }

  report(type: 'released' | 'settled'): void {
    this.#events.message({ type });
  }

  failBoot(why: string): void {
    this.#events.message({ type: 'bootFailed', error: serializeError(new Error(why)) });
    this.die(1, 0);
  }

  die(exitCode: number, signal: number): void {
    if (this.gone) return;
    this.gone = true;
    this.#events.exit(exitCode, signal);
  }
}

let clock: FakeClock;
let board: WorkerBoard;
let started: FakeWorker[];
let toMaster: ManagerToMaster[];
let errors: WorkerErrorInfo[];
let events: string[];
let log: string[];
let ended: ProcessEnd[];
let exitCode: number | undefined;
let manager: Manager;
let region: Region;
/** Nothing waits for worker 1. */
let drained: boolean;
let starvedMs: number;
let beforeReload: () => unknown;
let afterReload: () => unknown;

const living = (id: number): FakeWorker[] => started.filter((worker) => worker.spec.id === id && !worker.gone);
const newest = (id: number): FakeWorker => living(id).at(-1) as FakeWorker;
/** Lets promises of callbacks settle. */
const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

beforeEach(() => {
  clock = new FakeClock();
  region = Region.create(testShape({ workerNum: 4, ringBytes: 65536 }));
  region.seatNum = 2;
  drained = true;
  starvedMs = 0;
  board = new WorkerBoard(region);
  [beforeReload, afterReload] = [() => {}, () => {}];
  [started, toMaster, errors, events, log, exitCode] = [[], [], [], [], [], undefined];
  ended = [];
  manager = new Manager({
    processes: [
      { role: 'worker', name: 'worker 0' },
      { role: 'worker', name: 'worker 1' },
      { role: 'worker', name: 'worker 2' },
      { role: 'worker', name: 'worker 3' },
    ],
    maxWaitMs: 3000,
    bootTimeoutMs: 10_000,
    region,
    board,
    clock,
    log: new Log({ role: 'manager', level: 'debug', write: (line) => log.push(line) }),
    callbacks: {
      beforeReload: () => {
        events.push('beforeReload');
        return beforeReload();
      },
      afterReload: () => {
        events.push('afterReload');
        return afterReload();
      },
      managerStop: () => events.push('managerStop'),
      workerError: (info) => errors.push(info),
    },
    spawn: (spec, workerEvents) => {
      const worker = new FakeWorker(spec, workerEvents);
      started.push(worker);
      return worker;
    },
    starvedMs: () => starvedMs,
    recover: () => {},
    recoverAll: () => {},
    isDrained: (id) => id !== 1 || drained,
    profile: () => {},
    notifyMaster: (message) => toMaster.push(message),
    ended: (end) => ended.push(end),
    exit: (code) => {
      exitCode = code;
    },
  });
});

function start(): void {
  manager.onMessage({ type: 'begin', first: true });
  for (const worker of started) worker.ready();
}

describe('at the start', () => {
  it('starts one worker per id, attaches each when it is ready, and tells the master when all are', () => {
    manager.onMessage({ type: 'begin', first: true });
    expect(started.map(({ spec }) => spec)).toMatchObject([
      { id: 0, role: 'worker', name: 'worker 0', lane: 0, generation: 0 },
      { id: 1, role: 'worker', name: 'worker 1', lane: 0, generation: 0 },
    ]);
    newest(0).ready();
    expect(newest(0).heard).toEqual(['attach']);
    expect(toMaster).toEqual([]);
    newest(1).ready();
    expect(toMaster).toEqual([{ type: 'ready' }]);
    expect(board.field(1, WorkerField.pid)).toBe(newest(1).pid);
  });

  it("gives up when a worker cannot boot, with the worker's own error, and leaves none behind", async () => {
    manager.onMessage({ type: 'begin', first: true });
    newest(0).failBoot('no luck');
    expect(toMaster[0]).toMatchObject({
      type: 'bootFailed',
      error: { code: 'ERR_WORKER_BOOT', detail: { workerId: 0, exitCode: 1 }, cause: { message: 'no luck' } },
    });
    expect(living(0)).toEqual([]);
    expect(living(1)).toEqual([]);
    await settle();
    expect(exitCode).toBe(0);
  });

  it('kills a worker that is not ready in time', () => {
    manager.onMessage({ type: 'begin', first: true });
    newest(1).ready();
    clock.advance(10_000);
    expect(started[0]?.heard).toEqual(['SIGKILL']);
    expect(toMaster[0]).toMatchObject({ type: 'bootFailed', error: { cause: { code: 'ERR_BOOT_TIMEOUT' } } });
  });

  it('gives a worker that got no CPU the time it missed', () => {
    manager.onMessage({ type: 'begin', first: true });
    starvedMs = 4000;
    clock.advance(13_999);
    expect(started[0]?.heard).toEqual([]);
    clock.advance(1);
    expect(started[0]?.heard).toEqual(['SIGKILL']);
  });
});

describe('a worker that dies', () => {
  it('is replaced at once on the same lane, and its end is told with code, signal and uptime', () => {
    start();
    const victim = newest(0);
    clock.advance(1234);
    victim.die(0, 9);
    expect(errors).toEqual([
      { workerId: 0, pid: victim.pid, exitCode: 0, signal: 'SIGKILL', signalNumber: 9, uptimeMs: 1234 },
    ]);
    expect(board.field(0, WorkerField.pid)).toBe(0);
    expect(newest(0).spec).toMatchObject({ id: 0, lane: 0, generation: 0 });
    newest(0).ready();
    expect(newest(0).heard).toEqual(['attach']);
    expect(log.join('\n')).toContain('SIGKILL');
  });

  it('is told to the master, with the reason and the stack, but not in the shutdown', () => {
    start();
    clock.advance(1234);
    const { pid } = newest(0);
    newest(0).die(0, 9);
    expect(ended).toEqual([
      {
        ...{ kind: 'worker', id: 0, name: 'worker 0', pid, cause: 'signal', code: 0, signal: 'SIGKILL' },
        ...{ reason: 'worker 0 was killed by SIGKILL', uptimeMs: 1234, stack: '' },
      },
    ]);
    newest(0).failBoot('it is not my day');
    expect(ended[1]).toMatchObject({ cause: 'boot', code: 1, signal: null });
    expect(ended[1]?.reason).toContain('exited with code 1 before it was ready: Error: it is not my day');
    expect(ended[1]?.stack).toMatch(/^Error: it is not my day\n +at /);
    manager.shutdownAsked();
    manager.onMessage({ type: 'stop', deadlineMs: 100 });
    newest(1).die(0, 0);
    expect(ended).toHaveLength(2);
  });

  it('by its own fault is started after longer and longer, and at once again when it was healthy', () => {
    start();
    const delays: number[] = [];
    for (let i = 0; i < 9; i++) {
      newest(0).die(1, 0);
      let waited = 0;
      while (living(0).length === 0 && waited <= 40_000) {
        clock.advance(50);
        waited += 50;
      }
      delays.push(waited);
      newest(0).ready();
    }
    expect(delays).toEqual([0, 100, 300, 1000, 3000, 9000, 27_000, 30_000, 30_000]);
    clock.advance(5000);
    newest(0).die(1, 0);
    expect(living(0)).toHaveLength(1);
  });

  it('is not told of when it left with code 0', () => {
    start();
    clock.advance(60_000);
    newest(0).die(0, 0);
    expect(errors).toEqual([]);
    expect(living(0)).toHaveLength(1);
  });
});

describe('a reload', () => {
  const reload = async (): Promise<void> => {
    manager.reload();
    await settle();
  };
  /** The new ones are ready, and the old ones go. */
  const replaceFirstTwo = (): void => {
    for (const id of [0, 1]) newest(id).ready();
    for (const worker of started.slice(0, 2)) {
      worker.report('released');
      worker.die(0, 0);
    }
  };

  it('boots all new workers first; each takes over only when the old one has let go', async () => {
    start();
    const old = [newest(0), newest(1)] as const;
    await reload();
    expect(events).toEqual(['beforeReload']);
    const fresh = [newest(0), newest(1)] as const;
    expect(fresh.map(({ spec }) => spec)).toMatchObject([
      { id: 0, lane: 1, generation: 1 },
      { id: 1, lane: 1, generation: 1 },
    ]);
    fresh[0].ready();
    expect(old[0].heard).toEqual(['attach']);
    fresh[1].ready();
    expect(old.map(({ heard }) => heard)).toEqual([
      ['attach', 'release'],
      ['attach', 'release'],
    ]);
    expect(fresh[0].heard).toEqual([]);
    old[0].report('released');
    expect(fresh[0].heard).toEqual(['attach']);
    expect(fresh[1].heard).toEqual([]);
    old[0].die(0, 0);
    old[1].report('released');
    old[1].die(0, 0);
    await settle();
    expect(events).toEqual(['beforeReload', 'afterReload']);
    expect(errors).toEqual([]);
  });

  it('tells once what new workers say that only a restart applies, and nothing when they say nothing', async () => {
    start();
    manager.reload(false, 5);
    await settle();
    for (const id of [0, 1]) newest(id).tell({ type: 'needsRestart', differences: ['port 2', `process ${id}`] });
    replaceFirstTwo();
    await settle();
    const needsRestart = ['port 2', 'process 0', 'process 1'];
    expect(toMaster.at(-1)).toEqual({ type: 'reloaded', request: 5, needsRestart });
    expect(log.filter((line) => line.includes('only a restart applies'))).toHaveLength(1);
    const second = [newest(0), newest(1)];
    manager.reload(false, 6);
    await settle();
    for (const id of [0, 1]) newest(id).ready();
    for (const worker of second) {
      worker.report('released');
      worker.die(0, 0);
    }
    await settle();
    expect(toMaster.at(-1)).toEqual({ type: 'reloaded', request: 6 });
  });

  it('goes on without a worker that does not let go: TERM after maxWaitMs, then KILL', async () => {
    start();
    const stuck = newest(0);
    await reload();
    newest(0).ready();
    newest(1).ready();
    clock.advance(3000);
    expect(stuck.heard).toEqual(['attach', 'release', 'SIGTERM']);
    expect(newest(0).heard).toEqual([]);
    clock.advance(500);
    expect(stuck.gone).toBe(true);
    expect(newest(0).heard).toEqual(['attach']);
  });

  it('that cannot boot leaves the old workers as they are and says why', async () => {
    start();
    const old = [newest(0), newest(1)];
    await reload();
    newest(0).ready();
    newest(1).failBoot('syntax error');
    expect([living(0), living(1)]).toEqual([[old[0]], [old[1]]]);
    expect(old.map((worker) => worker?.heard)).toEqual([['attach'], ['attach']]);
    expect(log.join('\n')).toMatch(/reload failed.*syntax error/);
    await settle();
    expect(events).toEqual(['beforeReload']);
  });

  const lastOfMaster = (): ManagerToMaster | undefined => toMaster.filter(({ type }) => type === 'reloaded').at(-1);

  it.each([
    ['an exit code', 1, 0],
    ['a signal of its own', 0, 11],
    ['an end in order, which nobody asked for', 0, 0],
  ])(
    'of which a ready worker ends by %s, while another boots, leaves the old workers as they are',
    async (_, code, signal) => {
      start();
      const old = [newest(0), newest(1)];
      manager.reload(false, 3);
      await settle();
      newest(0).ready();
      newest(0).die(code, signal);
      expect(started).toHaveLength(4);
      expect([living(0), living(1)]).toEqual([[old[0]], [old[1]]]);
      expect(lastOfMaster()).toEqual({ type: 'reloaded', request: 3, failed: expect.stringMatching(/^worker 0 /) });
      expect(lastOfMaster()).not.toHaveProperty('generation');
      expect([region.isReloading, region.reloads, region.reloadsFailed]).toEqual([false, 0, 1]);
      await settle();
      expect(events).toEqual(['beforeReload']);
    },
  );

  it('replaces a ready worker that is killed from outside while another boots', async () => {
    start();
    await reload();
    newest(0).ready();
    newest(0).die(0, 9);
    expect(living(0)).toHaveLength(2);
    replaceFirstTwo();
    await settle();
    expect(lastOfMaster()).toEqual({ type: 'reloaded', request: 0 });
    expect([region.reloads, region.reloadsFailed]).toEqual([1, 0]);
  });

  it('does not begin to replace while a worker that was ready has told that it dies', async () => {
    start();
    const old = [newest(0), newest(1)];
    await reload();
    newest(0).ready();
    newest(0).tell({ type: 'fatal', error: serializeError(new Error('no database')) });
    newest(1).ready();
    expect(old.map((worker) => worker?.heard)).toEqual([['attach'], ['attach']]);
    newest(0).die(1, 0);
    expect(lastOfMaster()).toMatchObject({ failed: expect.stringContaining('no database') });
    expect([living(0), living(1)]).toEqual([[old[0]], [old[1]]]);
  });

  it('has failed where a new worker crashes before the old ones have ended, with the generation that serves', async () => {
    start();
    manager.reload(false, 4);
    await settle();
    for (const id of [0, 1]) started[id + 2]?.ready();
    for (const id of [0, 1]) started[id]?.report('released');
    started[2]?.die(1, 0);
    started[0]?.die(0, 0);
    expect(lastOfMaster()).toBeUndefined();
    started[1]?.die(0, 0);
    const failed = 'worker 0 exited with code 1';
    expect(lastOfMaster()).toEqual({ type: 'reloaded', request: 4, failed, generation: 1 });
    expect([region.isReloading, region.reloads, region.reloadsFailed]).toEqual([false, 0, 1]);
    expect(log.join('\n')).toMatch(
      /the reload is done, and a new process has crashed since.*worker 0 exited with code 1/,
    );
    await settle();
    expect(events).toEqual(['beforeReload', 'afterReload']);
    expect(living(0).map(({ spec }) => spec.generation)).toEqual([1]);
  });

  it('waits for the end of a new worker that has told that it dies, when the old ones have ended', async () => {
    start();
    await reload();
    for (const id of [0, 1]) started[id + 2]?.ready();
    for (const id of [0, 1]) started[id]?.report('released');
    started[3]?.tell({ type: 'fatal', error: serializeError(new Error('no database')) });
    for (const id of [0, 1]) started[id]?.die(0, 0);
    expect(lastOfMaster()).toBeUndefined();
    started[3]?.die(1, 0);
    expect(lastOfMaster()).toMatchObject({ failed: expect.stringMatching(/worker 1 .*no database/), generation: 1 });
  });

  it('is done where a new worker is replaced because it asks for it', async () => {
    start();
    await reload();
    for (const id of [0, 1]) started[id + 2]?.ready();
    for (const id of [0, 1]) started[id]?.report('released');
    started[0]?.die(0, 0);
    manager.recycle(0, 'maxRequest');
    started[4]?.ready();
    started[2]?.report('released');
    started[2]?.die(0, 0);
    started[1]?.die(0, 0);
    expect(lastOfMaster()).toEqual({ type: 'reloaded', request: 0 });
  });

  it('whose beforeReload never settles fails with a code after bootTimeoutMs, and the next one runs', async () => {
    beforeReload = () => new Promise(() => {});
    start();
    manager.reload(false, 7);
    await settle();
    manager.reload(false, 8);
    clock.advance(9999);
    await settle();
    expect(toMaster.filter(({ type }) => type === 'reloaded')).toEqual([]);
    beforeReload = () => {};
    clock.advance(1);
    await settle();
    const reloaded = toMaster.filter((message) => message.type === 'reloaded');
    expect(reloaded).toEqual([
      { type: 'reloaded', request: 7, failed: expect.stringMatching(/^ERR_RELOAD_CALLBACK: /) },
    ]);
    expect(log.join('\n')).toMatch(/reload failed.*beforeReload callback must be done within 10000 ms/);
    const old = started.slice(0, 2);
    for (const id of [0, 1]) newest(id).ready();
    for (const worker of old) {
      worker.report('released');
      worker.die(0, 0);
    }
    await settle();
    expect(toMaster.at(-1)).toEqual({ type: 'reloaded', request: 8 });
    expect(region.isReloading).toBe(false);
  });

  it('that is late with beforeReload starts nothing when that settles after all', async () => {
    let settleIt = (): void => {};
    beforeReload = () => new Promise<void>((resolve) => (settleIt = resolve));
    start();
    await reload();
    clock.advance(10_000);
    await settle();
    settleIt();
    await settle();
    expect([started.length, region.isReloading]).toEqual([2, false]);
  });

  it('whose afterReload never settles does not keep the next one waiting for ever', async () => {
    afterReload = () => new Promise(() => {});
    start();
    await reload();
    manager.reload();
    replaceFirstTwo();
    await settle();
    expect(events).toEqual(['beforeReload', 'afterReload']);
    clock.advance(10_000);
    await settle();
    expect(events).toEqual(['beforeReload', 'afterReload', 'beforeReload']);
    expect(log.join('\n')).toMatch(/the reload is done.*afterReload callback must be done within 10000 ms/);
  });

  it('is seen by every process while it runs, however it ends', async () => {
    start();
    expect(region.isReloading).toBe(false);
    await reload();
    expect(region.isReloading).toBe(true);
    newest(0).failBoot('syntax error');
    expect(region.isReloading).toBe(false);
    await settle();
    const old = [newest(0), newest(1)];
    await reload();
    for (const id of [0, 1]) newest(id).ready();
    for (const worker of old) worker?.report('released');
    expect(region.isReloading).toBe(true);
    for (const worker of old) worker?.die(0, 0);
    expect(region.isReloading).toBe(false);
  });

  it('asked for during a reload follows it', async () => {
    start();
    await reload();
    manager.reload();
    replaceFirstTwo();
    await settle();
    await settle();
    expect(events).toEqual(['beforeReload', 'afterReload', 'beforeReload']);
    expect(newest(0).spec).toMatchObject({ id: 0, lane: 0, generation: 2 });
  });

  it('is joined by a worker that dies meanwhile: the new one takes its place as soon as it is ready', async () => {
    start();
    await reload();
    started[0]?.die(0, 11);
    expect(living(0)).toHaveLength(1);
    newest(0).ready();
    expect(newest(0).heard).toEqual(['attach']);
    newest(1).ready();
    started[1]?.report('released');
    started[1]?.die(0, 0);
    await settle();
    expect(events).toEqual(['beforeReload', 'afterReload']);
  });
});

describe('replacing one worker', () => {
  it('boots its successor first', () => {
    start();
    const old = newest(1);
    manager.recycle(1);
    expect(old.heard).toEqual(['attach']);
    newest(1).ready();
    expect(old.heard).toEqual(['attach', 'release']);
    old.report('released');
    expect(newest(1).heard).toEqual(['attach']);
    expect(living(0)).toHaveLength(1);
  });
});

describe('the end', () => {
  it('lets workers settle, then stop, then ends itself', async () => {
    start();
    manager.onMessage({ type: 'settle' });
    newest(0).report('settled');
    expect(toMaster.at(-1)).toEqual({ type: 'ready' });
    newest(1).report('settled');
    expect(toMaster.at(-1)).toEqual({ type: 'settled' });
    manager.onMessage({ type: 'stop', deadlineMs: 1000 });
    newest(0).die(0, 0);
    newest(1).die(0, 0);
    await settle();
    expect(events).toEqual(['managerStop']);
    expect(exitCode).toBe(0);
    expect(started).toHaveLength(2);
  });

  it('asks a worker that still boots only when it has taken the packets of its predecessor', () => {
    start();
    newest(1).die(0, 9);
    manager.onMessage({ type: 'settle' });
    newest(0).report('settled');
    expect(newest(1).heard).toEqual([]);
    newest(1).ready();
    expect(newest(1).heard).toEqual(['attach', 'settle']);
    expect(toMaster.at(-1)).toEqual({ type: 'ready' });
    newest(1).report('settled');
    expect(toMaster.at(-1)).toEqual({ type: 'settled' });
  });

  it('does not wait for new workers of a reload: the old ones answer what is left', async () => {
    start();
    const [first, second] = started as [FakeWorker, FakeWorker];
    manager.reload();
    await settle();
    expect(started).toHaveLength(4);
    manager.onMessage({ type: 'settle' });
    for (const worker of started.slice(2)) worker.ready();
    expect(first.heard).toEqual(['attach', 'settle']);
    first.report('settled');
    second.report('settled');
    expect(toMaster.at(-1)).toEqual({ type: 'settled' });
  });

  it('comes by TERM and KILL to workers that do not stop', async () => {
    start();
    manager.onMessage({ type: 'stop', deadlineMs: 1000 });
    clock.advance(1000);
    expect(newest(0).heard).toEqual(['attach', 'stop', 'SIGTERM']);
    clock.advance(500);
    await settle();
    expect(exitCode).toBe(0);
  });

  it('is no news of a worker that was killed as it got ready: it is ended without a line', () => {
    manager.onMessage({ type: 'begin', first: true });
    const late = newest(1);
    late.kill = (signal) => void late.heard.push(signal);
    newest(0).failBoot('no database');
    late.ready();
    late.die(0, 9);
    expect(log.filter((line) => line.includes('did not end in time'))).toEqual([]);
  });

  it('comes within half a second when the master is gone', async () => {
    start();
    manager.orphaned();
    clock.advance(500);
    expect([...living(0), ...living(1)]).toEqual([]);
    await settle();
    expect(exitCode).toBe(0);
  });
});

describe('the states of a worker', () => {
  const states: WorkerState[] = ['booting', 'ready', 'serving', 'releasing', 'draining', 'exited'];
  const legal = [
    ['booting', 'ready'],
    ['booting', 'exited'],
    ['ready', 'serving'], // its turn has come
    ['ready', 'draining'], // not wanted any more
    ['ready', 'exited'],
    ['serving', 'releasing'], // a successor is ready
    ['serving', 'exited'],
    ['releasing', 'draining'], // has let go
    ['releasing', 'exited'],
    ['draining', 'exited'],
  ];

  it.each(states.flatMap((from) => states.map((to) => [from, to] as const)))('from %s to %s', (from, to) => {
    const isLegal = legal.some(([a, b]) => a === from && b === to);
    expect(mayMove(from, to)).toBe(isLegal);
    if (isLegal) expect(move(from, to)).toBe(to);
    else expect(() => move(from, to)).toThrow(`from '${from}' to '${to}'`);
  });
});

describe('the back-off', () => {
  it('does not count what comes from outside', () => {
    const backoff = new Backoff();
    for (const signal of [1, 2, 9, 15, 9, 9, 9]) {
      expect(backoff.ended({ wasReady: true, uptimeMs: 10, exitCode: 0, signal })).toBe(0);
    }
    expect(backoff.ended({ wasReady: false, uptimeMs: 10, exitCode: 0, signal: 9 })).toBe(0);
    expect(backoff.ended({ wasReady: false, uptimeMs: 10, exitCode: 0, signal: 9 })).toBe(100);
    expect(backoff.ended({ wasReady: true, uptimeMs: 10, exitCode: 0, signal: 11 })).toBe(300);
    backoff.reset();
    expect(backoff.ended({ wasReady: true, uptimeMs: 10, exitCode: 1, signal: 0 })).toBe(0);
  });
});

describe('another number of workers', () => {
  const toldLast = (): ManagerToMaster | undefined => toMaster.at(-1);

  it('is told when all of the new ones serve', () => {
    start();
    manager.onMessage({ type: 'scale', workerNum: 4, request: 7 });
    expect(started).toHaveLength(4);
    newest(2).ready();
    expect(toldLast()).toEqual({ type: 'ready' });
    newest(3).ready();
    expect(toldLast()).toEqual({ type: 'scaled', request: 7 });
    expect(newest(3).heard).toEqual(['attach']);
  });

  it('stays as it was when one of the new ones does not boot', () => {
    start();
    manager.onMessage({ type: 'scale', workerNum: 4, request: 7 });
    newest(2).ready();
    newest(3).failBoot('no luck');
    expect(toldLast()).toMatchObject({ type: 'scaled', request: 7, failed: expect.stringMatching(/: no luck$/) });
    expect(newest(2).heard).toEqual(['attach', 'stop']);
    newest(2).die(0, 0);
    clock.advance(60_000);
    expect(started).toHaveLength(4);
  });

  it('lets those that go finish first, and ends them only when it is told to', () => {
    start();
    manager.onMessage({ type: 'withdraw', from: 1 });
    expect(newest(1).heard).toEqual(['attach', 'settle']);
    expect(toldLast()).toEqual({ type: 'ready' });
    newest(1).report('settled');
    expect(toldLast()).toEqual({ type: 'withdrawn' });
    clock.advance(60_000);
    expect(newest(1).heard).toEqual(['attach', 'settle']);
    manager.onMessage({ type: 'scale', workerNum: 1, request: 8 });
    expect(newest(1).heard).toEqual(['attach', 'settle', 'stop']);
    newest(1).die(0, 0);
    expect(toldLast()).toEqual({ type: 'scaled', request: 8 });
    expect(living(1)).toEqual([]);
    expect(started).toHaveLength(2);
  });

  it('replaces one that dies or hangs before it has finished: what is left is not lost', () => {
    start();
    const first = newest(1);
    manager.onMessage({ type: 'withdraw', from: 1 });
    clock.advance(4000);
    expect(first.heard).toEqual(['attach', 'settle', 'SIGTERM', 'SIGKILL']);
    newest(1).ready();
    expect(newest(1).heard).toEqual(['attach', 'settle']);
    newest(1).report('settled');
    expect(toldLast()).toEqual({ type: 'withdrawn' });
  });

  it('starts one that has died with packets left in its ring once more', () => {
    start();
    manager.onMessage({ type: 'withdraw', from: 1 });
    newest(1).report('settled');
    manager.onMessage({ type: 'scale', workerNum: 1, request: 8 });
    drained = false;
    newest(1).die(0, 9);
    clock.advance(1000);
    newest(1).ready();
    expect(newest(1).heard).toEqual(['attach', 'stop']);
    drained = true;
    newest(1).die(0, 0);
    expect(toldLast()).toEqual({ type: 'scaled', request: 8 });
    clock.advance(60_000);
    expect(living(1)).toEqual([]);
  });

  it('waits for a reload, and a reload for it', async () => {
    start();
    manager.reload();
    await settle();
    manager.onMessage({ type: 'scale', workerNum: 3, request: 7 });
    expect(living(2)).toEqual([]);
    const old = [0, 1].map((id) => living(id)[0] as FakeWorker);
    for (const id of [0, 1]) newest(id).ready();
    for (const worker of old) worker.report('released');
    for (const worker of old) worker.die(0, 0);
    expect(living(2)).toHaveLength(1);
    manager.reload(false, 5);
    await settle();
    expect(living(0)).toHaveLength(1);
    newest(2).ready();
    expect(toMaster.filter(({ type }) => type === 'scaled')).toEqual([{ type: 'scaled', request: 7 }]);
    await settle();
    expect(living(0)).toHaveLength(2);
  });

  it('has no part in a reload as far as workers go', async () => {
    start();
    manager.onMessage({ type: 'withdraw', from: 1 });
    newest(1).report('settled');
    manager.reload(false, 5);
    await settle();
    expect(living(0)).toHaveLength(2);
    expect(living(1)).toHaveLength(1);
  });
});

describe('the reasons why processes ended', () => {
  it('are counted', async () => {
    start();
    newest(0).die(0, 9);
    newest(0).ready();
    newest(1).die(3, 0);
    clock.advance(1000);
    newest(1).ready();
    const old = newest(0);
    manager.recycle(0, 'memory');
    newest(0).ready();
    old.report('released');
    old.die(0, 0);
    expect([region.ends('signal'), region.ends('exit'), region.ends('memory'), region.ends('reload')]).toEqual([
      1, 1, 1, 0,
    ]);
  });
});
