import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { CloseCode, Event } from '../../src/ipc/frame.js';
import { ReactorCounter } from '../../src/memory/boards.js';
import { type Framer, MALFORMED, MORE } from '../../src/protocol/framing/framer.js';
import type { DispatchFunction } from '../../src/reactor/dispatch/index.js';
import { rawFraming } from '../../src/reactor/protocols/framed.js';
import { ReactorWorld, type WorldOptions } from '../helpers/reactor-world.js';

beforeEach(() => void vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] }));
afterEach(() => void vi.useRealTimers());

/** Lines; one that begins with '!' is none. */
const lines: Framer = {
  packetLength(bytes, from, to) {
    if (bytes[from] === 0x21) return MALFORMED;
    const end = bytes.subarray(0, to).indexOf('\n', from);
    return end < 0 ? MORE : end + 1 - from;
  },
};

function open(options: WorldOptions = {}) {
  const world = new ReactorWorld({ framing: { framer: lines, packageMaxLength: 10 }, ...options });
  const connection = world.connect();
  const packets = () => world.takeAll().map(({ worker, text }) => [worker, text] as const);
  return { world, connection, packets };
}

describe('packets that lie whole in what was read', () => {
  it('are counted as dispatched, each with its bytes', () => {
    const { world, connection, packets } = open();
    world.clientSends(connection, 'one\nthree\n');
    expect(packets()).toEqual([
      [0, 'one\n'],
      [0, 'three\n'],
    ]);
    expect(world.board.read(0, ReactorCounter.dispatched)).toBe(2);
    expect(world.table.queuedBytes(connection.slot)).toBe(10);
  });
});

describe("a function of the user's that chooses the worker", () => {
  const choosing = (...answers: ReturnType<DispatchFunction>[]) => {
    const dispatch = vi.fn<DispatchFunction>(() => answers.shift() ?? 'fallback');
    return { dispatch, ...open({ workers: 3, dispatch }) };
  };

  it('sees each packet as a whole, and once', () => {
    const { dispatch, world, connection, packets } = choosing(2, 1);
    world.clientSends(connection, 'on');
    world.clientSends(connection, 'e\ntwo\n');
    expect(packets()).toEqual([
      [1, 'two\n'],
      [2, 'one\n'],
    ]);
    expect(dispatch.mock.calls.length).toBe(2);
  });

  it.each(['one\n', 'o'])('is asked once although there is no room: %j first', (first) => {
    const { dispatch, world, connection, packets } = choosing(1, 1);
    if (first === 'o') world.clientSends(connection, first);
    world.fill(1);
    world.clientSends(connection, 'one\n'.slice(first === 'o' ? 1 : 0));
    expect([packets(), dispatch.mock.calls.length]).toEqual([[], 1]);
    world.turn();
    expect([packets(), dispatch.mock.calls.length]).toEqual([[[1, 'one\n']], 1]);
  });

  it('may throw packets away', () => {
    const { world, connection, packets } = choosing('discard', 1, 'discard');
    world.clientSends(connection, 'one\ntwo\nthree\n');
    expect([packets(), connection.input]).toEqual([[[1, 'two\n']], null]);
  });

  it('may close the connection', () => {
    const { world, connection } = choosing(1, 'close');
    world.clientSends(connection, 'one\ntwo\nthree\n');
    expect(world.takeAll().map(({ type, text }) => [type, text])).toEqual([
      [Event.close, ''],
      [Event.receive, 'one\n'],
    ]);
    expect([connection.isClosed, connection.closeCode]).toEqual([true, CloseCode.SERVER_CLOSED]);
  });

  it('sees what one read gave where the port has no packets', () => {
    const dispatch = vi.fn<DispatchFunction>(() => 0);
    const { world, connection, packets } = open({ dispatch, framing: rawFraming });
    world.clientSends(connection, 'one\ntwo');
    expect(packets()).toEqual([[0, 'one\ntwo']]);
    expect(dispatch.mock.calls[0]?.[0].data.toString()).toBe('one\ntwo');
  });
});

describe('what is no packet', () => {
  it.each([
    ['!', CloseCode.PACKET_MALFORMED, ''],
    ['one\n!', CloseCode.PACKET_MALFORMED, ''],
    ['01234567890\n', CloseCode.PACKET_TOO_LONG, 'the packet has 12 bytes, packageMaxLength is 10'],
    ['01234567890', CloseCode.PACKET_TOO_LONG, '11 bytes have come and no packet has ended, packageMaxLength is 10'],
  ])('ends the connection, and the worker is told why: %j', (text, code, message) => {
    const { world, connection } = open();
    world.clientSends(connection, text);
    expect(world.refused).toEqual([[code, message]]);
    const close = world.take().find(({ type }) => type === Event.close);
    expect([close?.detail, close?.text]).toEqual([code, message]);
    expect([connection.isClosed, world.client(connection).got, connection.buffered]).toEqual([true, '', 0]);
  });

  it('is found as well where it comes in pieces', () => {
    const { world, connection } = open();
    for (const byte of '01234567890') world.clientSends(connection, byte);
    expect(world.refused.length).toBe(1);
    expect(connection.isClosed).toBe(true);
  });
});

describe('memory', () => {
  it('grows with what has come, never with what a client claims will come', () => {
    const claims: Framer = { packetLength: () => 1e9 };
    const { world, connection } = open({ framing: { framer: claims, packageMaxLength: 2e9 } });
    world.clientSends(connection, 'x'.repeat(10_000));
    expect(connection.input?.bytes.length).toBeLessThan(20_000);
    expect(connection.buffered).toBe(10_000);
  });
});

describe('while workers go', () => {
  const options = { workers: 2, framing: { framer: lines, packageMaxLength: 1e6 } };

  it('a packet for which a worker was chosen, and found no room, goes to one that stays', () => {
    const { world } = open(options);
    const connection = world.connect(1);
    world.fill(1);
    world.clientSends(connection, 'one\n');
    expect(connection.input?.worker).toBe(1);
    const done = vi.fn();
    world.dispatcher.drain(1, done);
    world.turn();
    expect(done).toHaveBeenCalledTimes(1); // from here on nothing is written for worker 1
    expect([world.take(1), world.turn(), world.take(1)]).toEqual([[], undefined, []]);
    for (const held of world.dispatcher.endDrain()) world.reading.read(held);
    world.turn();
    expect(world.take(0).map(({ text }) => text)).toEqual(['one\n']);
  });

  it('a packet of which a part is in the ring goes there as a whole before the drain is done', () => {
    const { world } = open(options);
    const connection = world.connect(1);
    const packet = `${'x'.repeat(300_000)}\n`;
    world.clientSends(connection, packet);
    const done = vi.fn();
    world.dispatcher.drain(1, done);
    world.turn();
    expect(done).not.toHaveBeenCalled();
    let text = '';
    for (let i = 0; i < 10 && text.length < packet.length; i++) {
      text += world.take(1).reduce((sum, frame) => sum + frame.text, '');
      world.turn();
    }
    expect([text === packet, done.mock.calls.length]).toEqual([true, 1]);
  });
});
