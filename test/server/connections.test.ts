import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ConnectionTable, SlotFlag, SlotState } from '../../src/memory/connection-table.js';
import { Region } from '../../src/memory/region.js';
import { AF_INET } from '../../src/os/constants.js';
import { Connection, type ConnectionHost } from '../../src/server/connection.js';
import { Connections } from '../../src/server/connections.js';
import { checkHeartbeat, silentConnections } from '../../src/server/heartbeat.js';
import type { ListenPort } from '../../src/server/listen-port.js';
import { monotonicMs } from '../../src/util/clock.js';
import { testShape } from '../helpers/test-shape.js';

let table: ConnectionTable;

beforeEach(() => {
  const region = Region.create(testShape());
  vi.useFakeTimers({ toFake: ['performance'] });
  vi.advanceTimersByTime(1000);
  table = new ConnectionTable(region);
});
afterEach(() => vi.useRealTimers());

/** A reactor takes its slots in order. */
const open = (slot: number, portIndex = 0): number => {
  const sessionId = table.nextSessionId(slot);
  const from = { family: AF_INET, address: Buffer.alloc(16), remotePort: 1 };
  table.open(slot, { sessionId, worker: 0, portIndex, descriptor: 9, now: monotonicMs(), ...from });
  return sessionId;
};

describe('the connections of a server', () => {
  it('are those that are open when they are asked for, in the order of their slots', () => {
    const connections = new Connections(table);
    expect([connections.size, [...connections]]).toEqual([0, []]);
    const [first, second] = [open(0), open(1)];
    expect([connections.size, [...connections]]).toEqual([2, [first, second]]);
    table.setState(0, SlotState.closing);
    expect([connections.size, [...connections], connections.has(first)]).toEqual([1, [second], false]);
  });

  it('know a session, and not the one that had its slot before', () => {
    const connections = new Connections(table);
    const gone = open(0);
    table.setState(0, SlotState.closed);
    const fd = open(0);
    expect([gone, fd, fd + 1, 0, -1].map((id) => connections.has(id))).toEqual([false, true, false, false, false]);
  });

  it('are none where the server has not started', () => {
    const connections = new Connections(undefined);
    expect([connections.size, [...connections], connections.has(1)]).toEqual([0, [], false]);
  });
});

describe('heartbeat()', () => {
  const port = (heartbeatIdleMs: number): ListenPort => ({ settings: { heartbeatIdleMs } }) as ListenPort;

  it('finds clients that have been silent for heartbeatIdleMs of their port', () => {
    const [short, long] = [open(0, 0), open(1, 1)];
    const ports = [port(1000), port(2000)];
    vi.advanceTimersByTime(999);
    expect(silentConnections(table, ports, undefined)).toEqual([]);
    vi.advanceTimersByTime(1);
    expect(silentConnections(table, ports, undefined)).toEqual([short]);
    vi.advanceTimersByTime(1000);
    expect(silentConnections(table, ports, undefined)).toEqual([short, long]);
  });

  it('takes idleMs for all ports instead, those without a limit included', () => {
    const all = [open(0, 0), open(1, 1)];
    vi.advanceTimersByTime(500);
    expect(silentConnections(table, [port(1000), port(0)], 500)).toEqual(all);
    expect(silentConnections(table, [port(1000), port(0)], 500.5)).toEqual([]);
  });

  it('leaves out clients of a port without a limit, and protected ones', () => {
    open(0, 1);
    open(1, 0);
    const silent = open(2, 0);
    table.setFlag(1, SlotFlag.protected, true);
    vi.advanceTimersByTime(5000);
    expect(silentConnections(table, [port(1000), port(0)], undefined)).toEqual([silent]);
  });

  it.each([0, -1, Number.NaN, Number.POSITIVE_INFINITY, '100', null])('refuses idleMs %s', (idleMs) => {
    expect(() => silentConnections(table, [port(1000)], idleMs as number)).toThrow(
      expect.objectContaining({
        code: 'ERR_HEARTBEAT',
        detail: { why: expect.stringMatching(/^idleMs must be a number above 0, received/) },
      }),
    );
  });

  it('refuses to look where no port has a limit and none is given', () => {
    expect(() => silentConnections(table, [port(0), port(0)], undefined)).toThrow(
      expect.objectContaining({ code: 'ERR_HEARTBEAT', detail: { why: 'heartbeatIdleMs is 0' } }),
    );
  });

  it('finds nobody where the server has not started', () => {
    expect(silentConnections(undefined, [port(1)], undefined)).toEqual([]);
  });

  it('does not close unless it is told to', () => {
    expect(checkHeartbeat({})).toEqual({ close: false, idleMs: undefined });
    expect(checkHeartbeat({ close: true, idleMs: 5 })).toEqual({ close: true, idleMs: 5 });
  });

  it.each([
    [null, /options/],
    [true, /options/],
    [undefined, /options/],
    [{ close: 'no' }, /close must be true or false, received/],
    [{ close: 1 }, /close must be true or false, received/],
    [{ close: null }, /close must be true or false, received/],
  ])('refuses %j', (options, why) => {
    expect(() => checkHeartbeat(options)).toThrow(
      expect.objectContaining({ code: 'ERR_HEARTBEAT', detail: { why: expect.stringMatching(why) } }),
    );
  });
});

