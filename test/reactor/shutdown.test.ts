import { afterEach, beforeEach, describe, expect, it, type Mock, vi } from 'vitest';
import { AnswerFlag, CloseCode, Event, Request } from '../../src/ipc/frame.js';
import { AF_INET } from '../../src/os/constants.js';
import { Hold, Life } from '../../src/reactor/life.js';
import { get, Http1World, OK } from '../helpers/http1-world.js';
import { ReactorWorld } from '../helpers/reactor-world.js';

beforeEach(() => void vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] }));
afterEach(() => void vi.useRealTimers());

const SWEEP_MS = 250;
const ACTIVE_MS = 100;

/** A world whose clients have sent nothing lately. */
function open() {
  const world = new ReactorWorld();
  const connections = [world.connect(), world.connect()] as const;
  world.pass(ACTIVE_MS);
  return { world, connections };
}

describe('the first rung: nothing more is taken in', () => {
  it('what was read is with the workers, what comes stays with the kernel', () => {
    const { world, connections } = open();
    world.clientSends(connections[0], 'before');
    world.shutdown.quiesce();
    world.clientSends(connections[0], 'behind');
    expect(world.take().map(({ text }) => text)).toEqual(['before']);
    expect([connections[0].holds, world.client(connections[0]).sent.length]).toEqual([Hold.quiet, 1]);
  });

  it('answers still leave', () => {
    const { world, connections } = open();
    world.shutdown.quiesce();
    world.sends(connections[0], [{ type: Request.send, payload: 'answer' }]);
    expect(world.client(connections[0]).got).toBe('answer');
  });

  it('a request whose worker is at it is read to its end, and none behind it', () => {
    const world = new Http1World();
    const body = 'x'.repeat(200_000);
    world.asks(`POST / HTTP/1.1\r\nhost: a\r\ncontent-length: ${body.length}\r\n\r\n${body.slice(0, 1000)}`);
    world.heardRequests();
    world.shutdown.quiesce();
    world.asks(body.slice(1000, 60_000), body.slice(60_000, 120_000), body.slice(120_000) + get('/next'));
    for (let i = 0; i < 10; i++) world.bodySoFar();
    expect(world.bodySoFar()).toBe(body);
    world.answers(1);
    expect([world.got, world.heardRequests(), world.connection.holds]).toEqual([OK, [], Hold.quiet]);
  });
});

describe('before the first rung clients of HTTP that may have a request on the way', () => {
  const LOOK_MS = 20;
  function leaving(): { world: Http1World; done: Mock<() => void> } {
    const world = new Http1World();
    const done = vi.fn<() => void>();
    world.asks(get('/'));
    world.heardRequests();
    world.answers(1);
    return { world, done };
  }
  const passes = (world: Http1World, ms: number): void => {
    world.pass(ms);
    vi.advanceTimersByTime(LOOK_MS);
    world.turn();
  };

  it('are answered once more, and that answer closes', () => {
    const { world, done } = leaving();
    world.shutdown.sayFarewell(done);
    world.asks(get('/next') + get('/behind'));
    const [request, ...others] = world.heardRequests();
    expect([request?.target, request?.bits.includes('keepAlive'), others]).toEqual(['/next', false, []]);
    expect(done).not.toHaveBeenCalled();
    world.answers(2, OK, AnswerFlag.last | AnswerFlag.close);
    expect(world.connection.life).not.toBe(Life.open);
    passes(world, LOOK_MS);
    passes(world, 300);
    expect(done).toHaveBeenCalledOnce();
  });

  it.each([
    ['that it has answered', leaving],
    ['that have sent nothing yet', () => ({ world: new Http1World(), done: vi.fn<() => void>() })],
  ])('%s have 0.3 s, then nothing more is taken in', (_, make) => {
    const { world, done } = make();
    world.shutdown.sayFarewell(done);
    passes(world, 299);
    expect(done).not.toHaveBeenCalled();
    passes(world, 1);
    expect(done).toHaveBeenCalledOnce();
    world.asks(get('/late'));
    expect([world.heardRequests(), world.connection.holds]).toEqual([[], Hold.quiet]);
  });

  it('keep the server for half a second at most, or a quarter of maxWaitMs', () => {
    for (const [maxWaitMs, ms] of [
      [3000, 500],
      [400, 100],
    ] as const) {
      const world = new Http1World({}, { options: { maxWaitMs } });
      const done = vi.fn();
      world.shutdown.sayFarewell(done);
      world.asks('GET / HTTP/1.1\r\n');
      for (let past = 0; past < ms - 1; past += 49) {
        world.asks('a: b\r\n');
        passes(world, Math.min(49, ms - 1 - past));
      }
      expect(done).not.toHaveBeenCalled();
      passes(world, 1);
      expect(done).toHaveBeenCalledOnce();
    }
  });

  describe('and have sent a head, are read until their body has come whole', () => {
    const HEAD = 'POST /next HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\n';
    const begin = (maxWaitMs = 3000): { world: Http1World; done: Mock<() => void> } => {
      const world = new Http1World({}, { options: { maxWaitMs } });
      const done = vi.fn<() => void>();
      world.asks(`${HEAD}12345`);
      world.pass(1000);
      return { world, done };
    };

    it('although they pause longer than others may', () => {
      const { world, done } = begin();
      world.shutdown.sayFarewell(done);
      for (let past = 0; past < 2200; past += 100) passes(world, 100);
      expect([done.mock.calls.length, world.heardRequests()]).toEqual([0, []]);
      world.asks('67890');
      const [request] = world.heardRequests();
      expect([request?.target, request?.bits.includes('keepAlive')]).toEqual(['/next', false]);
      passes(world, 1);
      expect(done).toHaveBeenCalledOnce();
    });

    it.each([3000, 400])('for three quarters of maxWaitMs, the rest is for their answers (%i)', (maxWaitMs) => {
      const { world, done } = begin(maxWaitMs);
      world.shutdown.sayFarewell(done);
      passes(world, maxWaitMs * 0.75 - 1);
      expect(done).not.toHaveBeenCalled();
      passes(world, 1);
      expect(done).toHaveBeenCalledOnce();
      world.asks('67890');
      expect([world.heardRequests(), world.connection.holds]).toEqual([[], Hold.quiet]);
    });

    it('which the rung that closes every connection ends', () => {
      const { world, done } = begin();
      world.shutdown.sayFarewell(done);
      passes(world, 500);
      expect(done).not.toHaveBeenCalled();
      world.shutdown.closeAll(1000, vi.fn());
      passes(world, 3000);
      expect(done).not.toHaveBeenCalled();
    });

    it('and not those whose head has not come whole', () => {
      const world = new Http1World();
      const done = vi.fn();
      world.asks(HEAD.slice(0, -2));
      world.pass(1000);
      world.shutdown.sayFarewell(done);
      expect(done).toHaveBeenCalledOnce();
    });
  });

  it('are not waited for where there are none', () => {
    const { world } = open();
    const done = vi.fn();
    world.shutdown.sayFarewell(done);
    expect(done).toHaveBeenCalledOnce();
    const idle = leaving();
    idle.world.pass(300);
    idle.world.shutdown.sayFarewell(idle.done);
    expect(idle.done).toHaveBeenCalledOnce();
  });

  it('are not waited for any more once every connection is to be closed', () => {
    const { world, done } = leaving();
    world.shutdown.sayFarewell(done);
    world.shutdown.closeAll(1000, vi.fn());
    passes(world, 600);
    expect(done).not.toHaveBeenCalled();
  });
});

