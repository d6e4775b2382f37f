import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { aloneMode, isAlone } from '../../src/base/alone.js';
import { ServerError } from '../../src/errors/index.js';
import type { OwnDescriptors, SharedDescriptors } from '../../src/ipc/inheritance.js';
import type { ManagerToMaster, ManagerToWorker, MasterToManager } from '../../src/ipc/message.js';
import type { ManagerLink, OwnerParts } from '../../src/master/mode.js';
import { WorkerBoard, WorkerField } from '../../src/memory/boards.js';
import { Region } from '../../src/memory/region.js';
import { resolveOptions, type ServerOptions } from '../../src/options/index.js';
import { Log } from '../../src/util/log.js';
import type { WorkerChannel } from '../../src/worker/run.js';
import { testShape } from '../helpers/test-shape.js';

describe('a server of BASE mode is one process', () => {
  const alone = (given: ServerOptions, userProcesses = 0): boolean =>
    isAlone(resolveOptions({ mode: 'base', workerNum: 1, ...given }), userProcesses);

  it('where it has one worker and nothing else', () => {
    expect(alone({})).toBe(true);
  });

  it.each([
    ['it has a second worker', { workerNum: 2 }],
    ['it has task workers', { taskWorkerNum: 1 }],
    ['its worker is replaced after some requests', { maxRequest: 1 }],
    ['its worker is replaced when it hangs', { workerTimeoutMs: 1000 }],
    ['its worker is replaced when it is too large', { maxMemory: 2 ** 30 }],
    ['its worker is replaced when it is too old', { maxUptimeMs: 1000 }],
    ['it reloads by the clock', { cronReload: '0 4 * * *' }],
    ['its worker gives up rights', { user: 'nobody' }],
    ['its worker changes its group', { group: 'nogroup' }],
    ['its worker lives in another root', { chroot: '/tmp' }],
    ['it is not of BASE mode', { mode: 'process' as const }],
  ])('but not where %s', (_title, given) => {
    expect(alone(given)).toBe(false);
  });

  it("but not where it has a process of the user's own", () => {
    expect(alone({}, 1)).toBe(false);
  });
});

describe('the ports of a server of one process', () => {
  it('are accepted from, or not, as shared memory says, and closed by the worker', async () => {
    const region = Region.create(testShape());
    const told: unknown[] = [];
    const owners = aloneMode({} as Parameters<typeof aloneMode>[0]).createOwners({
      region,
      notifyManager: (message: unknown) => told.push(message),
      closeByManager: async (deadlineMs: number) => void told.push(['close', deadlineMs]),
    } as unknown as OwnerParts);
    owners.accept();
    expect([region.accepting, told]).toEqual([true, [{ type: 'accept' }]]);
    owners.stopAccepting();
    expect(region.accepting).toBe(false);
    await owners.closeAll(5);
    expect(told.slice(1)).toEqual([['close', 5]]);
  });
});

