import { beforeEach, describe, expect, it } from 'vitest';
import { Event, typeOf } from '../../src/ipc/frame.js';
import type { RingReader } from '../../src/ipc/ring.js';
import type { FrameService } from '../../src/worker/service.js';
import { byType } from '../../src/worker/services/index.js';
import type { Frame, ServiceWorld } from './world.js';

/** What a protocol gives the suite. */
export interface ServiceUnderTest {
  readonly world: ServiceWorld;
  readonly service: FrameService;
  /** What the user's code has seen. */
  readonly seen: readonly string[];
  /** From now on the user's code throws. */
  fail(): void;
  /** Of connection `fd`: a frame that brings the text to the user. */
  whole(fd: number, text: string): Frame;
  /** The same in pieces, each but the last with `more`. Missing: packets of this protocol never come so. */
  pieces?(fd: number, texts: readonly string[]): Frame[];
  /** Makes something that cannot go over to another process. Missing: there is nothing of the kind. @returns ends it */
  holdUp?(fd: number): () => void;
}

/** Every protocol of a worker keeps these promises to the inbox and to the worker. */
export function describeFrameService(name: string, open: () => ServiceUnderTest): void {
  describe(name, () => {
    let it_: ServiceUnderTest;
    let ring: RingReader;
    let fd: number;

    beforeEach(() => {
      it_ = open();
      it_.world.services.push(it_.service);
      ring = it_.world.inbound();
      fd = it_.world.connect();
    });

    /** As the inbox does. @returns what `deliver` said */
    const takeOne = (): boolean => {
      expect(ring.available()).toBe(true);
      expect(it_.service.types).toContain(typeOf(ring.word));
      const taken = it_.service.take(ring);
      ring.advance();
      ring.release();
      return it_.service.deliver(taken);
    };

    it('claims types of its own, and not `close`', () => {
      expect(it_.service.types.length).toBeGreaterThan(0);
      expect(it_.service.types).not.toContain(Event.close);
      const table = byType([it_.service], it_.world.log);
      for (const type of it_.service.types) expect(table[type]).toBe(it_.service);
      expect(() => byType([it_.service, it_.service], it_.world.log)).toThrow('have a service');
    });

    it('leaves the frame where it is, and the user alone, until it delivers', () => {
      it_.world.write(it_.whole(fd, 'one'));
      const before = it_.world.unreleased;
      ring.available();
      const taken = it_.service.take(ring);
      expect(it_.world.unreleased).toBe(before);
      expect(it_.seen).toEqual([]);
      ring.advance();
      ring.release();
      expect(it_.service.deliver(taken)).toBe(false);
      expect(it_.seen).toEqual(['one']);
    });

    it('has copied what it needs when its room is used again', () => {
      it_.world.write(it_.whole(fd, 'copied'));
      ring.available();
      const { payloadAt, length } = ring;
      const taken = it_.service.take(ring);
      ring.advance();
      ring.release();
      ring.bytes.fill(0x7e, payloadAt, payloadAt + length);
      it_.service.deliver(taken);
      expect(it_.seen).toEqual(['copied']);
    });

    it('delivers in order, across connections', () => {
      const other = it_.world.connect();
      it_.world.write(it_.whole(fd, 'a'), it_.whole(other, 'b'), it_.whole(fd, 'c'));
      while (ring.available()) takeOne();
      expect(it_.seen).toEqual(['a', 'b', 'c']);
    });

    it('survives an error of the user, which is logged and counted', () => {
      it_.fail();
      it_.world.write(it_.whole(fd, 'bad'), it_.whole(it_.world.connect(), 'bad too'));
      takeOne();
      takeOne();
      expect(it_.world.counter('callbackErrors')).toBe(2);
      expect(it_.world.lines.join('\n')).toContain('callback failed');
    });

    it('holds a packet of pieces until it is whole, and says so', (context) => {
      const frames = it_.pieces?.(fd, ['one, ', 'two, ', 'three']);
      if (frames === undefined) return context.skip();
      it_.world.write(...frames);
      expect([takeOne(), it_.service.isIncomplete]).toEqual([true, true]);
      expect([takeOne(), it_.service.isIncomplete]).toEqual([true, true]);
      expect(it_.seen).toEqual([]);
      expect([takeOne(), it_.service.isIncomplete]).toEqual([false, false]);
      expect(it_.seen).toEqual(['one, two, three']);
    });

    it('does not give the user a packet without its beginning', (context) => {
      const [, ...rest] = it_.pieces?.(fd, ['lost', 'two', 'three']) ?? [];
      if (rest.length === 0) return context.skip();
      it_.world.write(...rest, it_.whole(fd, 'next'));
      while (ring.available()) takeOne();
      expect(it_.seen).toEqual(['next']);
      expect(it_.service.isIncomplete).toBe(false);
    });

    it('is not incomplete but by a packet that has begun', () => {
      expect(it_.service.isIncomplete).toBe(false);
      it_.world.write(it_.whole(fd, 'x'));
      takeOne();
      expect(it_.service.isIncomplete).toBe(false);
    });

    it('is dismissed at once where nothing is held up', () => {
      let done = 0;
      it_.service.dismiss(1000, () => done++);
      expect(done).toBe(1);
    });

    it('is dismissed when what is held up has ended', (context) => {
      const end = it_.holdUp?.(fd);
      if (end === undefined) return context.skip();
      let done = 0;
      it_.service.dismiss(60_000, () => done++);
      expect(done).toBe(0);
      end();
      expect(done).toBe(1);
    });

    it('is dismissed at the deadline at the latest, once', async (context) => {
      const end = it_.holdUp?.(fd);
      if (end === undefined) return context.skip();
      let done = 0;
      await new Promise<void>((resolve) => {
        it_.service.dismiss(5, () => {
          done++;
          resolve();
        });
      });
      end();
      expect(done).toBe(1);
    });

    it('does not mind the end of a connection it has never seen, nor being asked again and again', () => {
      it_.service.connectionEnded(fd, true);
      it_.service.connectionEnded(fd, false);
      for (let i = 0; i < 2; i++) {
        it_.service.drain();
        it_.service.poll();
      }
      it_.world.write(it_.whole(it_.world.connect(), 'still'));
      takeOne();
      expect(it_.seen).toEqual(['still']);
    });
  });
}

/** Of a protocol with connections: what a client sent until the server closed it is nobody's any more. */
export function describeClosedByServer(name: string, open: () => ServiceUnderTest): void {
  it(`${name}: frames of a connection that the server has closed do not reach the user`, () => {
    const { world, service, seen, whole } = open();
    const ring = world.inbound();
    const fd = world.connect();
    world.write(whole(fd, 'too late'));
    world.table.markClosedByServer(fd);
    ring.available();
    const taken = service.take(ring);
    ring.advance();
    ring.release();
    expect(service.deliver(taken)).toBe(false);
    expect(seen).toEqual([]);
    expect(world.counter('received')).toBe(0);
  });
}
