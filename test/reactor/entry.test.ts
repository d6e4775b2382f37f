import { EventEmitter } from 'node:events';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Overload } from '../../src/ipc/overload.js';
import type { PollerHandler } from '../../src/os/poller.js';
import type { FromReactor, ToReactor } from '../../src/reactor/thread-message.js';

/** The thread, and the reactor in it. */
const thread = vi.hoisted(() => ({
  data: {} as Record<string, unknown>,
  port: null as unknown,
  parts: {} as {
    strategy: unknown;
    createPoller(handler: unknown): unknown;
    onRefused(sessionId: number, code: number, message: string, client?: string): void;
    onOverload(overload: Overload): void;
    onBrokenSender(worker: number): void;
  },
  calls: [] as unknown[][],
  cores: [] as number[],
  names: [] as string[],
  pollers: [] as unknown[][],
  renew: (): void => {},
}));
vi.mock('node:worker_threads', async (original) => ({
  ...(await original<typeof import('node:worker_threads')>()),
  get parentPort() {
    return thread.port;
  },
  get workerData() {
    return thread.data;
  },
}));
vi.mock('../../src/os/privileges.js', () => ({ runOnCore: (core: number) => thread.cores.push(core) }));
vi.mock('../../src/os/process.js', () => ({ setThreadName: (name: string) => thread.names.push(name) }));
vi.mock('../../src/os/create-poller.js', () => ({
  createBlockingPoller: (...given: unknown[]) => thread.pollers.push(given),
}));
vi.mock('../../src/memory/region.js', () => ({ Region: { open: () => ({}) } }));
vi.mock('../../src/memory/process-board.js', () => ({ ProcessRecord: { ofReactor: () => ({}) } }));
vi.mock('../../src/memory/check-in.js', () => ({
  CheckIn: class {
    readonly start = (): void => void thread.calls.push(['checkIn']);
  },
}));
vi.mock('../../src/reactor/assemble.js', () => {
  const note =
    (name: string) =>
    (...given: unknown[]): void => {
      thread.calls.push([name, ...given.filter((one) => typeof one !== 'function')]);
      for (const one of given) if (typeof one === 'function') one();
    };
  const reactor = Object.fromEntries(
    ['stop', 'quiesce', 'closeAll', 'useWorkers', 'withhold', 'rebind'].map((name) => [name, note(name)]),
  );
  return {
    loadModules: () => Promise.resolve({}),
    assembleReactor: (parts: typeof thread.parts) => {
      thread.parts = parts;
      return { ...reactor, renewTls: () => thread.renew() };
    },
  };
});

class Port extends EventEmitter {
  readonly sent: FromReactor[] = [];
  isClosed = false;
  postMessage(message: FromReactor): void {
    this.sent.push(message);
  }
  close(): void {
    this.isClosed = true;
  }
}

let port: Port;
let exitFlag: Int32Array<SharedArrayBuffer>;
beforeEach(() => {
  port = thread.port = new Port();
  exitFlag = new Int32Array(new SharedArrayBuffer(8));
  thread.data = {
    ...{
      id: 1,
      region: 9,
      bells: [],
      options: { ports: [], accessLog: null },
      dispatchMode: 'idle',
      backend: 'epoll',
      core: -1,
    },
    exitFlag: exitFlag.buffer,
  };
  for (const list of [thread.calls, thread.cores, thread.names, thread.pollers]) list.length = 0;
  thread.renew = () => void thread.calls.push(['renewTls']);
  vi.resetModules();
});
afterEach(() => vi.restoreAllMocks());

const begin = (): Promise<unknown> => import('../../src/reactor/entry.js');
const tell = (message: ToReactor): boolean => port.emit('message', message);

