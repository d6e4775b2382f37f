import { beforeEach, describe, expect, it } from 'vitest';
import { serializeError } from '../../src/errors/index.js';
import type { ManagerToMaster, ManagerToWorker, WorkerToManager } from '../../src/ipc/message.js';
import { Backoff } from '../../src/manager/backoff.js';
import { howEnded, reasonOf } from '../../src/manager/end-reason.js';
import { Manager } from '../../src/manager/manager.js';
import type { ManagerParts } from '../../src/manager/manager-parts.js';
import type { WorkerProcess, WorkerProcessEvents, WorkerSpec } from '../../src/manager/worker-handle.js';
import { WorkerBoard, WorkerCounter, WorkerField } from '../../src/memory/boards.js';
import { peerOf } from '../../src/memory/layout.js';
import { Region } from '../../src/memory/region.js';
import { Log } from '../../src/util/log.js';
import { FakeClock } from '../helpers/fake-clock.js';
import { holdBehindAll, isLost } from '../helpers/holders.js';
import { testShape } from '../helpers/test-shape.js';

/** A process that does only what the test says. */
interface FakeProcess extends WorkerProcess {
  readonly spec: WorkerSpec;
  /** Types of messages, and signals. */
  readonly heard: string[];
  readonly messages: ManagerToWorker[];
  say(message: WorkerToManager): void;
  die(exitCode: number, signal: number, wrote?: string): void;
}

let clock: FakeClock;
let region: Region;
let board: WorkerBoard;
let started: FakeProcess[];
let toMaster: ManagerToMaster[];
let calls: unknown[][];
let log: string[];
let manager: Manager;
let nextPid: number;

function fakeProcess({ id, role, name, lane, generation }: WorkerSpec, events: WorkerProcessEvents): FakeProcess {
  let gone = false;
  const made: FakeProcess = {
    ...{ pid: nextPid++, spec: { id, role, name, lane, generation }, heard: [], messages: [] },
    send(message) {
      made.heard.push(message.type);
      made.messages.push(message);
    },
    kill(signal) {
      made.heard.push(signal);
    },
    say: (message) => events.message(message),
    die(exitCode, signal, wrote) {
      if (gone) return;
      gone = true;
      started = started.filter((one) => one !== made);
      events.exit(exitCode, signal, wrote);
    },
  };
  started.push(made);
  return made;
}

/** Worker 0 and 1, task worker 2, user process 3. */
function makeManager(more: Partial<ManagerParts> = {}): Manager {
  region = Region.create(testShape({ workerNum: 2, taskWorkerNum: 1, userProcessNum: 1 }));
  board = new WorkerBoard(region);
  return new Manager({
    processes: [
      { role: 'worker', name: 'worker 0' },
      { role: 'worker', name: 'worker 1' },
      { role: 'task', name: 'task worker 2' },
      { role: 'user', name: 'process 3' },
    ],
    ...{ maxWaitMs: 3000, bootTimeoutMs: 10_000, region, board, clock },
    log: new Log({ role: 'manager', level: 'debug', write: (line) => log.push(line) }),
    callbacks: {},
    spawn: fakeProcess,
    starvedMs: () => 0,
    recover: (dead) => calls.push(['recover', dead]),
    recoverAll: () => calls.push(['recoverAll']),
    isDrained: () => true,
    profile: (order) => calls.push(['profile', order]),
    notifyMaster: (message) => toMaster.push(message),
    ended: () => {},
    exit: (code) => calls.push(['exit', code]),
    ...more,
  });
}

beforeEach(() => {
  clock = new FakeClock();
  nextPid = 100;
  [started, toMaster, calls, log] = [[], [], [], []];
  manager = makeManager();
});

const of = (id: number): FakeProcess[] => started.filter(({ spec }) => spec.id === id);
const newest = (id: number): FakeProcess => of(id).at(-1) as FakeProcess;
const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const told = (type: ManagerToMaster['type']): ManagerToMaster[] => toMaster.filter((message) => message.type === type);

function start(): void {
  manager.onMessage({ type: 'begin', first: true });
  for (const one of [...started]) one.say({ type: 'ready' });
  for (const one of started) one.heard.splice(0);
}