describe('the second rung: every connection is closed', () => {
  it('and it is done when all are gone and their workers know', () => {
    const { world, connections } = open();
    const done = vi.fn();
    world.shutdown.closeAll(1000, done);
    world.turn();
    expect([done.mock.calls.length, ...connections.map(({ isClosed }) => isClosed)]).toEqual([1, true, true]);
    expect(world.take().map(({ type, detail }) => [type, detail])).toEqual([
      [Event.close, CloseCode.SERVER_SHUTDOWN],
      [Event.close, CloseCode.SERVER_SHUTDOWN],
    ]);
    world.turn();
    expect(done).toHaveBeenCalledTimes(1);
  });

  it('behind what is queued', () => {
    const { world, connections } = open();
    const [connection] = connections;
    world.client(connection).room = 2;
    world.sends(connection, [{ type: Request.send, payload: 'answer' }]);
    const done = vi.fn();
    world.shutdown.closeAll(1000, done);
    world.turn();
    expect([connection.life, done.mock.calls.length]).toEqual([Life.closing, 0]);
    world.clientTakes(connection);
    expect([world.client(connection).got, connection.isClosed, done.mock.calls.length]).toEqual(['answer', true, 1]);
  });

  it('one that has just sent something is waited for, so that no RST takes its answer away', () => {
    const { world, connections } = open();
    const [connection] = connections;
    world.clientSends(connection, 'hello');
    const done = vi.fn();
    world.shutdown.closeAll(1000, done);
    world.turn();
    expect([connection.life, done.mock.calls.length]).toEqual([Life.lingering, 0]);
    world.clientSends(connection, 'and more', 'end');
    world.isReadable(connection);
    expect([connection.isClosed, done.mock.calls.length]).toEqual([true, 1]);
  });

  it('at the deadline at the latest', () => {
    const { world, connections } = open();
    const [connection] = connections;
    world.client(connection).room = 0;
    world.sends(connection, [{ type: Request.send, payload: 'answer' }]);
    const done = vi.fn();
    world.shutdown.closeAll(1000, done);
    world.turn();
    world.pass(999);
    vi.advanceTimersByTime(SWEEP_MS);
    world.turn();
    expect(done).not.toHaveBeenCalled();
    world.pass(1);
    world.turn();
    expect([done.mock.calls.length, connection.isClosed]).toEqual([1, true]);
    expect(world.take().at(-1)).toMatchObject({ type: Event.close, detail: CloseCode.SERVER_SHUTDOWN });
  });

  it('and who comes then is not let in', () => {
    const { world } = open();
    world.shutdown.closeAll(1000, () => {});
    world.turn();
    const size = world.context.connections.size;
    const arrival = { descriptor: 1_000_999, portIndex: 0, family: AF_INET, remotePort: 7, address: Buffer.alloc(16) };
    const before = world.board.connections(0);
    world.admission.accept(arrival);
    expect([world.context.connections.size, world.board.connections(0)]).toEqual([size, before - 1]);
  });

  it('is done at once where there is none', () => {
    const world = new ReactorWorld();
    const done = vi.fn();
    world.shutdown.closeAll(1000, done);
    world.turn();
    expect(done).toHaveBeenCalledTimes(1);
  });
});
