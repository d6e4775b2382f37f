import { closeSync, fstatSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { BaseSockets, type BaseSocketsParts } from '../../src/base/own-sockets.js';
import { Turns } from '../../src/base/turns.js';
import { createBells, workerBell } from '../../src/ipc/bells.js';
import { Reply } from '../../src/ipc/reply.js';
import { Sleeper } from '../../src/ipc/sleep.js';
import { type BoundPort, bindPort, listenOn } from '../../src/listen/bind-port.js';
import { ReactorBoard, WorkerBoard, WorkerField } from '../../src/memory/boards.js';
import { ConnectionTable } from '../../src/memory/connection-table.js';
import { Region } from '../../src/memory/region.js';
import { reactorOptions } from '../../src/options/for-reactor.js';
import { resolveListen, resolveOptions } from '../../src/options/index.js';
import { createPoller } from '../../src/os/create-poller.js';
import { createMessagePair } from '../../src/os/descriptor-passing.js';
import type { DoorbellDescriptors } from '../../src/os/doorbell.js';
import type { Poller } from '../../src/os/poller.js';
import { loadModules } from '../../src/reactor/assemble.js';
import { Log } from '../../src/util/log.js';
import { closeDoorbell, readableNow } from '../helpers/doorbell.js';
import { eventually } from '../helpers/eventually.js';
import { openDescriptors } from '../helpers/leaks.js';
import { testShape } from '../helpers/test-shape.js';

/** A worker that takes nothing: what matters here are the connections. */
const idle = { hasWork: false, ready() {}, turnEnd() {} };
const options = resolveOptions({ mode: 'base', workerNum: 1, port: 0 });
const listens = [resolveListen({ port: 0 }, options)];
const forReactor = reactorOptions(options, listens, [-1], () => -1);

let before: string[];
let region: Region;
let bells: DoorbellDescriptors[];
let pair: [number, number];
let port: BoundPort;
let clients: Socket[];
let log: string[];
let pollers: Poller[];

beforeEach(async () => {
  before = openDescriptors();
  [clients, log, pollers] = [[], [], []];
  region = Region.create(testShape({ ringBytes: 65_536 }));
  new WorkerBoard(region).setField(0, WorkerField.pid, process.pid);
  bells = createBells(region.shape);
  pair = createMessagePair();
  port = await bindPort({ ...(listens[0] as (typeof listens)[0]), host: '127.0.0.1' });
  listenOn(port);
});
afterEach(async () => {
  for (const client of clients) client.destroy();
  for (const poller of pollers) poller.close();
  for (const bell of bells) closeDoorbell(bell);
  for (const descriptor of [...pair, port.descriptor, region.descriptor]) {
    try {
      closeSync(descriptor);
    } catch {
      // the test has closed it
    }
  }
  await eventually(() => expect(openDescriptors()).toEqual(before));
});

interface Process {
  readonly sockets: BaseSockets;
  /** Its connections are given away, or closed. */
  leave(): Promise<void>;
}

/** A process of worker 0, as far as it owns sockets. */
const start = async (
  lane = 0,
  closesPorts = false,
  withHandOver = true,
  more: Partial<BaseSocketsParts> = {},
): Promise<Process> => {
  const turns = new Turns((handler) => {
    const poller = createPoller('auto', handler);
    pollers.push(poller);
    return poller;
  });
  turns.forWorker(idle);
  const sockets = new BaseSockets({
    ...{ id: 0, lane, region, bells, turns, closesPorts },
    ...{ reactorOptions: forReactor, dispatchMode: options.dispatchMode, ports: [port] },
    ...{ maxConnections: 100, reusePort: false },
    modules: await loadModules(forReactor.ports, options.dispatchMode, region),
    handOver: withHandOver ? { give: pair[0], take: pair[1] } : undefined,
    log: new Log({ role: 'worker 0', level: 'debug', write: (line) => log.push(line) }),
    ...more,
  });
  return { sockets, leave: () => new Promise((resolve) => sockets.closeAll(1000, resolve)) };
};
const dial = async (): Promise<Socket> => {
  const client = connect(port.port, '127.0.0.1');
  clients.push(client);
  client.on('error', () => {});
  await new Promise((resolve) => client.once('connect', resolve));
  return client;
};
const sessions = (): number[] => [...new ConnectionTable(region).sessions()];
const areOpen = (count: number): Promise<void> => eventually(() => expect(sessions()).toHaveLength(count));
const ended = (client: Socket): Promise<unknown> =>
  client.closed ? Promise.resolve() : new Promise((resolve) => client.resume().once('close', resolve));

describe('a worker that owns connections', () => {
  it('takes none before the server accepts, and those that wait as soon as it does', async () => {
    const { sockets, leave } = await start();
    sockets.attach();
    await dial();
    expect(sessions()).toEqual([]);
    region.accepting = true;
    sockets.accept();
    sockets.accept(); // told twice: once is enough
    await areOpen(1);
    await dial();
    await areOpen(2);
    expect(new ReactorBoard(region).connections(0)).toBe(2);
    await leave();
  });

  it('accepts by itself where the server does so when it attaches', async () => {
    region.accepting = true;
    const { sockets, leave } = await start();
    sockets.attach();
    await dial();
    await areOpen(1);
    await leave();
  });

  it('accepts nothing before it is attached', async () => {
    const { sockets } = await start();
    region.accepting = true;
    sockets.accept();
    await dial();
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(sessions()).toEqual([]);
  });

  it('is done at once with what it does not have', async () => {
    const { sockets } = await start(0, false, false);
    const done: string[] = [];
    sockets.dismiss(1000, () => done.push('dismissed'));
    sockets.closeAll(1000, () => done.push('closed'));
    sockets.release(() => done.push('released'));
    sockets.quiesce();
    expect(done).toEqual(['dismissed', 'closed', 'released']);
    const { direct } = sockets;
    direct.catchUp();
    expect([direct.reply(new Reply(12, 2)), direct.isFull(1)]).toEqual([false, false]);
  });

  it('closes every connection at the end, and its clients see that', async () => {
    region.accepting = true;
    const { sockets, leave } = await start();
    sockets.attach();
    const client = await dial();
    await areOpen(1);
    await leave();
    await ended(client);
    expect(sessions()).toEqual([]);
    expect(new ReactorBoard(region).connections(0)).toBe(0);
  });
});

describe('one of several workers', () => {
  beforeEach(() => {
    closeSync(region.descriptor);
    for (const bell of bells) closeDoorbell(bell);
    region = Region.create(testShape({ ringBytes: 65_536, reactorNum: 2, workerNum: 3 }));
    for (const worker of [0, 1, 2]) new WorkerBoard(region).setField(worker, WorkerField.pid, process.pid);
    bells = createBells(region.shape);
    region.accepting = true;
  });

  /** The workers of four clients that worker 1 has accepted. */
  const workersOf = async (dispatchMode: 'least-connections' | 'fd-mod'): Promise<unknown[]> => {
    const modules = await loadModules(forReactor.ports, dispatchMode, region);
    const { sockets, leave } = await start(0, false, true, { id: 1, dispatchMode, modules, reusePort: true });
    sockets.attach();
    for (let i = 0; i < 4; i++) await dial();
    await areOpen(4);
    const table = new ConnectionTable(region);
    const workers = sessions().map((session) => table.info(session)?.workerId);
    await leave();
    return workers;
  };

  it('keeps its clients by itself where the one with the fewest is to have them', async () => {
    expect(await workersOf('least-connections')).toEqual([1, 1, 1, 1]);
  });

  it('shares them with the others where their session ids say so', async () => {
    expect(new Set(await workersOf('fd-mod'))).toEqual(new Set([0, 1, 2]));
  });
});

describe('a worker whose turn it is not', () => {
  it.each([0, 1])('calls the process that the other worker has now, in lane %i', async (lane) => {
    closeSync(region.descriptor);
    for (const bell of bells) closeDoorbell(bell);
    region = Region.create(testShape({ ringBytes: 65_536, reactorNum: 2, workerNum: 2 }));
    bells = createBells(region.shape);
    region.accepting = true;
    const board = new WorkerBoard(region);
    for (const worker of [0, 1]) board.setField(worker, WorkerField.pid, process.pid);
    const modules = await loadModules(forReactor.ports, options.dispatchMode, region);
    const { sockets, leave } = await start(0, false, true, { id: 1, modules });
    sockets.attach();
    new ReactorBoard(region).addConnections(1, 1);
    board.setField(0, WorkerField.lane, lane);
    for (const each of [0, 1]) new Sleeper(region.int32, board.sleepIndex(0, each)).sleep();
    await dial();
    await areOpen(1); // the other one does not come
    const rung = [0, 1].map((each) => readableNow(workerBell(bells, region.shape, 0, each).read));
    expect(rung).toEqual([lane === 0, lane === 1]);
    await leave();
  });
});

describe('a worker that settles', () => {
  it.each([
    ['closes its copies of the ports', true],
    ['leaves the ports to whoever has them', false],
  ])('takes nobody in any more, and %s', async (_title, closesPorts) => {
    region.accepting = true;
    const { sockets, leave } = await start(0, closesPorts);
    sockets.attach();
    await dial();
    await areOpen(1);
    sockets.quiesce();
    const isOpen = (): unknown => fstatSync(port.descriptor);
    if (closesPorts) expect(isOpen).toThrow(expect.objectContaining({ code: 'EBADF' }));
    else {
      expect(isOpen).not.toThrow();
      await dial(); // into the backlog
      await new Promise((resolve) => setTimeout(resolve, 20));
      expect(sessions()).toHaveLength(1);
    }
    await leave();
  });
});

describe('a worker whose clients go to no other process', () => {
  it('accepts no more from plain ports, and is done when its connections have gone', async () => {
    region.accepting = true;
    const { sockets } = await start();
    sockets.attach();
    const client = await dial();
    await areOpen(1);
    let isDone = false;
    sockets.dismiss(1000, () => {
      isDone = true;
    });
    client.resetAndDestroy(); // one that only ends its side has time for answers
    await eventually(() => expect(isDone).toBe(true));
    await areOpen(0);
  });
});

describe('a reload', () => {
  it('gives the connections to the process that comes, with their session ids, and their clients notice nothing', async () => {
    region.accepting = true;
    const old = await start(0);
    old.sockets.attach();
    const [first, second] = [await dial(), await dial()];
    await areOpen(2);
    const known = sessions();
    const fresh = await start(1);
    await new Promise<void>((resolve) => old.sockets.release(resolve));
    fresh.sockets.attach();
    expect(sessions()).toEqual(known);
    expect([first, second].map((client) => client.destroyed)).toEqual([false, false]);
    await dial();
    await areOpen(3);
    await fresh.leave();
    await Promise.all([first, second].map(ended));
  });

  it('lets clients wait in the backlog while nobody has attached', async () => {
    region.accepting = true;
    const old = await start(0);
    old.sockets.attach();
    const fresh = await start(1);
    await new Promise<void>((resolve) => old.sockets.release(resolve));
    await dial();
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(sessions()).toEqual([]);
    fresh.sockets.attach();
    await areOpen(1);
    await fresh.leave();
  });
});