describe('processes', () => {
  it('are started for each id, by its role, and taken for started when all serve', () => {
    manager.onMessage({ type: 'begin', first: true });
    expect(started.map(({ spec }) => [spec.role, spec.id, spec.lane])).toEqual([
      ['worker', 0, 0],
      ['worker', 1, 0],
      ['task', 2, 0],
      ['user', 3, 0],
    ]);
    expect([0, 1, 2, 3].map((id) => board.processes(id))).toEqual([[100], [101], [102], [103]]);
    for (const id of [0, 1, 2]) newest(id).say({ type: 'ready' });
    expect(toMaster).toEqual([]);
    newest(3).say({ type: 'ready' });
    expect(toMaster).toEqual([{ type: 'ready' }]);
    expect(calls).toEqual([]);
  });

  it('are watched once they are ready, but for those of the user', () => {
    manager.onMessage({ type: 'begin', first: true });
    expect(manager.watched).toEqual([]);
    for (const one of [...started]) one.say({ type: 'ready' });
    expect(manager.watched.map(({ name }) => name)).toEqual(['worker 0', 'worker 1', 'task worker 2']);
  });

  it('that a new manager starts are not waited for, and what the one before has left is looked after first', () => {
    manager.onMessage({ type: 'begin', first: false });
    expect([toMaster, calls]).toEqual([[{ type: 'ready' }], [['recoverAll']]]);
    newest(0).die(1, 0);
    expect([told('bootFailed'), of(0).length]).toEqual([[], 1]);
  });

  it('that accept by themselves are told when they may, those that serve', () => {
    start();
    manager.onMessage({ type: 'accept' });
    expect([0, 1, 2, 3].map((id) => newest(id).heard)).toEqual([['accept'], ['accept'], [], []]);
  });

  it('may be asked for a profile, and this one too', () => {
    start();
    const order = { request: 7, kind: 'cpu' as const, durationMs: 1, path: '' };
    manager.onMessage({ type: 'profile', workerId: 2, profile: order });
    expect(newest(2).messages.at(-1)).toEqual({ type: 'profile', profile: order });
    manager.onMessage({ type: 'profile', workerId: -1, profile: order });
    expect(calls).toEqual([['profile', order]]);
    manager.onMessage({ type: 'profile', workerId: 4, profile: order });
    expect(toMaster.at(-1)).toEqual({ type: 'profiled', request: 7, failed: 'there is no such process now' });
    const answer = { type: 'profiled' as const, request: 7, pieces: [] };
    newest(2).say(answer);
    expect(toMaster.at(-1)).toBe(answer);
  });

  it('that end leave no profile unanswered', () => {
    start();
    const order = { kind: 'cpu' as const, durationMs: 1, path: '' };
    for (const request of [7, 8]) manager.onMessage({ type: 'profile', workerId: 0, profile: { ...order, request } });
    const process = newest(0);
    process.say({ type: 'profiled', request: 7, pieces: [] });
    toMaster.length = 0;
    process.die(0, 9);
    const failed = 'worker 0 was killed by SIGKILL before its profile was complete';
    expect(toMaster.filter(({ type }) => type === 'profiled')).toEqual([{ type: 'profiled', request: 8, failed }]);
  });

  it('may say something to the master that is of no matter here', () => {
    start();
    const report = { type: 'cluster' as const, said: { say: 'nodes' } };
    newest(2).say(report);
    expect(toMaster.at(-1)).toBe(report);
  });

  it('may ask for what the master does', () => {
    start();
    newest(0).say({ type: 'request', action: 'shutdown' });
    expect(toMaster.at(-1)).toEqual({ type: 'request', action: 'shutdown' });
  });
});

