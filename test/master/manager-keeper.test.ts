import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { ServerPhase } from '../../src/control/controlled.js';
import { ServerError, serializeError } from '../../src/errors/index.js';
import type { ManagerToMaster, MasterToManager, ProcessEnd } from '../../src/ipc/message.js';
import { CrashWatch } from '../../src/master/crash-watch.js';
import type { ManagerEvents } from '../../src/master/manager-handle.js';
import { ManagerKeeper } from '../../src/master/manager-keeper.js';
import type { ManagerLink } from '../../src/master/mode.js';
import { WorkerBoard, WorkerField } from '../../src/memory/boards.js';
import { Region } from '../../src/memory/region.js';
import { deferred } from '../../src/util/deferred.js';
import { Log } from '../../src/util/log.js';
import { testShape } from '../helpers/test-shape.js';

/** A manager that does only what the test says. */
class FakeManager implements ManagerLink {
  static nextPid = 100;
  readonly pid = FakeManager.nextPid++;
  readonly heard: (MasterToManager['type'] | NodeJS.Signals)[] = [];
  readonly events: ManagerEvents;

  constructor(events: ManagerEvents) {
    this.events = events;
  }

  send(message: MasterToManager): void {
    this.heard.push(message.type);
  }

  kill(signal: NodeJS.Signals): void {
    this.heard.push(signal);
  }
}

const never = new Promise<void>(() => {});

let managers: FakeManager[];
let phase: ServerPhase;
let heard: ManagerToMaster['type'][];
let bootErrors: Error[];
let ends: number;
let told: ProcessEnd[];
let log: string[];
let region: Region;
let board: WorkerBoard;
let crashes: CrashWatch;
let keeper: ManagerKeeper;

const newest = (): FakeManager => managers.at(-1) as FakeManager;

beforeEach(() => {
  [managers, heard, bootErrors, log] = [[], [], [], []];
  phase = 'starting';
  ends = 0;
  told = [];
  region = Region.create(testShape()); // before time stands still: it measures
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
  board = new WorkerBoard(region);
  crashes = new CrashWatch(() => false);
  keeper = new ManagerKeeper({
    region,
    board,
    crashes,
    bootTimeoutMs: 1000,
    log: new Log({ role: 'master', level: 'debug', write: (line) => log.push(line) }),
    start: (events) => {
      managers.push(new FakeManager(events));
      return newest();
    },
    phase: () => phase,
    started: () => {},
    message: (message) => {
      heard.push(message.type);
      if (message.type === 'ended') told.push(message.end);
    },
    ended: () => void ends++,
    bootFailed: (error) => void bootErrors.push(error),
  });
});

afterEach(() => {
  vi.useRealTimers();
});

/** It has come up, and so has the server. */
async function run(): Promise<FakeManager> {
  keeper.start();
  newest().events.message({ type: 'started' });
  await vi.advanceTimersByTimeAsync(0);
  phase = 'running';
  return newest();
}

