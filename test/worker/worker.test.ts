import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { CloseCode, CloseFlag, Event, PieceFlag, Request, SendFlag } from '../../src/ipc/frame.js';
import { WorkerField } from '../../src/memory/boards.js';
import type { PortCallbacks, WorkerCallbacks } from '../../src/worker/callbacks.js';
import type { OwnSockets } from '../../src/worker/own-sockets.js';
import type { FrameService, ServiceHost } from '../../src/worker/service.js';
import { type FakeConnection, type Frame, settle, sourceThat, WorkerWorld, type WorkerWorldOptions } from './world.js';

const receive = (fd: number, payload: string, flags = 0): Frame => ({ type: Event.receive, fd, payload, flags });

/** Notes packets, and what else it is asked to. */
function noting(
  seen: string[],
  port: PortCallbacks<FakeConnection> = {},
  others: Partial<WorkerCallbacks<FakeConnection>> = {},
): WorkerCallbacks<FakeConnection> {
  return { ports: [{ receive: (_connection, data) => void seen.push(data.toString()), ...port }], ...others };
}

/** A protocol of which the test decides everything. */
class FakeService implements FrameService {
  readonly types = [200];
  isIncomplete = false;
  readonly calls: string[] = [];
  dismissed: (() => void) | undefined;
  host: ServiceHost | undefined;

  take(): void {
    this.calls.push('take');
  }

  deliver(): boolean {
    this.calls.push('deliver');
    return false;
  }

  connectionEnded(fd: number, isHalf: boolean): void {
    this.calls.push(`ended ${fd} ${isHalf}`);
  }

  dismiss(deadlineMs: number, done: () => void): void {
    this.calls.push(`dismiss ${deadlineMs}`);
    this.dismissed = done;
  }

  drain(): void {
    this.calls.push('drain');
  }

  poll(): void {
    this.calls.push('poll');
  }
}

const offering = (service: FakeService): Pick<WorkerWorldOptions, 'services'> => ({
  services: [
    (host) => {
      service.host = host;
      return service;
    },
  ],
});

function pendingReceive(): { port: PortCallbacks<FakeConnection>; finish(): Promise<void> } {
  const resolves: (() => void)[] = [];
  return {
    port: { receive: () => new Promise<void>((resolve) => resolves.push(resolve)) },
    finish: () => {
      for (const resolve of resolves.splice(0)) resolve();
      return settle();
    },
  };
}

describe('boot', () => {
  it('calls workerStart and is ready when that has ended', async () => {
    const seen: string[] = [];
    const workerStart = async (id: number): Promise<void> => {
      await settle();
      seen.push(`start ${id}`);
    };
    const world = new WorkerWorld({ callbacks: { ports: [], workerStart } });
    const booted = world.worker.boot();
    expect(world.notified).toEqual([]);
    await booted;
    expect([seen, world.notified]).toEqual([['start 0'], ['ready']]);
  });

  it('fails where workerStart does', async () => {
    const workerStart = (): never => {
      throw new Error('as the test wants');
    };
    const world = new WorkerWorld({ callbacks: { ports: [], workerStart } });
    await expect(world.worker.boot()).rejects.toThrow('as the test wants');
    expect(world.notified).toEqual([]);
  });
});

