import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Request } from '../../src/ipc/frame.js';
import { WorkerField } from '../../src/memory/boards.js';
import { SlotFlag } from '../../src/memory/connection-table.js';
import { Hold } from '../../src/reactor/life.js';
import { ReactorWorld } from '../helpers/reactor-world.js';

beforeEach(() => void vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] }));
afterEach(() => void vi.useRealTimers());

const LOOK_MS = 250;

/** A worker that is at it, with ten bytes of a client that it has not handled. */
function open() {
  const world = new ReactorWorld({ options: { maxQueuedBytes: 10 } });
  world.workers.setField(0, WorkerField.busy, 1);
  const connection = world.connect();
  world.clientSends(connection, '0123456789');
  return { world, connection };
}

const isThrottled = ({ world, connection }: ReturnType<typeof open>): boolean =>
  world.table.hasFlag(connection.slot, SlotFlag.throttled);

describe('maxQueuedBytes', () => {
  it('does not matter below it', () => {
    const { world } = open();
    const connection = world.connect();
    world.clientSends(connection, '012345678');
    world.clientSends(connection, '9');
    expect(connection.holds).toBe(0);
  });

  it('holds a client back of which so much is not handled, and tells its worker by a flag', () => {
    const talk = open();
    const { world, connection } = talk;
    expect([connection.holds, isThrottled(talk)]).toEqual([0, false]);
    world.clientSends(connection, 'more');
    expect([connection.holds, isThrottled(talk)]).toEqual([Hold.inflight, true]);
    expect(world.take().map(({ text }) => text)).toEqual(['0123456789']);
  });

  it('reads on when the worker says that it has handled enough', () => {
    const { world, connection } = open();
    world.clientSends(connection, 'more');
    world.table.countHandled(connection.slot, 10);
    world.sends(connection, [{ type: Request.readOn }]);
    expect(connection.holds).toBe(0);
    expect(world.take().map(({ text }) => text)).toEqual(['0123456789', 'more']);
  });

  it('does not hold back where the worker has handled it before it could see the flag', () => {
    const talk = open();
    const { world, connection } = talk;
    const { table } = world;
    const setFlag = table.setFlag.bind(table);
    vi.spyOn(table, 'setFlag').mockImplementation((slot, flag, on) => {
      setFlag(slot, flag, on);
      if (flag === SlotFlag.throttled && on) table.countHandled(slot, 5);
    });
    world.clientSends(connection, 'more');
    expect([connection.holds, isThrottled(talk)]).toEqual([0, false]);
  });

  it('reads on when the worker has nothing to do: it has died, and will not say so', () => {
    const talk = open();
    const { world, connection } = talk;
    world.clientSends(connection, 'more');
    world.take();
    world.workers.setField(0, WorkerField.busy, 0);
    world.turn();
    expect([connection.holds, isThrottled(talk)]).toEqual([0, false]);
    expect(world.take().map(({ text }) => text)).toEqual(['more']);
    expect(world.table.queuedBytes(connection.slot)).toBe(4);
  });

  it('looks for such workers now and then, while there is a client that waits', () => {
    const { world, connection } = open();
    const wakes = vi.fn();
    world.context.wake = wakes;
    vi.advanceTimersByTime(LOOK_MS);
    expect(wakes).not.toHaveBeenCalled();
    world.clientSends(connection, 'more');
    vi.advanceTimersByTime(2 * LOOK_MS);
    expect(wakes).toHaveBeenCalledTimes(2);
    world.table.countHandled(connection.slot, 10);
    world.sends(connection, [{ type: Request.readOn }]);
    vi.advanceTimersByTime(2 * LOOK_MS);
    expect(wakes).toHaveBeenCalledTimes(2);
  });

  it('forgets one that is gone', () => {
    const { world, connection } = open();
    world.clientSends(connection, 'more');
    world.ending.reset(connection, 3);
    world.turn();
    const wakes = vi.fn();
    world.context.wake = wakes;
    vi.advanceTimersByTime(LOOK_MS);
    expect(wakes).not.toHaveBeenCalled();
  });

  it('holds each client back by itself', () => {
    const { world, connection } = open();
    const other = world.connect();
    world.clientSends(connection, 'more');
    world.clientSends(other, 'free');
    expect([connection.holds, other.holds]).toEqual([Hold.inflight, 0]);
  });
});