describe('a manager', () => {
  it('is known by its pid, and begins when it has come up', async () => {
    const manager = await run();
    expect(region.managerPid).toBe(manager.pid);
    expect(manager.heard).toEqual(['begin']);
    expect(keeper.isThere).toBe(true);
    await vi.advanceTimersByTimeAsync(10_000);
    expect(manager.heard).toEqual(['begin']);
  });

  it('that does not come up in time is killed, and fails the start', async () => {
    keeper.start();
    await vi.advanceTimersByTimeAsync(1000);
    expect(newest().heard).toEqual(['SIGKILL']);
    expect(bootErrors).toMatchObject([{ code: 'ERR_BOOT_TIMEOUT' }]);
  });

  it('that dies in the start fails it with its last words, and none follows', async () => {
    keeper.start();
    newest().events.message({ type: 'fatal', error: serializeError(new Error('no wish to live')) });
    newest().events.exit(1, 0, 'on standard error');
    expect(bootErrors[0]).toBeInstanceOf(ServerError);
    expect(bootErrors[0]).toMatchObject({ code: 'ERR_MANAGER_BOOT', cause: { message: 'no wish to live' } });
    await vi.advanceTimersByTimeAsync(10_000);
    expect(managers).toHaveLength(1);
  });

  it('that dies in the start without a word fails it with how alone', async () => {
    keeper.start();
    newest().events.exit(0, 9);
    expect(bootErrors).toEqual([
      expect.objectContaining({ code: 'ERR_MANAGER_BOOT', detail: { exitCode: 0, signal: 'SIGKILL' } }),
    ]);
  });

  it('is killed a second after its last words when it does not end', async () => {
    const manager = await run();
    manager.events.message({ type: 'fatal', error: serializeError(new Error('no')) });
    await vi.advanceTimersByTimeAsync(999);
    expect(manager.heard).toEqual(['begin']);
    await vi.advanceTimersByTimeAsync(1);
    expect(manager.heard).toEqual(['begin', 'SIGKILL']);
  });

  it('that dies is replaced at once the first time, later after longer and longer pauses', async () => {
    await run();
    for (const pauseMs of [0, 200, 1000, 5000, 5000]) {
      const before = managers.length;
      newest().events.exit(0, 9);
      expect(keeper.isThere).toBe(false);
      if (pauseMs > 0) await vi.advanceTimersByTimeAsync(pauseMs - 1);
      if (pauseMs > 0) expect(managers).toHaveLength(before);
      await vi.advanceTimersByTimeAsync(1);
      expect(managers).toHaveLength(before + 1);
      newest().events.message({ type: 'started' });
    }
    expect(ends).toBe(5);
    expect(told).toHaveLength(5);
    expect(told[0]).toMatchObject({
      ...{ kind: 'manager', id: -1, name: 'the manager', cause: 'signal', code: 0, signal: 'SIGKILL', stack: '' },
      ...{ reason: 'the manager was killed by SIGKILL', pid: managers[0]?.pid },
    });
    expect(log[0]).toContain('the manager was killed by SIGKILL; starting another one');
    expect(crashes.loops()).toMatchObject([{ id: -1, name: 'the manager', failures: 5 }]);
  });

  it('that has lived for long is replaced at once', async () => {
    await run();
    for (let times = 0; times < 3; times++) {
      await vi.advanceTimersByTimeAsync(5000);
      newest().events.exit(1, 0);
      await vi.advanceTimersByTimeAsync(1);
      expect(managers).toHaveLength(times + 2);
      newest().events.message({ type: 'started' });
    }
  });

  it('leaves no worker that takes packets', async () => {
    await run();
    board.setField(0, WorkerField.pid, 4711);
    newest().events.exit(1, 0);
    expect(board.field(0, WorkerField.pid)).toBe(0);
  });

  it('that was replaced is not listened to', async () => {
    const old = await run();
    old.events.exit(1, 0);
    await vi.advanceTimersByTimeAsync(1);
    old.events.exit(1, 0);
    expect(keeper.isThere).toBe(true);
    expect(ends).toBe(1);
  });

  it('says all else to the master', async () => {
    (await run()).events.message({ type: 'ready' });
    expect(heard).toEqual(['ready']);
  });
});

describe('the last manager', () => {
  it('is told to stop, killed two seconds after its time, and gone when it has ended', async () => {
    const manager = await run();
    phase = 'shutting down';
    const stopped = keeper.stop(500, never);
    await vi.advanceTimersByTimeAsync(2499);
    expect(manager.heard).toEqual(['begin', 'stop']);
    await vi.advanceTimersByTimeAsync(1);
    expect(manager.heard).toEqual(['begin', 'stop', 'SIGKILL']);
    manager.events.exit(0, 9);
    await Promise.all([stopped, keeper.gone]);
    expect(managers).toHaveLength(1);
  });

  it('that has not begun is killed at once', async () => {
    keeper.start();
    phase = 'shutting down';
    void keeper.stop(500, never);
    expect(newest().heard).toEqual(['SIGKILL', 'stop']);
  });

  it('is told once more when it is to be faster', async () => {
    const manager = await run();
    phase = 'shutting down';
    const hurried = deferred<void>();
    void keeper.stop(10_000, hurried.promise);
    hurried.resolve();
    await vi.advanceTimersByTimeAsync(2099);
    expect(manager.heard).toEqual(['begin', 'stop', 'stop']);
    await vi.advanceTimersByTimeAsync(1);
    expect(manager.heard).toEqual(['begin', 'stop', 'stop', 'SIGKILL']);
  });

  it('cannot be told anything when it is not there', () => {
    expect(keeper.send({ type: 'settle' })).toBe(false);
  });
});
