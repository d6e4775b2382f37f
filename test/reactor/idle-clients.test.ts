import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { CloseCode, Event, Request } from '../../src/ipc/frame.js';
import { SlotFlag } from '../../src/memory/connection-table.js';
import type { Connection } from '../../src/reactor/connection.js';
import type { PortOptions, ReactorOptions } from '../../src/reactor/context.js';
import { get, Http1World } from '../helpers/http1-world.js';
import { ReactorWorld } from '../helpers/reactor-world.js';

beforeEach(() => void vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] }));
afterEach(() => void vi.useRealTimers());

const IDLE_MS = 1000;
const CHECK_MS = 100;
const heartbeat: Partial<PortOptions> = { heartbeatIdleMs: IDLE_MS, heartbeatCheckMs: CHECK_MS };

function start<W extends ReactorWorld>(world: W): W {
  world.idleClients.start((look) => {
    look();
    world.turn();
  });
  return world;
}

function open(port: Partial<PortOptions>, options: Partial<ReactorOptions> = {}) {
  const world = start(new ReactorWorld({ port, options }));
  const connection = world.connect();
  return { world, connection };
}

/** `context.now` and the timers. */
function passes(world: ReactorWorld, ms: number): void {
  world.pass(ms);
  vi.advanceTimersByTime(CHECK_MS);
}

const codeOf = (world: ReactorWorld): number | undefined =>
  world.take().find(({ type }) => type === Event.close)?.detail;

function waitsFor(world: ReactorWorld, connection: Connection): void {
  world.client(connection).room = 0;
  world.sends(connection, [{ type: Request.send, payload: 'x' }]);
}

describe('heartbeatIdleMs', () => {
  it('closes a client that has sent nothing for so long', () => {
    const { world, connection } = open(heartbeat);
    passes(world, IDLE_MS - 1);
    expect(connection.isClosed).toBe(false);
    passes(world, 1);
    expect([connection.isClosed, codeOf(world)]).toEqual([true, CloseCode.HEARTBEAT_TIMEOUT]);
  });

  it('counts from its last byte', () => {
    const { world, connection } = open(heartbeat);
    passes(world, 900);
    world.clientSends(connection, 'beat');
    passes(world, 900);
    expect(connection.isClosed).toBe(false);
    passes(world, 100);
    expect(connection.isClosed).toBe(true);
  });

  it('does not count what is sent to it', () => {
    const { world, connection } = open(heartbeat);
    passes(world, 900);
    world.sends(connection, [{ type: Request.send, payload: 'x' }]);
    passes(world, 100);
    expect(connection.isClosed).toBe(true);
  });

  it('spares one that the server does not read', () => {
    const { world, connection } = open(heartbeat);
    world.sends(connection, [{ type: Request.pause }]);
    passes(world, 5 * IDLE_MS);
    expect(connection.isClosed).toBe(false);
  });

  it('spares one whose worker has no room', () => {
    const { world, connection } = open(heartbeat);
    world.fill(0);
    world.clientSends(connection, 'waits');
    passes(world, 5 * IDLE_MS);
    expect(connection.isClosed).toBe(false);
  });

  it('spares one that has sent something which the server has not read yet', () => {
    const { world, connection } = open(heartbeat);
    connection.readable = true;
    passes(world, 5 * IDLE_MS);
    expect(connection.isClosed).toBe(false);
  });

  it('spares one that is protected', () => {
    const { world, connection } = open(heartbeat);
    world.table.setFlag(connection.slot, SlotFlag.protected, true);
    passes(world, 5 * IDLE_MS);
    expect(connection.isClosed).toBe(false);
  });

  it('spares one whose worker owes it an answer', () => {
    const world = start(new Http1World({}, { port: heartbeat }));
    world.asks(get('/'));
    passes(world, 5 * IDLE_MS);
    expect(world.connection.isClosed).toBe(false);
    world.heardRequests();
    world.answers(1);
    passes(world, 0);
    expect(world.connection.isClosed).toBe(true);
  });

  it('spares one that has ended its side: it is waited for otherwise', () => {
    const { world, connection } = open(heartbeat);
    world.clientSends(connection, 'end');
    passes(world, 5 * IDLE_MS);
    expect(connection.isClosed).toBe(false);
  });

  it('resets one that takes nothing either', () => {
    const { world, connection } = open(heartbeat);
    waitsFor(world, connection);
    passes(world, IDLE_MS);
    expect([world.client(connection).end, codeOf(world)]).toEqual(['reset', CloseCode.HEARTBEAT_TIMEOUT]);
  });

  it('leaves one that sends and takes nothing to writeTimeoutMs where there is one', () => {
    const { world, connection } = open(heartbeat, { writeTimeoutMs: 60_000 });
    waitsFor(world, connection);
    passes(world, 900);
    world.clientSends(connection, 'beat');
    passes(world, 900);
    expect(connection.isClosed).toBe(false);
  });
});

describe('writeTimeoutMs', () => {
  it('resets a client that takes nothing of what waits for so long', () => {
    const { world, connection } = open({}, { writeTimeoutMs: 400 });
    passes(world, 5000);
    waitsFor(world, connection);
    passes(world, 399);
    expect(connection.isClosed).toBe(false);
    passes(world, 1);
    expect([world.client(connection).end, codeOf(world)]).toEqual(['reset', CloseCode.WRITE_TIMEOUT]);
  });

  it('counts from the last byte that has left', () => {
    const { world, connection } = open({}, { writeTimeoutMs: 400 });
    world.client(connection).room = 0;
    world.sends(connection, [{ type: Request.send, payload: 'xyz' }]);
    for (let i = 0; i < 2; i++) {
      passes(world, 399);
      world.clientTakes(connection, 1);
    }
    passes(world, 399);
    expect(connection.isClosed).toBe(false);
    passes(world, 1);
    expect(connection.isClosed).toBe(true);
  });
});

describe('maxIdleMs', () => {
  it('closes a connection on which nothing goes either way', () => {
    const { world, connection } = open({ maxIdleMs: 400 });
    passes(world, 300);
    world.sends(connection, [{ type: Request.send, payload: 'x' }]);
    passes(world, 300);
    world.clientSends(connection, 'y');
    passes(world, 399);
    expect(connection.isClosed).toBe(false);
    passes(world, 1);
    expect([connection.isClosed, codeOf(world)]).toEqual([true, CloseCode.IDLE_TIMEOUT]);
  });

  it('resets one that takes nothing of what waits', () => {
    const { world, connection } = open({ maxIdleMs: 400 });
    waitsFor(world, connection);
    passes(world, 400);
    expect([world.client(connection).end, codeOf(world)]).toEqual(['reset', CloseCode.IDLE_TIMEOUT]);
  });
});

describe('where no option says it', () => {
  it('nobody is looked at, and nothing after the end', () => {
    const { world, connection } = open({});
    passes(world, 1e9);
    expect([connection.isClosed, vi.getTimerCount()]).toEqual([false, 0]);
    const other = open(heartbeat).world;
    other.idleClients.stop();
    expect(vi.getTimerCount()).toBe(0);
  });
});
