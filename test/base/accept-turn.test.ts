import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { AcceptTurn } from '../../src/base/accept-turn.js';
import { busyStamp, ReactorBoard, ReactorCounter, WorkerBoard, WorkerField } from '../../src/memory/boards.js';
import { Region } from '../../src/memory/region.js';
import { testShape } from '../helpers/test-shape.js';

let region: Region;
let reactors: ReactorBoard;
let workers: WorkerBoard;
/** Who was called to accept, in order. */
let called: number[];

beforeEach(() => {
  region = Region.create(testShape({ reactorNum: 3, workerNum: 3 })); // looks at the clock until it goes on
  vi.useFakeTimers({ toFake: ['performance'] });
  [reactors, workers, called] = [new ReactorBoard(region), new WorkerBoard(region), []];
  for (let worker = 0; worker < 3; worker++) workers.setField(worker, WorkerField.pid, 100 + worker);
});
afterEach(() => vi.useRealTimers());

const turnOf = (id: number, more: { maxConnections?: number; slots?: number; isDecided?: boolean } = {}): AcceptTurn =>
  new AcceptTurn({
    id,
    region,
    maxConnections: more.maxConnections ?? 1000,
    slotsPerReactor: more.slots ?? 1000,
    isDecided: more.isDecided ?? false,
    wakerOf: (worker) => ({ wake: () => called.push(worker) > 0, ring: () => {} }),
  });

/** Connections that a worker has, and has accepted. */
const has = (worker: number, connections: number, accepted = connections): void => {
  reactors.addConnections(worker, connections - reactors.connections(worker));
  reactors.set(worker, ReactorCounter.accepted, accepted);
};

describe('whose turn it is to accept', () => {
  it('is of any worker while none has a connection', () => {
    for (const id of [0, 1, 2]) expect(turnOf(id).mayTake()).toBe('yes');
    expect(called).toEqual([]);
  });

  it('is of the one with the fewest connections, which the others call', () => {
    has(0, 1);
    has(1, 1);
    expect(turnOf(0).mayTake()).toBe('later');
    expect(turnOf(1).mayTake()).toBe('later');
    expect(turnOf(2).mayTake()).toBe('yes');
    expect(called).toEqual([2, 2]);
  });

  it('is, among equals, of the one that has had fewer so far', () => {
    has(0, 1, 9);
    has(1, 1, 8);
    has(2, 1, 9);
    expect(turnOf(0).mayTake()).toBe('later');
    expect(turnOf(1).mayTake()).toBe('yes');
    expect(called).toEqual([1]);
  });

  it('hands 12 clients that come one by one to 3 workers as 4, 4 and 4, whoever is woken', () => {
    const turns = [0, 1, 2].map((id) => turnOf(id));
    for (let client = 0; client < 12; client++) {
      const taker = turns.findIndex((turn) => turn.mayTake() === 'yes');
      has(taker, reactors.connections(taker) + 1);
    }
    expect([0, 1, 2].map((id) => reactors.connections(id))).toEqual([4, 4, 4]);
  });

  it.each([
    [31, 30, 'later'],
    [32, 31, 'yes'],
    [33, 31, 'later'],
    [1000, 996, 'yes'],
    [1000, 995, 'later'],
  ])('with %i connections against %i is: %s, since few more do not matter among many', (own, other, answer) => {
    has(0, own);
    has(1, other);
    has(2, 2000);
    expect(turnOf(0, { maxConnections: 10_000 }).mayTake()).toBe(answer);
  });

  it('is of ours alone where the kernel has decided', () => {
    has(0, 100);
    expect(turnOf(0, { isDecided: true }).mayTake()).toBe('yes');
  });
});

describe('a worker that does not come', () => {
  it('is not called where it has no process', () => {
    has(0, 5);
    for (const other of [1, 2]) workers.setField(other, WorkerField.pid, 0);
    expect(turnOf(0).mayTake()).toBe('yes');
  });

  it('is waited for while its callbacks have run for less than 20 ms, and not longer', () => {
    has(0, 1);
    has(2, 1);
    workers.setField(1, WorkerField.busy, busyStamp());
    vi.advanceTimersByTime(19);
    expect(turnOf(0).mayTake()).toBe('later');
    vi.advanceTimersByTime(1);
    expect(turnOf(0).mayTake()).toBe('yes');
  });

  it('is passed over after 50 ms, for a second', () => {
    has(0, 1);
    has(2, 1);
    const turn = turnOf(0);
    expect(turn.mayTake()).toBe('later');
    vi.advanceTimersByTime(50);
    expect(turn.mayTake()).toBe('later');
    vi.advanceTimersByTime(1);
    expect(turn.mayTake()).toBe('yes');
    vi.advanceTimersByTime(999);
    expect(turn.mayTake()).toBe('yes');
    vi.advanceTimersByTime(1);
    expect(turn.mayTake()).toBe('later');
  });

  it('leaves its turn to the next better one, not to ours', () => {
    has(0, 4);
    has(1, 1);
    has(2, 2);
    const turn = turnOf(0);
    turn.mayTake();
    vi.advanceTimersByTime(51);
    expect(turn.mayTake()).toBe('later');
    expect(called).toEqual([1, 2]);
  });

  it('has its 50 ms anew when nobody waited to be accepted in between', () => {
    has(0, 1);
    has(2, 1);
    const turn = turnOf(0);
    turn.mayTake();
    vi.advanceTimersByTime(40);
    turn.drained();
    vi.advanceTimersByTime(1000);
    expect(turn.mayTake()).toBe('later');
  });
});

describe('where there is no room', () => {
  it('nobody takes any from maxConnections of all workers together on', () => {
    has(0, 4);
    has(1, 5);
    expect(turnOf(2, { maxConnections: 10 }).mayTake()).toBe('yes');
    has(1, 6);
    expect(turnOf(2, { maxConnections: 10 }).mayTake()).toBe('full');
    expect(turnOf(2, { maxConnections: 10, isDecided: true }).mayTake()).toBe('full');
  });

  it('a worker takes none when its slots are in use, those of ended connections included', () => {
    reactors.addOccupied(0, 7);
    expect(turnOf(0, { slots: 8 }).mayTake()).toBe('yes');
    reactors.addOccupied(0, 1);
    expect(turnOf(0, { slots: 8 }).mayTake()).toBe('full');
    expect(turnOf(1, { slots: 8 }).mayTake()).toBe('yes');
  });
});
