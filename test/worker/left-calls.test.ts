import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { LeftCalls } from '../../src/worker/left-calls.js';
import type { WorkerConnection } from '../../src/worker/worker-connection.js';

type Connection = WorkerConnection<never>;

const SLOT = 3;
const LOOK_MS = 20;
let taker: number;
let session: number;
let drained: (() => void)[];
let held: number;
let pending: number;
let left: LeftCalls<never>;
const connection = { user: { fd: 7 }, isLeft: false } as unknown as Connection;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
  [taker, session, drained, held, pending] = [0, 7, [], 1, 0];
  left = new LeftCalls({
    table: {
      slotOf: () => SLOT,
      sessionId: () => session,
      taker: () => taker,
      setTaker: (_slot, pid) => {
        taker = pid;
      },
    },
    outbox: { heldBytesOf: () => held, drain: () => new Promise((resolve) => drained.push(resolve)) },
    calls: { addPendingOf: () => void pending++, settled: () => void pending-- },
  });
});
afterEach(() => {
  vi.useRealTimers();
});

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

it('are noted by the process that leaves until what they have sent has left it', async () => {
  left.leave(connection);
  expect([taker, connection.isLeft]).toEqual([process.pid, true]);
  left.finished(connection);
  await turn();
  expect([taker, connection.isLeft]).toEqual([process.pid, false]);
  drained[0]?.();
  await turn();
  expect(taker).toBe(0);
});

it('are over at once where nothing of what they have sent waits in their process', () => {
  left.leave(connection);
  held = 0;
  left.finished(connection);
  expect([taker, drained]).toEqual([0, []]);
});

it('hold up nobody in their own process', () => {
  left.leave(connection);
  expect(left.holds(connection)).toBe(false);
});

it('hold up the end in another process, which looks whether they are done', () => {
  taker = process.ppid;
  expect([left.holds(connection), left.holds(connection), pending]).toEqual([true, true, 1]);
  vi.advanceTimersByTime(10 * LOOK_MS);
  expect(pending).toBe(1);
  taker = 0;
  vi.advanceTimersByTime(LOOK_MS);
  expect([pending, left.holds(connection), vi.getTimerCount()]).toEqual([0, false, 0]);
});

it('hold it up no longer than their process lives', async () => {
  const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1e9)']);
  taker = child.pid ?? 0;
  expect(left.holds(connection)).toBe(true);
  child.kill('SIGKILL');
  await once(child, 'exit');
  vi.advanceTimersByTime(LOOK_MS);
  expect([pending, taker]).toEqual([0, 0]);
});

it('are none of a connection that has the same place later', async () => {
  taker = process.ppid;
  session = 8;
  expect(left.holds(connection)).toBe(false);
  left.finished(connection);
  drained[0]?.();
  await turn();
  expect(taker).toBe(process.ppid);
});
