import { describe, expect, it } from 'vitest';
import { ReactorConnection } from '../../src/reactor/connection.js';
import { LivingConnections } from '../../src/reactor/living.js';

const at = (slot: number): ReactorConnection => new ReactorConnection(slot + 1000, slot, 7, 0, 0);

describe('LivingConnections', () => {
  it('finds connections by the slots of its own reactor', () => {
    const living = new LivingConnections(3);
    const [a, b] = [at(1), at(301)];
    living.add(b);
    living.add(a);
    expect(living.get(1)).toBe(a);
    expect(living.get(301)).toBe(b);
    expect(living.get(4)).toBeUndefined();
    expect(living.get(1e9)).toBeUndefined();
    expect(living.size).toBe(2);
    expect(living.list()).toEqual([a, b]);
  });

  it('forgets a connection once, and not the one that has its slot by now', () => {
    const living = new LivingConnections(2);
    const [old, young] = [at(4), at(4)];
    living.add(old);
    living.delete(old);
    living.delete(old);
    living.add(young);
    living.delete(old);
    expect(living.size).toBe(1);
    expect(living.get(4)).toBe(young);
  });
});
