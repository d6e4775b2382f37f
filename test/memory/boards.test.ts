import { describe, expect, it } from 'vitest';
import {
  busyStamp,
  Http2Record,
  msSince,
  ReactorBoard,
  ReactorCounter,
  WorkerBoard,
  WorkerCounter,
  WorkerField,
} from '../../src/memory/boards.js';
import { Region } from '../../src/memory/region.js';
import { monotonicMs } from '../../src/util/clock.js';
import { testShape } from '../helpers/test-shape.js';

const makeRegion = () => Region.create(testShape({ reactorNum: 2, workerNum: 2 }));

describe('a stamp', () => {
  it('tells how long ago it was made', () => {
    expect(msSince(busyStamp())).toBeLessThan(1000);
    expect(msSince((monotonicMs() - 5000) & 0x3fffffff)).toBeGreaterThanOrEqual(5000);
    expect(msSince((monotonicMs() - 5000) & 0x3fffffff)).toBeLessThan(6000);
  });

  it('of 0 is none, and is never made', () => {
    expect(msSince(0)).toBe(0);
    expect(busyStamp()).toBeGreaterThan(0);
    expect(busyStamp()).toBeLessThan(2 ** 30);
  });

  it('that another process has made in this very millisecond is not an age of twelve days', () => {
    expect(msSince((monotonicMs() + 2) & 0x3fffffff)).toBe(0);
  });
});

describe('the board of reactors', () => {
  it('adds to what is there, sets what is set, and keeps each reactor by itself', () => {
    const board = new ReactorBoard(makeRegion());
    board.add(1, ReactorCounter.accepted, 2);
    board.add(1, ReactorCounter.accepted, 3);
    board.set(1, ReactorCounter.closed, 4);
    board.set(1, ReactorCounter.closed, 1);
    board.addConnections(1, 5);
    board.addConnections(1, -2);
    board.addOccupied(1, 7);
    board.addOccupied(1, -1);
    board.setUnderWay(1, 9);
    const figures = (reactor: number) => [
      board.read(reactor, ReactorCounter.accepted),
      board.read(reactor, ReactorCounter.closed),
      board.connections(reactor),
      board.occupied(reactor),
      board.underWay(reactor),
    ];
    expect(figures(1)).toEqual([5, 1, 3, 6, 9]);
    expect(figures(0)).toEqual([0, 0, 0, 0, 0]);
  });
});

describe('the board of workers', () => {
  it('adds up what both lanes have counted', () => {
    const region = makeRegion();
    const board = new WorkerBoard(region);
    region.float64[board.counterIndex(1, 0) + WorkerCounter.sent] = 5;
    region.float64[board.counterIndex(1, 1) + WorkerCounter.sent] = 7;
    expect(board.read(1, WorkerCounter.sent)).toBe(12);
    expect([board.read(0, WorkerCounter.sent), board.read(1, WorkerCounter.received)]).toEqual([0, 0]);
  });

  it('forgets what a process held when it is gone, and that of its lane alone', () => {
    const region = makeRegion();
    const board = new WorkerBoard(region);
    region.float64[board.counterIndex(1, 0) + WorkerCounter.held] = 5;
    region.float64[board.counterIndex(1, 1) + WorkerCounter.held] = 7;
    region.float64[board.counterIndex(1, 1) + WorkerCounter.closes] = 3;
    board.forgetHeld(1, 1);
    expect([board.read(1, WorkerCounter.held), board.read(1, WorkerCounter.closes)]).toEqual([5, 3]);
    board.forgetHeld(1, 0);
    expect(board.read(1, WorkerCounter.held)).toBe(0);
  });

  it('says since when a worker is there', () => {
    const board = new WorkerBoard(makeRegion());
    board.setStartedAt(1, 123.5);
    expect([board.startedAt(1), board.startedAt(0)]).toEqual([123.5, 0]);
  });

  it('adds to a field, and returns what was there before', () => {
    const board = new WorkerBoard(makeRegion());
    board.setField(1, WorkerField.connections, 4);
    expect(board.addField(1, WorkerField.connections, -1)).toBe(4);
    expect([board.field(1, WorkerField.connections), board.field(0, WorkerField.connections)]).toEqual([3, 0]);
  });

  it('knows all processes of an id until each is forgotten', () => {
    const board = new WorkerBoard(makeRegion());
    board.setProcess(1, 0, 100);
    board.setProcess(1, 1, 200);
    expect([board.processes(1), board.processes(0)]).toEqual([[100, 200], []]);
    board.forgetProcess(1, 300);
    expect(board.processes(1)).toEqual([100, 200]);
    board.forgetProcess(1, 100);
    expect(board.processes(1)).toEqual([200]);
    board.forgetProcess(1, 200);
    expect(board.processes(1)).toEqual([]);
  });

  it('has a sleep of its own for each lane of each worker', () => {
    const board = new WorkerBoard(makeRegion());
    const places = [0, 1].flatMap((worker) => [0, 1].map((lane) => board.sleepIndex(worker, lane)));
    expect(new Set(places).size).toBe(4);
  });
});

describe('what HTTP/2 does', () => {
  it('is counted by each process, and told for the id and for all', () => {
    const region = makeRegion();
    const board = new WorkerBoard(region);
    const old = new Http2Record(region, 1, 0);
    const next = new Http2Record(region, 1, 1);
    const other = new Http2Record(region, 0, 0);
    old.countUnderWay(1);
    next.countUnderWay(1);
    next.countUnderWay(1);
    next.countUnderWay(-1);
    other.countUnderWay(1);
    old.countRefused();
    next.countRefused();
    next.countReset();
    old.held(10);
    next.held(20);
    next.held(5);
    expect(board.http2(1)).toEqual({ underWay: 2, refused: 2, reset: 1, heldBytes: 15 });
    expect(board.http2(0)).toEqual({ underWay: 1, refused: 0, reset: 0, heldBytes: 0 });
    expect([board.streamsUnderWay(0), board.streamsUnderWay(1), board.streamsUnderWay(2)]).toEqual([0, 1, 3]);
  });

  it('goes on where the process before has left it, but for what that one had under way', () => {
    const region = makeRegion();
    const board = new WorkerBoard(region);
    const before = new Http2Record(region, 1, 1);
    before.countUnderWay(1);
    before.countRefused();
    before.held(10);
    board.setProcess(1, 1, 4711);
    expect(board.http2(1).underWay).toBe(0);
    before.countUnderWay(1);
    new Http2Record(region, 1, 1);
    expect(board.http2(1)).toEqual({ underWay: 0, refused: 1, reset: 0, heldBytes: 0 });
  });
});
