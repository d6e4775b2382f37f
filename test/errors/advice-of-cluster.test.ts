import { expect, it } from 'vitest';
import { ServerError } from '../../src/errors/index.js';

it('a job whose task worker died is told of attempts, since taskRetries does not repeat jobs', () => {
  const { message } = new ServerError('ERR_TASK_WORKER_DIED', {
    workerId: 2,
    exitCode: 0,
    signal: 'SIGKILL',
    tries: 1,
  });
  expect(message).toContain('for a job: "attempts"');
});

it('who asked a node that is not there is led to the property that lists them', () => {
  expect(new ServerError('ERR_NODE_LOST', { node: 'b' }).message).toContain('Ask one of cluster.nodes.');
});

it('who misses a task callback is told that handlers of jobs count too', () => {
  expect(new ServerError('ERR_CALLBACK_MISSING', { event: 'task', where: 'task workers' }).message).toContain(
    'server.jobs.work',
  );
});
