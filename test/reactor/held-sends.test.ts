import { describe, expect, it } from 'vitest';
import { AnswerFlag, Request } from '../../src/ipc/frame.js';
import { ReactorCounter } from '../../src/memory/boards.js';
import { peerOf } from '../../src/memory/layout.js';
import type { Connection } from '../../src/reactor/connection.js';
import { HeldSends } from '../../src/reactor/held-sends.js';
import { OutQueue } from '../../src/reactor/out-queue.js';
import { ReactorWorld, someHttp } from '../helpers/reactor-world.js';

const ECONNRESET = 104;

/** A reactor whose clients were all answered in the turn before, so that answers wait for each other. */
function openBusy(clients: number) {
  const world = new ReactorWorld({ batched: true, slots: 128 });
  const connections = Array.from({ length: clients }, () => world.connect());
  const answer = (texts: (connection: Connection, index: number) => readonly string[]): void => {
    connections.forEach((connection, index) => {
      for (const payload of texts(connection, index)) {
        world.writes(connection.sessionId, [{ type: Request.send, payload }], peerOf(0, 0));
      }
    });
    world.turn();
  };
  answer(() => ['-']);
  const got = (connection: Connection): string => world.transport.clientOf(connection).got.replace(/^-/, '');
  return { world, connections, answer, got };
}

describe('answers to many clients in one turn', () => {
  it('enter the kernel in one call, from the second such turn on', () => {
    const { world, connections, answer, got } = openBusy(20);
    expect(world.batch.submitted).toEqual([]);
    answer((_, index) => [`hello ${index}`]);
    expect(world.batch.submitted).toEqual([20]);
    expect(connections.map(got)).toEqual(connections.map((_, index) => `hello ${index}`));
    expect(world.board.read(0, ReactorCounter.buffered)).toBe(0);
    expect(connections.every(({ out }) => out === null)).toBe(true);
  });

  it('leave one by one where they are few, and where there is no such call', () => {
    const few = openBusy(7);
    few.answer(() => ['hello']);
    expect(few.world.batch.submitted).toEqual([]);
    const { world, connections, answer, got } = openBusy(20);
    world.batch.isUsable = false;
    answer(() => ['hello']);
    answer(() => ['again']);
    expect(world.batch.submitted).toEqual([20]);
    expect(connections.map(got)).toEqual(connections.map(() => 'helloagain'));
  });

  it('are at most 64 in one call', () => {
    const { world, connections, answer, got } = openBusy(60);
    const more = Array.from({ length: 4 }, () => world.connect());
    connections.push(...more, world.connect());
    answer(() => ['hello']);
    expect(world.batch.submitted).toEqual([64]);
    expect(connections.map(got)).toEqual(connections.map(() => 'hello'));
  });

  it('keep their order where one client gets several, short and long', () => {
    const { connections, answer, got } = openBusy(10);
    const long = 'x'.repeat(5000);
    answer((_, index) => (index === 3 ? ['a', long, 'b', 'c'] : ['a']));
    expect(connections.map(got)).toEqual(connections.map((_, index) => (index === 3 ? `a${long}bc` : 'a')));
  });

  it('wait in order where the kernel takes but a part, or nothing', () => {
    const { world, connections, answer, got } = openBusy(10);
    const [slow, stuck, other] = connections as [Connection, Connection, Connection];
    world.transport.clientOf(slow).room = 3;
    world.transport.clientOf(stuck).room = 0;
    answer(() => ['hello']);
    answer(() => ['again']);
    expect([slow, stuck, other].map(got)).toEqual(['hel', '', 'helloagain']);
    for (const connection of [slow, stuck]) {
      world.transport.clientOf(connection).room = 100;
      world.sending.hasRoom(connection);
      expect(got(connection)).toBe('helloagain');
    }
  });

  it('end the connections whose sockets have failed, and them alone', () => {
    const { world, connections, answer, got } = openBusy(10);
    const broken = connections[4] as Connection;
    world.transport.clientOf(broken).sendFailures.push(-ECONNRESET);
    answer(() => ['hello']);
    expect(connections.map(({ isClosed }) => isClosed)).toEqual(connections.map((each) => each === broken));
    const rest = connections.filter((each) => each !== broken);
    expect(rest.map(got)).toEqual(rest.map(() => 'hello'));
  });

  it('leave before the close that comes behind them', () => {
    const { world, connections, answer, got } = openBusy(10);
    const [leaving] = connections as [Connection];
    world.writes(leaving.sessionId, [{ type: Request.send, payload: 'bye' }, { type: Request.close }], peerOf(0, 0));
    answer((connection) => (connection === leaving ? [] : ['hello']));
    expect(world.batch.submitted).toEqual([10]);
    expect([leaving, ...connections.slice(1)].map(got)).toEqual(['bye', ...connections.slice(1).map(() => 'hello')]);
    expect(world.client(leaving).end).toBe('released');
  });
});

describe('requests over HTTP/1.1', () => {
  const head = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n';
  const reply = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok';

  it('go on behind answers that have left together: the next ones, and those that came with them', () => {
    const world = new ReactorWorld({ batched: true, port: { http: someHttp } });
    const connections = Array.from({ length: 12 }, () => world.connect());
    let exchange = 0;
    const round = (requests: number): void => {
      for (const connection of connections) world.clientSends(connection, head.repeat(requests));
      for (let i = 0; i < requests; i++) {
        const answer = { type: Request.answer, detail: ++exchange, flags: AnswerFlag.last, payload: reply };
        for (const { sessionId } of connections) world.writes(sessionId, [answer], peerOf(0, 0));
        world.turn();
      }
    };
    for (const requests of [1, 1, 3, 1]) round(requests);
    expect(world.batch.submitted.length).toBeGreaterThan(0);
    expect(connections.map((each) => world.transport.clientOf(each).got)).toEqual(
      connections.map(() => reply.repeat(6)),
    );
  });
});

describe('where callbacks run in the same thread', () => {
  function openTurn() {
    let now = 0;
    const written: number[] = [];
    const held = new HeldSends({
      openBatch: () => ({ isUsable: true, isFull: false, add() {}, submit() {}, resultOf: () => 1 }),
      write: ({ sessionId }) => written.push(sessionId),
      taken: () => {},
      now: () => now,
    });
    const answer = (sessionId: number): boolean => {
      if (!held.takes(100)) return false;
      const out = new OutQueue();
      out.isHeld = true;
      held.add({ sessionId, out } as Connection);
      return true;
    };
    held.beginTurn(true);
    for (let i = 0; i < 8; i++) expect(answer(i)).toBe(false);
    held.endTurn();
    return { held, written, answer, passes: (ms: number) => (now += ms) };
  }

  it('an answer that took long does not wait, nor do those before it any longer', () => {
    const { held, written, answer, passes } = openTurn();
    held.beginTurn(true);
    passes(0.01);
    expect([answer(1), answer(2)]).toEqual([true, true]);
    passes(0.2);
    expect(answer(3)).toBe(false);
    expect(written).toEqual([1, 2]);
    passes(0.01);
    expect(answer(4)).toBe(true);
    held.endTurn();
    expect(written).toEqual([1, 2, 4]);
  });

  it('an answer between two turns does not wait', () => {
    const { answer } = openTurn();
    expect(answer(1)).toBe(false);
  });
});
