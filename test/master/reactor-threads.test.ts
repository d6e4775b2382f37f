import { EventEmitter } from 'node:events';
import { connect, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { linksOf } from '../../src/ipc/assemble-outbox.js';
import { createBells } from '../../src/ipc/bells.js';
import { RingReader } from '../../src/ipc/ring.js';
import { type BoundPort, bindPort, listenOn, unbindPort } from '../../src/listen/bind-port.js';
import type { OwnerParts } from '../../src/master/mode.js';
import { ReactorHandle } from '../../src/master/reactor-handle.js';
import { ReactorThreads } from '../../src/master/reactor-threads.js';
import { ReactorBoard } from '../../src/memory/boards.js';
import { peerOfMaster } from '../../src/memory/layout.js';
import { Region } from '../../src/memory/region.js';
import { reactorOptions } from '../../src/options/for-reactor.js';
import { resolveListen, resolveOptions, type ServerOptions } from '../../src/options/index.js';
import type { DoorbellDescriptors } from '../../src/os/doorbell.js';
import { Log } from '../../src/util/log.js';
import { closeDoorbell } from '../helpers/doorbell.js';
import { eventually } from '../helpers/eventually.js';
import { testShape } from '../helpers/test-shape.js';

/** A thread that does what the test says. */
class FakeThread extends EventEmitter {
  readonly told: { type: string }[] = [];
  readonly options: { name: string; workerData: { id: number; exitFlag: SharedArrayBuffer } };

  constructor(_entry: URL, options: FakeThread['options']) {
    super();
    this.options = options;
    threads.push(this);
  }

  postMessage(message: { type: string }): void {
    this.told.push(message);
  }

  says(type: string, more: object = {}): void {
    this.emit('message', { type, ...more });
  }
}

const threads: FakeThread[] = [];
vi.mock('node:worker_threads', async (original) => ({
  ...(await original<typeof import('node:worker_threads')>()),
  Worker: class {
    constructor(entry: URL, options: FakeThread['options']) {
      // biome-ignore lint/correctness/noConstructorReturn: it stands for the real one
      return new FakeThread(entry, options);
    }
  },
}));

let region: Region;
let bells: DoorbellDescriptors[];
let events: unknown[][];
let log: string[];

beforeEach(() => {
  threads.length = 0;
  region = Region.create(testShape({ reactorNum: 2 }));
  bells = createBells(region.shape);
  [events, log] = [[], []];
});
afterEach(() => {
  for (const bell of bells) closeDoorbell(bell);
});

const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const note =
  (name: string) =>
  (...given: unknown[]): void =>
    void events.push([name, ...given]);
const handle = (): [ReactorHandle, FakeThread] => {
  const told = {
    ...{ brokenSender: note('brokenSender'), refused: note('refused'), overload: note('overload') },
    ...{ notRenewed: note('notRenewed'), tlsFellBack: note('tlsFellBack'), failed: note('failed') },
  };
  const made = new ReactorHandle(1, bells[1] as DoorbellDescriptors, { region: 3 }, 'it', told);
  return [made, threads.at(-1) as FakeThread];
};

describe('a reactor thread as the master holds it', () => {
  it('is started with its number and a name, and has no limit of the script', () => {
    const [reactor, thread] = handle();
    expect(reactor.id).toBe(1);
    expect(thread.options).toMatchObject({ name: 'it reactor 1', workerData: { id: 1, region: 3 }, execArgv: [] });
  });

  it.each([
    ['quiesce', 'quiesce', 'quiet', {}],
    ['closeAll', 'closeAll', 'closed', { deadlineMs: 7 }],
    ['withhold', 'withhold', 'withheld', { from: 7 }],
    ['rebind', 'rebind', 'rebound', {}],
  ] as const)('%s resolves when the thread has answered', async (method, type, answer, given) => {
    const [reactor, thread] = handle();
    let isDone = false;
    const done = reactor[method](7).then(() => {
      isDone = true;
    });
    expect(thread.told).toEqual([{ type, ...given }]);
    thread.says('ready');
    await settle();
    expect(isDone).toBe(false);
    thread.says(answer);
    await done;
  });

  it('is ready once, whoever asks when', async () => {
    const [reactor, thread] = handle();
    const first = reactor.ready;
    thread.says('ready');
    await Promise.all([first, reactor.ready]);
  });

  it.each(['withhold', 'rebind'] as const)('waits for %s anew each time', async (method) => {
    const [reactor, thread] = handle();
    const answer = method === 'withhold' ? 'withheld' : 'rebound';
    const first = reactor[method](1);
    thread.says(answer);
    await first;
    let isDone = false;
    void reactor[method](1).then(() => {
      isDone = true;
    });
    await settle();
    expect(isDone).toBe(false);
    thread.says(answer);
    await settle();
    expect(isDone).toBe(true);
  });

  it('passes on what the thread has seen', () => {
    const [, thread] = handle();
    thread.says('brokenSender', { worker: 3 });
    thread.says('refused', { sessionId: 1, code: 2, message: 'x', others: 0 });
    thread.says('overload', { overload: { state: 'reads on' } });
    thread.says('notRenewed', { why: 'no file' });
    thread.says('tlsFellBack', { why: 'no symbol' });
    expect(events).toEqual([
      ['brokenSender', 3],
      ['refused', { type: 'refused', sessionId: 1, code: 2, message: 'x', others: 0 }],
      ['overload', { state: 'reads on' }],
      ['notRenewed', 'no file'],
      ['tlsFellBack', 'no symbol'],
    ]);
  });

  it('that throws fails once, and with it all that is waited for', async () => {
    const [reactor, thread] = handle();
    const [ready, quiet] = [reactor.ready, reactor.quiesce()];
    const error = new Error('no');
    thread.emit('error', error);
    thread.emit('exit', 1);
    await expect(ready).rejects.toBe(error);
    await expect(quiet).rejects.toBe(error);
    expect(events).toEqual([['failed', error]]);
  });

  it('that ends although nobody has asked it to is a failure too', () => {
    const [, thread] = handle();
    thread.emit('exit', 0);
    expect(events).toEqual([['failed', new Error('reactor thread 1 has ended')]]);
  });

  it('ends in order when it is asked to', async () => {
    const [reactor, thread] = handle();
    const stopped = reactor.stop();
    expect(thread.told).toEqual([{ type: 'stop' }]);
    thread.emit('exit', 0);
    await stopped;
    expect(events).toEqual([]);
  });

  it('is waited for at the end of the process until it has let go, and half a second at most', () => {
    const [reactor, thread] = handle();
    const flag = new Int32Array(thread.options.workerData.exitFlag);
    Atomics.store(flag, 1, 1); // it has let go
    const began = performance.now();
    reactor.stopAtOnce();
    expect(Atomics.load(flag, 0)).toBe(1);
    expect(performance.now() - began).toBeLessThan(400);
    const [stuck] = handle();
    stuck.stopAtOnce();
    expect(performance.now() - began).toBeGreaterThanOrEqual(490);
    const [gone, itsThread] = handle();
    void gone.stop();
    gone.stopAtOnce(); // it ends already: nothing to wait for
    expect(Atomics.load(new Int32Array(itsThread.options.workerData.exitFlag), 0)).toBe(0);
  });
});

describe('the reactor threads of the master', () => {
  const threadsOf = async (given: ServerOptions = {}): Promise<ReactorThreads> => {
    const options = resolveOptions({ reactorNum: 2, workerNum: 1, port: 0, ...given });
    const owners = new ReactorThreads({
      ...{ region, bells, options, listens: [resolveListen({ port: 0 }, options)] },
      links: linksOf({ region, bells, peer: peerOfMaster(region.shape) }),
      log: new Log({ role: 'master', level: 'debug', write: (line) => log.push(line) }),
      ...{ brokenSender: note('brokenSender'), refused: note('refused'), failed: note('failed') },
      notifyManager: note('notifyManager'),
      closeByManager: async () => {},
    } as OwnerParts);
    await owners.start([]);
    return owners;
  };

  it('are one per reactor, and ready when all are', async () => {
    const owners = await threadsOf();
    expect(threads.map(({ options }) => options.workerData.id)).toEqual([0, 1]);
    let isReady = false;
    const ready = owners.ready().then(() => {
      isReady = true;
    });
    threads[0]?.says('ready');
    await settle();
    expect(isReady).toBe(false);
    threads[1]?.says('ready');
    await ready;
  });

  it('are not ready when one has failed, which is told', async () => {
    const owners = await threadsOf();
    const ready = owners.ready();
    threads[1]?.emit('error', new Error('no'));
    await expect(ready).rejects.toThrow('no');
    expect(events).toEqual([['failed', new Error('no')]]);
  });

  it.each([
    ['quiesce', 'quiet', { type: 'quiesce' }],
    ['closeAll', 'closed', { type: 'closeAll', deadlineMs: 5 }],
    ['withhold', 'withheld', { type: 'withhold', from: 5 }],
    ['rebind', 'rebound', { type: 'rebind' }],
  ] as const)('all do %s', async (method, answer, message) => {
    const owners = await threadsOf();
    const done = owners[method](5);
    for (const thread of threads) {
      expect(thread.told).toEqual([message]);
      thread.says(answer);
    }
    await done;
  });

  it('all hear of a new number of workers, and of new certificates', async () => {
    const owners = await threadsOf();
    owners.useWorkers(3);
    void owners.renew();
    for (const { told } of threads) expect(told).toEqual([{ type: 'useWorkers', workerNum: 3 }, { type: 'renewTls' }]);
    threads[0]?.says('notRenewed', { why: 'it is gone' });
    expect(log.join('\n')).toMatch(/the certificates could not be read again, the old ones stay.*it is gone/s);
  });

  it('tell whether all have taken new certificates, or why one has not, each time it is asked', async () => {
    const owners = await threadsOf();
    const outcomes: unknown[] = [];
    const renew = (): void => void owners.renew().then((why) => outcomes.push(why));
    renew();
    renew();
    threads[0]?.says('renewed');
    threads[0]?.says('notRenewed', { why: 'it is gone' });
    threads[1]?.says('renewed');
    await eventually(() => expect(outcomes).toEqual([undefined]));
    threads[1]?.says('renewed');
    await eventually(() => expect(outcomes).toEqual([undefined, 'it is gone']));
    renew();
    threads[0]?.says('renewed');
    threads[1]?.emit('exit', 0);
    renew();
    threads[0]?.says('renewed');
    const ended = 'the reactor thread has ended';
    await eventually(() => expect(outcomes).toEqual([undefined, 'it is gone', ended, ended]));
  });

  it('stop when all have ended, one that has failed before included', async () => {
    const owners = await threadsOf();
    threads[0]?.emit('error', new Error('no'));
    threads[0]?.emit('exit', 1);
    const stopped = owners.stop();
    threads[1]?.emit('exit', 0);
    await stopped;
  });
});

describe('accepting', () => {
  let port: BoundPort;
  let clients: Socket[];
  beforeEach(async () => {
    clients = [];
    const options = resolveOptions({ host: '127.0.0.1', port: 0 });
    port = await bindPort(resolveListen({ port: 0 }, options));
    listenOn(port);
  });
  afterEach(() => {
    for (const client of clients) client.destroy();
    unbindPort(port);
  });

  const accept = async (given: ServerOptions = {}): Promise<ReactorThreads> => {
    const options = resolveOptions({ reactorNum: 2, workerNum: 1, port: 0, ...given });
    const owners = new ReactorThreads({
      ...{ region, bells, options, listens: [resolveListen({ port: 0 }, options)] },
      links: linksOf({ region, bells, peer: peerOfMaster(region.shape) }),
      log: new Log({ role: 'master', level: 'debug', write: (line) => log.push(line) }),
    } as unknown as OwnerParts);
    await owners.start([port]);
    owners.accept();
    return owners;
  };
  const dial = (): Promise<void> =>
    new Promise((resolve) => {
      const client = connect(port.port, port.host, resolve);
      clients.push(client.on('error', () => {}));
    });
  const counts = (): number[] => [0, 1].map((reactor) => new ReactorBoard(region).connections(reactor));
  /** Descriptors that came to a reactor. */
  const taken = (reactor: number): number[] => {
    const ring = new RingReader(region, region.layout.outbound(reactor, peerOfMaster(region.shape)));
    const all: number[] = [];
    while (ring.available()) {
      all.push(ring.sessionId);
      ring.advance();
    }
    return all;
  };

  it('gives each client to the reactor with the fewest connections', async () => {
    const owners = await accept();
    new ReactorBoard(region).addConnections(0, 3);
    for (let client = 1; client <= 5; client++) {
      await dial();
      await eventually(() => expect(counts().reduce((sum, count) => sum + count)).toBe(3 + client));
    }
    expect(counts()).toEqual([4, 4]);
    expect([taken(0).length, taken(1).length]).toEqual([1, 4]);
    owners.stopAccepting();
  });

  it('passes a reactor whose slots are in use', async () => {
    const board = new ReactorBoard(region);
    board.addOccupied(0, Math.floor(region.shape.slots / 2));
    const owners = await accept();
    await dial();
    await dial();
    await eventually(() => expect(counts()).toEqual([0, 2]));
    owners.stopAccepting();
  });

  it('pauses at maxConnections, all reactors together, and ends with stopAccepting', async () => {
    const owners = await accept({ maxConnections: 3 });
    for (let client = 0; client < 5; client++) await dial();
    await eventually(() => expect(log.join('\n')).toMatch(/accepting pauses: maxConnections is reached/));
    expect(counts().reduce((sum, count) => sum + count)).toBe(3);
    owners.stopAccepting();
    new ReactorBoard(region).addConnections(0, -1);
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(counts().reduce((sum, count) => sum + count)).toBe(2);
  });
});

describe('what a reactor is told of the options', () => {
  const optionsOf = (given: ServerOptions, listen: object = {}) => {
    const options = resolveOptions({ port: 0, ...given });
    return reactorOptions(options, [resolveListen({ port: 0, ...listen }, options)], [-1], () => -1);
  };

  it('has a port per listen port, with HTTP where it speaks that', () => {
    expect(optionsOf({}).ports).toMatchObject([{ http: null, tls: null, datagrams: -1 }]);
    expect(optionsOf({ bodyLimit: 5000, protocol: 'http' } as ServerOptions).ports[0]?.http).toMatchObject({
      bodyLimit: 5000,
    });
  });

  it('can be given to a thread', () => {
    expect(() => structuredClone(optionsOf({ protocol: 'http' } as ServerOptions))).not.toThrow();
  });
});
