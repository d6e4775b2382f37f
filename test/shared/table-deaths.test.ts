/** Writers that die at any step. The long form runs with `npm run test:soak`. */
import { afterEach, describe, expect, it } from 'vitest';
import { names, Simulation, simulate } from '../helpers/table-simulator.js';
import { dies, Fate, TableWorld } from '../helpers/table-world.js';

const open: Simulation[] = [];
afterEach(() => {
  for (const { world } of open.splice(0)) world.close();
});

/** Rows in a chain, a row that is free, and rows never used. */
function prepared(): Simulation {
  const simulation = new Simulation(6);
  open.push(simulation);
  for (const [index, key] of ['old', 'other', 'gone'].entries()) simulation.run('set', key, index + 1);
  simulation.run('delete', 'gone', 0);
  return simulation;
}

describe('a writer that dies at any step', () => {
  describe.each(['old', 'new'])('of an operation on the %s key', (key) => {
    it.each(names)('%s leaves the row as before or as afterwards, and nothing held or lost', (name) => {
      const simulation = prepared();
      let steps = 0;
      for (let step = 0; step < 100; step++) {
        simulation.run('set', 'old', 5);
        simulation.run('delete', 'new', 0);
        if (!simulation.die(0, step, name, [key, 9])) break;
        steps++;
        simulation.settle(key);
        simulation.check();
      }
      expect(steps).toBeGreaterThan(0);
      expect(steps).toBeLessThan(100);
    });

    it.each(names)('%s is seen to also when the process that repairs dies at any step', (name) => {
      const simulation = prepared();
      for (let step = 0; step < 40; step++) {
        for (let later = 0; later < 60; later++) {
          simulation.run('set', 'old', 5);
          simulation.run('delete', 'new', 0);
          simulation.die(0, step, name, [key, 9]);
          const isDead = simulation.die(1, later, 'set', ['new', 11]);
          simulation.settle(key, 'new');
          if (!isDead) break;
        }
        simulation.check();
      }
    });
  });

  it.each(['there', 'new'])('of a count leaves it as before or as afterwards: the key is %s', (key) => {
    const world = new TableWorld({ n: 'int' }, { rows: 4 });
    world.dead.add(20);
    const survivor = world.of(10);
    const fate = new Fate();
    const mortal = world.of(20, { atStep: fate.step });
    let isDead = true;
    for (let step = 0; isDead; step++) {
      survivor.set('there', { n: 5 });
      survivor.delete('new');
      const before = survivor.get(key, 'n');
      fate.left = step;
      isDead = dies(() => mortal.incr(key, 'n', 3));
      const seen = survivor.get(key, 'n');
      expect([before, (before ?? 0) + 3]).toContain(seen);
      expect(survivor.incr(key, 'n', 0)).toBe(seen ?? 0);
      expect(world.faults()).toEqual([]);
    }
    world.close();
  });

  it('of clear() leaves rows that are whole, and the others free', () => {
    const world = new TableWorld({ n: 'int' }, { rows: 40 });
    world.dead.add(20);
    const survivor = world.of(10);
    const fate = new Fate();
    const mortal = world.of(20, { atStep: fate.step });
    let isDead = true;
    for (let step = 0; isDead; step += 3) {
      for (let n = 0; n < 40; n++) survivor.set(`k${n}`, { n });
      fate.left = step;
      isDead = dies(() => mortal.clear());
      const left = [...survivor];
      for (const [key, row] of left) expect(key).toBe(`k${row.n}`);
      for (let n = 0; n < 40; n++) survivor.compareAndSet(`k${n}`, { n: -1 }, {});
      expect([...survivor]).toEqual(left);
      if (survivor.size < 40) survivor.set('passing', {}); // needs the allocator, which may be held
      survivor.clear();
      expect([world.faults(), survivor.size]).toEqual([[], 0]);
    }
    world.close();
  });

  it('in a table that evicts leaves nothing held or lost', () => {
    const world = new TableWorld({ n: 'int' }, { rows: 10, onFull: 'evict' });
    world.dead.add(20);
    const survivor = world.of(10);
    const fate = new Fate();
    const mortal = world.of(20, { atStep: fate.step });
    let deaths = 0;
    for (let round = 0; round < 3000; round++) {
      fate.left = round % 37;
      if (dies(() => mortal.set(`k${round}`, { n: round }))) deaths++;
      survivor.clear();
      expect(world.faults()).toEqual([]);
      for (let n = 0; n < 10; n++) survivor.set(`s${n}`, { n });
    }
    expect(deaths).toBeGreaterThan(1000);
    expect(survivor.size).toBe(10);
    world.close();
  });

  it('in a table that fills and empties, against a model', () => {
    const simulation = simulate(5000, 12345);
    open.push(simulation);
    expect(simulation.survivor.stats().brokenLocks).toBeGreaterThan(1000);
  });
});
