import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Job } from '../../src/cluster/jobs-client/handlers.js';
import { Jobs, type JobsParts } from '../../src/cluster/jobs-client/jobs.js';
import type { OfferedWork, Question } from '../../src/cluster/messages.js';
import { deserializeError, ServerError, serializeError } from '../../src/errors/index.js';
import { Server } from '../../src/server/server.js';
import { FakeTelemetry } from '../helpers/fake-telemetry.js';

let asked: [Question, number][];
let offered: (readonly OfferedWork[])[];
let isRunning: boolean;

beforeEach(() => {
  [asked, offered, isRunning] = [[], [], false];
});
afterEach(() => {
  vi.useRealTimers();
});

const jobsOf = (more: Partial<JobsParts> = {}): Jobs =>
  new Jobs({
    ...{ deadlineMs: 1000, maxJobBytes: 1000, mayAsk: () => true, state: () => 'down', isRunning: () => isRunning },
    ask: async (...all) => {
      asked.push(all);
      return 'answer';
    },
    offer: (offers) => offered.push(offers),
    ...more,
  });
const task = (name: string, data: unknown = null, signal = new AbortController().signal) => ({
  data: { id: `${name}:1`, name, data, attempt: 2 },
  signal,
});

describe('server.jobs', () => {
  it('needs the option', () => {
    const cluster = { driver: 'memory', url: 'memory://alone' } as const;
    expect(() => new Server({ port: 0 }).jobs).toThrow(expect.objectContaining({ code: 'ERR_NO_CLUSTER' }));
    expect(() => new Server({ port: 0, cluster }).jobs).toThrow(expect.objectContaining({ code: 'ERR_NO_JOBS' }));
    const server = new Server({ port: 0, cluster: { ...cluster, jobs: { url: 'redis://host' } } });
    expect(server.jobs).toBeInstanceOf(Jobs);
  });
});

describe('a handler', () => {
  it('is offered when its process hears, and again to a new broker process', () => {
    const jobs = jobsOf();
    jobs.work('mail', () => {}, { concurrency: 2 });
    jobs.hear();
    jobs.hear();
    expect(offered).toEqual([[{ name: 'mail', concurrency: 2 }], [{ name: 'mail', concurrency: 2 }]]);
  });

  it('gets the job, and its signal', () => {
    const jobs = jobsOf();
    jobs.work<{ to: string }>('mail', ({ signal, ...job }: Job<{ to: string }>) => [job, signal.aborted]);
    const job = { id: 'mail:1', name: 'mail', data: { to: 'x' }, attempt: 2 };
    expect(jobs.handlers.run(task('mail', { to: 'x' }, AbortSignal.abort()))).toEqual([job, true]);
    expect(() => jobs.handlers.run(task('other'))).toThrow(expect.objectContaining({ code: 'ERR_JOB_NO_HANDLER' }));
  });

  it.each([
    ['a:b', () => {}, {}, 'ERR_JOB_OPTION'],
    ['mail', 'no function', {}, 'ERR_CALLBACK_TYPE'],
    ['mail', () => {}, { concurrency: 0 }, 'ERR_JOB_OPTION'],
    ['mail', () => {}, { leaseMs: 10 }, 'ERR_JOB_OPTION'],
    ['mail', () => {}, { maxLeaseLosses: -1 }, 'ERR_JOB_OPTION'],
    ['mail', () => {}, { rate: { perSecond: 0 } }, 'ERR_JOB_OPTION'],
    ['mail', () => {}, { lockDuration: 1000 }, 'ERR_JOB_OPTION'],
    ['mail', () => {}, null, 'ERR_JOB_OPTION'],
    ['known', () => {}, {}, 'ERR_JOB_OPTION'],
  ])('of %s, %s, %j is refused', (name, handler, options, code) => {
    const jobs = jobsOf();
    jobs.work('known', () => {});
    expect(() => jobs.work(name, handler as never, options as never)).toThrow(expect.objectContaining({ code }));
  });

  it('is registered before the start', () => {
    isRunning = true;
    expect(() => jobsOf().work('mail', () => {})).toThrow(expect.objectContaining({ code: 'ERR_ALREADY_STARTED' }));
  });
});

