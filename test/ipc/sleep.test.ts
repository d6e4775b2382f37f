import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { describe, expect, it } from 'vitest';
import { Sleeper, Waker } from '../../src/ipc/sleep.js';

describe('sleep and wake-up', () => {
  it('rings for a sleeper only, and once per sleep', () => {
    const shared = new Int32Array(4);
    const sleeper = new Sleeper(shared, 0);
    let rings = 0;
    const bell = { read: -1, write: -1 };
    class CountingWaker extends Waker {
      override ring(): void {
        rings++;
      }
    }
    const waker = new CountingWaker(shared, 0, bell);
    const epoch = (): number => shared[0] ?? 0;
    expect(epoch() % 2).toBe(0);
    sleeper.sleep();
    sleeper.sleep();
    expect(epoch()).toBe(1);
    sleeper.wake();
    expect(epoch()).toBe(2);
    expect([waker.wake(), rings]).toEqual([false, 0]);
    sleeper.sleep();
    expect([waker.wake(), waker.wake(), rings]).toEqual([true, false, 1]);
    sleeper.wake();
    sleeper.sleep();
    expect([waker.wake(), rings]).toEqual([true, 2]);
    sleeper.wake();
    // A successor of a sleeper that was killed asleep begins awake.
    sleeper.sleep();
    const successor = new Sleeper(shared, 0);
    expect(epoch() % 2).toBe(0);
    successor.sleep();
    expect(epoch() % 2).toBe(1);
  });

  it('loses no wake-up between two threads that hand a token to and fro', async () => {
    const fixture = fileURLToPath(new URL('../fixtures/ipc-ping-pong.js', import.meta.url));
    const thread = new Worker(fixture, { workerData: { rounds: 20_000 } });
    const [result] = (await once(thread, 'message')) as [{ rounds: number }];
    expect(result.rounds).toBe(20_000);
    await thread.terminate();
  });
});
