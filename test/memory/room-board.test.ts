import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { beforeEach, describe, expect, it } from 'vitest';
import { Region } from '../../src/memory/region.js';
import { type BoardParts, MAX_ROOM_NAME_BYTES, RoomBoard, type RoomSize } from '../../src/memory/room-board.js';
import { ownerWord } from '../../src/memory/shared-lock.js';
import { testShape } from '../helpers/test-shape.js';

let region: Region;
let board: RoomBoard;

function create(rooms: number, reactorNum = 3): void {
  region = Region.create(testShape({ rooms, reactorNum }));
  board = new RoomBoard(region);
}

beforeEach(() => create(64));

const sorted = (of: RoomBoard): [string, number][] =>
  of
    .list()
    .map(({ name, members }): [string, number] => [name, members])
    .sort(([a], [b]) => (a < b ? -1 : 1));

describe('a room', () => {
  it('has the members of all reactors, in every process', () => {
    const other = new RoomBoard(Region.open(region.descriptor));
    const place = board.join('lobby', 0);
    expect(other.join('lobby', 2, 5)).toBe(place);
    board.add(place, 0, 3);
    other.add(place, 2, -1);
    expect([board.size('lobby'), other.size('lobby'), board.size('other')]).toEqual([8, 8, 0]);
    expect(other.list()).toEqual([{ name: 'lobby', members: 8 }]);
  });

  it('ends with its last member', () => {
    const places = ['a', 'b', 'c'].map((name) => board.join(name, 1));
    board.add(places[1] ?? -1, 1, -1);
    expect(sorted(board)).toEqual([
      ['a', 1],
      ['c', 1],
    ]);
    expect(board.size('b')).toBe(0);
    board.join('b', 0);
    expect(board.size('b')).toBe(1);
  });

  const umlauts = 'ä'.repeat(MAX_ROOM_NAME_BYTES / 2);

  it.each(['x', '🙂', 'x'.repeat(MAX_ROOM_NAME_BYTES), umlauts])('may be called %s', (name) => {
    board.join(name, 0);
    board.join('y', 0);
    expect(board.size(name)).toBe(1);
    expect(board.list()).toContainEqual({ name, members: 1 });
  });

  it.each(['', 'x'.repeat(MAX_ROOM_NAME_BYTES + 1), `${umlauts}x`])('may not be called "%s"', (name) => {
    expect(board.join(name, 0)).toBe(-1);
    expect([board.size(name), board.list()]).toEqual([0, []]);
  });

  it('does not exist where no port speaks WebSocket', () => {
    create(0);
    expect([board.join('a', 0), board.size('a'), board.list()]).toEqual([-1, 0, []]);
    board.resetReactor(0);
  });
});

describe('the figures of all rooms', () => {
  it('are how many rooms have members, and how many members these have', () => {
    expect(board.totals()).toEqual({ rooms: 0, members: 0 });
    board.join('a', 0, 3);
    board.join('a', 2);
    board.add(board.join('b', 1), 1, -1);
    board.join('c', 1, 5);
    expect(board.totals()).toEqual({ rooms: 2, members: 9 });
    board.resetReactor(1);
    expect(board.totals()).toEqual({ rooms: 1, members: 4 });
  });

  it.each([1, 2, 3, 10, 31, 64, 1000])('have the %i largest first, however they came', (count) => {
    const sizes = Array.from({ length: 64 }, (_, i) => 1 + ((i * 37) % 32));
    for (const [i, members] of sizes.entries()) board.join(`room ${i}`, i % 3, members);
    const rooms = board.largest(count);
    expect(rooms.map(({ members }) => members)).toEqual(sizes.sort((a, b) => b - a).slice(0, count));
    for (const { name, members } of rooms) expect(board.size(name)).toBe(members);
    expect(new Set(rooms.map(({ name }) => name)).size).toBe(rooms.length);
  });

  it('have rooms of one size by name, and none without members', () => {
    for (const name of ['b', 'a', 'c']) board.join(name, 0);
    board.add(board.join('d', 0, 2), 0, -2);
    expect(board.largest(10).map(({ name }) => name)).toEqual(['a', 'b', 'c']);
  });

  it('are none where no port speaks WebSocket', () => {
    create(0);
    expect([board.totals(), board.largest(5)]).toEqual([{ rooms: 0, members: 0 }, []]);
  });
});

describe('a board', () => {
  it.each([1, 2, 64])('holds %i rooms, and one more when one has ended', (rooms) => {
    create(rooms);
    const places = Array.from({ length: rooms }, (_, index) => board.join(`room ${index}`, index % 3));
    expect(new Set(places)).toEqual(new Set(Array.from({ length: rooms }, (_, index) => index)));
    for (let again = 0; again < 2; again++) expect(board.join('another', 1)).toBe(-1);
    expect(board.join('room 0', 1)).toBe(places[0]);
    board.add(places[0] ?? -1, 0, -1);
    expect(board.join('another', 1)).toBe(-1);
    board.add(places[0] ?? -1, 1, -1);
    expect(board.join('another', 1)).toBe(places[0]);
    expect([board.size('another'), board.size('room 0'), board.list().length]).toEqual([1, 0, rooms]);
  });

  it('does not slow down with the rooms that come and go', () => {
    create(1024);
    const lasting = Array.from({ length: 512 }, (_, index) => board.join(`lasting ${index}`, 0));
    const kept: number[] = [];
    let refused = 0;
    const come = (from: number, count: number): number => {
      const began = performance.now();
      for (let i = from; i < from + count; i++) {
        const place = board.join(`passing ${i}`, 1);
        if (place === -1) refused++;
        if (i % 400 < 200) board.add(place, 1, -1);
        else kept.push(place);
        if (kept.length > 200) board.add(kept.shift() ?? -1, 1, -1);
      }
      return performance.now() - began;
    };
    come(0, 10_000);
    const first = come(10_000, 10_000);
    come(20_000, 80_000);
    const last = come(100_000, 10_000);
    expect(refused).toBe(0);
    expect(last).toBeLessThan(first * 5 + 50);
    expect(board.list().length).toBe(512 + kept.length);
    for (const [index, place] of lasting.entries()) expect(board.join(`lasting ${index}`, 0)).toBe(place);
  });

  it('uses few records for rooms that do not exist at the same time', () => {
    create(1024);
    const places = Array.from({ length: 5000 }, (_, index) => {
      const place = board.join(`room ${index}`, 0);
      board.add(place, 0, -1);
      return place;
    });
    expect(new Set(places).size).toBe(1);
  });
});