describe('attach', () => {
  it('begins the time that it serves', async () => {
    const world = new WorkerWorld();
    await world.worker.boot();
    expect([world.worker.servedMs, world.worker.isLeaving]).toEqual([0, false]);
    const before = performance.now();
    world.manager({ type: 'attach' });
    vi.spyOn(performance, 'now').mockReturnValueOnce(before + 5000);
    expect(world.worker.servedMs).toBeLessThanOrEqual(5000);
    vi.spyOn(performance, 'now').mockReturnValueOnce(performance.now() + 5000);
    expect(world.worker.servedMs).toBeGreaterThanOrEqual(5000);
    vi.restoreAllMocks();
    expect(world.worker.isLeaving).toBe(false);
  });

  it.each(['release', 'settle', 'stop'] as const)('is over for one that leaves: %s', async (type) => {
    const world = await WorkerWorld.serving();
    world.manager(type === 'settle' ? { type } : { type, deadlineMs: 1000 });
    expect(world.worker.isLeaving).toBe(true);
    world.turn();
    await settle();
  });

  it('takes what lies there, and nothing before it', async () => {
    const seen: string[] = [];
    const world = new WorkerWorld({ callbacks: noting(seen) });
    await world.worker.boot();
    world.around.write(receive(world.around.connect(), 'early'));
    world.turn();
    expect(seen).toEqual([]);
    world.manager({ type: 'attach' });
    world.turn();
    expect(seen).toEqual(['early']);
    expect(world.around.board.field(0, WorkerField.lane)).toBe(0);
    expect(world.messaging.isReceiving).toBe(true);
  });

  it('passes over frames of a type it does not know, and says so', async () => {
    const seen: string[] = [];
    const world = await WorkerWorld.serving({ callbacks: noting(seen) });
    world.around.write({ type: 99, fd: world.around.connect() }, receive(world.around.connect(), 'next'));
    world.turn();
    expect(seen).toEqual(['next']);
    expect(world.around.lines.join('\n')).toContain('does not know');
  });

  it('advances before the callback: a packet that kills the process is not taken again', async () => {
    let unreleased = -1;
    const world: WorkerWorld = await WorkerWorld.serving({
      callbacks: noting([], {
        receive: () => {
          unreleased = world.around.unreleased;
        },
      }),
    });
    world.around.write(receive(world.around.connect(), 'poison'));
    world.turn();
    expect(unreleased).toBe(0);
  });

  it('gives the room of a close back behind its callback', async () => {
    let unreleased = -1;
    const close = (): void => {
      unreleased = world.around.unreleased;
    };
    const world: WorkerWorld = await WorkerWorld.serving({ callbacks: { ports: [{ close }] } });
    world.around.write({ type: Event.close, fd: world.around.connect(), detail: CloseCode.CLIENT_CLOSED });
    world.turn();
    expect(unreleased).toBeGreaterThan(0);
    expect(world.around.unreleased).toBe(0);
  });

  it('counts pending promises where everybody can see them', async () => {
    const { port, finish } = pendingReceive();
    const world = await WorkerWorld.serving({ callbacks: { ports: [port] } });
    world.around.write(receive(world.around.connect(), 'x'));
    world.turn();
    expect(world.around.board.field(0, WorkerField.pending)).toBe(1);
    await finish();
    expect(world.around.board.field(0, WorkerField.pending)).toBe(0);
  });

  it('calls pipeMessage, whose failure is logged', async () => {
    const seen: unknown[] = [];
    const pipeMessage = (data: unknown, from: number): void => {
      seen.push([data, from]);
      throw new Error('as the test wants');
    };
    const world = await WorkerWorld.serving({ callbacks: { ports: [], pipeMessage } });
    world.messaging.deliver('hello', 3);
    expect(seen).toEqual([['hello', 3]]);
    expect(world.around.lines.join('\n')).toContain("the 'pipeMessage' callback failed");
  });
});

describe('protocols', () => {
  it('get the frames of their types and the end of every connection', async () => {
    const service = new FakeService();
    const world = await WorkerWorld.serving({ callbacks: { ports: [{}] }, ...offering(service) });
    const fd = world.around.connect();
    world.around.write({ type: 200, fd }, { type: Event.close, fd, detail: CloseCode.CLIENT_CLOSED });
    world.turn();
    expect(service.calls).toEqual(['take', 'deliver', `ended ${fd} false`]);
    expect(service.host).toMatchObject({ id: 0, lane: 0 });
  });

  it('may not claim a type that another one has', () => {
    const services = [() => new FakeService(), () => new FakeService()];
    expect(() => new WorkerWorld({ services })).toThrow('frames of type 200 have a service');
  });
});