describe('a process that ends', () => {
  it('by its own fault is told to the master with its reason, and what comes of it', () => {
    start();
    newest(0).say({ type: 'fatal', error: serializeError(new TypeError('broken.')) });
    newest(0).die(1, 0);
    const usual = { id: 0, name: 'worker 0', nextInMs: 0, healthyAfterMs: 5000 };
    const reason = 'worker 0 exited with code 1: TypeError: broken';
    expect(told('crashed')).toEqual([{ type: 'crashed', crash: { ...usual, failures: 1, reason } }]);
    expect(log.at(-1)).toMatch(/warn .* worker 0 exited with code 1; starting another one childPid=100 .*broken/);
    newest(0).die(7, 0, 'it wrote this');
    const wrote = 'worker 0 exited with code 7 before it was ready\nIt wrote to standard error:\nit wrote this';
    expect(told('crashed').at(-1)).toEqual({
      type: 'crashed',
      crash: { ...usual, failures: 2, nextInMs: 100, reason: wrote },
    });
    expect(log.at(-1)).toMatch(/starting another one in 100 ms/);
    expect(of(0)).toEqual([]);
    clock.advance(99);
    expect(of(0)).toEqual([]);
    clock.advance(1);
    expect(of(0)).toHaveLength(1);
  });

  it('is missed where it held something for a connection without a place in its record, before its death is told', () => {
    start();
    const deaths = holdBehindAll(region, peerOf(2, 0));
    newest(2).die(0, 9);
    expect([isLost(region), region.deaths]).toEqual([true, deaths + 1]);
  });

  it('is not missed there when it was another one', () => {
    start();
    holdBehindAll(region, peerOf(2, 0));
    newest(1).die(0, 9);
    expect(isLost(region)).toBe(false);
  });

  it('leaves nothing of itself in shared memory', () => {
    start();
    const fields = [WorkerField.busy, WorkerField.pending, WorkerField.room] as const;
    for (const field of fields) board.setField(2, field, 5);
    region.float64[board.counterIndex(2, 0) + WorkerCounter.held] = 9;
    newest(2).die(3, 0);
    expect(fields.map((field) => board.field(2, field))).toEqual([0, 0, 0]);
    expect(board.read(2, WorkerCounter.held)).toBe(0);
    expect(
      [WorkerField.lastExitCode, WorkerField.lastSignal, WorkerField.restarts].map((f) => board.field(2, f)),
    ).toEqual([3, 0, 1]);
    expect(board.field(2, WorkerField.pid)).toBe(0);
    newest(2).say({ type: 'ready' });
    expect(board.field(2, WorkerField.pid)).toBe(newest(2).pid);
    newest(2).die(0, 11);
    expect(
      [WorkerField.lastExitCode, WorkerField.lastSignal, WorkerField.restarts].map((f) => board.field(2, f)),
    ).toEqual([0, 11, 2]);
    expect([region.deaths, region.ends('exit'), region.ends('signal')]).toEqual([2, 1, 1]);
    expect(calls).toEqual([
      ['recover', { pid: expect.any(Number), id: 2, lane: 0, wasServing: true, exitCode: 3, signal: 0, why: '' }],
      ['recover', { pid: expect.any(Number), id: 2, lane: 0, wasServing: true, exitCode: 0, signal: 11, why: '' }],
    ]);
  });

  it('in its boot, while the server is up, is counted as that', () => {
    start();
    newest(1).die(1, 0);
    newest(1).die(1, 0);
    expect([region.ends('exit'), region.ends('boot')]).toEqual([1, 1]);
    expect(calls.at(-1)).toEqual([
      'recover',
      { pid: expect.any(Number), id: 1, lane: 0, wasServing: false, exitCode: 1, signal: 0, why: '' },
    ]);
  });

  it('tells what it was ended for, unless that was its own fault', async () => {
    start();
    const whys = (): unknown[] => calls.map(([, dead]) => (dead as { why: string }).why);
    const [asked, hung] = [newest(2), newest(0)];
    manager.onMessage({ type: 'stopWorker', workerId: 2, why: 'maxUptime' });
    newest(2).say({ type: 'ready' });
    asked.die(0, 9);
    const handle = manager.watched.find(({ id }) => id === 0);
    if (handle !== undefined) handle.reason = 'hang';
    hung.die(0, 9);
    newest(0).say({ type: 'ready' });
    manager.reload();
    await settle();
    for (const id of [0, 1, 2, 3]) newest(id).say({ type: 'ready' });
    of(1)[0]?.die(0, 15);
    manager.orphaned();
    newest(2).die(0, 15);
    expect(whys()).toEqual(['maxUptimeMs', '', 'a reload', 'the end of the server']);
  });

  it('says nothing more, whatever comes of it', () => {
    start();
    const worker = newest(0);
    worker.die(0, 9);
    toMaster = [];
    worker.say({ type: 'request', action: 'shutdown' });
    worker.say({ type: 'profiled', request: 1 });
    expect(toMaster).toEqual([]);
  });

  it('after its last words, is killed two seconds later', () => {
    start();
    const worker = newest(0);
    worker.say({ type: 'fatal', error: serializeError(new Error('broken')) });
    clock.advance(1999);
    expect(worker.heard).toEqual([]);
    clock.advance(1);
    expect(worker.heard).toEqual(['SIGKILL']);
    clock.advance(500);
    expect(log.join('\n')).toContain('worker 0 is not ended by SIGKILL childPid=100');
  });

  it('is told to the user where it was a failure, whatever that callback does', async () => {
    const infos: unknown[] = [];
    const throwing = makeManager({
      callbacks: {
        managerStart: () => Promise.reject(new Error('of the start')),
        workerError: (info) => {
          infos.push(info);
          throw new Error('of the callback');
        },
      },
    });
    manager = throwing;
    start();
    clock.advance(50);
    newest(0).die(0, 0);
    newest(1).die(0, 11);
    await settle();
    expect(infos).toEqual([{ workerId: 1, pid: 101, exitCode: 0, signal: 'SIGSEGV', signalNumber: 11, uptimeMs: 50 }]);
    expect(log.join('\n')).toMatch(/'managerStart' callback failed .*of the start/);
    expect(log.join('\n')).toMatch(/'workerError' callback failed .*of the callback/);
  });
});

