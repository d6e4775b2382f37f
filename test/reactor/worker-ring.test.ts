import { describe, expect, it, vi } from 'vitest';
import { Event, PieceFlag } from '../../src/ipc/frame.js';
import { RingReader, RingWriter } from '../../src/ipc/ring.js';
import { Hold } from '../../src/reactor/life.js';
import { WorkerRing } from '../../src/reactor/worker-ring.js';
import { ReactorWorld, type TakenFrame } from '../helpers/reactor-world.js';

const RING_BYTES = 131_072;
const MIN_READ = 4096;
const SESSION = 100;

function open() {
  const world = new ReactorWorld();
  const ring = world.context.ring(0);
  const connections = [world.connect(), world.connect()] as const;
  return { world, ring, connections };
}

const codes = (frames: readonly TakenFrame[]): number[] => frames.map(({ detail }) => detail);

describe('the room of a ring', () => {
  it('is what one read may take, at most a frame', () => {
    const { ring } = open();
    expect(ring.readLimit).toBe(65_536);
    ring.commitPacket(SESSION, 65_536);
    expect(ring.readLimit).toBeLessThan(65_536);
    expect(ring.readLimit % 8).toBe(0);
  });

  it('is none where only tiny pieces would fit', () => {
    const { world, ring } = open();
    ring.commitPacket(SESSION, 65_536);
    ring.commitPacket(SESSION, ring.readLimit - MIN_READ);
    expect(ring.readLimit).toBe(0);
    world.take();
    expect(ring.readLimit).toBe(65_536);
  });

  it('is none while an event has found none: it may not be overtaken', () => {
    const { world, ring } = open();
    world.fill(0);
    for (let i = 0; i < 1000; i++) ring.sendEvent(Event.close, 0, i, SESSION, 'x'.repeat(100));
    world.take();
    expect([ring.readLimit, ring.hasRoomFor(1)]).toEqual([0, false]);
    expect(ring.writePacket(SESSION, Buffer.from('packet'), 0, 6, 0)).toBe(0);
    expect(ring.writeWhole(Event.packet, Buffer.from('datagram'), 8)).toBe(false);
  });

  it('is left to events where packets find none', () => {
    const { world, ring } = open();
    world.fill(0);
    ring.sendEvent(Event.connect, 0, 5, SESSION);
    expect(codes(world.take())).toEqual([5]);
  });
});

describe('a packet that lies elsewhere', () => {
  const bytes = (length: number): Buffer => Buffer.from(Array.from({ length }, (_, i) => i & 0xff));

  it('is written whole, in frames that say which is the last', () => {
    const { world, ring } = open();
    const packet = bytes(60_000);
    expect(ring.writePacket(SESSION, packet, 0, packet.length, 0)).toBe(60_000);
    const frames = world.take();
    expect(frames.map(({ flags }) => flags)).toEqual([PieceFlag.more, PieceFlag.continued]);
    expect(frames.map(({ text }) => text).join('')).toBe(packet.toString('latin1'));
  });

  it('of up to half the ring is written whole or not at all', () => {
    const { world, ring } = open();
    ring.commitPacket(SESSION, 60_000);
    ring.commitPacket(SESSION, 20_000);
    const packet = bytes(50_000);
    expect(ring.writePacket(SESSION, packet, 0, packet.length, 0)).toBe(0);
    world.take();
    expect(ring.writePacket(SESSION, packet, 0, packet.length, 0)).toBe(50_000);
  });

  it('that is longer is written as far as there is room, and goes on', () => {
    const { world, ring } = open();
    const packet = bytes(3 * RING_BYTES);
    let text = '';
    const flags: number[] = [];
    for (let sent = 0; sent < packet.length; ) {
      const now = ring.writePacket(SESSION, packet, 0, packet.length, sent);
      expect(now).toBeGreaterThan(sent);
      sent = now;
      for (const frame of world.take()) {
        text += frame.text;
        flags.push(frame.flags);
      }
    }
    expect(text).toBe(packet.toString('latin1'));
    expect([flags[0], flags.at(-1)]).toEqual([PieceFlag.more, PieceFlag.continued]);
    expect(new Set(flags.slice(1, -1))).toEqual(new Set([PieceFlag.more | PieceFlag.continued]));
  });

  it('that belongs to no connection is never written in part', () => {
    const { world, ring } = open();
    const packet = bytes(64_000);
    const isWritten = [1, 2].map(() => ring.writeWhole(Event.packet, packet, packet.length));
    expect(isWritten).toEqual([true, false]);
    const text = world.take().map((frame) => frame.text);
    expect(text.join('')).toBe(packet.toString('latin1'));
  });
});

