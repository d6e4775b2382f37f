import { describe, expect, it } from 'vitest';
import { withAdvice } from '../../src/cluster/certificate-advice.js';
import { type ErrorCode, type ErrorDetails, ServerError } from '../../src/errors/index.js';

it('a job whose task worker died is told of attempts, since taskRetries does not repeat jobs', () => {
  const { message } = new ServerError('ERR_TASK_WORKER_DIED', {
    workerId: 2,
    exitCode: 0,
    signal: 'SIGKILL',
    why: '',
    tries: 1,
  });
  expect(message).toContain('for a job: "attempts"');
});

it('who asked a node that is not there is led to the property that lists them', () => {
  expect(new ServerError('ERR_NODE_LOST', { node: 'b' }).message).toContain('Ask one of cluster.nodes.');
});

it('who asked a node that was never there is not told that the request may have run', () => {
  const { message } = new ServerError('ERR_NODE_LOST', { node: 'b', known: '"a"' });
  expect(message).toContain('nothing has run there. Ask one of cluster.nodes.');
  expect(message).not.toContain('may have run');
});

it.each(['ERR_SESSION_NOT_FOUND', 'ERR_SESSION_CLOSED'] as const)(
  '%s of another node names it, and the address',
  (code) => {
    const { message } = new ServerError(code, { fd: 7, node: 'b', address: 'b~1-2:7' });
    expect(message).toMatch(/node "b"/);
    expect(message).toContain('b~1-2:7');
    expect(message).not.toContain('exists(fd)');
  },
);

it('who misses a task callback is told that handlers of jobs count too', () => {
  expect(new ServerError('ERR_CALLBACK_MISSING', { event: 'task', where: 'task workers' }).message).toContain(
    'server.jobs.work',
  );
});

const messageOf = <C extends ErrorCode>(code: C, detail: ErrorDetails[C]): string =>
  new ServerError(code, detail).message;

describe('an engine', () => {
  it('that is lost is connected to again by itself, and no other node is spoken of', () => {
    for (const state of ['down: ECONNREFUSED', 'silent: no answer within 5000 ms', 'reconnecting', 'closed']) {
      expect(messageOf('ERR_CLUSTER_DOWN', { engine: 'Redis', state })).toBe(
        `This needs the connection to Redis, which is ${state}. A lost connection is made again by itself: try later. What was asked may have been carried out all the same.`,
      );
    }
  });

  it('that refuses is told to do so, and no connection is spoken of', () => {
    for (const state of ['refusing: OOM command not allowed', 'OOM command not allowed']) {
      expect(messageOf('ERR_CLUSTER_DOWN', { engine: 'Redis', state })).toBe(
        'What was asked of Redis has failed: OOM command not allowed. Correct what that says (rights, memory, versions), or try later. What was asked may have been carried out all the same.',
      );
    }
  });

  it.each([
    'down: WRONGPASS invalid username-password pair or user is disabled.',
    'down: NOAUTH Authentication required.',
    'down: database 99 cannot be selected: ERR DB index is out of range',
    'down: password authentication failed for user "app"',
    'down: database "none" does not exist',
  ])('that refuses each connection (%s) is not said to come back by itself', (state) => {
    const message = messageOf('ERR_CLUSTER_DOWN', { engine: 'Redis', state });
    expect(message).not.toContain('by itself');
    expect(message).toMatch(/Correct user, password, rights, TLS or database/);
  });

  it('that is none of Redis is told so, in the words of its client', () => {
    const said = 'Unknown RESP type 73 "I". Please report this.';
    expect(withAdvice(said, undefined)).toBe('it does not speak Redis (Unknown RESP type 73 "I")');
  });
});

describe('the advice', () => {
  const value = { expected: 'such', received: 'other' };

  it('for an option of the wrong type or range does not say which of the two it is', () => {
    for (const code of ['ERR_OPTION_TYPE', 'ERR_OPTION_RANGE'] as const)
      expect(messageOf(code, { name: 'workerNum', ...value })).toMatch(/received other\. Pass such a value\.$/);
  });

  it.each([
    ['compression', 'docs/options.md'],
    ['cluster.prefix', 'docs/several-machines.md'],
    ['TSWOOLE_OPTION_CLUSTER.prefix', 'docs/several-machines.md'],
    ['--cluster.prefix', 'docs/several-machines.md'],
    ['cluster.jobs.url', 'docs/jobs.md'],
  ])('for the value of %s leads to %s', (name, page) => {
    expect(messageOf('ERR_OPTION_VALUE', { name, ...value })).toContain(page);
  });

  it('for server.jobs without a cluster gives both', () => {
    expect(messageOf('ERR_NO_CLUSTER', { method: 'server.jobs' })).toContain('cluster: {driver, url, jobs: {}}');
    expect(messageOf('ERR_NO_CLUSTER', { method: 'server.cluster' })).toContain('cluster: {driver, url} ');
  });

  it('for a missing package does not speak of the message it stands in', () => {
    const missing = { package: 'ioredis', range: '^6', why: 'it is not installed; run "npm install ioredis@^6"' };
    expect(messageOf('ERR_CLUSTER_PACKAGE', missing)).not.toContain('message');
    expect(messageOf('ERR_CLUSTER_PACKAGE', missing)).toMatch(/^For the driver of the cluster the package ioredis/);
    const ofJobs = messageOf('ERR_CLUSTER_PACKAGE', { ...missing, neededBy: 'durable jobs' });
    expect(ofJobs).toMatch(/^For the durable jobs of the cluster the package ioredis/);
  });
});