describe('another process in place of one', () => {
  it('that does not boot leaves it where it is', () => {
    start();
    const serving = newest(0);
    manager.onMessage({ type: 'stopWorker', workerId: 0, why: 'memory' });
    expect([of(0).length, newest(0).spec.lane]).toEqual([2, 1]);
    newest(0).die(1, 0);
    expect([serving.heard, of(0).length]).toEqual([['goOn'], 1]);
    expect(log.at(-1)).toContain('the one it was to replace goes on serving');
    clock.advance(60_000);
    expect(of(0)).toHaveLength(1);
  });

  it('comes for a task worker and a process of the user too', () => {
    start();
    for (const id of [2, 3]) manager.recycle(id);
    for (const id of [2, 3]) newest(id).say({ type: 'ready' });
    for (const id of [2, 3]) expect(of(id)[0]?.messages.at(-1)).toEqual({ type: 'release', deadlineMs: 3000 });
  });

  it('is for no id that there is not, nor twice', () => {
    start();
    manager.recycle(4);
    manager.recycle(0);
    manager.recycle(0);
    expect([started.length, of(0).length]).toEqual([5, 2]);
  });

  const asksFor = (one: FakeProcess, why: 'memory' | 'maxUptime'): void =>
    one.say({ type: 'request', action: 'stopWorker', workerId: one.spec.id, why });

  it.each(['memory', 'maxUptime'] as const)('is not for its successor where one that leaves asks for it: %s', (why) => {
    start();
    const old = newest(0);
    asksFor(old, why);
    newest(0).say({ type: 'ready' });
    expect(old.heard).toEqual(['release']);
    asksFor(old, why);
    old.say({ type: 'released' });
    expect(newest(0).heard).toEqual(['attach']);
    asksFor(old, why);
    expect(of(0)).toHaveLength(2);
  });

  it('comes after growing pauses where each has more memory than it may, as soon as it serves', () => {
    start();
    const pauses: number[] = [];
    for (let turn = 0; turn < 5; turn++) {
      const old = newest(0);
      clock.advance(1000);
      asksFor(old, 'memory');
      const asked = clock.now();
      while (of(0).length === 1 && clock.now() < asked + 60_000) clock.advance(50);
      pauses.push(clock.now() - asked);
      clock.advance(7000); // its boot does not count
      newest(0).say({ type: 'ready' });
      old.say({ type: 'released' });
      old.die(0, 0);
    }
    expect(pauses).toEqual([0, 100, 300, 1000, 3000]);
    expect(log.join('\n')).toMatch(/worker 0 asks again to be replaced soon after it began to serve/);
    clock.advance(5000);
    asksFor(newest(0), 'memory');
    expect(of(0)).toHaveLength(2);
  });

  it('comes at the end of its pause, also where it is asked for once more meanwhile', () => {
    start();
    for (let turn = 0; turn < 4; turn++) {
      const old = newest(0);
      asksFor(old, 'memory');
      clock.advance(1000);
      newest(0).say({ type: 'ready' });
      old.say({ type: 'released' });
      old.die(0, 0);
    }
    asksFor(newest(0), 'memory');
    clock.advance(2000);
    asksFor(newest(0), 'memory');
    clock.advance(999);
    expect(of(0)).toHaveLength(1);
    clock.advance(1);
    expect(of(0)).toHaveLength(2);
  });

  it('which asks for it while it boots, comes when it serves', () => {
    start();
    newest(0).die(0, 9);
    newest(0).say({ type: 'request', action: 'stopWorker', workerId: 0, why: 'maxRequest' });
    expect(of(0)).toHaveLength(1);
    newest(0).say({ type: 'ready' });
    expect(of(0)).toHaveLength(2);
  });

  it('is not asked for twice by another while it boots, and serves on', () => {
    start();
    newest(0).die(0, 9);
    newest(1).say({ type: 'request', action: 'stopWorker', workerId: 0, why: 'asked' });
    newest(0).say({ type: 'ready' });
    expect(of(0)).toHaveLength(2);
    newest(1).say({ type: 'request', action: 'stopWorker', workerId: 0, why: 'asked' });
    newest(0).say({ type: 'ready' });
    const [old] = of(0) as [FakeProcess];
    old.say({ type: 'released' });
    old.die(0, 0);
    expect(of(0)).toHaveLength(1);
    expect(region.ends('asked')).toBe(1);
  });

  it('comes for all by a reload that a worker asks for', async () => {
    start();
    newest(0).say({ type: 'request', action: 'reload', tasksOnly: true });
    await settle();
    expect([0, 1, 2, 3].map((id) => of(id).length)).toEqual([1, 1, 2, 1]);
  });
});

