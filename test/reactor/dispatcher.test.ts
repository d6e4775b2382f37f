import { describe, expect, it, vi } from 'vitest';
import { Event, Request } from '../../src/ipc/frame.js';
import { ReactorCounter, WorkerField } from '../../src/memory/boards.js';
import { peerOf } from '../../src/memory/layout.js';
import type { Connection } from '../../src/reactor/connection.js';
import type { DispatchFunction, strategyOf } from '../../src/reactor/dispatch/index.js';
import { Input } from '../../src/reactor/input.js';
import { ReactorWorld } from '../helpers/reactor-world.js';

type Mode = Parameters<typeof strategyOf>[0];

function open(mode: Mode, workers = 3, dispatch?: DispatchFunction) {
  const world = new ReactorWorld({ workers, mode, ...(dispatch && { dispatch }) });
  const { dispatcher } = world;
  /** Gives out one packet. @returns who got it */
  const give = (connection: Connection): number => {
    const ring = dispatcher.ringFor(connection);
    dispatcher.dispatched(connection, ring, 10);
    return ring.worker;
  };
  return { world, dispatcher, give };
}

const packet = Buffer.from('packet');

describe('where a connection stays with its worker', () => {
  it.each(['least-connections', 'fd-mod', 'ip-mod'] as const)('%s gives that worker every packet', (mode) => {
    const { world, give } = open(mode);
    const connection = world.connect(2);
    expect([give(connection), give(connection), give(connection)]).toEqual([2, 2, 2]);
    expect(world.board.read(0, ReactorCounter.dispatched)).toBe(3);
  });

  it('a worker that is behind keeps its connections', () => {
    const { world, give } = open('fd-mod');
    world.fill(1);
    expect(give(world.connect(1))).toBe(1);
  });
});

describe('where each packet is given out by itself', () => {
  it('the next one goes to the next worker', () => {
    const { world, give } = open('round-robin');
    const others = [world.connect(0), world.connect(0), world.connect(0)].map(give);
    expect(new Set(others).size).toBe(3);
  });

  it('a packet follows the one before it while that is being handled, and no longer', () => {
    const { world, give } = open('round-robin');
    const connection = world.connect(0);
    const first = give(connection);
    world.workers.setField(first, WorkerField.busy, 1);
    expect([give(connection), give(connection)]).toEqual([first, first]);
    world.table.countHandled(connection.slot, 30);
    world.workers.setField(first, WorkerField.busy, 0);
    const next = give(connection);
    world.table.countHandled(connection.slot, 10);
    expect(give(connection)).not.toBe(next);
  });

  it('answers of another worker do not overtake those that the reactor has not taken', () => {
    const { world } = open('round-robin');
    const connection = world.connect(0);
    const answer = (worker: number, text: string) => {
      const frames = world.take(worker);
      world.writes(connection.sessionId, [{ type: Request.send, payload: text }], peerOf(worker, 0));
      for (const { text: handled } of frames) world.table.countHandled(connection.slot, handled.length);
    };
    const comes = (text: string): number => {
      world.client(connection).sent.push(Buffer.from(text));
      connection.readable = true;
      world.reading.read(connection);
      return connection.lastWorker;
    };
    const [first, second] = [world.connect(0), world.connect(0)].map((other) => {
      world.clientSends(other, 'x'); // so that the connection's packets go to workers 2 and 0
      return other.lastWorker;
    });
    expect([first, second]).toEqual([0, 1]);
    world.takeAll();
    expect(comes('one')).toBe(2);
    answer(2, '1');
    expect(comes('two')).toBe(0);
    answer(0, '2'); // in the ring that is looked at first
    world.turn();
    expect(world.client(connection).got).toBe('12');
  });

  it('a packet follows the one before it while the worker waits for room to answer that, or has just answered', () => {
    const { world, give } = open('round-robin');
    const connection = world.connect(0);
    const first = give(connection);
    world.table.countHandled(connection.slot, 10);
    connection.drainWatchers = [peerOf(first, 0)];
    expect(give(connection)).toBe(first);
    world.table.countHandled(connection.slot, 10);
    connection.drainWatchers = null;
    world.writes(connection.sessionId, [{ type: Request.send, payload: 'answer' }], peerOf(first, 0));
    expect(give(connection)).toBe(first);
    world.table.countHandled(connection.slot, 10);
    world.turn();
    expect(give(connection)).not.toBe(first);
  });

  it('an answer that ends the connection is taken before anything more of it is given out', () => {
    const { world } = open('round-robin');
    const connection = world.connect(0);
    world.clientSends(connection, 'one');
    const worker = connection.lastWorker;
    for (const { text } of world.take(worker)) world.table.countHandled(connection.slot, text.length);
    world.writes(connection.sessionId, [{ type: Request.close }], peerOf(worker, 0));
    world.clientSends(connection, 'two');
    expect(world.takeAll().filter(({ type }) => type === Event.receive)).toEqual([]);
  });

  it('what a worker had that has died holds no packet back', () => {
    const { world, give } = open('round-robin');
    const connection = world.connect(0);
    const first = give(connection);
    // Its successor does nothing: what the table says is not handled has gone.
    expect(give(connection)).not.toBe(first);
  });

  it('one that is behind is passed over', () => {
    const { world, give } = open('round-robin');
    world.fill(0);
    world.fill(2);
    for (let i = 0; i < 6; i++) expect(give(world.connect(0))).toBe(1);
  });

  it('one that has no process, or is scaled away, gets none although its ring is empty', () => {
    for (const mode of ['round-robin', 'idle', 'least-busy'] as const) {
      const { world, give } = open(mode, 4);
      world.view.workerNum = 3; // of 3 workers, and room for one more
      world.workers.setField(2, WorkerField.pid, 0);
      world.fill(0);
      world.fill(1);
      const got = [1, 2, 3, 4, 5, 6].map(() => give(world.connect(0)));
      expect(
        got.every((worker) => worker < 3 && (mode !== 'least-busy' || worker < 2)),
        `${mode}: ${got}`,
      ).toBe(true);
    }
  });

  it('uid-mod gives the packets of a uid to its worker, also where that is behind', () => {
    const { world, give } = open('uid-mod');
    const connection = world.connect(0);
    world.table.bindUid(connection.slot, 4);
    world.fill(1);
    expect([give(connection), give(connection)]).toEqual([1, 1]);
  });

  it('a choice for which no packet came stands for the next one', () => {
    const { world, dispatcher } = open('round-robin');
    const [one, other] = [world.connect(0), world.connect(0)];
    const chosen = dispatcher.ringFor(one);
    expect(dispatcher.ringFor(other)).toBe(chosen);
    dispatcher.dispatched(other, chosen, 10);
    expect(dispatcher.ringFor(one)).not.toBe(chosen);
  });
});

