import { describe, expect, it } from 'vitest';
import { CloseCode, CloseFlag, Event, PieceFlag, Request } from '../../src/ipc/frame.js';
import { SlotFlag } from '../../src/memory/connection-table.js';
import type { PortCallbacks } from '../../src/worker/callbacks.js';
import { StreamService } from '../../src/worker/services/stream.js';
import { describeClosedByServer, describeFrameService, type ServiceUnderTest } from './frame-service.conformance.js';
import { type FakeConnection, type Frame, ServiceWorld, settle } from './world.js';

const receive = (fd: number, payload: string, flags = 0): Frame => ({ type: Event.receive, fd, payload, flags });

function open(): ServiceUnderTest {
  const seen: string[] = [];
  let fails = false;
  const world = new ServiceWorld({
    ports: [
      {
        receive: (_connection, data) => {
          if (fails) throw new Error('as the test wants');
          seen.push(data.toString());
        },
      },
    ],
  });
  return {
    ...{ world, seen, service: new StreamService(world.host), whole: receive },
    fail: () => {
      fails = true;
    },
    pieces: (fd, texts) =>
      texts.map((text, i) => {
        const flags = (i < texts.length - 1 ? PieceFlag.more : 0) | (i > 0 ? PieceFlag.continued : 0);
        return receive(fd, text, flags);
      }),
  };
}

describeFrameService('the service of streams', open);
describeClosedByServer('streams', open);

/** A world whose frames are given to the service as they are written. */
function serving(port: PortCallbacks<FakeConnection>): { world: ServiceWorld; give(...frames: Frame[]): void } {
  const world = new ServiceWorld({ ports: [port] });
  const service = new StreamService(world.host);
  const ring = world.inbound();
  return {
    world,
    give: (...frames) => {
      world.write(...frames);
      for (; ring.available(); ring.advance()) {
        service.deliver(service.take(ring));
      }
      ring.release();
    },
  };
}

describe('a stream', () => {
  it('has one object for all callbacks of a connection, and another one for the next session', () => {
    const seen: FakeConnection[] = [];
    const note = (connection: FakeConnection) => void seen.push(connection);
    const { world, give } = serving({ connect: note, receive: note, bufferFull: note, bufferEmpty: note });
    const fd = world.connect();
    const types = [Event.connect, Event.receive, Event.bufferFull, Event.bufferEmpty];
    give(...types.map((type) => ({ type, fd, payload: 'x' })));
    expect(new Set(seen).size).toBe(1);
    give(receive(world.connect(), 'y'));
    expect(new Set(seen).size).toBe(2);
    expect(world.counter('connects')).toBe(1);
  });

  it('is closed where its callback fails, with the reason', async () => {
    const { world, give } = serving({ receive: () => Promise.reject(new Error('later')) });
    const fd = world.connect();
    give(receive(fd, 'x'));
    await settle();
    expect(world.sent()).toMatchObject([{ type: Request.close, fd, detail: CloseCode.CALLBACK_FAILED }]);
    expect(world.lines.join('\n')).toContain("the 'receive' callback failed, its connection is closed");
  });

  it('lets promises of one connection run beside each other, and counts them as pending', async () => {
    const finish: (() => void)[] = [];
    const { world, give } = serving({ receive: () => new Promise<void>((resolve) => finish.push(resolve)) });
    const fd = world.connect();
    give(receive(fd, 'a'), receive(fd, 'b'));
    expect(world.host.calls.pending).toBe(2);
    for (const resolve of finish) resolve();
    await settle();
    expect(world.host.calls.pending).toBe(0);
  });

  it('forgets the pieces of a packet when its connection ends', () => {
    const { world, give } = serving({});
    const fd = world.connect();
    give(receive(fd, 'begun', PieceFlag.more));
    expect(world.host.connections.incomplete).toBe(1);
    world.host.connections.closed(fd, 0, CloseCode.CLIENT_RESET, '');
    expect(world.host.connections.incomplete).toBe(0);
  });
});

describe('what is handled', () => {
  it('is counted when the callback has returned, or its promise has settled', async () => {
    let finish = (): void => {};
    const { world, give } = serving({
      receive: (_connection, data) =>
        data.length > 3 ? new Promise<void>((resolve) => (finish = resolve)) : undefined,
    });
    const fd = world.connect();
    const slot = world.table.slotOf(fd);
    world.table.countReceived(slot, 9, 0);
    give(receive(fd, 'abc'), receive(fd, 'longer'));
    expect(world.table.queuedBytes(slot)).toBe(6);
    finish();
    await settle();
    expect(world.table.queuedBytes(slot)).toBe(0);
  });

  it('is counted, too, where it is not given to the user any more', () => {
    const { world, give } = serving({});
    const fd = world.connect();
    const slot = world.table.slotOf(fd);
    world.table.countReceived(slot, 3, 0);
    world.table.markClosedByServer(fd);
    give(receive(fd, 'abc'));
    expect(world.table.queuedBytes(slot)).toBe(0);
  });

  it('lets a client that was too far ahead go on at half of maxQueuedBytes, once', () => {
    const { world, give } = serving({});
    Object.assign(world.host, { maxQueuedBytes: 8 });
    const fd = world.connect();
    const slot = world.table.slotOf(fd);
    world.table.countReceived(slot, 12, 0);
    world.table.setFlag(slot, SlotFlag.throttled, true);
    give(receive(fd, 'four'));
    expect(world.sent()).toEqual([]); // 8 are left
    give(receive(fd, 'four'), receive(fd, 'four'));
    expect(world.sent()).toMatchObject([{ type: Request.readOn, fd }]);
    expect(world.table.hasFlag(slot, SlotFlag.throttled)).toBe(false);
  });
});

