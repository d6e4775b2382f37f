/** Real processes that share a table, and some that die or are stopped. The long forms run with `npm run test:soak`. */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { eventually } from '../helpers/eventually.js';
import { TableProcesses } from '../helpers/table-processes.js';

let processes: TableProcesses;
beforeEach(() => {
  processes = new TableProcesses();
});
afterEach(() => processes.close());

it('four processes count exactly', async () => {
  await processes.killWhileOthersCount(0, 'count');
});

it('a process that is killed again and again leaves no torn row and no lock; what others count is exact', async () => {
  await processes.killWhileOthersCount(8, 'count and write');
}, 120_000);

it('a process killed at any step has written its row or not', async () => {
  const { table } = processes;
  for (let step = 0; step < 16; step += 2) {
    const child = await processes.start({ job: 'die', step });
    const [, signal] = await once(child, 'exit');
    expect([undefined, 7]).toContain(table.get('k', 'a'));
    table.set('k', { a: 8 });
    table.delete('k');
    expect(processes.world.faults()).toEqual([]);
    if (signal === null) break;
  }
}, 120_000);

it('a process that is stopped in the midst of a write keeps writers out until it goes on; readers do not notice', async () => {
  const { table } = processes;
  table.set('k', { a: 1, b: 2, s: 'value 1' });
  const child = await processes.start({ job: 'stop', step: 2 });
  const done = once(child, 'message');
  await eventually(() => expect(readFileSync(`/proc/${child.pid}/stat`, 'utf8')).toMatch(/\) T /));
  expect(table.get('k', 'a')).toBe(1);
  expect(() => table.set('k', { a: 3 })).toThrow(expect.objectContaining({ code: 'ERR_TABLE_BUSY' }));
  child.kill('SIGCONT');
  await done;
  expect(table.get('k')).toEqual({ a: 7, b: 14, s: 'value 7' });
  table.set('k', { a: 3 });
  expect([table.get('k', 'a'), table.stats().brokenLocks]).toEqual([3, 0]);
});
