import { expect, it } from 'vitest';
import type { RequestFrame } from '../../src/ipc/request-frame.js';
import { UrgentRequests } from '../../src/ipc/urgent-requests.js';

const requestOf = (detail: number): RequestFrame => ({
  type: 1,
  flags: 0,
  detail,
  sessionId: 64,
  payload: Buffer.alloc(0),
});

it('a single one that waits is tried, and done with when there is room', () => {
  const waiting = new UrgentRequests();
  expect(waiting.isEmpty).toBe(true);
  expect(waiting.add(requestOf(1))).toBe(true);
  waiting.flush(() => false);
  expect(waiting.isEmpty).toBe(false);
  const pushed: number[] = [];
  waiting.flush(({ detail }) => pushed.push(detail) > 0);
  expect([pushed, waiting.isEmpty]).toEqual([[1], true]);
});

it('those that find no room stay, in their order', () => {
  const waiting = new UrgentRequests();
  for (const code of [1, 2, 3, 4]) waiting.add(requestOf(code));
  waiting.flush(({ detail }) => detail % 2 === 0);
  waiting.add(requestOf(5));
  const left: number[] = [];
  waiting.flush(({ detail }) => left.push(detail) > 0);
  expect(left).toEqual([1, 3, 5]);
  waiting.flush(() => expect.unreachable());
});

it('ten thousand may wait, not one more', () => {
  const waiting = new UrgentRequests();
  for (let i = 0; i < 9999; i++) waiting.add(requestOf(i));
  expect([waiting.add(requestOf(1)), waiting.add(requestOf(2))]).toEqual([true, false]);
});