describe('a reactor thread', () => {
  it('says when it is ready, under its name', async () => {
    await begin();
    expect(thread.names).toEqual(['reactor 1']);
    expect(thread.cores).toEqual([]);
    expect(thread.calls).toEqual([['checkIn']]);
    expect(port.sent).toEqual([{ type: 'ready', poller: 'epoll' }]);
    expect(thread.parts).toMatchObject({ id: 1, takesDatagrams: false, strategy: { keepsUnused: false } });
  });

  it('runs on its core, and reads datagrams where it is the first', async () => {
    Object.assign(thread.data, { id: 0, core: 0 });
    await begin();
    expect(thread.cores).toEqual([0]);
    expect(thread.parts).toMatchObject({ id: 0, takesDatagrams: true });
  });

  it.each<[ToReactor, unknown[], FromReactor | undefined]>([
    [{ type: 'quiesce' }, ['quiesce'], { type: 'quiet' }],
    [{ type: 'closeAll', deadlineMs: 5 }, ['closeAll', 5], { type: 'closed' }],
    [{ type: 'renewTls' }, ['renewTls'], { type: 'renewed' }],
    [{ type: 'useWorkers', workerNum: 2 }, ['useWorkers', 2], undefined],
    [{ type: 'withhold', from: 3 }, ['withhold', 3], { type: 'withheld' }],
    [{ type: 'rebind' }, ['rebind'], { type: 'rebound' }],
  ])('does as the master says, and reports it: %j', async (message, call, answer) => {
    await begin();
    tell(message);
    expect(thread.calls.slice(1)).toEqual([call]);
    expect(port.sent.slice(1)).toEqual(answer === undefined ? [] : [answer]);
    expect(port.isClosed).toBe(false);
  });

  it('ends when it is told to, and says so in memory, where the master may wait', async () => {
    await begin();
    const notify = vi.spyOn(Atomics, 'notify');
    tell({ type: 'stop' });
    expect(notify).toHaveBeenCalledWith(exitFlag, 1);
    expect(thread.calls.slice(1)).toEqual([['stop']]);
    expect([port.isClosed, exitFlag[1]]).toEqual([true, 1]);
  });

  it('closes its poller, at its next turn, when the process exits at once', async () => {
    await begin();
    const turns: unknown[] = [];
    const handler = {
      ready: (...given: unknown[]) => turns.push(given),
      turnEnd: () => turns.push('end'),
    } as unknown as PollerHandler;
    thread.parts.createPoller(handler);
    const [backend, watched] = thread.pollers[0] as [string, PollerHandler];
    watched.ready(1, 2, 3);
    watched.turnEnd();
    expect([backend, turns]).toEqual(['epoll', [[1, 2, 3], 'end']]);
    exitFlag[0] = 1;
    watched.turnEnd();
    expect(turns).toHaveLength(2);
    expect([thread.calls.at(-1), exitFlag[1]]).toEqual([['stop'], 1]);
  });

  it('reports clients it has refused, pauses, senders that are broken, and certificates that are no good', async () => {
    const readsOn: Overload = { state: 'reads on', reactor: 1, pausedMs: 5, heldBytes: 7, mostBytes: 9 };
    await begin();
    thread.parts.onRefused(7, 4, 'why', '10.0.0.1:4711');
    thread.parts.onOverload(readsOn);
    thread.parts.onBrokenSender(2);
    for (const thrown of [new Error('no key'), 'odd']) {
      thread.renew = () => {
        throw thrown;
      };
      tell({ type: 'renewTls' });
    }
    expect(port.sent.slice(1)).toEqual([
      { type: 'refused', sessionId: 7, code: 4, message: 'why', client: '10.0.0.1:4711', others: 0 },
      { type: 'overload', overload: readsOn },
      { type: 'brokenSender', worker: 2 },
      { type: 'notRenewed', why: 'no key' },
      { type: 'notRenewed', why: 'odd' },
    ]);
  });

  it('is no program of its own', async () => {
    thread.port = null;
    await expect(begin()).rejects.toThrow(/started by the master/);
  });
});
