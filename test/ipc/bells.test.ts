import { afterAll, describe, expect, it } from 'vitest';
import { createBells, peerBell, reactorBell, workerBell } from '../../src/ipc/bells.js';
import { peerNum, peerOfManager, peerOfMaster } from '../../src/memory/layout.js';
import { closeDescriptor } from '../../src/os/socket.js';
import { testShape } from '../helpers/test-shape.js';

const shape = testShape({ reactorNum: 3, workerNum: 2, taskWorkerNum: 1 });
const bells = createBells(shape);

afterAll(() => {
  for (const descriptor of new Set(bells.flatMap(({ read, write }) => [read, write]))) closeDescriptor(descriptor);
});

describe('the bells of a server', () => {
  it('are one for each reactor, each lane of each process id, the manager and the master', () => {
    expect(bells).toHaveLength(3 + 2 * 3 + 2);
    const lanes = [0, 1, 2].flatMap((id) => [0, 1].map((lane) => workerBell(bells, shape, id, lane)));
    const reactors = [0, 1, 2].map((reactor) => reactorBell(bells, reactor));
    const others = [peerOfManager(shape), peerOfMaster(shape)].map((peer) => peerBell(bells, shape, peer));
    expect([...reactors, ...lanes, ...others]).toEqual(bells);
    expect(new Set(bells.map(({ read }) => read)).size).toBe(bells.length);
  });

  it('are no more than that', () => {
    expect(() => peerBell(bells, shape, peerNum(shape))).toThrow('there is no doorbell 11 of 11');
    expect(() => reactorBell(bells, -1)).toThrow(RangeError);
  });
});