describe('the end of all', () => {
  it('is in order: workers settle before task workers, and stop before them', async () => {
    start();
    manager.onMessage({ type: 'settle' });
    expect([0, 1, 2, 3].map((id) => newest(id).heard)).toEqual([['settle'], ['settle'], [], ['settle']]);
    for (const id of [0, 1]) newest(id).say({ type: 'settled' });
    expect([told('settled'), newest(2).heard]).toEqual([[], ['settle']]);
    newest(2).say({ type: 'settled' });
    expect(told('settled')).toHaveLength(1);
    manager.onMessage({ type: 'stop', deadlineMs: 1000 });
    expect([0, 1, 2, 3].map((id) => newest(id).heard.at(-1))).toEqual(['stop', 'stop', 'settle', 'stop']);
    expect(newest(0).messages.at(-1)).toEqual({ type: 'stop', deadlineMs: 1000 });
    clock.advance(950);
    for (const id of [0, 1, 3]) newest(id).die(0, 0);
    expect(newest(2).messages.at(-1)).toEqual({ type: 'stop', deadlineMs: 100 });
    newest(2).die(0, 0);
    await settle();
    expect(calls.at(-1)).toEqual(['exit', 0]);
    expect([region.ends('exit'), region.deaths]).toEqual([0, 4]);
  });

  it('comes although the callback for it fails', async () => {
    manager = makeManager({ callbacks: { managerStop: () => Promise.reject(new Error('of the stop')) } });
    manager.onMessage({ type: 'stop', deadlineMs: 1000 });
    await settle();
    expect([calls.at(-1), log.join('\n')]).toEqual([['exit', 0], expect.stringContaining('of the stop')]);
  });

  it('closes connections first where workers own them', () => {
    start();
    manager.onMessage({ type: 'closeAll', deadlineMs: 700 });
    expect(newest(1).messages.at(-1)).toEqual({ type: 'closeAll', deadlineMs: 700 });
    expect(newest(2).heard).toEqual([]);
    newest(0).say({ type: 'closed' });
    expect(told('closed')).toEqual([]);
    newest(1).say({ type: 'closed' });
    newest(1).say({ type: 'closed' });
    expect(told('closed')).toHaveLength(1);
  });

  it('takes no reload, no replacement and no other number of workers any more', () => {
    start();
    manager.shutdownAsked();
    expect(toMaster.at(-1)).toEqual({ type: 'request', action: 'shutdown' });
    manager.reload(false, 9);
    expect(toMaster.at(-1)).toEqual({ type: 'reloaded', request: 9, failed: 'the server is shutting down' });
    manager.recycle(0);
    manager.onMessage({ type: 'scale', workerNum: 1, request: 3 });
    expect([started.length, told('scaled'), newest(1).heard]).toEqual([4, [], []]);
  });

  it('of a number of workers waits for a reload, and is what was asked for last', async () => {
    start();
    manager.reload();
    await settle();
    manager.onMessage({ type: 'scale', workerNum: 1, request: 3 });
    expect([told('scaled'), newest(1).heard]).toEqual([[], []]);
    const old = [0, 1, 2, 3].map((id) => of(id)[0] as FakeProcess);
    for (const id of [0, 1, 2, 3]) newest(id).say({ type: 'ready' });
    for (const one of old) one.say({ type: 'released' });
    for (const one of old) one.die(0, 0);
    expect(told('reloaded')).toEqual([{ type: 'reloaded', request: 0 }]);
    expect(newest(1).heard).toEqual(['attach', 'stop']);
    newest(1).die(0, 0);
    expect(told('scaled')).toEqual([{ type: 'scaled', request: 3 }]);
    expect([region.reloads, region.reloadsFailed, region.generation]).toEqual([1, 0, 1]);
  });

  it('is at once for one that boots, and when the master is gone, by signals', () => {
    start();
    newest(0).die(0, 9);
    const [booting, serving] = [newest(0), newest(1)];
    manager.orphaned();
    expect([booting.heard, serving.messages.at(-1)]).toEqual([['stop', 'SIGKILL'], { type: 'stop', deadlineMs: 300 }]);
    expect(newest(2).heard).toContain('stop');
    clock.advance(300);
    expect(serving.heard.at(-1)).toBe('SIGTERM');
    clock.advance(199);
    expect(serving.heard.at(-1)).toBe('SIGTERM');
    clock.advance(1);
    expect(serving.heard.at(-1)).toBe('SIGKILL');
  });
});

