/** Tables of several made-up processes over one arena, and a look at what must hold in their memory. */
import { closeSync } from 'node:fs';
import { Arena } from '../../src/shared/arena.js';
import { layOutColumns } from '../../src/shared/table/columns.js';
import type { TableOptions } from '../../src/shared/table/declaration.js';
import { allocator, header, layOutTable, row, STRIPES, stripe, stripeOf } from '../../src/shared/table/layout.js';
import type { ColumnSpecs } from '../../src/shared/table/row-types.js';
import { Table, type TableParts } from '../../src/shared/table/table.js';

class Died extends Error {}

/** Whether it did not live to the end. */
export function dies(run: () => unknown): boolean {
  try {
    run();
    return false;
  } catch (error) {
    if (error instanceof Died) return true;
    throw error;
  }
}

/** What a process does not survive: the step of that number. */
export class Fate {
  left = -1;

  readonly step = (): void => {
    if (this.left-- === 0) throw new Died();
  };
}

export interface WorldOptions extends TableOptions {
  readonly rows: number;
}

export class TableWorld<const S extends ColumnSpecs> {
  readonly arena = Arena.create({ pid: 1, isRunning: () => true, startTimeOf: () => '1' });
  readonly dead = new Set<number>();
  /** Of processes, where not '1'. */
  readonly startTimes = new Map<number, string>();
  readonly #columns: S;
  readonly #options: WorldOptions;

  constructor(columns: S, options: WorldOptions) {
    this.#columns = columns;
    this.#options = options;
  }

  /** The table as the process of that pid has it. */
  of(pid: number, parts: TableParts = {}): Table<S> {
    const isRunning = (other: number) => !this.dead.has(other);
    const startTimeOf = (other: number) => this.startTimes.get(other) ?? '1';
    const arena = Arena.open(this.arena.descriptor, { pid, isRunning, startTimeOf });
    const { rows, ...options } = this.#options;
    const attach: TableParts['attach'] = (spec) => arena.attach({ ...spec, name: 'table' });
    return new Table<S>(rows, this.#columns, options, { patienceMs: 20, attach, ...parts });
  }

  /** As a real process has it, and so its children, which get the descriptor. */
  real(): Table<S> {
    const arena = Arena.open(this.arena.descriptor);
    const { rows, ...options } = this.#options;
    return new Table<S>(rows, this.#columns, options, { attach: (spec) => arena.attach({ ...spec, name: 'table' }) });
  }

  close(): void {
    closeSync(this.arena.descriptor);
  }

  get int32(): Int32Array {
    const [object] = this.arena.objects();
    return new Int32Array(object?.memory ?? new ArrayBuffer(0));
  }

  get layout(): Layout {
    const { rows, keyBytes = 64, onFull } = this.#options;
    return layOutTable({ rows, keyBytes, isEvicting: onFull === 'evict', columns: layOutColumns(this.#columns) });
  }

  /** @returns what is wrong while nobody writes: nothing */
  faults(): string[] {
    return faultsIn(this.int32, this.layout);
  }

  /** The word of that process, which has checked in. */
  wordOf(pid: number): number {
    return Arena.open(this.arena.descriptor, { pid, isRunning: () => true, startTimeOf: () => '1' }).owners.word;
  }
}

type Layout = ReturnType<typeof layOutTable>;

function faultsIn(int32: Int32Array, layout: Layout): string[] {
  const seen = new Map<number, string>();
  const faults: string[] = [];
  const walk = (first: number, place: string): number => {
    let count = 0;
    for (let next = first; next > 0; count++) {
      if (seen.has(next)) return faults.push(`row ${next} is in ${place} and in ${seen.get(next)}`);
      seen.set(next, place);
      const at = layout.rowsAt + (next - 1) * layout.rowWords;
      if ((int32[at + row.hash] === 0) !== (place === 'free')) faults.push(`hash of row ${next}, in ${place}`);
      next = int32[at + row.next] ?? 0;
    }
    return count;
  };
  let linked = 0;
  for (let head = 0; head <= layout.headMask; head++)
    linked += walk(int32[layout.headsAt + head] ?? 0, `chain ${head}`);
  const free = walk(int32[allocator.firstFree] ?? 0, 'free');
  const used = int32[allocator.used] ?? 0;
  if (linked !== int32[allocator.live]) faults.push(`${linked} rows are linked, ${int32[allocator.live]} counted`);
  if (linked + free !== used) faults.push(`of ${used} rows ${linked} are linked and ${free} free`);
  if (int32[header.rows] !== layout.rows) faults.push('the header is spoilt');
  return [...faults, ...heldIn(int32)];
}

function heldIn(int32: Int32Array): string[] {
  const faults: string[] = [];
  if (int32[allocator.lock] !== 0 || int32[allocator.doing] !== 0) faults.push('the allocator is held');
  for (let hash = 0; hash < STRIPES; hash++) {
    const at = stripeOf(hash);
    if (int32[at + stripe.lock] !== 0 || int32[at + stripe.row] !== 0) faults.push(`stripe ${hash} is held`);
  }
  return faults;
}
