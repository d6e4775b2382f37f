import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { CloseCode, Event } from '../../src/ipc/frame.js';
import { ReactorCounter, WorkerCounter } from '../../src/memory/boards.js';
import { Hold } from '../../src/reactor/life.js';
import { ReactorWorld, type WorldOptions } from '../helpers/reactor-world.js';

beforeEach(() => void vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] }));
afterEach(() => void vi.useRealTimers());

const LOOK_MS = 20;

class BudgetWorld extends ReactorWorld {
  constructor(options: WorldOptions['options']) {
    super({ options: { maxBufferedBytes: 1000, ...options } });
  }

  /** Bytes wait in the memory of its worker. */
  workerHolds(bytes: number): void {
    this.region.float64[this.workers.counterIndex(0, 0) + WorkerCounter.held] = bytes;
    this.turn();
  }

  /** Bytes wait for a client. */
  waitsFor(length: number) {
    const connection = this.connect();
    this.client(connection).room = 0;
    this.sending.write(connection, Buffer.alloc(length), 0, 0, length);
    return connection;
  }

  get buffered(): number {
    return this.board.read(0, ReactorCounter.buffered);
  }
}

describe('what waits in the memory of a reactor', () => {
  it('is counted by connection, in and out, and counted off when it leaves or the connection goes', () => {
    const world = new BudgetWorld({ maxBufferedBytes: 0 });
    const [one, other] = [world.waitsFor(100), world.waitsFor(50)];
    world.comesEarly(other, 'abc');
    expect(world.buffered).toBe(153);
    world.clientTakes(one, 40);
    expect(world.buffered).toBe(113);
    world.clientTakes(one);
    world.ending.reset(other, CloseCode.SERVER_RESET);
    expect(world.buffered).toBe(0);
  });

  it('may be any number where there is no limit', () => {
    const world = new BudgetWorld({ maxBufferedBytes: 0 });
    world.workerHolds(1e12);
    const connection = world.connect();
    world.clientSends(connection, 'hello');
    expect([connection.holds, world.take().length]).toEqual([0, 1]);
  });
});

describe('over the budget, where clients are paused', () => {
  it('none is read, whoever holds the bytes', () => {
    const world = new BudgetWorld({});
    world.workerHolds(1001);
    const connection = world.connect();
    world.clientSends(connection, 'hello');
    expect([connection.holds, world.take()]).toEqual([Hold.budget, []]);
  });

  it('they are read on below four fifths of it, and not between', () => {
    const world = new BudgetWorld({});
    world.workerHolds(1001);
    const connections = [world.connect(), world.connect()];
    for (const connection of connections) world.clientSends(connection, 'hello');
    world.workerHolds(900);
    expect([world.take(), world.board.read(0, ReactorCounter.paused)]).toEqual([[], 1]);
    world.workerHolds(800);
    expect(world.take().map(({ text }) => text)).toEqual(['hello', 'hello']);
    expect(world.board.read(0, ReactorCounter.paused)).toBe(0);
    expect(connections.map(({ holds }) => holds)).toEqual([0, 0]);
  });

  it('the reactor looks again by itself: no other process tells what it has drained', () => {
    const world = new BudgetWorld({});
    const wakes = vi.fn();
    world.context.wake = wakes;
    world.workerHolds(1001);
    vi.advanceTimersByTime(3 * LOOK_MS);
    expect(wakes).toHaveBeenCalledTimes(3);
    world.workerHolds(0);
    vi.advanceTimersByTime(3 * LOOK_MS);
    expect(wakes).toHaveBeenCalledTimes(3);
  });

  it('one that has gone meanwhile is not read', () => {
    const world = new BudgetWorld({});
    world.workerHolds(1001);
    const connection = world.connect();
    world.clientSends(connection, 'hello');
    world.ending.reset(connection, CloseCode.SERVER_RESET);
    world.workerHolds(0);
    expect(world.take().map(({ type }) => type)).toEqual([Event.close]);
  });
});

