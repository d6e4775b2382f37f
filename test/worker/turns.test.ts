import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { CloseCode, Event, Request } from '../../src/ipc/frame.js';
import { WorkerField } from '../../src/memory/boards.js';
import { clearDoorbell, createDoorbell, type DoorbellDescriptors, ringDoorbell } from '../../src/os/doorbell.js';
import { type Poller, READABLE } from '../../src/os/poller.js';
import { closeDoorbell, readableNow } from '../helpers/doorbell.js';
import { type Frame, settle, sourceThat, WorkerWorld } from './world.js';

const receive = (fd: number, payload = 'x'): Frame => ({ type: Event.receive, fd, payload });
/** Odd: the worker sleeps, and who has something for it rings. */
const sleepEpoch = ({ around }: WorkerWorld): number => around.region.int32[around.board.sleepIndex(0, 0)] ?? 0;
const isAsleep = (world: WorkerWorld): boolean => sleepEpoch(world) % 2 === 1;
const busySince = ({ around }: WorkerWorld): number => around.board.field(0, WorkerField.busy);

describe('a turn', () => {
  afterEach(() => void vi.restoreAllMocks());

  it('ends after 10 ms, and the rest has the next one', async () => {
    let count = 0;
    let nowMs = 1000;
    const handle = (): void => {
      count++;
      nowMs++;
    };
    const world = await WorkerWorld.serving({ callbacks: { ports: [{ receive: handle }] } });
    const fd = world.around.connect();
    vi.spyOn(performance, 'now').mockImplementation(() => nowMs);
    world.around.write(...Array.from({ length: 100 }, () => receive(fd)));
    world.isDue = false;
    world.worker.turnEnd();
    expect([count >= 10 && count <= 32, world.isDue, isAsleep(world)]).toEqual([true, true, false]); // looks at the clock now and then
    world.turn();
    expect([count, isAsleep(world)]).toEqual([100, true]);
  });

  it('is awake and busy in callbacks, asleep and idle behind the last of them', async () => {
    const seen: unknown[] = [];
    const world: WorkerWorld = await WorkerWorld.serving({
      callbacks: { ports: [{ receive: () => void seen.push(isAsleep(world), busySince(world) > 0) }] },
    });
    expect([isAsleep(world), busySince(world)]).toEqual([true, 0]);
    world.around.write(receive(world.around.connect()));
    world.turn();
    expect([seen, isAsleep(world), busySince(world)]).toEqual([[false, true], true, 0]);
  });

  it('of a process that takes no packets never says that it is busy', async () => {
    const world = new WorkerWorld();
    await world.worker.boot();
    world.around.board.setField(0, WorkerField.busy, 7); // of the one that does
    world.turn();
    world.worker.turnEnd();
    expect(busySince(world)).toBe(7);
  });

  it('sends on when the ring has room again', async () => {
    const world = await WorkerWorld.serving({ callbacks: { ports: [{}] } });
    world.outbox.send(world.around.connect(), Buffer.alloc(300_000));
    const first = world.around.sent().length;
    world.turn();
    expect([first > 0, world.around.sent().length > 0]).toEqual([true, true]);
  });

  it('is asked for again where messages or tasks have come meanwhile', async () => {
    const world = await WorkerWorld.serving();
    world.messaging.hasWork = true;
    expect(world.worker.hasWork).toBe(true);
    world.isDue = false;
    world.worker.turnEnd();
    expect(world.isDue).toBe(true);
    world.messaging.hasWork = false;
    expect(world.worker.hasWork).toBe(false);
  });

  it.each([
    ['messages', true, false],
    ['tasks', false, true],
  ])('is asked for again where more %s are there than it has taken', async (_what, messages, tasks) => {
    const world = await WorkerWorld.serving();
    vi.spyOn(world.messaging, 'take').mockReturnValue(messages);
    world.worker.setSource(
      sourceThat({
        take: () => tasks,
      }),
    );
    world.isDue = false;
    world.worker.turnEnd();
    expect([world.isDue, isAsleep(world)]).toEqual([true, false]);
  });

  it('begins with a wait for the result of a task where that is worthwhile, once, when promises have gone on', async () => {
    const world = await WorkerWorld.serving();
    world.messaging.expectsResult = true;
    world.turn();
    expect([world.spin.waits, isAsleep(world)]).toEqual([0, true]);
    world.spin.isWorthwhile = true;
    world.isDue = false;
    world.worker.turnEnd();
    expect([world.spin.waits, world.isDue, isAsleep(world)]).toEqual([0, true, false]);
    world.worker.turnEnd();
    expect([world.spin.waits, isAsleep(world)]).toEqual([1, true]);
  });

  it('in which the last result has come is followed by one that waits, if there is another task by then', async () => {
    const world = await WorkerWorld.serving();
    world.spin.isWorthwhile = true;
    world.messaging.expectsResult = true;
    vi.spyOn(world.messaging, 'take').mockImplementation(() => {
      world.messaging.expectsResult = false;
      return false;
    });
    world.isDue = false;
    world.worker.turnEnd();
    expect([world.isDue, isAsleep(world)]).toEqual([true, false]);
    world.turn();
    expect([world.spin.waits, isAsleep(world)]).toEqual([0, true]);
  });

  it('of a task worker goes on as long as tasks come at once, which callers know meanwhile', async () => {
    const world = await WorkerWorld.serving();
    const seen: string[] = [];
    let waiting = 0;
    world.worker.setSource(
      sourceThat({
        isFree: true,
        get hasWork() {
          return waiting > 0;
        },
        take: () => {
          if (waiting > 0) seen.push('take');
          waiting = 0;
          return false;
        },
        look: (looks) => seen.push(looks ? 'look' : 'look away'),
      }),
    );
    world.turn();
    expect(seen).toEqual([]);
    world.spin.isWorthwhile = true;
    world.spin.meanwhile = () => {
      seen.push(isAsleep(world) ? 'asleep' : 'awake');
      if (world.spin.waits < 3) waiting = 1;
    };
    world.turn();
    const look = ['look', 'awake', 'look away'];
    expect(seen).toEqual([...look, 'take', ...look, 'take', ...look]);
    expect(isAsleep(world)).toBe(true);
  });

  it('of a task worker to which tasks come at once all the time ends after 10 ms', async () => {
    const world = await WorkerWorld.serving();
    let nowMs = 1000;
    world.worker.setSource(
      sourceThat({
        isFree: true,
        hasWork: true,
      }),
    );
    world.spin.isWorthwhile = true;
    vi.spyOn(performance, 'now').mockImplementation(() => nowMs++);
    world.isDue = false;
    world.worker.turnEnd();
    expect([world.spin.waits > 5, world.spin.waits < 20, world.isDue]).toEqual([true, true, true]);
  });

  it('learns from a sleep in which a result was expected, and from no other', async () => {
    const world = await WorkerWorld.serving();
    world.worker.ready();
    expect(world.spin.wakes).toEqual([]);
    world.turn();
    world.messaging.expectsResult = true;
    world.worker.ready();
    world.turn();
    world.messaging.hasResult = true;
    world.worker.ready();
    expect(world.spin.wakes).toEqual([false, true]);
  });

  it('is asked for where frames lie there that no turn has taken', async () => {
    const world = await WorkerWorld.serving({ callbacks: { ports: [{}] } });
    world.around.write(receive(world.around.connect()));
    expect(world.worker.hasWork).toBe(true);
    world.turn();
    expect(world.worker.hasWork).toBe(false);
  });

  it('counts what was sent, in it and between two', async () => {
    const reply = (): void => void world.outbox.send(fd, 'four');
    const world: WorkerWorld = await WorkerWorld.serving({ callbacks: { ports: [{ receive: reply }] } });
    const fd = world.around.connect();
    world.around.write(receive(fd));
    world.turn();
    expect([world.around.counter('sent'), world.around.counter('sentBytes')]).toEqual([1, 4]);
    world.outbox.send(fd, 'between');
    world.worker.ready();
    expect([world.around.counter('sent'), world.around.counter('sentBytes')]).toEqual([2, 11]);
    world.turn();
    expect([world.around.counter('sent'), world.around.counter('sentBytes')]).toEqual([2, 11]);
  });

  it('rings a reactor that waits for room, and no other', async () => {
    let rings = 0;
    const world = await WorkerWorld.serving({
      ...{ callbacks: { ports: [{}] }, reactorWakers: [{ wake: () => false, ring: () => void rings++ }] },
    });
    const fd = world.around.connect();
    world.around.write(receive(fd));
    world.turn();
    expect(rings).toBe(0);
    world.around.write(receive(fd, 'x'.repeat(40_000)), receive(fd, 'x'.repeat(40_000)));
    world.around.waitForRoom();
    world.turn();
    expect(rings).toBe(1);
  });

  it('hides the connection from senders before its close callback, and drops what is held for it', async () => {
    const seen: unknown[] = [];
    const world: WorkerWorld = await WorkerWorld.serving({
      callbacks: {
        ports: [{ close: ({ fd }) => void seen.push(world.around.table.isOpen(fd), world.outbox.send(fd, 'late')) }],
      },
    });
    const fd = world.around.connect();
    world.outbox.send(fd, Buffer.alloc(300_000));
    world.around.write({ type: Event.close, fd, detail: CloseCode.CLIENT_RESET });
    world.turn();
    expect([seen, world.outbox.heldBytes]).toEqual([[false, false], 0]);
  });
});

