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
  expect([...late]).toEqual([]);
  answersAfterMs = () => 10;
  const [again] = await listed();
  expect([...again]).toEqual([ofB(false)]);
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
