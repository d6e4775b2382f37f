import { AsyncLocalStorage } from 'node:async_hooks';
import { expect, test } from 'vitest';
import { RequestGate } from '../../src/http/request-gate.js';

const open = (limit: number) => {
  const gate = new RequestGate(limit);
  const begun: number[] = [];
  const requests = [0, 1, 2, 3, 4].map((id) => ({ id }));
  const enter = (id: number): void => gate.enter(requests[id]!, () => begun.push(id));
  const leave = (id: number): void => gate.leave(requests[id]!);
  return { begun, enter, leave, gate };
};

test('as many requests as the limit are begun at once, the others in their order as those leave', () => {
  const { begun, enter, leave } = open(2);
  for (const id of [0, 1, 2, 3, 4]) enter(id);
  expect(begun).toEqual([0, 1]);
  leave(1);
  expect(begun).toEqual([0, 1, 2]);
  leave(0);
  leave(2);
  expect(begun).toEqual([0, 1, 2, 3, 4]);
});

test('a request that leaves while it waits is not begun, and takes no place', () => {
  const { begun, enter, leave } = open(1);
  for (const id of [0, 1, 2]) enter(id);
  leave(1);
  leave(0);
  expect(begun).toEqual([0, 2]);
});

test('a request that leaves as soon as it is begun lets the next ones in without a call within a call', () => {
  const gate = new RequestGate(1);
  const first = {};
  let deepest = 0;
  let depth = 0;
  let count = 0;
  gate.enter(first, () => {});
  for (let i = 0; i < 100_000; i++) {
    const request = {};
    gate.enter(request, () => {
      depth++;
      deepest = Math.max(deepest, depth);
      count++;
      gate.leave(request);
      depth--;
    });
  }
  gate.leave(first);
  expect({ count, deepest }).toEqual({ count: 100_000, deepest: 1 });
});

test('a request that comes while others wait does not overtake them', () => {
  const { begun, enter, leave } = open(1);
  enter(0);
  enter(1);
  leave(0);
  enter(2);
  leave(1);
  expect(begun).toEqual([0, 1, 2]);
});

test('a request that waited is begun in a context of its own, not in that of the request that left', () => {
  const storage = new AsyncLocalStorage<string>();
  const { gate } = open(1);
  const found: (string | undefined)[] = [];
  const first = {};
  const second = {};
  gate.enter(first, () => {});
  gate.enter(second, () => found.push(storage.getStore()));
  storage.run('of the first', () => gate.leave(first));
  expect(found).toEqual([undefined]);
});