describe('a connection object', () => {
  const asked: unknown[][] = [];
  const info = { reactorId: 3, remoteAddress: '10.0.0.1', remotePort: 7, serverPort: 80 };
  const note =
    (name: string) =>
    (...given: unknown[]): boolean => {
      asked.push([name, ...given]);
      return true;
    };
  const host = {
    ...Object.fromEntries(['send', 'sendFile', 'close', 'pause', 'resume', 'bind'].map((name) => [name, note(name)])),
    drain: async () => void note('drain')(),
    getClientInfo: () => info,
  } as unknown as ConnectionHost;

  beforeEach(() => {
    asked.length = 0;
  });

  it('asks its server with its own session id', () => {
    const conn = new Connection(42, host);
    const all = [conn.send('a'), conn.sendFile('f', { offset: 1 }), conn.close({ reset: true }), conn.pause()];
    all.push(conn.resume(), conn.confirm(), conn.bind(9));
    expect(all).toEqual(Array.from({ length: 7 }, () => true));
    expect(asked).toEqual([
      ['send', 42, 'a'],
      ['sendFile', 42, 'f', { offset: 1 }],
      ['close', 42, { reset: true }],
      ['pause', 42],
      ['resume', 42],
      ['resume', 42],
      ['bind', 42, 9],
    ]);
  });

  it('knows where it comes from', () => {
    const { reactorId, remoteAddress, remotePort, port } = new Connection(42, host);
    expect({ reactorId, remoteAddress, remotePort, port }).toEqual({
      ...{ reactorId: 3, remoteAddress: '10.0.0.1', remotePort: 7, port: 80 },
    });
  });

  it('only says no when it has ended, asks nobody, and still knows what was known last', async () => {
    const conn = new Connection(42, host);
    conn.ended(info as ReturnType<Connection['info']>);
    const answers = [conn.send('a'), conn.sendFile('f'), conn.close(), conn.pause(), conn.resume(), conn.bind(9)];
    expect(answers).toEqual(Array.from({ length: 6 }, () => false));
    await conn.drain();
    expect(asked).toEqual([]);
    expect([conn.remoteAddress, conn.port]).toEqual(['10.0.0.1', 80]);
  });

  it('of which nothing is known any more has an empty address, and no reactor', () => {
    const conn = new Connection(42, host);
    conn.ended(undefined);
    const { reactorId, remoteAddress, remotePort, port } = conn;
    expect({ reactorId, remoteAddress, remotePort, port }).toEqual({
      ...{ reactorId: -1, remoteAddress: '', remotePort: 0, port: 0 },
    });
  });
});
