/**
 * Processes that die between any two steps of an operation, in one process, against a model. The next ones find their locks,
 * journals and half-written rows as a `kill -9` leaves them; some die while they repair.
 */
import { expect } from 'vitest';
import { ServerError } from '../../src/errors/index.js';
import type { Table } from '../../src/shared/table/table.js';
import { dies, Fate, TableWorld } from './table-world.js';

const columns = { a: 'int32', b: 'int', s: { type: 'string', size: 24 } } as const;
type Columns = typeof columns;
type T = Table<Columns>;

const textOf = (a: number): string => (a % 7 === 0 ? `wörter ${a}` : `text ${a}`);
const whole = (a: number) => ({ a, b: a * 2, s: textOf(a) });

/** What an operation does to the value of a key; undefined: no row. */
export interface Operation {
  readonly run: (table: T, key: string, a: number) => unknown;
  readonly after: (before: number | undefined, a: number) => number | undefined;
}

export const operations = {
  set: { run: (table, key, a) => table.set(key, whole(a)), after: (_, a) => a },
  insert: { run: (table, key, a) => table.insert(key, whole(a)), after: (before, a) => before ?? a },
  update: {
    run: (table, key, a) => table.update(key, (row) => Object.assign(row, whole(a))),
    after: (_, a) => a,
  },
  compareAndSet: {
    run: (table, key, a) => table.compareAndSet(key, table.get(key), whole(a)),
    after: (_, a) => a,
  },
  delete: { run: (table, key) => table.delete(key), after: () => undefined },
  take: { run: (table, key) => table.take(key), after: () => undefined },
} satisfies Record<string, Operation>;
export const names = Object.keys(operations) as (keyof typeof operations)[];

/** Pids. A dead one's are all dead to the others; a mortal is never in the way of itself, as each death is seen to. */
const SURVIVOR = 10;
const MORTALS = [20, 30];

interface Mortal {
  readonly table: T;
  readonly fate: Fate;
}

export class Simulation {
  readonly model = new Map<string, number>();
  readonly world: TableWorld<Columns>;
  readonly survivor: T;
  deaths = 0;
  readonly #rows: number;
  readonly #mortals: readonly Mortal[];

  constructor(rows: number) {
    this.#rows = rows;
    this.world = new TableWorld(columns, { rows });
    for (const pid of MORTALS) this.world.dead.add(pid);
    this.survivor = this.world.of(SURVIVOR);
    this.#mortals = MORTALS.map((pid) => {
      const fate = new Fate();
      return { fate, table: this.world.of(pid, { atStep: fate.step }) };
    });
  }

  /** One that lives. */
  run(name: keyof typeof operations, key: string, a: number): void {
    const isTaken = this.#attempt(() => operations[name].run(this.survivor, key, a));
    if (isTaken) this.#learn(key, operations[name].after(this.model.get(key), a));
    else expect([this.model.size, this.model.has(key)]).toEqual([this.#rows, false]);
  }

  /** @returns whether it died; else it was through before that step */
  die(mortal: number, step: number, name: keyof typeof operations, [key, a]: [string, number]): boolean {
    const { table, fate } = this.#mortals[mortal] as Mortal;
    const before = this.#see(key);
    expect(before).toBe(this.model.get(key));
    fate.left = step;
    const isDead = dies(() => this.#attempt(() => operations[name].run(table, key, a)));
    fate.left = -1;
    if (isDead) this.deaths++;
    const now = this.#see(key);
    const { after } = operations[name];
    if (now !== before && now !== after(before, a)) {
      throw new Error(`${name} of ${key} at step ${step}: ${now} is neither ${before} nor ${after(before, a)}`);
    }
    this.#learn(key, now);
    return isDead;
  }

  /** The survivor comes by the locks of those keys, and the allocator's. */
  settle(...keys: string[]): void {
    for (const key of keys) {
      this.survivor.compareAndSet(key, { a: -1 }, {});
      expect(this.#see(key)).toBe(this.model.get(key));
    }
    this.#attempt(() => this.survivor.set('passing', {}));
    this.survivor.delete('passing');
  }

  check(): void {
    expect(this.world.faults()).toEqual([]);
    const rows = [...this.survivor].map(([key, { a }]) => [key, a]);
    expect(new Map(rows as [string, number][])).toEqual(this.model);
    expect(this.survivor.size).toBe(this.model.size);
  }

  /** @returns false when the table is full */
  #attempt(run: () => unknown): boolean {
    try {
      run();
      return true;
    } catch (error) {
      if (error instanceof ServerError && error.is('ERR_TABLE_FULL')) return false;
      throw error;
    }
  }

  /** As a reader does, who repairs nothing. */
  #see(key: string): number | undefined {
    const row = this.survivor.get(key);
    if (row === undefined) return undefined;
    if (row.b !== row.a * 2 || row.s !== textOf(row.a)) throw new Error(`torn: ${JSON.stringify(row)}`);
    return row.a;
  }

  #learn(key: string, a: number | undefined): void {
    if (a === undefined) this.model.delete(key);
    else this.model.set(key, a);
  }
}

/** Random operations, some of them deadly, of which some follow one another. */
export function simulate(deaths: number, seed: number): Simulation {
  const random = randomFrom(seed);
  const simulation = new Simulation(60);
  const key = () => `k${random(80)}`;
  const name = () => names[random(names.length)] ?? 'set';
  for (let round = 0; simulation.deaths < deaths; round++) {
    for (let i = 0; i < 3; i++) simulation.run(name(), key(), random(1e6));
    const first = key();
    simulation.die(0, random(26), name(), [first, random(1e6)]);
    const second = random(3) === 0 ? key() : first;
    if (random(2) === 0) simulation.die(1, random(40), name(), [second, random(1e6)]);
    simulation.settle(first, second);
    if (round % 100 === 0) simulation.check();
  }
  simulation.check();
  return simulation;
}

function randomFrom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state >>> 8) % below;
  };
}
