import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import type { MasterToManager } from '../../src/ipc/message.js';
import type { ConnectionOwners } from '../../src/master/connection-owners.js';
import { Scaling } from '../../src/master/scaling.js';
import type { Region } from '../../src/memory/region.js';
import { deferred } from '../../src/util/deferred.js';

const MAX_WAIT_MS = 3000;

let told: MasterToManager[];
let done: string[];
let region: { activeWorkerNum: number; seatNum: number };
let withheld: Promise<void>;
let scaling: Scaling;

beforeEach(() => {
  vi.useFakeTimers();
  [told, done, withheld] = [[], [], Promise.resolve()];
  region = { activeWorkerNum: 4, seatNum: 4 };
  const owners = {
    withhold: (from: number) => withheld.then(() => void done.push(`withheld ${from}`)),
    rebind: async () => void done.push('rebound'),
    useWorkers: (num: number) => void done.push(`uses ${num}`),
  } as unknown as ConnectionOwners;
  scaling = new Scaling({
    ...{ region: region as unknown as Region, maxWaitMs: MAX_WAIT_MS, owners: () => owners },
    notify: (message) => told.push(message) > 0,
  });
});
afterEach(() => {
  vi.useRealTimers();
});

const settle = (): Promise<unknown> => vi.advanceTimersByTimeAsync(0);
/** The manager does what it was told last. */
async function carriedOut(): Promise<void> {
  await settle();
  const last = told.at(-1);
  if (last?.type === 'withdraw') scaling.withdrawn();
  if (last?.type === 'scale') scaling.scaled(last.request, undefined);
  await settle();
}

it('withholds packets from those that go, then withdraws them, and gives their connections to others', async () => {
  const scaled = scaling.to(2);
  expect(region).toEqual({ activeWorkerNum: 2, seatNum: 4 });
  await carriedOut();
  await carriedOut();
  await scaled;
  expect(told).toMatchObject([
    { type: 'withdraw', from: 2 },
    { type: 'scale', workerNum: 2 },
  ]);
  expect(done).toEqual(['withheld 2', 'rebound']);
  expect(region.seatNum).toBe(2);
});

it('withdraws them all the same after maxWaitMs: one that hangs with half a packet would hold up all later changes', async () => {
  const { promise, resolve } = deferred<void>();
  withheld = promise;
  const scaled = scaling.to(2);
  await vi.advanceTimersByTimeAsync(MAX_WAIT_MS - 1);
  expect(told).toEqual([]);
  await expect(scaling.to(3)).rejects.toMatchObject({ code: 'ERR_SCALE' });
  await vi.advanceTimersByTimeAsync(1);
  await carriedOut();
  await carriedOut();
  await scaled;
  resolve();
  const more = scaling.to(3);
  await carriedOut();
  await more;
  expect(region.activeWorkerNum).toBe(3);
});