describe('events that find no room', () => {
  it('come in their order as soon as there is some, and no message is cut in two', () => {
    const { world, ring } = open();
    world.fill(0);
    const sent = Array.from({ length: 400 }, (_, i) => i);
    for (const code of sent) ring.sendEvent(Event.close, 0, code, SESSION, `${code} ${'x'.repeat(100)}`);
    expect(ring.isBehind).toBe(true);
    const frames: TakenFrame[] = [];
    for (let i = 0; i < 10; i++) {
      frames.push(...world.take());
      world.turn();
    }
    expect(codes(frames)).toEqual(sent);
    expect(frames.every(({ text, detail }) => text === `${detail} ${'x'.repeat(100)}`)).toBe(true);
    expect(ring.isBehind).toBe(false);
  });

  it('are cut where their message is very long', () => {
    const { world, ring } = open();
    ring.sendEvent(Event.close, 0, 1, SESSION, 'x'.repeat(10_000));
    expect(world.take()[0]?.text.length).toBe(512);
  });

  it('count as unseen until the worker has gone past them', () => {
    const { world, ring } = open();
    world.fill(0);
    for (let i = 0; i < 400; i++) ring.sendEvent(Event.close, 0, i, SESSION, 'x'.repeat(100));
    const isSeen = ring.mark();
    world.take();
    expect(isSeen()).toBe(false);
    ring.takeRelieved();
    expect(isSeen()).toBe(false);
    for (let i = 0; i < 10; i++) {
      world.take();
      world.turn();
    }
    expect(isSeen()).toBe(true);
  });

  it('go over to the process that comes next', () => {
    const { world, ring } = open();
    world.fill(0);
    for (let i = 0; i < 400; i++) ring.sendEvent(Event.close, 3, i, SESSION, 'x'.repeat(100));
    const spilled = ring.takeSpilled();
    expect([spilled.at(-1)?.detail, ring.takeSpilled()]).toEqual([399, []]);
    const frames = world.take();
    const next = new WorkerRing(0, new RingWriter(world.region, world.region.layout.inbound(0, 0)), [], () => 0);
    for (const event of spilled) next.spill(event);
    for (let i = 0; i < 10; i++) {
      next.takeRelieved();
      next.flush();
      frames.push(...world.take());
    }
    expect(codes(frames)).toEqual(Array.from({ length: 400 }, (_, i) => i));
    expect(frames.at(-1)).toMatchObject({ flags: 3, type: Event.close });
  });

  it('have the worker ring for the rest, though it takes all else just when it is asked to ring', () => {
    const { world, ring } = open();
    world.fill(0);
    for (let i = 0; i < 30_000; i++) ring.sendEvent(Event.connect, 0, i & 0xff, SESSION);
    const { waitForRoom } = RingWriter.prototype;
    vi.spyOn(RingWriter.prototype, 'waitForRoom').mockImplementationOnce(function (this: RingWriter) {
      world.take(0);
      return waitForRoom.call(this);
    });
    expect(ring.takeRelieved()).toEqual([]);
    ring.flush();
    const reader = new RingReader(world.region, world.region.layout.inbound(0, 0));
    for (; reader.available(); reader.advance());
    expect([ring.isBehind, reader.writerWantsBell()]).toEqual([true, true]);
  });
});

describe('connections that find no room', () => {
  it('are read on when there is some, once', () => {
    const { world, ring, connections } = open();
    world.fill(0);
    for (const connection of [...connections, connections[0]]) ring.stall(connection);
    expect(connections.map(({ holds }) => holds)).toEqual([Hold.noRoom, Hold.noRoom]);
    expect(ring.takeRelieved()).toEqual([]);
    world.take();
    expect(ring.takeRelieved()).toEqual(connections);
    expect(connections.map(({ holds }) => holds)).toEqual([0, 0]);
    expect(ring.isBehind).toBe(false);
  });

  it('with a whole packet wait until half of the ring is free', () => {
    const { world, ring, connections } = open();
    world.fill(0);
    ring.stall(connections[0], true);
    world.take();
    ring.commitPacket(SESSION, 60_000);
    ring.commitPacket(SESSION, 10_000);
    ring.flush();
    expect(ring.readLimit).toBeGreaterThan(0);
    expect(ring.takeRelieved()).toEqual([]);
    world.take();
    expect(ring.takeRelieved()).toEqual([connections[0]]);
  });
});

describe('the worker of a ring', () => {
  it('is woken once for all that was written, in the lane that takes packets now', () => {
    const world = new ReactorWorld();
    const wakers = [0, 1].map(() => ({ wake: vi.fn(() => true), ring: vi.fn() }));
    let lane = 0;
    const writer = new RingWriter(world.region, world.region.layout.inbound(0, 0));
    const ring = new WorkerRing(0, writer, wakers, () => lane);
    ring.commitPacket(SESSION, 10);
    ring.commitPacket(SESSION, 10);
    ring.flush();
    ring.flush();
    lane = 1;
    ring.commitPacket(SESSION, 10);
    ring.flush();
    expect(wakers.map(({ wake }) => wake.mock.calls.length)).toEqual([1, 1]);
    ring.ringBell(0);
    expect(wakers[0]?.ring).toHaveBeenCalledTimes(1);
  });

  it('is shown long reads while the reactor still reads', () => {
    const world = new ReactorWorld();
    const waker = { wake: vi.fn(() => true), ring: vi.fn() };
    const writer = new RingWriter(world.region, world.region.layout.inbound(0, 0));
    const ring = new WorkerRing(0, writer, [waker], () => 0);
    ring.commitPacket(SESSION, 10_000);
    expect(waker.wake).not.toHaveBeenCalled();
    ring.commitPacket(SESSION, 10_000);
    expect(waker.wake).toHaveBeenCalledTimes(1);
  });

  it('has as many bytes to take as were written', () => {
    const { world, ring } = open();
    ring.commitPacket(SESSION, 100);
    expect(ring.queuedBytes).toBe(16 + 104);
    world.take();
    expect(ring.queuedBytes).toBe(0);
  });
});
