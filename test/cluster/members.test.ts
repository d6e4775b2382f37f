import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { longestListMs } from '../../src/cluster/driver.js';
import { Members } from '../../src/cluster/drivers/members.js';

const times = { heartbeatMs: 1_000, ttlMs: 5_000 };
const node = { id: 'b', incarnation: '1', address: 'here', version: '1' };
let clock = 0;

beforeEach(() => {
  clock = 0;
});
afterEach(() => {
  vi.restoreAllMocks();
});

it('a list of many pages from a slow node takes no longer in all than is said', async () => {
  vi.spyOn(performance, 'now').mockImplementation(() => clock);
  let asked = 0;
  const members = new Members(() => 'a', {
    ...times,
    others: () => [node],
    isUp: () => true,
    // Each page takes two seconds, of 1,000 pages.
    ask: async (_node, _question, timeoutMs) => {
      asked++;
      clock += Math.min(timeoutMs, 2_000);
      if (timeoutMs < 2_000) throw new Error('late');
      return Buffer.from(JSON.stringify({ rows: [['x', '1', 5_000]], next: asked < 1_000 ? asked : 0, size: 1_000 }));
    },
  });
  expect(await members.list('k')).toEqual([]);
  expect(clock).toBeCloseTo(longestListMs(times));
  expect(asked).toBe(4);
});