describe('a call', () => {
  it('goes to the broker process, with data as they will arrive', async () => {
    const jobs = jobsOf();
    jobs.hear();
    expect(await jobs.enqueue('mail', { at: new Date(0) }, { id: 'x' })).toBe('answer');
    await jobs.enqueueMany([{ name: 'mail', data: [1] }]);
    await jobs.schedule('nightly', { cron: '0 3 * * *' }, { name: 'clean', data: null });
    await jobs.unschedule('clean', 'nightly');
    await jobs.schedules('clean', { limit: 5 });
    await jobs.find('mail:x');
    await jobs.dead('mail');
    await jobs.retry('mail:x');
    await jobs.remove('mail:x');
    await jobs.removeDead('mail');
    await jobs.counts('mail');
    expect(asked.map(([question]) => (question as Extract<Question, { ask: 'jobs' }>).call)).toEqual([
      { method: 'enqueue', args: ['mail', { at: '1970-01-01T00:00:00.000Z' }, { id: 'x' }] },
      { method: 'enqueueMany', args: [[{ name: 'mail', data: [1] }]] },
      { method: 'schedule', args: ['nightly', { cron: '0 3 * * *' }, { name: 'clean', data: null }] },
      { method: 'unschedule', args: ['clean', 'nightly'] },
      { method: 'schedules', args: ['clean', { limit: 5 }] },
      { method: 'find', args: ['mail:x'] },
      { method: 'dead', args: ['mail', {}] },
      { method: 'retry', args: ['mail:x'] },
      { method: 'remove', args: ['mail:x'] },
      { method: 'removeDead', args: ['mail'] },
      { method: 'counts', args: ['mail'] },
    ]);
    expect(new Set(asked.map(([, timeoutMs]) => timeoutMs))).toEqual(new Set([1000]));
  });

  it('with data that JSON cannot hold, or too many of them, goes nowhere', async () => {
    const jobs = jobsOf();
    jobs.hear();
    await expect(jobs.enqueue('mail', { n: 1n })).rejects.toMatchObject({ code: 'ERR_JOB_DATA' });
    await expect(jobs.enqueue('mail', 'x'.repeat(1000))).rejects.toMatchObject({ code: 'ERR_JOB_SIZE' });
    const many = Array.from({ length: 1001 }, () => ({ name: 'mail', data: null }));
    const invalid = { code: 'ERR_JOB_OPTION' };
    await expect(jobs.enqueueMany(many)).rejects.toMatchObject(invalid);
    await expect(jobs.enqueueMany({ name: 'mail' } as never)).rejects.toMatchObject(invalid);
    await expect(jobs.enqueueMany([null as never])).rejects.toMatchObject(invalid);
    await expect(jobs.enqueue('mail', 1, { jobId: 'x' } as never)).rejects.toMatchObject(invalid);
    await expect(jobs.enqueue('mail', 1, null as never)).rejects.toMatchObject(invalid);
    await expect(jobs.schedule('k', { everyMs: 1000 }, null as never)).rejects.toMatchObject(invalid);
    const wrongName = { ...invalid, detail: expect.objectContaining({ name: 'name' }) };
    for (const name of [Symbol('mail'), 5, null, '', 'a:b'] as never[]) {
      await expect(jobs.enqueue(name, 1)).rejects.toMatchObject(wrongName);
      const wrongJob = { ...invalid, detail: expect.objectContaining({ name: 'jobs[1].name' }) };
      await expect(
        jobs.enqueueMany([
          { name: 'mail', data: 1 },
          { name, data: 1 },
        ]),
      ).rejects.toMatchObject(wrongJob);
      await expect(jobs.counts(name)).rejects.toMatchObject(wrongName);
      await expect(jobs.dead(name)).rejects.toMatchObject(wrongName);
      await expect(jobs.schedules(name)).rejects.toMatchObject(wrongName);
      await expect(jobs.removeDead(name)).rejects.toMatchObject(wrongName);
      await expect(jobs.unschedule(name, 'k')).rejects.toMatchObject(wrongName);
    }
    expect(asked).toEqual([]);
  });

  it.each([
    ['ERR_JOB_OPTION', 'jobs[1].attempts', { attempts: 0 }],
    ['ERR_JOB_OPTION', 'jobs[1].atempts', { atempts: 1 }],
    ['ERR_JOB_OPTION', 'jobs[1].id', { id: '' }],
    ['ERR_JOB_DATA', 'jobs[1].data.n', { data: { n: 1n } }],
    ['ERR_JOB_SIZE', 'jobs[1].data', { data: 'x'.repeat(1000) }],
  ])('with several jobs of which one is wrong says which: %s, %s', async (code, place, wrong) => {
    const jobs = jobsOf();
    jobs.hear();
    const many = [{ name: 'mail', data: 1 }, { name: 'mail', data: 1, ...wrong } as never];
    await expect(jobs.enqueueMany(many)).rejects.toMatchObject({
      code,
      message: expect.stringContaining(`"${place}"`),
      stack: expect.stringContaining('jobs-client.test.ts'),
    });
    expect(asked).toEqual([]);
  });

  it('with wrong options goes nowhere, and its error has the line of the caller, who may not wait for it', async () => {
    const jobs = jobsOf();
    jobs.hear();
    const calls: (() => Promise<unknown>)[] = [
      () => jobs.enqueue('mail', 1, { attempts: 0 }),
      () => jobs.enqueue('mail', 1, { priority: 0 }),
      () => jobs.enqueue('mail', 1, { backoff: { type: 'linear' as 'fixed', delayMs: 1 } }),
      () => jobs.enqueue('mail', 1, { id: 'repeat:x' }),
      () => jobs.enqueue('mail', 1, { delayMs: -1 }),
      () => jobs.schedule('k', { cron: '61 * * * *' }, { name: 'mail', data: 1 }),
      () => jobs.schedule('', { everyMs: 1000 }, { name: 'mail', data: 1 }),
      () => jobs.schedule('k', { everyMs: 1000 }, { name: 'mail', data: 1, attempts: 0 }),
      () => jobs.schedule('k', { everyMs: 1000 }, { name: 'a:b', data: 1 }),
      () => jobs.dead('mail', { limit: 0 }),
      () => jobs.schedules('mail', { limit: 1001 }),
      () => jobs.schedules('mail', { first: 1 } as never),
      () => jobs.retry('mail'),
      () => jobs.remove('mail'),
      () => jobs.find('mail'),
      () => jobs.unschedule('mail', ''),
    ];
    for (const call of calls) {
      const here = expect.stringContaining('jobs-client.test.ts');
      await expect(call()).rejects.toMatchObject({ code: 'ERR_JOB_OPTION', stack: here });
    }
    expect(asked).toEqual([]);
  });

  it('that fails in the broker process has the line of the caller, and none of the broker process', async () => {
    const ours = new URL('../../src/cluster/jobs/bull.ts', import.meta.url).pathname;
    const failed = deserializeError({
      ...serializeError(new ServerError('ERR_CLUSTER_DOWN', { engine: 'Redis', state: 'down' })),
      stack: `ServerError: x\n    at ask (${ours}:1:1)\n    at Job.add (/srv/node_modules/bullmq/dist/job.js:1:1)`,
    });
    const jobs = jobsOf({ ask: () => Promise.reject(failed) });
    jobs.hear();
    const userFunction = async (): Promise<unknown> => await jobs.counts('mail');
    const error = (await userFunction().catch((caught: unknown) => caught)) as Error;
    expect(error).toBe(failed);
    expect(error.stack).toMatch(/at (?:async )?userFunction .*jobs-client\.test\.ts/);
    expect(error.stack).not.toMatch(/bull/);
  });

  it('before the process serves waits for that, within its deadline', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const jobs = jobsOf();
    const early = jobs.counts('mail');
    jobs.hear();
    expect(await early).toBe('answer');
    const never = expect(jobsOf().counts('mail')).rejects.toMatchObject({ code: 'ERR_CLUSTER_TOO_EARLY' });
    await vi.advanceTimersByTimeAsync(1000);
    await never;
  });

  it('in the master fails at once', async () => {
    const jobs = jobsOf({ mayAsk: () => false });
    await expect(jobs.counts('mail')).rejects.toMatchObject({ code: 'ERR_CLUSTER_TOO_EARLY' });
  });
});

