import { afterEach, describe, expect, it, vi } from 'vitest';
import { BrokerJobs, type BrokerJobsParts, type JobTask } from '../../src/cluster/broker/jobs.js';
import type { JobQueue, RunJob, RunningJob, WorkOptions } from '../../src/cluster/jobs/queue.js';
import type { OfferedWork } from '../../src/cluster/messages.js';
import { ServerError } from '../../src/errors/index.js';
import { Log } from '../../src/util/log.js';

afterEach(() => {
  vi.useRealTimers();
});

const down = (): ServerError => new ServerError('ERR_CLUSTER_DOWN', { engine: 'Redis', state: 'down' });

/** A queue that notes what it is asked. */
class FakeQueue {
  readonly works: { name: string; run: RunJob; options: WorkOptions; closed: number[] }[] = [];
  readonly calls: unknown[][] = [];
  failures = 0;
  closed = 0;

  async work(name: string, run: RunJob, options: WorkOptions) {
    if (this.failures-- > 0) throw down();
    const work = { name, run, options, closed: [] as number[] };
    this.works.push(work);
    return { close: async (drainMs: number) => void work.closed.push(drainMs) };
  }

  async enqueue(...args: unknown[]): Promise<string> {
    this.calls.push(args);
    return 'mail:1';
  }

  async retry(id: string): Promise<void> {
    throw new ServerError('ERR_JOB_NOT_DEAD', { id });
  }

  async close(): Promise<void> {
    this.closed++;
  }
}

function opened(more: Partial<BrokerJobsParts> = {}) {
  const queue = new FakeQueue();
  const log: string[] = [];
  const jobs = new BrokerJobs({
    open: async () => queue as unknown as JobQueue,
    run: async (task) => task,
    ...{ taskWorkers: [2, 3], places: 2, leaseMs: 30_000, maxLeaseLosses: 10, drainMs: 500 },
    log: new Log({ role: 'process', level: 'info', write: (line) => log.push(line) }),
    ...more,
  });
  jobs.open();
  return { jobs, queue, log };
}

const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const mail: OfferedWork = { name: 'mail' };

function offer(jobs: BrokerJobs, offers: readonly OfferedWork[]): Promise<void> {
  for (const id of [2, 3]) jobs.offered(offers, id);
  return settle();
}

function job(more: Partial<RunningJob> = {}): RunningJob {
  return { id: 'mail:1', name: 'mail', data: null, attempt: 1, signal: new AbortController().signal, ...more };
}

describe('a job whose task worker ends', () => {
  const died = (more: { exitCode?: number; signal?: string; why?: string }) =>
    new ServerError('ERR_TASK_WORKER_DIED', { workerId: 2, exitCode: 0, signal: '', why: '', tries: 1, ...more });
  /** The first run ends so, the second is done. */
  const cut = async (error: Error) => {
    const ran: number[] = [];
    const { jobs, queue, log } = opened({
      run: async ({ attempt }) => {
        ran.push(attempt);
        if (ran.length > 1) return 'done';
        throw error;
      },
    });
    await offer(jobs, [mail]);
    const result = await queue.works[0]?.run(job({ attempt: 2 })).catch((reason: ServerError) => reason.code);
    return { result, ran, told: log.find((line) => line.includes('begins again')) };
  };

  it.each([
    ['a reload', {}],
    ['a reload', { signal: 'SIGKILL' }],
    ['maxUptimeMs', { signal: 'SIGTERM' }],
  ])('begins again, at the same attempt, where that was for %s (%j)', async (why, more) => {
    const told = expect.stringContaining(why);
    expect(await cut(died({ why, ...more }))).toEqual({ result: 'done', ran: [2, 2], told });
  });

  it.each([
    ['by itself', died({})],
    ['by a signal', died({ exitCode: -1, signal: 'SIGKILL' })],
    ['by an exit', died({ exitCode: 1 })],
    ['not at all: its handler has failed', new Error('no')],
  ])('has failed where it ended %s', async (_, error) => {
    expect(await cut(error)).toMatchObject({ ran: [2], told: undefined });
  });
});

describe('calls', () => {
  it('are answered by the queue, with its errors', async () => {
    const { jobs, queue } = opened();
    expect(await jobs.answer({ method: 'enqueue', args: ['mail', { to: 'x' }] })).toBe('mail:1');
    expect(queue.calls).toEqual([['mail', { to: 'x' }]]);
    await expect(jobs.answer({ method: 'retry', args: ['mail:2'] })).rejects.toMatchObject({
      code: 'ERR_JOB_NOT_DEAD',
    });
  });

  it('fail where the queue cannot be opened', async () => {
    const detail = { package: 'bullmq', range: '^6', why: 'it is not installed' };
    const { jobs, log } = opened({ open: () => Promise.reject(new ServerError('ERR_CLUSTER_PACKAGE', detail)) });
    const call = jobs.answer({ method: 'counts', args: ['mail'] });
    await expect(call).rejects.toMatchObject({ code: 'ERR_CLUSTER_PACKAGE' });
    expect(log.join()).toContain('no durable jobs');
    expect(jobs.stats()).toMatchObject({ enqueued: 0, running: 0 });
  });

  it('are bounded', async () => {
    const { jobs } = opened({ open: () => new Promise(() => {}) });
    for (let i = 0; i < 10_000; i++) void jobs.answer({ method: 'counts', args: ['mail'] });
    await expect(jobs.answer({ method: 'counts', args: ['mail'] })).rejects.toMatchObject({ code: 'ERR_CLUSTER_FULL' });
  });
});

