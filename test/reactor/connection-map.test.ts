import { describe, expect, it } from 'vitest';
import { Connection } from '../../src/reactor/connection.js';
import { ConnectionMap } from '../../src/reactor/connection-map.js';
import { ReactorWorld } from '../helpers/reactor-world.js';

const world = new ReactorWorld();
const at = (slot: number): Connection => {
  const place = { sessionId: slot + 1000, slot, descriptor: 7, worker: 0, port: 0 };
  return new Connection(place, world.protocols.ofPort(0), world.transport, null);
};

describe('ConnectionMap', () => {
  it('finds connections by the slots of its own reactor', () => {
    const living = new ConnectionMap(3);
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
    const living = new ConnectionMap(2);
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