describe('release', () => {
  it('lets go at once, and the next process goes on at the very next packet', async () => {
    const seen: string[] = [];
    const old = await WorkerWorld.serving({ callbacks: noting(seen) });
    const next = new WorkerWorld({
      beside: old,
      callbacks: noting(seen, { receive: (_c, data) => void seen.push(`next ${data}`) }),
    });
    await next.worker.boot();
    const fd = old.around.connect();
    old.around.write(receive(fd, 'one'));
    old.turn();
    old.manager({ type: 'release', deadlineMs: 1000 });
    old.turn();
    await settle();
    expect(old.notified).toEqual(['released']);
    old.around.write(receive(fd, 'two'));
    old.turn();
    next.manager({ type: 'attach' });
    next.turn();
    expect(seen).toEqual(['one', 'next two']);
    await settle();
    expect(old.exits).toEqual([0]);
  });

  it('comes after what a callback sends that has waited for nothing', async () => {
    const steps: string[] = [];
    const world = await WorkerWorld.serving({
      callbacks: {
        ports: [
          {
            receive: async () => {
              world.manager({ type: 'release', deadlineMs: 1000 });
              await Promise.resolve();
              steps.push('sent');
            },
          },
        ],
      },
      sockets: fakeSockets(steps, () => {}),
    });
    world.around.write(receive(world.around.connect(), 'x'));
    world.turn();
    await settle();
    expect(steps).toEqual(['attach', 'dismiss 700', 'sent', 'release']);
  });

  it('gives what is held for a slow client its place before what the next process sends', async () => {
    const world = await WorkerWorld.serving({ callbacks: { ports: [{}] } });
    const fd = world.around.connect();
    world.outbox.send(fd, Buffer.alloc(300_000));
    world.around.sent();
    world.outbox.send(fd, 'last');
    world.manager({ type: 'release', deadlineMs: 1000 });
    world.turn();
    await settle();
    expect(world.notified).toEqual(['released']);
    expect(world.around.sent().at(-1)).toMatchObject({ type: Request.send, flags: SendFlag.more, text: '' });
  });

  it('waits in the middle of a packet for its rest', async () => {
    const seen: string[] = [];
    const world = await WorkerWorld.serving({ callbacks: noting(seen) });
    const fd = world.around.connect();
    world.around.write(receive(fd, 'begun, ', PieceFlag.more));
    world.turn();
    world.manager({ type: 'release', deadlineMs: 1000 });
    world.turn();
    expect(world.notified).toEqual([]);
    world.around.write(receive(fd, 'ended', PieceFlag.continued));
    world.turn();
    await settle();
    expect([seen, world.notified]).toEqual([['begun, ended'], ['released']]);
  });

  it('waits for what a protocol cannot give to another process, and for its parts', async () => {
    const service = new FakeService();
    const world = await WorkerWorld.serving(offering(service));
    world.manager({ type: 'release', deadlineMs: 1000 });
    world.turn();
    expect([service.calls, world.notified]).toEqual([['dismiss 700'], []]);
    expect(world.around.board.field(0, WorkerField.dismissing)).toBe(1);
    service.isIncomplete = true;
    service.dismissed?.();
    world.turn();
    expect(world.notified).toEqual([]);
    service.isIncomplete = false;
    world.turn();
    await settle();
    expect(world.notified).toEqual(['released']);
  });

  it('finishes pending promises, and what they answer, before the process ends', async () => {
    const stopped: string[] = [];
    const { port, finish } = pendingReceive();
    const callbacks: WorkerCallbacks<FakeConnection> = {
      ports: [port],
      workerExit: () => void stopped.push('exit'),
      workerStop: () => void stopped.push('stop'),
    };
    const world = await WorkerWorld.serving({ callbacks });
    const fd = world.around.connect();
    world.around.write(receive(fd, 'x'));
    world.turn();
    world.manager({ type: 'release', deadlineMs: 1000 });
    world.turn();
    await settle();
    expect([world.notified, world.exits]).toEqual([['released'], []]);
    world.outbox.send(fd, 'answer');
    await finish();
    world.turn();
    await settle();
    expect([world.exits, stopped]).toEqual([[0], ['exit', 'stop']]);
    expect(world.around.sent()).toMatchObject([{ type: Request.send, text: 'answer' }]);
  });

  it('keeps its place until the messages that it has taken were read', async () => {
    const world = await WorkerWorld.serving();
    Object.assign(world.messaging, { pending: 1, isReading: true });
    world.manager({ type: 'release', deadlineMs: 1000 });
    world.turn();
    await settle();
    expect([world.messaging.isReceiving, world.notified]).toEqual([false, []]);
    world.messaging.delivered();
    expect(world.notified).toEqual(['released']);
  });

  it('finishes messages and tasks that are pending', async () => {
    const world = await WorkerWorld.serving();
    world.messaging.pending = 1;
    world.manager({ type: 'release', deadlineMs: 1000 });
    world.turn();
    await settle();
    expect(world.exits).toEqual([]);
    world.messaging.pending = 0;
    world.turn();
    await settle();
    expect(world.exits).toEqual([0]);
  });

  it('holds bytes for a slow client until they have left', async () => {
    const world = await WorkerWorld.serving({ callbacks: { ports: [{}] } });
    const fd = world.around.connect();
    world.outbox.send(fd, Buffer.alloc(300_000));
    world.manager({ type: 'release', deadlineMs: 1000 });
    for (let i = 0; i < 3; i++) world.turn();
    await settle();
    expect([world.notified, world.exits]).toEqual([['released'], []]);
    for (let i = 0; i < 50 && world.exits.length === 0; i++) {
      world.around.sent();
      world.outbox.poll(); // as the process does every 10 ms
      world.turn();
      await settle();
    }
    expect(world.exits).toEqual([0]);
  });

  it('of a process whose successor may not begin before it has finished is told when it has', async () => {
    const world = await WorkerWorld.serving();
    let pending = 1;
    world.worker.setSource(
      sourceThat({
        holdsUntilFinished: true,
        get pending() {
          return pending;
        },
      }),
    );
    world.manager({ type: 'release', deadlineMs: 1000 });
    world.turn();
    await settle();
    expect(world.notified).toEqual([]);
    pending = 0;
    world.turn();
    await settle();
    expect([world.notified, world.exits]).toEqual([['released'], [0]]);
  });

  it.each(['stop', 'release'] as const)('takes another turn for what came since the last one: %s', async (type) => {
    const world = await WorkerWorld.serving();
    let looks = Number.NEGATIVE_INFINITY;
    world.worker.setSource(
      sourceThat({
        holdsUntilFinished: true,
        // Looked at when the turn is over: then comes what nobody rings for, the place of a message.
        get pending() {
          if (++looks === 1) world.messaging.hasWork = true;
          return looks < 0 ? 1 : 0;
        },
      }),
    );
    world.manager({ type, deadlineMs: 1000 });
    world.turn();
    await settle();
    world.isDue = false;
    looks = 0;
    world.worker.turnEnd();
    expect([world.exits, world.isDue]).toEqual([[], true]);
    world.messaging.hasWork = false;
    world.turn();
    await settle();
    expect(world.exits).toEqual([0]);
  });

  it('of BASE mode dismisses and hands over its sockets before it says so', async () => {
    const steps: string[] = [];
    let handedOver = (): void => {};
    const world = await WorkerWorld.serving({
      sockets: fakeSockets(steps, (done) => {
        handedOver = done;
      }),
    });
    world.manager({ type: 'release', deadlineMs: 1000 });
    world.turn();
    await settle();
    expect([steps, world.notified]).toEqual([['attach', 'dismiss 700', 'release'], []]);
    handedOver();
    expect(world.notified).toEqual(['released']);
  });
});

