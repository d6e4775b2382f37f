import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { longestListMs, type MemberList } from '../../src/cluster/driver.js';
import { Members } from '../../src/cluster/drivers/members.js';

const times = { heartbeatMs: 1_000, ttlMs: 5_000 };
const node = { id: 'b', incarnation: '1', address: 'here', version: '1' };
/** After how many milliseconds node b answers, question by question. */
let answersAfterMs: () => number;
let members: Members;
let asked: number;
let rows: unknown[];
let pages: number;
let isUp: boolean;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setImmediate', 'performance'] });
  [asked, rows, pages, isUp] = [0, [['x', '1', 5_000]], 1, true];
  answersAfterMs = () => 10;
  members = new Members(() => 'a', {
    ...times,
    others: () => [node],
    isUp: () => isUp,
    ask: (_node, _question, timeoutMs) => {
      const page = { rows, next: ++asked % pages, size: rows.length };
      const ms = answersAfterMs();
      return new Promise((resolve, reject) => {
        if (ms > timeoutMs) setTimeout(reject, timeoutMs, new Error('late'));
        else setTimeout(resolve, ms, Buffer.from(JSON.stringify(page)));
      });
    },
  });
});
afterEach(() => {
  vi.useRealTimers();
});

/** The list, and how many milliseconds it has taken. */
async function listed(): Promise<[list: MemberList, ms: number]> {
  const began = performance.now();
  let found: [MemberList, number] | undefined;
  void members.list('k').then((list) => {
    found = [list, Math.round(performance.now() - began)];
  });
  while (found === undefined) await vi.advanceTimersByTimeAsync(10);
  return found;
}

const ofB = (stale: boolean) => ({ member: 'x', node: 'b', meta: 1, stale });

it('a list of many pages from a slow node takes no longer in all than is said', async () => {
  [pages, answersAfterMs] = [1_000, () => 900];
  const [list, ms] = await listed();
  expect([[...list], list.silent, ms]).toEqual([[], ['b'], longestListMs(times)]);
  expect(asked).toBe(Math.ceil(longestListMs(times) / 900));
});

it('a node that says nothing for a heartbeat is waited for no longer, also between two pages', async () => {
  pages = 3;
  answersAfterMs = () => (asked < 2 ? 600 : 2_000);
  const [list, ms] = await listed();
  expect([[...list], list.silent, ms]).toEqual([[], ['b'], 1_601]);
});

it('what a slow node says too late for a list is in the next one, stale', async () => {
  answersAfterMs = () => 1_500;
  const [first] = await listed();
  expect([[...first], first.silent]).toEqual([[], ['b']]);
  await vi.advanceTimersByTimeAsync(600);
  const [second, ms] = await listed();
  expect([[...second], second.silent, ms]).toEqual([[ofB(true)], undefined, 1_001]);
});

it('what was last said is listed however long ago that was, and for its ttl after the node has fallen silent', async () => {
  const [fresh] = await listed();
  expect([...fresh]).toEqual([ofB(false)]);
  await vi.advanceTimersByTimeAsync(60_000);
  answersAfterMs = () => 100_000;
  const [stale] = await listed();
  expect([...stale]).toEqual([ofB(true)]);
  await vi.advanceTimersByTimeAsync(5_000);
  const [late] = await listed();
  expect([[...late], late.silent]).toEqual([[], ['b']]);
  answersAfterMs = () => 10;
  const [again] = await listed();
  expect([...again]).toEqual([ofB(false)]);
});

it('of a node that had none when it last answered an empty list is not taken for the truth of now', async () => {
  rows = [];
  const [fresh] = await listed();
  expect([[...fresh], fresh.silent]).toEqual([[], undefined]);
  answersAfterMs = () => 100_000;
  const [late] = await listed();
  expect([[...late], late.silent]).toEqual([[], ['b']]);
});

it('the time that a node is silent counts from what it last said, not from a question that has taken long', async () => {
  await listed();
  pages = 100;
  answersAfterMs = () => (asked <= 7 ? 900 : 100_000);
  const [stale, ms] = await listed();
  expect(ms).toBeGreaterThan(times.ttlMs);
  expect([[...stale], stale.silent]).toEqual([[ofB(true)], undefined]);
});

it('equal questions share one answer, and none takes one that began before it', async () => {
  const first = members.list('k');
  members.put('k', 'own', 2, 5_000);
  const later = [1, 2, 3].map(() => members.list('k'));
  const other = members.list('other');
  await vi.advanceTimersByTimeAsync(30);
  expect(asked).toBe(3);
  const own = { member: 'own', node: 'a', meta: 2, stale: false };
  expect([...(await first)]).toEqual([ofB(false)]);
  for (const list of await Promise.all(later)) expect([...list]).toEqual([own, ofB(false)]);
  expect([...(await other)]).toEqual([ofB(false)]);
  await listed();
  expect(asked).toBe(4);
});

it('a question that comes while an equal one is slow begins after a heartbeat at the latest', async () => {
  answersAfterMs = () => 900;
  pages = 100;
  void members.list('k');
  await vi.advanceTimersByTimeAsync(10);
  void members.list('k');
  await vi.advanceTimersByTimeAsync(880);
  expect(asked).toBe(1);
  await vi.advanceTimersByTimeAsync(131);
  expect(asked).toBe(3);
});

it('while the engine is lost, what was last said is listed, and nobody is silent since', async () => {
  await listed();
  [isUp, answersAfterMs] = [false, () => 100_000];
  await listed();
  await vi.advanceTimersByTimeAsync(60_000);
  const [lost] = await listed();
  expect([...lost]).toEqual([ofB(true)]);
  isUp = true;
  const [after] = await listed();
  expect([...after]).toEqual([ofB(true)]);
});
