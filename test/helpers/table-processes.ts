/** Real processes that share a table: see `test/fixtures/table-process.js`. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';
import type { Table } from '../../src/shared/table/table.js';
import { TableWorld } from './table-world.js';

const columns = { a: 'int', b: 'int', s: { type: 'string', size: 24 } } as const;
const FIXTURE = fileURLToPath(new URL('../fixtures/table-process.js', import.meta.url));

export interface Job {
  readonly job: 'count' | 'write' | 'count and write' | 'stop' | 'die';
  /** At which it stops, or dies. */
  readonly step?: number;
}

export class TableProcesses {
  readonly world: TableWorld<typeof columns>;
  readonly table: Table<typeof columns>;
  readonly #children = new Set<ChildProcess>();
  readonly #options: { readonly rows: number; readonly keyBytes: number };
  readonly #keys: number;

  constructor(rows = 300, keys = 250) {
    this.#options = { rows, keyBytes: 32 };
    this.#keys = keys;
    this.world = new TableWorld(columns, this.#options);
    this.table = this.world.real();
  }

  async start(job: Job): Promise<ChildProcess> {
    const given = { columns, options: this.#options, keys: this.#keys, ...job };
    const child = fork(FIXTURE, [JSON.stringify(given)], {
      stdio: ['ignore', 'inherit', 'inherit', this.world.arena.descriptor, 'ipc'],
      execArgv: [],
    });
    this.#children.add(child);
    child.once('exit', () => this.#children.delete(child));
    await once(child, 'message');
    return child;
  }

  /** Tells a process to stop. @returns how often it has counted */
  async stop(child: ChildProcess): Promise<number> {
    const answer = once(child, 'message');
    const exit = once(child, 'exit');
    child.send('stop');
    const [{ counted }] = (await answer) as [{ counted: number }];
    expect((await exit)[0]).toBe(0);
    return counted;
  }

  /** At once also writes, while the dead one is a zombie whose parent this is. */
  async kill(child: ChildProcess): Promise<void> {
    const exit = once(child, 'exit');
    child.kill('SIGKILL');
    this.writeAll(1);
    await exit;
  }

  writeAll(a: number): void {
    for (let n = 0; n < this.#keys; n++) {
      const key = `key ${n}`;
      const row = this.table.get(key);
      if (row !== undefined) expect([row.b, row.s]).toEqual([row.a * 2, `value ${row.a}`]);
      this.table.set(key, { a, b: a * 2, s: `value ${a}` });
    }
  }

  /** Nobody writes any more. Comes by all locks, those of the dead among them. */
  check(): void {
    for (let n = 0; n < 5000; n++) this.table.delete(`passing ${n}`);
    this.writeAll(2);
    this.table.delete('key 0');
    this.table.set('key 0', {});
    expect(this.world.faults()).toEqual([]);
  }

  /** Whether four that live count exactly, while one that writes beside them is killed again and again. */
  async killWhileOthersCount(kills: number, job: 'count' | 'count and write'): Promise<void> {
    const others = await Promise.all(Array.from({ length: 4 }, () => this.start({ job })));
    for (let n = 0; n < kills; n++) {
      const victim = await this.start({ job: 'write' });
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 8));
      await this.kill(victim);
    }
    const counts = await Promise.all(others.map((child) => this.stop(child)));
    let sum = 0;
    for (let n = 0; n < 16; n++) sum += this.table.get(`sum ${n}`, 'a') ?? 0;
    expect(sum).toBe(counts.reduce((all, one) => all + one, 0));
    this.check();
  }

  close(): void {
    for (const child of this.#children) child.kill('SIGKILL');
    this.world.close();
  }
}