describe('settle', () => {
  it('takes what still comes, drains protocols, and says once that nothing is pending', async () => {
    const service = new FakeService();
    const { port, finish } = pendingReceive();
    const world = await WorkerWorld.serving({ callbacks: { ports: [port] }, ...offering(service) });
    world.manager({ type: 'settle' });
    world.around.write(receive(world.around.connect(), 'x'));
    world.turn();
    expect([service.calls, world.notified]).toEqual([['drain'], []]);
    await finish();
    world.turn();
    world.turn();
    expect([world.notified, world.exits]).toEqual([['settled'], []]);
  });

  it('does not wait for tasks that nobody waits for', async () => {
    const world = await WorkerWorld.serving();
    world.messaging.pending = 1;
    world.manager({ type: 'settle' });
    world.turn();
    expect(world.notified).toEqual(['settled']);
  });
});

describe('stop', () => {
  it('takes what is left, then ends', async () => {
    const seen: string[] = [];
    const world = await WorkerWorld.serving({ callbacks: noting(seen) });
    world.around.write(receive(world.around.connect(), 'last'));
    world.manager({ type: 'stop', deadlineMs: 1000 });
    world.turn();
    await settle();
    expect([seen, world.exits]).toEqual([['last'], [0]]);
  });

  it('ends although workerStop fails', async () => {
    const workerStop = (): never => {
      throw new Error('as the test wants');
    };
    const world = await WorkerWorld.serving({ callbacks: { ports: [], workerStop } });
    world.manager({ type: 'stop', deadlineMs: 1000 });
    world.turn();
    await settle();
    expect(world.exits).toEqual([0]);
    expect(world.around.lines.join('\n')).toContain('while the worker stopped');
  });
});

