import type { Queue } from 'bullmq';
import { expect, it } from 'vitest';
import { findJob } from '../../src/cluster/jobs/find-job.js';

/** A queue in which a job stands there, one place further with each question. */
function queueOf(states: readonly string[], jobs: readonly (object | undefined)[]) {
  const [left, found] = [[...states], [...jobs]];
  const job = { id: '=1', data: null, attemptsMade: 0, opts: {}, timestamp: 1 };
  const queue = {
    name: 'mail',
    getJobState: async () => left.shift() ?? states.at(-1),
    getJob: async () => {
      const more = found.length > 1 ? found.shift() : found[0];
      return more && { ...job, ...more };
    },
  };
  return queue as unknown as Queue;
}

it('a job that ends between the questions is read again, and has its result', async () => {
  const done = { finishedOn: 3, returnvalue: 7 };
  expect(await findJob(queueOf(['active', 'completed', 'completed'], [{}, done]), '=1')).toMatchObject({
    ...{ state: 'done', endedAt: 3, result: 7 },
  });
});

it('a job that changes with each question is told all the same', async () => {
  const states = Array.from({ length: 20 }, (_, nth) => (nth % 2 === 0 ? 'active' : 'delayed'));
  expect(await findJob(queueOf(states, [{}]), '=1')).toMatchObject({ id: 'mail:1', state: expect.any(String) });
});

it.each([
  ['it has gone', ['active', 'unknown'], [undefined]],
  ['it has gone in between', ['active', 'unknown', 'unknown'], [{}, undefined]],
  ['only its data are left', ['unknown'], [{}]],
])('there is none where %s', async (_, states, jobs) => {
  expect(await findJob(queueOf(states, jobs), '=1')).toBe(undefined);
});

it.each([
  ['waiting', 'waiting'],
  ['prioritized', 'waiting'],
  ['waiting-children', 'waiting'],
  ['delayed', 'delayed'],
  ['active', 'running'],
  ['completed', 'done'],
  ['failed', 'dead'],
])('what BullMQ calls %s is %s', async (state, told) => {
  expect(await findJob(queueOf([state], [{}]), '=1')).toMatchObject({ state: told });
});
