import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { CloseCode, Event } from '../../src/ipc/frame.js';
import { ReactorCounter, WorkerField } from '../../src/memory/boards.js';
import * as socket from '../../src/os/socket.js';
import type { Connection } from '../../src/reactor/connection.js';
import { Hold, Life } from '../../src/reactor/life.js';
import { brokenBy, msWithoutProgress } from '../../src/reactor/progress.js';
import type { Secured } from '../../src/reactor/transport/transport.js';
import { ReactorWorld } from '../helpers/reactor-world.js';

vi.mock('../../src/os/socket.js', { spy: true });

const EPIPE = 32;
const LONG_MS = 60 * 60_000;

/** What the kernel says of every socket. */
let kernel: { acknowledged: number; errno: number; hasEnded: boolean };
beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
  kernel = { acknowledged: 0, errno: 0, hasEnded: false };
  vi.mocked(socket.acknowledgedBytes).mockImplementation(() => kernel.acknowledged);
  vi.mocked(socket.socketError).mockImplementation(() => kernel.errno);
  vi.mocked(socket.hasPeerEnded).mockImplementation(() => kernel.hasEnded);
});
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

function open(secure: Secured | null = null) {
  const world = new ReactorWorld();
  vi.spyOn(world.transport, 'holdsDescriptor').mockReturnValue(true);
  const connection = world.connect(0, secure);
  const closes = (): unknown[] =>
    world.take().flatMap(({ type, detail, text }) => (type === Event.close ? [[detail, text]] : []));
  /** Deadlines are looked at again. */
  const sweep = (ms: number): void => {
    world.pass(ms);
    vi.advanceTimersByTime(10_000);
  };
  return { world, connection, closes, sweep };
}

/** Its client takes nothing of some bytes. */
function withQueued(world: ReactorWorld, connection: Connection): void {
  world.client(connection).room = 0;
  world.sending.write(connection, Buffer.from('queued'), 0, 0, 6);
}

describe('a connection that is released', () => {
  it('is counted off once, however often that is asked for', () => {
    const { world, connection } = open();
    const before = [world.board.connections(0), world.workers.field(0, WorkerField.connections)];
    world.ending.release(connection);
    world.ending.release(connection);
    expect(before).toEqual([1, 1]);
    expect([world.board.connections(0), world.workers.field(0, WorkerField.connections)]).toEqual([0, 0]);
    expect(world.board.read(0, ReactorCounter.closed)).toBe(1);
    expect([world.client(connection).end, world.ending.slotsGone]).toEqual(['released', 1]);
  });

  it.each([
    ['is', 5, false, 1],
    ['is not, where addresses are not counted,', 0, false, 2],
    ['is not, where it has none,', 5, true, 2],
  ])('%s counted off its address', (_title, maxConnectionsPerIp, isUnix, left) => {
    const world = new ReactorWorld({ options: { maxConnectionsPerIp } });
    const connection = world.connect();
    const address = Buffer.from(world.table.address(connection.slot));
    vi.spyOn(world.table, 'isUnix').mockReturnValue(isUnix);
    world.context.addresses.add(address, 0, 2);
    world.ending.release(connection);
    expect(world.context.addresses.add(address, 0, 0)).toBe(left);
  });

  it('leaves its slot when its worker has seen the end', () => {
    const { world, connection } = open();
    world.ending.fail(connection, EPIPE);
    world.ending.reclaimSlots();
    expect(world.ending.slotsGone).toBe(1);
    world.take();
    world.ending.reclaimSlots();
    expect(world.ending.slotsGone).toBe(0);
  });
});

describe('a connection whose socket fails', () => {
  it.each([
    ['ECONNRESET', CloseCode.CLIENT_RESET],
    ['EPIPE', CloseCode.CLIENT_RESET],
    ['ETIMEDOUT', CloseCode.SOCKET_ERROR],
  ])('by %s is closed with its code and that name, once', (name, code) => {
    const { world, connection, closes } = open();
    world.ending.failBy(connection, name);
    world.ending.failBy(connection, 'EIO');
    expect(connection.isClosed).toBe(true);
    expect(closes()).toEqual([[code, name]]);
  });

  it('with its descriptor is reset by its client, unless it lingered only', () => {
    const { world, connection, closes } = open();
    world.ending.transportGone(connection);
    expect([connection.isClosed, closes()]).toEqual([true, [[CloseCode.CLIENT_RESET, 'ECONNRESET']]]);
    const other = world.connect();
    other.moveTo(Life.closing);
    other.moveTo(Life.lingering);
    world.ending.transportGone(other);
    expect([other.isClosed, closes()]).toEqual([true, []]);
  });
});

describe('a connection that owes its client a reply', () => {
  /** Its client has ended its side. */
  function halfClosed() {
    const made = open();
    made.world.clientSends(made.connection, 'question', 'end');
    return made;
  }

  it('goes when nothing can be written to it any more, although no error is known', () => {
    const { world, connection, closes } = halfClosed();
    expect(connection.life).toBe(Life.answering);
    world.take();
    world.ending.broken(connection);
    expect([connection.isClosed, closes()]).toEqual([true, [[CloseCode.CLIENT_CLOSED, '']]]);
  });

  it('goes with what breaks it', () => {
    const { world, connection, closes } = halfClosed();
    world.take();
    kernel.errno = EPIPE;
    world.ending.broken(connection);
    expect([connection.isClosed, closes()]).toEqual([true, [[CloseCode.CLIENT_RESET, 'EPIPE']]]);
  });

  it('is left alone before that', () => {
    const { world, connection, closes } = open();
    kernel.errno = EPIPE;
    world.ending.broken(connection);
    expect([connection.isClosed, closes()]).toEqual([false, []]);
  });
});

