import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { CloseCode, Event, Request } from '../../src/ipc/frame.js';
import { peerOf } from '../../src/memory/layout.js';
import type { Connection } from '../../src/reactor/connection.js';
import { get, Http1World } from '../helpers/http1-world.js';
import { ReactorWorld, someHttp } from '../helpers/reactor-world.js';
import { Socket, webSocketWorld } from '../helpers/websocket-world.js';
import { openTunnel } from './protocol/spoken.js';

const FIRST_PID = 1000;
const SECOND_PID = 1001;
const aTunnel = (): { world: ReactorWorld; connection: Connection } => {
  const world = new ReactorWorld({ port: { http: someHttp } });
  const connection = openTunnel(world, 0, null);
  world.table.setTaker(connection.slot, FIRST_PID);
  return { world, connection };
};

beforeEach(() => void vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] }));
afterEach(() => void vi.useRealTimers());

describe('when a process dies that held something for a connection', () => {
  it('the connection is reset, behind what had come of it; others stand', () => {
    const world = new ReactorWorld();
    const [one, other] = [world.connect(), world.connect()];
    world.table.holders.add(one.sessionId, FIRST_PID);
    world.writes(one.sessionId, [{ type: Request.send, payload: 'line 1\n' }], peerOf(0, 0));
    world.replaceProcess(0, 77);
    expect([world.client(one).got, world.client(one).end]).toEqual(['line 1\n', 'reset']);
    expect(other.isClosed).toBe(false);
    expect(world.take(0)).toMatchObject([{ type: Event.close, detail: CloseCode.WORKER_DIED }]);
  });

  it('the connection stands where it was another that died, or where nothing is held any more', () => {
    const world = new ReactorWorld({ workers: 2 });
    const [one, other] = [world.connect(), world.connect()];
    world.table.holders.add(one.sessionId, FIRST_PID);
    const place = world.table.holders.add(other.sessionId, SECOND_PID);
    world.table.holders.remove(other.sessionId, place, SECOND_PID);
    world.replaceProcess(1, 77);
    expect([one.isClosed, other.isClosed]).toEqual([false, false]);
  });

  it('the connection stands where the server has closed it: nothing that comes behind that is sent, and what came before leaves', () => {
    const world = new ReactorWorld({ workers: 2 });
    const connection = world.connect();
    world.client(connection).room = 0;
    world.table.holders.add(connection.sessionId, SECOND_PID);
    world.sends(connection, [
      { type: Request.send, payload: 'last words' },
      { type: Request.close, detail: CloseCode.SERVER_CLOSED },
    ]);
    world.replaceProcess(1, 77);
    world.clientTakes(connection);
    expect(world.client(connection)).toMatchObject({ got: 'last words', end: 'released' });
  });

  it('a WebSocket gets a Close frame: 1011', () => {
    const world = webSocketWorld();
    const socket = new Socket(world);
    world.table.holders.add(socket.connection.sessionId, FIRST_PID);
    world.replaceProcess(0, 77);
    expect(socket.close).toEqual({ code: 1011, reason: '' });
  });

  it('a client of HTTP is told 502 where the answer has not begun, and goes on', () => {
    const world = new Http1World();
    world.asks(get('/1'));
    world.heardRequests();
    world.table.setTaker(world.connection.slot, FIRST_PID);
    world.table.holders.add(world.connection.sessionId, FIRST_PID);
    world.replaceProcess(0, 77);
    expect([world.statuses, world.connection.isClosed]).toEqual([[502], false]);
  });

  it('an answer of another process that has begun is broken off', () => {
    const world = new Http1World();
    world.asks(get('/1'));
    world.heardRequests();
    world.table.setTaker(world.connection.slot, FIRST_PID);
    world.answers(1, 'HTTP/1.1 200 OK\r\n\r\ndata: 1\n\n', 0);
    world.table.holders.add(world.connection.sessionId, SECOND_PID);
    world.replaceProcess(0, FIRST_PID);
    expect(world.client(world.connection).end).toBe('reset');
  });
});

describe('a tunnel whose process has gone', () => {
  it('is reset while it is open', () => {
    const { world, connection } = aTunnel();
    world.replaceProcess(0, 77);
    expect(world.client(connection).end).toBe('reset');
  });

  it.each([0, 4])('gives its client what it has said before it ended it, of which %i bytes had left', (room) => {
    const { world, connection } = aTunnel();
    world.client(connection).room = room;
    world.sends(connection, [
      { type: Request.send, payload: 'last words' },
      { type: Request.close, detail: CloseCode.SERVER_CLOSED },
    ]);
    world.replaceProcess(0, 77);
    world.clientTakes(connection);
    expect(world.client(connection)).toMatchObject({ got: 'last words', end: 'released' });
  });
});
