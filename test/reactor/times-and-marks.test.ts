import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { CloseCode, CloseFlag, Event, Request } from '../../src/ipc/frame.js';
import { filePayload } from '../../src/ipc/frames/file.js';
import { ReactorCounter, WorkerField } from '../../src/memory/boards.js';
import { SlotFlag } from '../../src/memory/connection-table.js';
import { peerOf } from '../../src/memory/layout.js';
import type { Connection } from '../../src/reactor/connection.js';
import type { PortOptions, ReactorOptions } from '../../src/reactor/context.js';
import { Hold, Life } from '../../src/reactor/life.js';
import { READS_PER_TURN } from '../../src/reactor/reading.js';
import { ReactorWorld } from '../helpers/reactor-world.js';

const EPIPE = 32;
const EAGAIN = 11;
const EINTR = 4;
const SWEEP_MS = 250;

beforeEach(() => void vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] }));
afterEach(() => void vi.useRealTimers());

function open(options: Partial<ReactorOptions> = {}, port: Partial<PortOptions> = {}) {
  const world = new ReactorWorld({ options, port });
  const connection = world.connect();
  return { world, connection, client: world.client(connection) };
}
/** Time passes, and deadlines are looked at. */
function passes(world: ReactorWorld, ms: number): void {
  world.pass(ms);
  vi.advanceTimersByTime(SWEEP_MS);
  world.turn();
}
const send = (world: ReactorWorld, to: Connection, bytes: number): void =>
  world.sends(to, [{ type: Request.send, payload: 'x'.repeat(bytes) }]);
const ends = (world: ReactorWorld): unknown[] =>
  world.take().flatMap(({ type, detail, flags }) => (type === Event.close ? [[detail, flags]] : []));