describe('where an SDK of OpenTelemetry is registered', () => {
  const sdk = new FakeTelemetry();
  beforeEach(() => {
    sdk.spans.length = 0;
    sdk.register();
  });
  afterEach(() => sdk.unregister());

  it('jobs go with the context of the span that sends them', async () => {
    const jobs = jobsOf();
    jobs.hear();
    await jobs.enqueue('mail', 1, { attempts: 2 });
    const many = [
      { name: 'mail', data: 1 },
      { name: 'mail', data: 2 },
    ];
    await jobs.enqueueMany(many);
    await jobs.enqueueMany([...many, { name: 'post', data: 3 }]);
    const trace = '{"traceparent":"send mail"}';
    expect(asked[0]?.[0]).toMatchObject({ call: { args: ['mail', 1, { attempts: 2, trace }] } });
    expect(asked[1]?.[0]).toMatchObject({ call: { args: [[{ trace }, { trace }]] } });
    expect(sdk.spans.map(({ name, kind, ends }) => [name, kind, ends])).toEqual([
      ['send mail', 3, 1],
      ['send mail', 3, 1],
      ['send jobs', 3, 1],
    ]);
    expect(sdk.spans[2]?.attributes['messaging.batch.message_count']).toBe(3);
  });

  it('a handler runs in a span whose parent came with the job, and also without one', () => {
    const jobs = jobsOf();
    jobs.work('mail', () => sdk.active);
    const { data, signal } = task('mail');
    expect(jobs.handlers.run({ data: { ...data, trace: '{"traceparent":"there"}' }, signal })).toBe('process mail');
    jobs.handlers.run({ data, signal });
    expect(sdk.spans.map(({ parent, kind }) => [parent, kind])).toEqual([
      ['there', 4],
      [undefined, 4],
    ]);
  });
});