describe('SIGTERM', () => {
  it('asks to be replaced; a second one ends the process at once', async () => {
    const world = await WorkerWorld.serving({ callbacks: { ports: [{}] } });
    const fd = world.around.connect();
    world.outbox.send(fd, Buffer.alloc(600_000));
    world.worker.terminate();
    expect([world.notified, world.exits]).toEqual([['stopWorker asked'], []]);
    world.worker.terminate();
    expect(world.exits).toEqual([0]);
    // A stream of which a part would be missing does not go on.
    const last = world.around.sent().at(-1);
    expect(last).toMatchObject({ type: Request.close, flags: CloseFlag.reset, detail: CloseCode.WORKER_REPLACED });
  });

  it('counts anew when no process could take over', async () => {
    const world = await WorkerWorld.serving();
    world.worker.terminate();
    world.manager({ type: 'goOn' });
    world.worker.terminate();
    expect([world.notified, world.exits]).toEqual([['stopWorker asked', 'stopWorker asked'], []]);
  });

  it('of a process that leaves anyway changes nothing before its deadline', async () => {
    const { port } = pendingReceive();
    const world = await WorkerWorld.serving({ callbacks: { ports: [port] } });
    world.around.write(receive(world.around.connect(), 'x'));
    world.turn();
    world.manager({ type: 'release', deadlineMs: 60_000 });
    world.turn();
    await settle();
    world.worker.terminate();
    expect([world.notified, world.exits]).toEqual([['released'], []]);
  });

  it('of a process whose time is over ends it', async () => {
    const { port } = pendingReceive();
    const world = await WorkerWorld.serving({ callbacks: { ports: [port] } });
    world.around.write(receive(world.around.connect(), 'x'));
    world.turn();
    world.manager({ type: 'release', deadlineMs: 0 });
    world.worker.terminate();
    expect(world.exits).toEqual([0]);
  });
});