describe('the end of a connection', () => {
  const ends = (world: ServiceWorld, fd: number, flags = 0, message = ''): void =>
    world.host.connections.closed(fd, flags, CloseCode.CLIENT_CLOSED, message);

  it('is told at once when it is gone, even while a promise is pending', async () => {
    const seen: string[] = [];
    let finish = (): void => {};
    const { world, give } = serving({
      receive: () => new Promise<void>((resolve) => (finish = resolve)),
      close: ({ hasEnded }, { code, message }) => void seen.push(`${code} ${message} ${hasEnded}`),
    });
    const fd = world.connect();
    give(receive(fd, 'x'));
    ends(world, fd, 0, 'bye');
    expect(seen).toEqual(['CLIENT_CLOSED bye true']);
    finish();
    await settle();
    expect(seen).toHaveLength(1);
    expect(world.sent()).toEqual([]);
    expect(world.counter('closes')).toBe(1);
  });

  it('waits for pending promises when the client has ended its side only, then the reactor hears of it', async () => {
    const seen: string[] = [];
    let finish = (): void => {};
    const { world, give } = serving({
      receive: () => new Promise<void>((resolve) => (finish = resolve)),
      close: (_connection, { code }) => void seen.push(code),
    });
    const fd = world.connect();
    give(receive(fd, 'x'));
    ends(world, fd, CloseFlag.awaitsAnswers);
    expect(seen).toEqual([]);
    world.host.outbox.send(fd, 'late');
    finish();
    await settle();
    expect(seen).toEqual(['CLIENT_CLOSED']);
    expect(world.sent().map(({ type }) => type)).toEqual([Request.send, Request.closed]);
  });

  it('is told once where the connection goes while its half end is waited for', async () => {
    const seen: string[] = [];
    let finish = (): void => {};
    const { world, give } = serving({
      receive: () => new Promise<void>((resolve) => (finish = resolve)),
      close: (_connection, { code }) => void seen.push(code),
    });
    const fd = world.connect();
    give(receive(fd, 'x'));
    ends(world, fd, CloseFlag.awaitsAnswers);
    ends(world, fd, CloseFlag.gone);
    finish();
    await settle();
    expect(seen).toHaveLength(1);
    ends(world, fd, CloseFlag.gone); // this process has done with it
    expect(seen).toHaveLength(1);
  });

  it('is not held up by a failing close', () => {
    const { world } = serving({
      close: () => {
        throw new Error('as the test wants');
      },
    });
    const fd = world.connect();
    ends(world, fd);
    expect(world.counter('callbackErrors')).toBe(1);
    expect(world.host.connections.find(fd)).toBeUndefined();
  });
});

describe('a connection that a protocol holds', () => {
  it('gives its bytes to that, and no packet to the user', () => {
    const user: string[] = [];
    const { world, give } = serving({ receive: (_connection, data) => void user.push(data.toString()) });
    const fd = world.connect();
    const taken: string[] = [];
    world.host.connections.hold(fd, { received: (_fd, data) => void taken.push(data.toString()) });
    give(receive(fd, 'mine'), receive(world.connect(), 'theirs'));
    expect([taken, user]).toEqual([['mine'], ['theirs']]);
    expect(world.counter('received')).toBe(1);
  });

  it('ends for the user when it is released', () => {
    const seen: string[] = [];
    const { world } = serving({ close: (_connection, { code }) => void seen.push(code) });
    const fd = world.connect();
    world.host.connections.hold(fd, { received: () => {} });
    world.host.connections.closed(fd, CloseFlag.awaitsAnswers, CloseCode.CLIENT_CLOSED, '');
    expect(seen).toEqual([]);
    world.host.connections.release(fd);
    world.host.connections.release(fd);
    expect(seen).toEqual(['CLIENT_CLOSED']);
  });

  it('of a port whose bytes are taken: what nothing holds goes there', () => {
    const { world, give } = serving({});
    const stray: number[] = [];
    world.host.connections.takeBytesOf(0, { received: (fd) => void stray.push(fd) });
    const fd = world.connect();
    give(receive(fd, 'x'));
    world.host.connections.hold(fd, { received: () => {} });
    give(receive(fd, 'held'));
    world.host.connections.release(fd);
    give(receive(fd, 'after'));
    expect(stray).toEqual([fd, fd]);
  });
});
