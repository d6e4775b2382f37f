import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ClosingFlag, Event, Request } from '../../src/ipc/frame.js';
import type { Connection } from '../../src/reactor/connection.js';
import type { WebSocketLimits } from '../../src/reactor/context.js';
import { tickMsFor } from '../../src/reactor/protocols/websocket/pings.js';
import { clientFrame } from '../helpers/raw-web-socket.js';
import { ReactorWorld } from '../helpers/reactor-world.js';

beforeEach(() => void vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'setTimeout', 'clearTimeout'] }));
afterEach(() => void vi.useRealTimers());

const webSocket: WebSocketLimits = {
  ...{ maxMessageBytes: 1 << 20, pingIntervalMs: 0, slowConsumer: 'drop', roomHighWatermark: 1 << 20 },
};
const GOING_AWAY = Buffer.from([0x03, 0xe9]);

function openOne(): { world: ReactorWorld; one: Connection } {
  const world = new ReactorWorld({ port: { webSocket } });
  const one = world.connect();
  const sockets = world.protocols.webSocket as unknown as { begin(connection: Connection, deflate: boolean): void };
  sockets.begin(one, false);
  return { world, one };
}

const endsTold = (world: ReactorWorld) =>
  world
    .takeAll()
    .filter(({ type }) => type === Event.closing || type === Event.close)
    .map(({ type, flags, detail }) => (type === Event.close ? 'close' : [detail, flags]));

describe('a close of a client', () => {
  const AGAIN = [1001, ClosingFlag.byClient | ClosingFlag.closeFollows];

  it('is told at once, and again right before the end: whoever gets that knows the code', () => {
    const { world, one } = openOne();
    world.clientSends(one, clientFrame(8, GOING_AWAY));
    expect(endsTold(world)).toEqual([[1001, ClosingFlag.byClient | ClosingFlag.awaitsAnswer]]);
    world.sends(one, [{ type: Request.disconnect, detail: 1001 }]);
    expect(endsTold(world)).toEqual([AGAIN, 'close']);
  });

  it('is told so in BASE mode, too, by the next process', () => {
    const { world, one } = openOne();
    world.clientSends(one, clientFrame(8, GOING_AWAY));
    endsTold(world);
    const next = world.successor();
    const same = next.context.connectionOf(one.sessionId) as Connection;
    next.sends(same, [{ type: Request.disconnect, detail: 1001 }]);
    expect(endsTold(next)).toEqual([AGAIN, 'close']);
  });
});

describe('silent clients', () => {
  it.each([
    [[0], 1000],
    [[30_000], 1000],
    [[0, 200, 30_000], 50],
    [[1], 20],
    [[], 1000],
  ])('of ports with intervals of %j ms are looked for every %i ms', (intervals, ms) => {
    expect(tickMsFor(intervals)).toBe(ms);
  });
});