describe('the queue of a client', () => {
  const marks = { highWatermark: 100, lowWatermark: 40, sendBufferSize: 1000 };
  const events = (world: ReactorWorld): number[] => world.take().map(({ type }) => type);

  it('is told to its worker at its marks, once each, and in the table at every change', () => {
    const { world, connection, client } = open({}, marks);
    const { table } = world;
    const queued = (): unknown[] => [table.sendQueued(connection.slot), table.hasFlag(connection.slot, SlotFlag.full)];
    client.room = 0;
    send(world, connection, 99);
    expect([events(world), queued()]).toEqual([[], [99, false]]);
    send(world, connection, 1);
    send(world, connection, 5);
    expect([events(world), queued()]).toEqual([[Event.bufferFull], [105, true]]);
    world.clientTakes(connection, 64);
    expect([events(world), queued()]).toEqual([[], [41, true]]);
    world.clientTakes(connection, 1);
    expect([events(world), queued()]).toEqual([[Event.bufferEmpty], [40, false]]);
    world.clientTakes(connection);
    expect([events(world), queued(), connection.out]).toEqual([[], [0, false], null]);
  });

  it('may have sendBufferSize bytes, and one more resets the client', () => {
    const { world, connection, client } = open({}, marks);
    client.room = 0;
    send(world, connection, 1000);
    expect(client.end).toBe('open');
    send(world, connection, 1);
    expect([client.end, ends(world)]).toEqual(['reset', [[CloseCode.SEND_QUEUE_LIMIT, 0]]]);
  });

  it('tells a worker that waits for room when it is low, once, and at once where it is not full', () => {
    const { world, connection, client } = open({}, marks);
    const both = [peerOf(0, 1), peerOf(0, 0)]; // two processes of one worker
    const ask = (peer: number): void => world.sends(connection, [{ type: Request.watchDrain }], peer);
    const told = (): number => world.take().filter(({ type }) => type === Event.writable).length;
    ask(peerOf(0, 0));
    expect(told()).toBe(1);
    client.room = 0;
    send(world, connection, 100);
    world.take();
    for (const peer of [...both, ...both]) ask(peer);
    expect(told()).toBe(0);
    world.clientTakes(connection);
    expect(told()).toBe(1);
  });

  it('is tried again where the kernel was interrupted, and ends the client where its socket fails', () => {
    const { world, connection, client } = open();
    client.sendFailures.push(-EINTR);
    send(world, connection, 3);
    world.clientTakes(connection);
    client.sendFailures.push(-EAGAIN);
    send(world, connection, 2);
    world.clientTakes(connection);
    expect([client.got, client.end]).toEqual(['xxxxx', 'open']);
    client.sendFailures.push(-EPIPE);
    send(world, connection, 1);
    expect([connection.isClosed, ends(world)]).toEqual([true, [[CloseCode.CLIENT_RESET, 0]]]);
  });

  it('counts what the client has got, as bytes of the server and of the connection', () => {
    const { world, connection, client } = open();
    client.room = 10;
    send(world, connection, 15);
    const counted = (): number[] => [
      world.board.read(0, ReactorCounter.sentBytes),
      world.table.sentBytes(connection.slot),
    ];
    expect(counted()).toEqual([10, 10]);
    world.clientTakes(connection);
    expect(counted()).toEqual([15, 15]);
  });

  it('lets others go first after a MiB of a file, and sends all of it in order', () => {
    const { world, connection, client } = open();
    const file = { type: Request.sendFile, payload: filePayload('/a', 5, 3_000_000) };
    world.writes(connection.sessionId, [file, { type: Request.send, payload: 'end' }], peerOf(0, 0));
    const counts = (): number[] => [...client.got.matchAll(/<\/a \d+\+(\d+)>/g)].map(([, count]) => Number(count));
    const sum = (): number => counts().reduce((total, count) => total + count, 0);
    world.requests.take();
    expect(sum()).toBeGreaterThanOrEqual(2 ** 20);
    expect(sum()).toBeLessThan(2 ** 20 + 262_144);
    world.turn();
    expect([sum(), Math.max(...counts()), client.got.endsWith('>end')]).toEqual([3_000_000, 262_144, true]);
  });

  it('of which a file is missing is reset with the reason', () => {
    const { world, connection, client } = open();
    world.sends(connection, [{ type: Request.sendFile, payload: filePayload('/missing', 0, 5) }]);
    const told = world.take().filter(({ type }) => type === Event.close);
    expect([client.end, told[0]?.detail, told[0]?.text]).toEqual([
      ...['reset', CloseCode.FILE_FAILED, '/missing: it is not there'],
    ]);
  });
});

describe('a client that is being closed and takes nothing', () => {
  it.each([
    [{}, 30_000],
    [{ writeTimeoutMs: 5000 }, 5000],
    [{ writeTimeoutMs: 60_000 }, 60_000],
    [{ heartbeatIdleMs: 10_000 }, 10_000],
    [{ heartbeatIdleMs: 90_000 }, 30_000],
    [{ heartbeatIdleMs: 10_000, writeTimeoutMs: 20_000 }, 20_000],
  ])('is reset, with %j, after %d ms', (options, ms) => {
    const { world, connection, client } = open(options);
    client.room = 0;
    send(world, connection, 5);
    world.sends(connection, [{ type: Request.close, detail: CloseCode.SERVER_CLOSED }]);
    passes(world, ms - 1);
    expect([client.end, connection.life]).toEqual(['open', Life.closing]);
    passes(world, 1);
    expect([client.end, ends(world)]).toEqual(['reset', [[CloseCode.WRITE_TIMEOUT, 0]]]);
  });

  it('is also one whose end was announced behind what its worker holds', () => {
    const { world, connection, client } = open({ writeTimeoutMs: 1000 });
    client.room = 0;
    send(world, connection, 5);
    world.sends(connection, [{ type: Request.closing }]);
    passes(world, 999);
    expect(client.end).toBe('open');
    passes(world, 1);
    expect(client.end).toBe('reset');
  });

  it('is not one that takes some, or that has nothing to take', () => {
    const { world, connection, client } = open({ writeTimeoutMs: 1000 });
    client.room = 0;
    send(world, connection, 5);
    world.sends(connection, [{ type: Request.close, detail: CloseCode.SERVER_CLOSED }]);
    for (let i = 0; i < 4; i++) {
      passes(world, 900);
      world.clientTakes(connection, 1);
    }
    expect(client.end).toBe('open');
    const other = world.connect();
    world.sends(other, [{ type: Request.closing }]);
    passes(world, 50_000);
    expect(world.client(other).end).toBe('open');
  });
});