describe("a function of the user's", () => {
  it('chooses the worker, discards, closes, or leaves it to the server', () => {
    const answers: ReturnType<DispatchFunction>[] = [2, 'discard', 'close', 'fallback'];
    const dispatch = vi.fn<DispatchFunction>(() => answers.shift() ?? 0);
    const { world, dispatcher } = open('fd-mod', 3, dispatch);
    const connection = world.connect(1);
    const goals = [0, 0, 0, 0].map(() => dispatcher.goalFor(connection, packet, 0, packet.length));
    expect(goals).toEqual([world.rings[2], 'discard', 'close', world.rings[1]]);
    expect(dispatch.mock.calls[0]?.[0]).toMatchObject({ fd: connection.sessionId, uid: 0, workerNum: 3, portIndex: 0 });
    expect(dispatch.mock.calls[0]?.[0].data.toString()).toBe('packet');
  });
});

describe('a request that names its session', () => {
  const request = (sid: string): Buffer => Buffer.from(`GET /socket.io/?sid=${sid} HTTP/1.1\r\n\r\n`);
  const ringOf = (sid: string, workers = 3) => {
    const { world, dispatcher } = open('fd-mod', workers);
    const bytes = request(sid);
    return dispatcher.ringForSession(world.connect(1), bytes, 0, bytes.length).worker;
  };

  it('goes to the worker that keeps it', () => expect(ringOf('abc.w2')).toBe(2));
  it('goes where it would when there is no such worker', () => expect(ringOf('abc.w7')).toBe(1));
  it('goes where it would when it names none', () => expect(ringOf('abc')).toBe(1));
});

describe('a connection that is given to another worker', () => {
  it('counts there, and no longer where it was', () => {
    const { world, dispatcher } = open('fd-mod');
    const connection = world.connect(0);
    dispatcher.rebind(connection, 2);
    dispatcher.rebind(connection, 2);
    const counts = [0, 1, 2].map((worker) => world.workers.field(worker, WorkerField.connections));
    expect({ counts, worker: connection.worker, told: world.table.worker(connection.slot) }).toEqual({
      counts: [0, 0, 1],
      worker: 2,
      told: 2,
    });
  });
});

describe('while workers go', () => {
  it('their connections are held, and theirs alone', () => {
    const { world, dispatcher } = open('fd-mod');
    const [stays, goes] = [world.connect(0), world.connect(2)];
    dispatcher.drain(1, () => {});
    expect([dispatcher.mustWait(stays), dispatcher.mustWait(goes)]).toEqual([false, true]);
    expect(dispatcher.goalFor(goes, packet, 0, packet.length)).toBe('wait');
    expect(dispatcher.goalFor(stays, packet, 0, packet.length)).toBe(world.rings[0]);
    expect(dispatcher.isDraining(1)).toBe(true);
  });

  it('it is over for the reactor when no packet is half-way to them', () => {
    const { world, dispatcher } = open('fd-mod');
    const goes = world.connect(2);
    goes.input = Input.waiting(packet, 0, packet.length, packet.length, { sent: 3, worker: 2 });
    const done = vi.fn();
    dispatcher.drain(1, done);
    dispatcher.checkDrain();
    expect(done).not.toHaveBeenCalled();
    goes.input = null;
    dispatcher.checkDrain();
    dispatcher.checkDrain();
    expect(done).toHaveBeenCalledTimes(1);
  });

  it('their connections are given to those that stay when they have finished', () => {
    const { world, dispatcher } = open('fd-mod');
    const going = [world.connect(1), world.connect(2)];
    const stays = world.connect(0);
    dispatcher.drain(1, () => {});
    expect(dispatcher.endDrain().sort((a, b) => a.slot - b.slot)).toEqual(going);
    expect(going.map(({ worker }) => worker)).toEqual([0, 0]);
    expect(world.workers.field(0, WorkerField.connections)).toBe(3);
    expect(dispatcher.mustWait(stays)).toBe(false);
    expect(dispatcher.endDrain()).toEqual([]);
  });
});