describe('jobs are taken', () => {
  it('once every task worker has the handler, and not more than they have places for', async () => {
    const { jobs, queue } = opened();
    jobs.offered([mail], 2);
    await settle();
    expect(jobs.names).toEqual([]);
    jobs.offered([{ ...mail, concurrency: 100, rate: { perSecond: 5 } }], 3);
    await settle();
    const options = { concurrency: 2, leaseMs: 30_000, maxLeaseLosses: 10, rate: { perSecond: 5 } };
    expect(queue.works).toMatchObject([{ name: 'mail', options }]);
  });

  it('no longer when a reload has dropped the handler, and under its new options when they have changed', async () => {
    const { jobs, queue } = opened();
    await offer(jobs, [mail, { name: 'old' }]);
    await offer(jobs, [mail, { name: 'old' }]);
    expect(queue.works).toHaveLength(2);
    await offer(jobs, [{ ...mail, leaseMs: 5000 }]);
    expect(jobs.names).toEqual(['mail']);
    expect(queue.works.map(({ name, options, closed }) => [name, options.leaseMs, closed])).toEqual([
      ['mail', 30_000, [500]],
      ['old', 30_000, [500]],
      ['mail', 5000, []],
    ]);
  });

  it('as soon as the engine is there', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const { jobs, queue, log } = opened();
    queue.failures = 2;
    await settle();
    await offer(jobs, [mail]);
    await vi.advanceTimersByTimeAsync(1000);
    expect(queue.works).toHaveLength(1);
    expect(log).toHaveLength(1);
  });

  it('until the server is about to end; what its processes want of the queue is answered on', async () => {
    const { jobs, queue } = opened();
    await offer(jobs, [mail]);
    jobs.settle();
    await offer(jobs, [mail, { name: 'other' }]);
    expect([queue.works.map(({ name, closed }) => [name, closed]), queue.closed]).toEqual([[['mail', [500]]], 0]);
    expect(await jobs.answer({ method: 'enqueue', args: ['mail', 1] })).toBe('mail:1');
    await jobs.close();
    expect(queue.closed).toBe(1);
  });

  it('until the end, and a queue that opens later is closed', async () => {
    const { jobs, queue } = opened();
    await offer(jobs, [mail]);
    await jobs.close();
    expect([queue.works[0]?.closed, queue.closed]).toEqual([[500], 1]);
    const late = opened();
    await late.jobs.close();
    await settle();
    expect(late.queue.closed).toBe(1);
  });
});

describe('a job', () => {
  async function runOf(run: BrokerJobsParts['run']): Promise<RunJob> {
    const { jobs, queue } = opened({ run });
    await settle();
    await offer(jobs, [mail]);
    return queue.works[0]?.run as RunJob;
  }

  it('is given to a task worker without its signal, which reaches it otherwise', async () => {
    const given: [JobTask, AbortSignal][] = [];
    const run = await runOf(async (...all) => given.push(all));
    const one = job({ data: { to: 'x' } });
    await run(one);
    const { signal, ...task } = one;
    expect(given).toEqual([[task, signal]]);
  });

  it('waits while tasks of the user fill the queue, and until a reload has come to all task workers', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const errors = [
      new ServerError('ERR_TASK_QUEUE_FULL', { limit: 1 }),
      new ServerError('ERR_JOB_NO_HANDLER', { name: 'mail' }),
    ];
    const run = await runOf(async () => {
      const error = errors.shift();
      if (error !== undefined) throw error;
      return 'done';
    });
    const done = run(job());
    await vi.advanceTimersByTimeAsync(200);
    expect(await done).toBe('done');
  });

  it('fails without a handler after a while, and at once when its lease is lost meanwhile', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const run = await runOf(() => Promise.reject(new ServerError('ERR_JOB_NO_HANDLER', { name: 'mail' })));
    const failed = expect(run(job())).rejects.toMatchObject({ code: 'ERR_JOB_NO_HANDLER' });
    await vi.advanceTimersByTimeAsync(11_000);
    await failed;
    const lost = new AbortController();
    const ended = expect(run(job({ signal: lost.signal }))).rejects.toThrow('lost');
    await settle();
    lost.abort(new Error('lost'));
    await ended;
  });

  it('fails with the error of its handler', async () => {
    const run = await runOf(() => Promise.reject(new RangeError('no')));
    await expect(run(job())).rejects.toThrow(RangeError);
  });
});