describe('master and worker in one process', () => {
  let region: Region;
  let log: string[];
  /** What the master heard, what the worker heard, and both in order. */
  let toMaster: ManagerToMaster[];
  let toWorker: ManagerToWorker[];
  let exits: number[];
  let own: OwnDescriptors | undefined;
  let channel: WorkerChannel | undefined;
  let workerExits: () => void;
  let boot: () => Promise<void>;
  let manager: ManagerLink;

  const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  const listens = (): void => channel?.listen({ message: (message) => toWorker.push(message), end: () => {} });

  beforeEach(async () => {
    region = Region.create(testShape());
    [log, toMaster, toWorker, exits, own, channel] = [[], [], [], [], undefined, undefined];
    boot = async () => listens();
    const mode = aloneMode({
      log: new Log({ role: 'master', level: 'debug', write: (line) => log.push(line) }),
      region: () => region,
      startWorker: (_shared, given, theirs, exit) => {
        [own, channel, workerExits] = [given, theirs, exit];
        return boot();
      },
    });
    const owners = mode.createOwners({ region, tellManager: () => {} } as unknown as OwnerParts);
    await owners.start([{ type: 'tcp', descriptor: 42, proxied: false }]);
    manager = mode.startManager('', {} as SharedDescriptors, {
      message: (message) => toMaster.push(message),
      exit: (code) => exits.push(code),
    });
  });
  afterEach(() => vi.useRealTimers());

  const say = async (...messages: MasterToManager[]): Promise<void> => {
    for (const message of messages) manager.send(message);
    await settle();
  };
  const begin = async (): Promise<void> => {
    await settle();
    await say({ type: 'begin', first: true });
    channel?.send({ type: 'ready' });
    await settle();
  };

  it('hear each other only after the one who speaks has finished', async () => {
    await settle();
    expect(toMaster).toEqual([{ type: 'started' }]);
    manager.send({ type: 'begin', first: true });
    expect(own).toBeUndefined();
    await settle();
    expect(own).toBeDefined();
    channel?.send({ type: 'ready' });
    expect(toMaster).toHaveLength(1);
  });

  it('begin with the ports themselves, and nobody to hand over to', async () => {
    await begin();
    expect(own).toEqual({ listeners: [42], give: -1, take: -1 });
  });

  it('leave to themselves what is refused before: no worker can be withdrawn, or added', async () => {
    await begin();
    const [before, said] = [toWorker.length, toMaster.length];
    await say({ type: 'withdraw' } as MasterToManager, { type: 'scale' } as MasterToManager);
    expect([toWorker.length, toMaster.length, log]).toEqual([before, said, []]);
  });

  it('are ready when the worker is, which then takes packets and is seen in the figures', async () => {
    await begin();
    expect(toWorker).toEqual([{ type: 'attach' }]);
    expect(toMaster).toEqual([{ type: 'started' }, { type: 'ready' }]);
    const board = new WorkerBoard(region);
    expect(board.field(0, WorkerField.pid)).toBe(process.pid);
    expect(board.startedAt(0)).toBeGreaterThan(0);
    expect(manager.pid).toBe(process.pid);
  });

  it('pass on what the one has to tell the other', async () => {
    await begin();
    await say({ type: 'accept' }, { type: 'settle' }, { type: 'closeAll', deadlineMs: 5 });
    expect(toWorker.map(({ type }) => type)).toEqual(['attach', 'accept', 'settle', 'closeAll']);
    channel?.send({ type: 'settled' });
    channel?.send({ type: 'closed' });
    await settle();
    expect(toMaster.slice(2).map(({ type }) => type)).toEqual(['settled', 'closed']);
  });

  it('say of a boot that fails why, and end', async () => {
    boot = () => Promise.reject(new ServerError('ERR_SHUTTING_DOWN', {}));
    await settle();
    await say({ type: 'begin', first: true });
    expect(toMaster.at(-1)).toMatchObject({ type: 'bootFailed', error: { code: 'ERR_SHUTTING_DOWN' } });
    expect(exits).toEqual([1]);
  });

  it('let a worker that has begun to run, and then fails to boot, leave in order', async () => {
    boot = async () => {
      listens();
      throw new Error('late');
    };
    await settle();
    await say({ type: 'begin', first: true });
    expect(toMaster.at(-1)).toMatchObject({ type: 'bootFailed', error: { message: 'late' } });
    expect(exits).toEqual([]);
  });

  it('do not wait for a boot that may take for ever', async () => {
    boot = () => new Promise(() => {});
    await settle();
    await say({ type: 'begin', first: true }, { type: 'stop', deadlineMs: 1000 });
    expect(exits).toEqual([0]);
  });

  it('end when the worker has, and at the deadline otherwise', async () => {
    await begin();
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    await say({ type: 'stop', deadlineMs: 1000 });
    expect(toWorker.at(-1)).toMatchObject({ type: 'stop' });
    vi.advanceTimersByTime(999);
    expect(exits).toEqual([]);
    vi.advanceTimersByTime(1);
    expect(exits).toEqual([0]);
  });

  it('end as soon as the worker says so', async () => {
    await begin();
    workerExits();
    await settle();
    expect(exits).toEqual([0]);
  });

  it('leave no timer behind when the worker has ended in time', async () => {
    await begin();
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    await say({ type: 'stop', deadlineMs: 1000 });
    workerExits();
    await settle();
    expect(exits).toEqual([0]);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('refuse what needs another process, and say so', async () => {
    await begin();
    await say({ type: 'reload', tasksOnly: false, request: 7 }, { type: 'stopWorker', workerId: 0, why: 'asked' });
    expect(toMaster.at(-1)).toEqual({
      type: 'reloaded',
      request: 7,
      failed: 'the server is one process, and no other process can replace it',
    });
    expect(log).toHaveLength(2);
    expect(toWorker).toEqual([{ type: 'attach' }]);
  });

  it('carry out what user code asks for', async () => {
    await begin();
    channel?.send({ type: 'request', action: 'shutdown' });
    await settle();
    expect(toMaster.at(-1)).toMatchObject({ type: 'request', action: 'shutdown' });
  });
});