describe('a closed connection whose client has not ended its side', () => {
  it('lingers for a second, reads what still comes, and goes', () => {
    const { world, connection, client } = open();
    client.sent.push(Buffer.from('on its way'));
    world.sends(connection, [{ type: Request.close, detail: CloseCode.SERVER_CLOSED }]);
    expect([connection.life, client.end]).toEqual([Life.lingering, 'half']);
    passes(world, 999);
    expect(connection.isClosed).toBe(false);
    passes(world, 1);
    expect([connection.isClosed, client.end]).toEqual([true, 'released']);
    vi.advanceTimersByTime(10 * SWEEP_MS);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('goes as soon as its client ends', () => {
    const { world, connection, client } = open();
    client.sent.push(Buffer.from('on its way'));
    world.sends(connection, [{ type: Request.close, detail: CloseCode.SERVER_CLOSED }]);
    world.clientSends(connection, 'end');
    expect([connection.isClosed, client.end]).toEqual([true, 'released']);
  });

  it.each([
    [[], 'released'],
    [['end' as const], 'released'],
    [[-104], 'released'],
  ])('goes at once where %j shows that nothing comes', (sent, end) => {
    const { world, connection, client } = open();
    client.sent.push(...sent);
    world.sends(connection, [{ type: Request.close, detail: CloseCode.SERVER_CLOSED }]);
    expect([connection.isClosed, client.end]).toEqual([true, end]);
  });

  it.each([
    [99, Life.lingering],
    [100, Life.closed],
  ])('at the shutdown lingers where its last bytes came %d ms ago: %s', (ago, life) => {
    const { world, connection } = open();
    world.clientSends(connection, 'question');
    world.pass(ago);
    world.ending.closeWhenFlushed(connection, CloseCode.SERVER_SHUTDOWN);
    expect(connection.life).toBe(life);
  });
});

describe('a client that has ended its side', () => {
  it('has halfCloseTimeoutMs for an answer, from the last byte of it that it has taken', () => {
    const { world, connection, client } = open({ halfCloseTimeoutMs: 2000 });
    world.clientSends(connection, 'question', 'end');
    expect(ends(world)).toEqual([[CloseCode.CLIENT_CLOSED, CloseFlag.awaitsAnswers]]);
    for (let i = 0; i < 3; i++) {
      passes(world, 1900);
      send(world, connection, 1);
      passes(world, 0);
    }
    expect([client.got, connection.isClosing]).toEqual(['xxx', false]);
    passes(world, 2000);
    expect(connection.isClosing || connection.isClosed).toBe(true);
    expect(connection.closeCode).toBe(CloseCode.ANSWER_TIMEOUT);
  });

  it('is closed as its own end when its worker has seen it, behind the answer', () => {
    const { world, connection, client } = open();
    world.clientSends(connection, 'question', 'end');
    world.sends(connection, [{ type: Request.send, payload: 'answer' }, { type: Request.closed }]);
    expect([client.got, connection.closeCode, connection.isClosed]).toEqual(['answer', CloseCode.CLIENT_CLOSED, true]);
  });

  it('waits for the process that was told, maxWaitMs and a second longer at most when that has a successor', () => {
    const { world, connection } = open({ halfCloseTimeoutMs: 60_000, maxWaitMs: 3000 });
    world.clientSends(connection, 'question', 'end');
    passes(world, 10_000);
    world.workers.setField(0, WorkerField.pid, 9999);
    passes(world, 0);
    passes(world, 3999);
    expect(connection.isClosing).toBe(false);
    passes(world, 1);
    expect([connection.isClosed, connection.closeCode]).toEqual([true, CloseCode.ANSWER_TIMEOUT]);
  });

  it('does not wait longer for a successor than it would have waited', () => {
    const { world, connection } = open({ halfCloseTimeoutMs: 2000, maxWaitMs: 3000 });
    world.clientSends(connection, 'question', 'end');
    world.workers.setField(0, WorkerField.pid, 9999);
    passes(world, 1999);
    expect(connection.isClosing).toBe(false);
    passes(world, 1);
    expect(connection.isClosed).toBe(true);
  });
});

describe('reading', () => {
  it('leaves the turn to others after some reads of one client', () => {
    const { world, connection, client } = open();
    world.transport.drainsByShortRead = false;
    client.sent.push(...Array.from({ length: READS_PER_TURN * 2 }, (_, at) => Buffer.from(`${at}`)));
    connection.readable = true;
    world.reading.read(connection);
    expect(client.reads).toBe(READS_PER_TURN);
    world.turn();
    expect(client.reads).toBe(2 * READS_PER_TURN);
    expect(
      world
        .take()
        .map(({ text }) => text)
        .join(''),
    ).toBe('01234567');
  });

  it('counts what has come, of the server and of the client', () => {
    const { world, connection } = open();
    world.clientSends(connection, 'five5', Buffer.from('six666'));
    expect(world.board.read(0, ReactorCounter.receivedBytes)).toBe(11);
    expect(world.table.info(connection.sessionId)).toMatchObject({ receivedBytes: 11 });
  });

  it('goes on where the kernel was interrupted, and ends with an error', () => {
    const { world, connection } = open();
    world.clientSends(connection, -EINTR, 'after', -104);
    expect(world.take().map(({ type, text }) => [type, text])).toEqual([
      [Event.receive, 'after'],
      [Event.close, 'ECONNRESET'],
    ]);
  });

  it('of one that is paused stops, is shown in the table, and goes on when it is resumed', () => {
    const { world, connection, client } = open();
    const isPaused = (): boolean => world.table.hasFlag(connection.slot, SlotFlag.paused);
    world.sends(connection, [{ type: Request.pause }]);
    world.clientSends(connection, 'later');
    expect([client.reads, isPaused(), connection.holds]).toEqual([0, true, Hold.paused]);
    world.sends(connection, [{ type: Request.resume }]);
    expect([client.reads, isPaused(), connection.holds]).toEqual([1, false, 0]);
  });

  it('counts once that a worker is behind, and goes on where it has room', () => {
    const { world, connection } = open();
    world.fill(0);
    world.clientSends(connection, 'x'.repeat(100));
    world.isReadable(connection);
    expect([world.board.read(0, ReactorCounter.stalls), connection.hasNoRoom]).toEqual([1, true]);
    world.take();
    world.turn();
    expect([world.take().map(({ text }) => text.length), connection.hasNoRoom]).toEqual([[100], false]);
  });
});

describe('a client that goes over to the next process', () => {
  it('is read on there when its worker has died over what it had: nobody would say so', () => {
    const world = new ReactorWorld({ options: { maxQueuedBytes: 10 } });
    world.workers.setField(0, WorkerField.busy, 1);
    const connection = world.connect();
    world.clientSends(connection, '0123456789');
    world.clientSends(connection, 'more');
    world.take();
    expect(connection.holds).toBe(Hold.inflight);
    const next = world.successor();
    next.workers.setField(0, WorkerField.busy, 0);
    next.turn();
    expect(next.take().map(({ text }) => text)).toEqual(['more']);
  });

  it('is ended there at its deadline', () => {
    const { world, connection } = open({ halfCloseTimeoutMs: 2000 });
    world.clientSends(connection, 'question', 'end');
    const next = world.successor();
    const there = next.context.connectionOf(connection.sessionId) as Connection;
    passes(next, 1999);
    expect(there.isClosing).toBe(false);
    passes(next, 1);
    expect(there.isClosed).toBe(true);
  });
});