describe('the pause before a process is started again', () => {
  const crash = { wasReady: true, exitCode: 1, signal: 0, uptimeMs: 4999 };

  it('grows to half a minute', () => {
    const backoff = new Backoff();
    const delays = Array.from({ length: 10 }, () => backoff.ended(crash));
    expect(delays).toEqual([0, 100, 300, 1000, 3000, 9000, 27_000, 30_000, 30_000, 30_000]);
    expect(backoff.failures).toBe(10);
  });

  it('begins again after one that lived five seconds', () => {
    const backoff = new Backoff();
    for (let i = 0; i < 3; i++) backoff.ended(crash);
    expect(backoff.ended({ ...crash, uptimeMs: 5000 })).toBe(0);
    expect([backoff.failures, backoff.ended(crash)]).toEqual([1, 100]);
  });

  it.each([
    ['killed from outside', { ...crash, exitCode: 0, signal: 15 }, 0],
    ['killed from outside while it boots', { ...crash, exitCode: 0, signal: 9, wasReady: false }, 1],
    ['killed by its own fault', { ...crash, exitCode: 0, signal: 11 }, 1],
    ['left in order, late', { ...crash, exitCode: 0, uptimeMs: 5000 }, 0],
    ['left in order, early', { ...crash, exitCode: 0 }, 1],
    ['not booted, however late', { ...crash, exitCode: 0, wasReady: false, uptimeMs: 50_000 }, 1],
  ])('counts the one that was %s', (_, end, failures) => {
    const backoff = new Backoff();
    expect(backoff.ended(end)).toBe(0);
    expect(backoff.failures).toBe(failures);
  });
});

describe('how a process has ended', () => {
  const usual = {
    ...{ name: 'worker 0', exitCode: 0, signal: 0, wasReady: true, overdue: undefined, sentSignal: undefined },
    ...{ lastError: undefined, wrote: '' },
  };

  it.each([
    [{ exitCode: 3 }, 'exited with code 3'],
    [{ signal: 9 }, 'was killed by SIGKILL'],
    [{ exitCode: 3, wasReady: false }, 'exited with code 3 before it was ready'],
    [{ overdue: 'did not end in time', sentSignal: 'SIGKILL' }, 'did not end in time and was killed by SIGKILL'],
    [{ overdue: 'did not end in time', sentSignal: 'SIGTERM' }, 'did not end in time and was ended by SIGTERM'],
    [{ overdue: 'did not become ready in time' }, 'did not become ready in time and was ended by a signal'],
  ] as const)('%j: it %s', (more, sentence) => {
    expect(howEnded({ ...usual, ...more })).toBe(sentence);
  });

  it('is told with all causes', () => {
    const cause = serializeError(new TypeError('below.'));
    const lastError = { ...serializeError(new Error('above')), cause };
    expect(reasonOf({ ...usual, exitCode: 1, lastError, wrote: 'text' })).toBe(
      'worker 0 exited with code 1: Error: above\n  because: TypeError: below\nIt wrote to standard error:\ntext',
    );
    expect(reasonOf({ ...usual, lastError: { ...cause, name: 'ServerError', code: 'ERR_X' } })).toContain(
      ': ERR_X: below',
    );
  });
});