it('the members of a killed reactor leave with it', () => {
  board.join('a', 0, 2);
  board.join('a', 1, 3);
  board.join('b', 1, 4);
  board.resetReactor(1);
  expect(sorted(board)).toEqual([['a', 2]]);
  board.join('b', 1);
  expect([board.size('a'), board.size('b')]).toEqual([2, 1]);
  create(2);
  for (const name of ['a', 'b']) board.join(name, 1);
  expect(board.join('c', 0)).toBe(-1);
  board.resetReactor(1);
  expect(board.join('c', 0)).not.toBe(-1);
});

class Killed extends Error {}

const DEAD = 4_000_000;
const survivor: BoardParts = { isRunning: (pid) => pid !== DEAD };

/** As a process that is killed before that step of a join. @returns false when it was done before */
function diesAt(step: number, name: string): boolean {
  let steps = 0;
  const atStep = (): void => {
    if (++steps === step) throw new Killed();
  };
  try {
    new RoomBoard(region, { atStep, owner: ownerWord(DEAD, 0) }).join(name, 1);
    return false;
  } catch (error) {
    expect(error).toBeInstanceOf(Killed);
    return true;
  }
}

describe('a reactor that is killed in the midst of a join', () => {
  const rooms = 4;
  // Its room is new, or one more member's; its record was never used, or another room's.
  const cases = [0, 3].flatMap((ended) => ['new', 'room 0', 'room 3'].map((name) => [name, ended] as const));

  it.each(cases)('leaves a board that is whole (%s, after %i rooms have ended)', (name, ended) => {
    for (let step = 1, isKilled = true; isKilled; step++) {
      create(rooms);
      const living = new RoomBoard(region, survivor);
      const places = Array.from({ length: ended === 0 ? 2 : rooms }, (_, index) => living.join(`room ${index}`, 0));
      for (const place of places.slice(1, 1 + ended)) living.add(place, 0, -1);
      const before = sorted(living);
      isKilled = diesAt(step, name);
      for (const [room, members] of before) if (room !== name) expect(living.size(room)).toBe(members);
      living.resetReactor(1);
      expect(sorted(living)).toEqual(before);
      // Every record is still there.
      const others = ['e', 'f', 'g', 'h'].map((room) => living.join(room, 2));
      expect(others.filter((place) => place !== -1).length).toBe(rooms - before.length);
      expect(living.join('room 0', 2)).toBe(places[0]);
      expect(living.list().length).toBe(rooms);
      for (const { name: room, members } of living.list()) expect(living.size(room)).toBe(members);
    }
  });
});

it('a room is not joined while a living process holds the lock for longer than a reactor may wait', () => {
  let found = 0;
  const atStep = (): void => {
    found = new RoomBoard(region, { patienceMs: 1, owner: ownerWord(process.pid, 1) }).join('b', 1);
  };
  new RoomBoard(region, { atStep }).join('a', 0);
  expect(found).toBe(-1);
  expect(sorted(board)).toEqual([['a', 1]]);
  expect(board.join('b', 1)).not.toBe(-1);
});

it('reactors that add the same rooms at once agree about their places, and names are never mixed', async () => {
  create(256);
  const fixture = fileURLToPath(new URL('../fixtures/memory-writers.js', import.meta.url));
  const shared = { descriptor: region.descriptor, job: 'rooms', rounds: 30_000 };
  const threads = [0, 1].map((reactor) => new Worker(fixture, { workerData: { ...shared, reactor } }));
  const results = Promise.all(threads.map((thread) => once(thread, 'message')));
  const strange: RoomSize[] = [];
  let isDone = false;
  void results.then(() => {
    isDone = true;
  });
  while (!isDone) {
    strange.push(...board.list().filter(({ name }) => !/^(room \d\d?|passing \d{1,3})$/.test(name)));
    await new Promise(setImmediate);
  }
  const [[one], [two]] = (await results) as [[number[]], [number[]]];
  expect(strange).toEqual([]);
  expect(one).toEqual(two);
  expect(new Set(one).size).toBe(100);
  // Each thread has joined each room once, and counted one more in every third round.
  const expected = Array.from({ length: 100 }, (_, room) => 2 * (1 + thirdRounds(room, 30_000)));
  expect(Array.from({ length: 100 }, (_, room) => board.size(`room ${room}`))).toEqual(expected);
  expect(board.list().length).toBe(100);
});

function thirdRounds(room: number, rounds: number): number {
  let count = 0;
  for (let i = room; i < rounds; i += 100) if (i % 3 === 0) count++;
  return count;
}
