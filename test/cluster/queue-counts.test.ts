import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { QueueCounts } from '../../src/cluster/broker/queue-counts.js';
import type { JobCounts } from '../../src/cluster/jobs/queue.js';

let asked: string[];
let worked: string[];
let answer: (name: string) => Promise<JobCounts>;
let counts: QueueCounts;

const of = (waiting: number): JobCounts => ({ waiting, delayed: 0, running: 0, done: 0, dead: 0 });
const enqueue = (name: string): void => counts.called({ method: 'enqueue', args: [name, null] });

beforeEach(() => {
  vi.useFakeTimers();
  [asked, worked] = [[], ['mail']];
  answer = async (name) => of(name.length);
  counts = new QueueCounts({
    worked: () => worked,
    counts: (name) => {
      asked.push(name);
      return answer(name);
    },
  });
});
afterEach(() => {
  counts.close();
  vi.useRealTimers();
});

it('has what is taken here, and what was enqueued here, by name', async () => {
  enqueue('video');
  counts.called({
    method: 'enqueueMany',
    args: [
      [
        { name: 'audio', data: 1 },
        { name: 'mail', data: 1 },
      ],
    ],
  });
  counts.called({ method: 'schedule', args: ['daily', { everyMs: 1 }, { name: 'report', data: 1 }] });
  counts.called({ method: 'retry', args: ['other:1'] });
  expect(await counts.read()).toEqual([
    { name: 'audio', isWorked: false, ...of(5) },
    { name: 'mail', isWorked: true, ...of(4) },
    { name: 'report', isWorked: false, ...of(6) },
    { name: 'video', isWorked: false, ...of(5) },
  ]);
  expect(counts.latest).toHaveLength(4);
});

it('is counted every five seconds, until it is closed', async () => {
  expect(counts.latest).toEqual([]);
  await vi.advanceTimersByTimeAsync(5000);
  expect(counts.latest).toEqual([{ name: 'mail', isWorked: true, ...of(4) }]);
  counts.close();
  await vi.advanceTimersByTimeAsync(20_000);
  expect(asked).toEqual(['mail']);
});

it('is counted once for all who ask meanwhile, and again for those who ask later', async () => {
  const all = await Promise.all([counts.read(), counts.read()]);
  expect(all[0]).toBe(all[1]);
  expect(asked).toEqual(['mail']);
  await counts.read();
  expect(asked).toEqual(['mail', 'mail']);
});

it('is unknown while the engine does not answer', async () => {
  await counts.read();
  answer = () => Promise.reject(new Error('gone'));
  await expect(counts.read()).rejects.toThrow('gone');
  expect([counts.latest, counts.why]).toEqual([[], 'gone']);
  await vi.advanceTimersByTimeAsync(5000); // nobody waits for it
  answer = async () => of(1);
  await vi.advanceTimersByTimeAsync(5000);
  expect([counts.latest.length, counts.why]).toEqual([1, '']);
});

it('keeps the newest hundred names that were enqueued, after those that are taken', async () => {
  for (let nth = 0; nth < 150; nth++) enqueue(`q${nth}`);
  enqueue('q60'); // again
  enqueue('last');
  const names = (await counts.read()).map(({ name }) => name);
  expect(names).toHaveLength(100);
  expect(names).toEqual(expect.arrayContaining(['mail', 'last', 'q60', 'q149']));
  expect(names).not.toContain('q50');
});