describe('a pause is reported', () => {
  const fill = (world: BudgetWorld): void => world.workerHolds(1001);
  const passes = (world: BudgetWorld, ms: number): void => {
    world.pass(ms);
    vi.advanceTimersByTime(ms);
  };
  const drain = (world: BudgetWorld): void => world.workerHolds(0);

  it('once, with what is held, and once more when clients are read on', () => {
    const world = new BudgetWorld({});
    for (const bytes of [10, 300, 400, 20]) world.waitsFor(bytes);
    const [, , largest] = world.context.connections.list();
    world.connect();
    world.workerHolds(500);
    expect(world.overloads).toEqual([]);
    passes(world, 100);
    world.workerHolds(400);
    const paused = { state: 'paused', reactor: 0, heldBytes: 1230, limitBytes: 1000, connections: 5 };
    expect(world.overloads).toEqual([
      { ...paused, holders: 1, largest: largest?.sessionId, endsDeaf: false, untold: 0 },
    ]);
    passes(world, 1400);
    world.workerHolds(900);
    passes(world, 1500);
    world.workerHolds(70);
    expect(world.overloads.slice(1)).toEqual([
      { state: 'reads on', reactor: 0, pausedMs: 3000, heldBytes: 800, mostBytes: 1630 },
    ]);
  });

  it('without a client where none of this reactor holds anything, and with what ends clients that take nothing', () => {
    const world = new BudgetWorld({ writeTimeoutMs: 1000 });
    fill(world);
    passes(world, 100);
    fill(world);
    expect(world.overloads).toMatchObject([{ connections: 0, holders: 0, largest: 0, endsDeaf: true }]);
  });

  it('at most once in ten seconds: the next report has the number of the others', () => {
    const world = new BudgetWorld({});
    for (let i = 0; i < 100; i++) {
      fill(world);
      drain(world);
      passes(world, 50);
    }
    expect(world.overloads.map(({ state }) => state)).toEqual(['paused', 'reads on']);
    passes(world, 5000);
    fill(world);
    drain(world);
    expect(world.overloads.slice(2)).toMatchObject([
      { state: 'paused', heldBytes: 1001, untold: 99 },
      { state: 'reads on' },
    ]);
  });

  it('later, where it began right behind another one and goes on', () => {
    const world = new BudgetWorld({});
    fill(world);
    drain(world);
    fill(world);
    expect(world.overloads).toHaveLength(2);
    passes(world, 10_000);
    fill(world);
    drain(world);
    expect(world.overloads.slice(2)).toMatchObject([
      { state: 'paused', untold: 0 },
      { state: 'reads on', pausedMs: 10_000 },
    ]);
  });
});

describe('over the budget, where clients are closed', () => {
  it('the one goes for which the most waits, and no other', () => {
    const world = new BudgetWorld({ overloadPolicy: 'close' });
    const connections = [400, 500, 300].map((bytes) => world.waitsFor(bytes));
    world.turn();
    expect(connections.map(({ isClosed }) => isClosed)).toEqual([false, true, false]);
    expect(world.take().at(-1)).toMatchObject({ type: Event.close, detail: CloseCode.MEMORY_LIMIT });
  });

  it('another one goes only when what the last one held is counted off', () => {
    const world = new BudgetWorld({ overloadPolicy: 'close' });
    const connections = [400, 500].map((bytes) => world.waitsFor(bytes));
    world.workerHolds(5000);
    world.turn();
    expect(connections.map(({ isClosed }) => isClosed)).toEqual([false, true]);
    world.pass(LOOK_MS);
    world.turn();
    expect(connections.map(({ isClosed }) => isClosed)).toEqual([true, true]);
  });

  it('nobody goes for whom nothing waits, and all are read', () => {
    const world = new BudgetWorld({ overloadPolicy: 'close' });
    const connection = world.connect();
    world.workerHolds(5000);
    world.clientSends(connection, 'hello');
    expect([connection.isClosed, world.take().length]).toEqual([false, 1]);
  });
});

it('a single byte that waits is enough to be the largest', () => {
  const world = new BudgetWorld({ overloadPolicy: 'close' });
  const [one, other] = [world.waitsFor(1), world.connect()];
  world.pass(60_000);
  world.workerHolds(2000);
  world.connect();
  world.clientSends(other, 'x');
  expect([one.isClosed, other.isClosed]).toEqual([true, false]);
});