describe('the bell of a worker', () => {
  let bell: DoorbellDescriptors;
  beforeEach(() => {
    bell = createDoorbell();
  });
  afterEach(() => closeDoorbell(bell));

  const poller = (levelTriggered: boolean, rearmed: unknown[]): Poller => {
    const none = (): void => {};
    return {
      ...{ name: 'epoll', levelTriggered, add: none, addReadable: none, retoken: none, remove: none, abandon: none },
      ...{ close: none, wakeSoon: none, rearm: (...given: unknown[]) => void rearmed.push(given) },
    } as Poller;
  };

  it('wakes it', async () => {
    const world = await WorkerWorld.serving();
    expect(isAsleep(world)).toBe(true);
    world.worker.ready();
    expect(isAsleep(world)).toBe(false);
  });

  it.each([true, false])('is cleared, and watched again, where the poller sees levels: %s', async (levelTriggered) => {
    const rearmed: unknown[] = [];
    const world = await WorkerWorld.serving({ bell, createPoller: () => poller(levelTriggered, rearmed) });
    ringDoorbell(bell);
    world.worker.ready();
    expect(rearmed).toEqual(levelTriggered ? [[bell.read, READABLE]] : []);
    expect(readableNow(bell.read)).toBe(!levelTriggered);
    clearDoorbell(bell);
  });
});