describe('maxRequest', () => {
  it('asks to be replaced at each multiple, and goes on meanwhile', async () => {
    const seen: string[] = [];
    const world = await WorkerWorld.serving({ maxRequest: 2, callbacks: noting(seen) });
    const fd = world.around.connect();
    world.around.write(...['1', '2', '3'].map((text) => receive(fd, text)));
    world.turn();
    expect(world.notified).toEqual(['stopWorker maxRequest']);
    world.around.write(receive(fd, '4'), receive(fd, '5'));
    world.turn();
    expect(world.notified).toEqual(['stopWorker maxRequest', 'stopWorker maxRequest']);
    expect(seen).toHaveLength(5);
  });

  it('does not count events', async () => {
    const world = await WorkerWorld.serving({ maxRequest: 1, callbacks: { ports: [{}] } });
    const fd = world.around.connect();
    world.around.write({ type: Event.connect, fd }, { type: Event.bufferEmpty, fd });
    world.turn();
    expect(world.notified).toEqual([]);
  });
});

describe('a worker whose manager has died', () => {
  beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval'] }));
  afterEach(() => void vi.useRealTimers());

  it('takes nothing more, and ends when nothing is pending', async () => {
    const seen: string[] = [];
    const world = await WorkerWorld.serving({ callbacks: noting(seen) });
    world.managerDies();
    world.around.write(receive(world.around.connect(), 'late'));
    world.turn();
    await settle();
    expect([seen, world.exits]).toEqual([[], [0]]);
  });

  it('gives pending promises 300 ms', async () => {
    const { port } = pendingReceive();
    const world = await WorkerWorld.serving({ callbacks: { ports: [port] } });
    world.around.write(receive(world.around.connect(), 'x'));
    world.turn();
    world.managerDies();
    world.turn();
    vi.advanceTimersByTime(299);
    expect(world.exits).toEqual([]);
    vi.advanceTimersByTime(1);
    expect(world.exits).toEqual([1]);
  });

  it('looks itself whether clients are there, as every process that gets no frames', async () => {
    const service = new FakeService();
    const { port } = pendingReceive();
    const world = await WorkerWorld.serving({ callbacks: { ports: [port] }, ...offering(service) });
    world.around.write(receive(world.around.connect(), 'x'));
    world.turn();
    world.managerDies();
    vi.advanceTimersByTime(30);
    expect(service.calls).toEqual(['poll', 'poll', 'poll']);
  });

  it('does not look while frames wait: they say why a client left', async () => {
    const service = new FakeService();
    const world = await WorkerWorld.serving({ callbacks: { ports: [{ receive: () => {} }] }, ...offering(service) });
    world.around.write(receive(world.around.connect(), 'x'));
    world.worker.lookForGone();
    expect(service.calls).toEqual([]);
    world.turn();
    world.worker.lookForGone();
    expect(service.calls).toEqual(['poll']);
  });
});

describe('closeAll', () => {
  it('is done where connections are owned by reactors', async () => {
    const world = await WorkerWorld.serving();
    world.manager({ type: 'closeAll', deadlineMs: 1000 });
    expect(world.notified).toEqual(['closed']);
  });

  it('closes those this process owns', async () => {
    const steps: string[] = [];
    const world = await WorkerWorld.serving({ sockets: fakeSockets(steps, () => {}) });
    world.manager({ type: 'accept' });
    world.manager({ type: 'settle' });
    world.manager({ type: 'closeAll', deadlineMs: 1000 });
    expect(steps).toEqual(['attach', 'accept', 'quiesce', 'closeAll 1000']);
    expect(world.notified).toEqual(['closed']);
  });
});

function fakeSockets(steps: string[], release: (done: () => void) => void): OwnSockets {
  return {
    attach: () => void steps.push('attach'),
    accept: () => void steps.push('accept'),
    dismiss: (deadlineMs, done) => {
      steps.push(`dismiss ${deadlineMs}`);
      done();
    },
    release: (done) => {
      steps.push('release');
      release(done);
    },
    quiesce: () => void steps.push('quiesce'),
    isQuiet: true,
    closeAll: (deadlineMs, done) => {
      steps.push(`closeAll ${deadlineMs}`);
      done();
    },
  };
}
