// The table of what clients may send: each case whole, cut in two at every byte, and byte by byte.
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { ReactorWorld } from '../helpers/reactor-world.js';
import { cases, LIMIT, type WebSocketCase } from '../helpers/websocket-cases.js';
import { Socket, webSocketWorld } from '../helpers/websocket-world.js';

/** Longer ones are cut around the borders of their frames only. */
const SHORT_BYTES = 400;
const AROUND = 16;

beforeAll(() => void vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] }));
afterAll(() => void vi.useRealTimers());

/** One world for all, since each costs milliseconds; the case behind one that has failed gets another. */
let kept: ReactorWorld | undefined;

function inWorld(test: (world: ReactorWorld) => void): void {
  const world = kept ?? webSocketWorld({ maxMessageBytes: LIMIT }, { port: { sendBufferSize: 1 << 24 } });
  kept = undefined;
  test(world);
  kept = world;
}

/** Places to cut at, none of them 0 or the end. */
function cutsOf({ frames }: WebSocketCase): number[] {
  const { length } = Buffer.concat(frames);
  const all = Array.from({ length: Math.max(0, length - 1) }, (_, index) => index + 1);
  if (length <= SHORT_BYTES) return all;
  let at = 0;
  const borders = [0, ...frames.map((frame) => (at += frame.length))];
  return all.filter((cut) => borders.some((border) => Math.abs(cut - border) <= AROUND));
}

function pieces(bytes: Buffer, cuts: readonly number[]): Buffer[] {
  return [...cuts, bytes.length].map((end, index) => bytes.subarray(index === 0 ? 0 : cuts[index - 1], end));
}

/** What is to come of it, however it was cut. */
function expected({ messages = [], pongs = [], close, reason }: WebSocketCase) {
  const isByClient = reason !== undefined;
  return {
    ...{ messages, pongs, echoes: messages },
    ...{ code: close, closings: close === undefined ? [] : [[close, isByClient]] },
    ...(isByClient && { reason, answer: reason }),
    isClosing: close !== undefined,
  };
}

function result(socket: Socket, { reason }: WebSocketCase) {
  const { messages, pongs, echoes, close, closings, connection } = socket;
  return {
    ...{ messages, pongs, echoes, code: close?.code },
    closings: closings.map(([code, , isByClient]) => [code, isByClient]),
    ...(reason !== undefined && { reason: closings[0]?.[1], answer: close?.reason }),
    isClosing: connection.isClosing,
  };
}

/** @param isPending the worker answers when all has come */
function run(socket: Socket, sent: readonly Buffer[], isPending: boolean): Socket {
  for (const piece of sent) {
    socket.sends(piece);
    if (!isPending) socket.serve();
    else socket.takes();
  }
  return socket.serve();
}

describe.each(cases.map((one) => [`${one.section}: ${one.title}`, one] as const))('%s', (_title, one) => {
  const bytes = Buffer.concat(one.frames);
  const ways = [...cutsOf(one).map((cut) => [cut]), cutsOf(one), []];

  it.each([
    ['at once', false],
    ['when all has come', true],
  ])('is the same wherever it is cut (answered %s)', (_when, isPending) =>
    inWorld((world) => {
      for (const cuts of ways) {
        const socket = run(new Socket(world, one.deflate), pieces(bytes, cuts), isPending);
        expect({ cuts, ...result(socket, one) }).toEqual({ cuts, ...expected(one) });
        socket.isDone();
      }
    }),
  );

  it('is the same when its pieces are read in one turn', () =>
    inWorld((world) => {
      for (const cuts of ways) {
        const socket = new Socket(world, one.deflate).sends(...pieces(bytes, cuts)).serve();
        expect({ cuts, ...result(socket, one) }).toEqual({ cuts, ...expected(one) });
        socket.isDone();
      }
    }));
});

it('has at least 150 cases', () => {
  expect(cases.length).toBeGreaterThan(150);
  expect(new Set(cases.map(({ section, title }) => section + title)).size).toBe(cases.length);
});