describe('a client that seems to have left while it is not read', () => {
  const secure = { alpn: '' } as unknown as Secured;

  function paused(isUnconfirmed: boolean, secured: Secured | null = null) {
    const made = open(secured);
    const { world, connection } = made;
    connection.holds |= Hold.paused;
    connection.unconfirmed = isUnconfirmed;
    world.ending.leftWhilePaused(connection);
    return made;
  }

  it('has time, then one that was never confirmed is closed', () => {
    const { connection, closes, sweep } = paused(true);
    sweep(0);
    expect(connection.life).toBe(Life.open);
    sweep(LONG_MS);
    expect(connection.life).not.toBe(Life.open);
    expect(closes()).toEqual([[CloseCode.CLIENT_CLOSED, '']]);
  });

  it('is kept where it was confirmed, and its socket stands', () => {
    const { connection, closes, sweep } = paused(false);
    sweep(LONG_MS);
    expect([connection.life, connection.mayBeLeft, closes()]).toEqual([Life.open, false, []]);
  });

  it('fails where its socket is broken', () => {
    const { connection, closes, sweep } = paused(false);
    kernel.errno = EPIPE;
    sweep(LONG_MS);
    expect([connection.isClosed, closes()]).toEqual([true, [[CloseCode.CLIENT_RESET, 'EPIPE']]]);
  });

  it('has not left where it is encrypted and the kernel knows of no end', () => {
    const { connection, sweep } = paused(true, secure);
    sweep(LONG_MS);
    expect(connection.life).toBe(Life.open);
    const other = paused(true, secure);
    kernel.hasEnded = true;
    other.sweep(LONG_MS);
    expect(other.connection.life).not.toBe(Life.open);
  });

  it('is read again, which shows it, where it is not paused any more', () => {
    const { connection, closes, sweep } = paused(true);
    connection.holds &= ~Hold.paused;
    kernel.errno = EPIPE;
    sweep(0);
    expect([connection.life, connection.mayBeLeft, closes()]).toEqual([Life.open, false, []]);
  });

  it('is no matter where it is being closed already', () => {
    const { world, connection } = open();
    world.ending.closeWhenFlushed(connection, CloseCode.SERVER_CLOSED);
    world.ending.leftWhilePaused(connection);
    expect(connection.mayBeLeft).toBe(false);
  });
});

describe('a client that takes nothing', () => {
  it('is told from a slow one by what it acknowledges', () => {
    const { world, connection } = open();
    withQueued(world, connection);
    connection.waitingSince = 100;
    expect(msWithoutProgress(connection, 150)).toBe(50);
    kernel.acknowledged = 1;
    expect(msWithoutProgress(connection, 200)).toBe(0); // the first byte
    expect(msWithoutProgress(connection, 230)).toBe(30);
    kernel.acknowledged = 9;
    expect(msWithoutProgress(connection, 300)).toBe(0);
  });

  it('counts from when bytes began to wait where the kernel does not know', () => {
    const { world, connection } = open();
    withQueued(world, connection);
    connection.waitingSince = 100;
    kernel.acknowledged = -1;
    expect([msWithoutProgress(connection, 150), msWithoutProgress(connection, 250)]).toEqual([50, 150]);
    kernel.acknowledged = 5; // it knows from now on: that is no progress
    expect(msWithoutProgress(connection, 300)).toBe(200);
  });

  it('is not asked for by a descriptor that may belong to another', () => {
    const { world, connection } = open();
    withQueued(world, connection);
    connection.waitingSince = 100;
    vi.mocked(world.transport.holdsDescriptor).mockReturnValue(false);
    [kernel.acknowledged, kernel.errno] = [7, EPIPE];
    vi.mocked(socket.acknowledgedBytes).mockClear();
    vi.mocked(socket.socketError).mockClear();
    expect(msWithoutProgress(connection, 150)).toBe(50);
    expect(brokenBy(connection)).toBe('');
    expect(socket.acknowledgedBytes).not.toHaveBeenCalled();
    expect(socket.socketError).not.toHaveBeenCalled();
  });

  it('owes nothing while nothing is queued', () => {
    const { connection } = open();
    connection.waitingSince = 100;
    expect(msWithoutProgress(connection, 150)).toBe(0);
  });
});

describe('the error of a socket', () => {
  it('is told by its name', () => {
    const { connection } = open();
    expect(brokenBy(connection)).toBe('');
    kernel.errno = EPIPE;
    expect(brokenBy(connection)).toBe('EPIPE');
  });
});

describe('queued bytes', () => {
  it('leave in one go though a signal interrupts', () => {
    const { world, connection } = open();
    withQueued(world, connection);
    world.client(connection).sendFailures.push(-4); // EINTR
    world.client(connection).room = 100;
    world.sending.writeQueued(connection);
    expect(world.client(connection).got).toBe('queued');
  });
});