describe('a callback without a connection that waits', () => {
  it('is pending until it has ended, and its failure is logged and counted', async () => {
    let fail: ((error: Error) => void) | undefined;
    const pipeMessage = (): Promise<void> =>
      new Promise((_, reject) => {
        fail = reject;
      });
    const world = await WorkerWorld.serving({ callbacks: { ports: [], pipeMessage } });
    world.messaging.deliver('hello', 3);
    expect(world.around.board.field(0, WorkerField.pending)).toBe(1);
    fail?.(new Error('as the test wants'));
    await settle();
    expect(world.around.board.field(0, WorkerField.pending)).toBe(0);
    expect(world.around.lines.join('\n')).toContain("the 'pipeMessage' callback failed");
    expect(world.around.counter('callbackErrors')).toBe(1);
  });
});

describe('a worker that leaves', () => {
  afterEach(() => void vi.useRealTimers());

  it('ends when its last client has read on, although no event tells it', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
    const world = await WorkerWorld.serving({ callbacks: { ports: [{}] } });
    world.outbox.send(world.around.connect(), Buffer.alloc(300_000));
    world.manager({ type: 'release', deadlineMs: 1000 });
    world.turn();
    await settle();
    for (let i = 0; i < 50 && world.exits.length === 0; i++) {
      world.around.sent();
      vi.advanceTimersByTime(10);
      await settle();
    }
    expect(world.exits).toEqual([0]);
  });

  it('has sent what its last callback sends, and counted it', async () => {
    let wakes = 0;
    const workerStop = (): void => void world.outbox.send(fd, 'bye');
    const world: WorkerWorld = await WorkerWorld.serving({ callbacks: { ports: [{}], workerStop } });
    const fd = world.around.connect();
    vi.spyOn(world.outbox, 'flush').mockImplementation(() => void wakes++);
    world.manager({ type: 'stop', deadlineMs: 1000 });
    world.turn();
    const before = wakes;
    await settle();
    expect([world.exits, wakes - before, world.around.counter('sentBytes')]).toEqual([[0], expect.any(Number), 3]);
    expect(wakes).toBeGreaterThan(before);
    expect(world.around.sent()).toMatchObject([{ type: Request.send, text: 'bye' }]);
  });
});
