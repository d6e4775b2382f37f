/** The long forms of `test/shared/table*.test.ts`. */
import { afterEach, describe, expect, it } from 'vitest';
import { TableProcesses } from '../helpers/table-processes.js';
import { simulate } from '../helpers/table-simulator.js';
import { TableWorld } from '../helpers/table-world.js';

const open: { close(): void }[] = [];
afterEach(() => {
  for (const each of open.splice(0)) each.close();
});

describe('a table', () => {
  it.each([1, 2, 3, 4, 5, 6, 7])('is as its model after 10,000 deaths between two steps (seed %i)', (seed) => {
    const simulation = simulate(10_000, seed * 7919);
    open.push(simulation.world);
    expect(simulation.deaths).toBeGreaterThanOrEqual(10_000);
  });

  it('has no torn row and no stuck lock after 1,000 kills, and what four others count is exact', async () => {
    const processes = new TableProcesses();
    open.push(processes);
    await processes.killWhileOthersCount(Number(process.env['SOAK_KILLS'] ?? 1000), 'count and write');
  });

  it('misses as fast after 10,000,000 rows came and went, and has lost none', () => {
    const world = new TableWorld({ n: 'int' }, { rows: 10_000 });
    open.push(world);
    const table = world.real();
    for (let n = 0; n < 5000; n++) table.set(`row ${n}`, { n });
    const before = missNs(table);
    for (let n = 0; n < 10_000_000; n++) {
      table.set(`row ${n + 5000}`, { n });
      table.delete(`row ${n}`);
    }
    expect([table.size, world.faults()]).toEqual([5000, []]);
    expect(missNs(table)).toBeLessThan(before * 1.5);
    for (let n = 5000; n < 10_000; n++) table.set(`more ${n}`, { n });
    expect(table.size).toBe(10_000);
  });
});

/** The best of several rounds. */
function missNs(table: { has(key: string): boolean }): number {
  const rounds = Array.from({ length: 20 }, () => {
    const begin = performance.now();
    for (let n = 0; n < 10_000; n++) table.has(`missing ${n}`);
    return performance.now() - begin;
  });
  return Math.min(...rounds) * 100;
}
