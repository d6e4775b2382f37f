import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { NodeInfo } from '../../src/cluster/driver.js';
import type { FromMaster } from '../../src/cluster/messages.js';
import { ServerError, serializeError } from '../../src/errors/index.js';
import type { ClusterFigures, ClusterRecord } from '../../src/memory/cluster-record.js';
import { resolveOptions } from '../../src/options/index.js';
import { ClusterOperation } from '../../src/server/cluster-operation.js';

type Order = Extract<FromMaster, { say: 'reloadNode' }>;

const node = (id: string): NodeInfo => ({ id, incarnation: `i-${id}`, address: `${id}:1`, version: '1' });

let said: FromMaster[];
let state: ClusterFigures['state'];
let brokerPid: number;
let managerPid: number;
let isSilent: boolean;
let reloadHere: () => Promise<void>;
let operation: ClusterOperation;
let logged: string[];

beforeEach(() => {
  vi.useFakeTimers();
  [said, logged, state, brokerPid, reloadHere] = [[], [], 'up', 7, async () => {}];
  [managerPid, isSilent] = [6, false];
  const { cluster } = resolveOptions({ cluster: { driver: 'redis', url: 'redis://me:secret@host:1', nodeId: 'b' } });
  if (cluster === null) throw new Error('there is no cluster');
  const record = {
    read: () => ({ state }),
    get brokerPid() {
      return brokerPid;
    },
  } as unknown as ClusterRecord;
  operation = new ClusterOperation({
    ...{ options: cluster, record, reloadTimeoutMs: 10_000 },
    log: { warn: (text) => logged.push(text) },
    say: (message) => said.push(message),
    reloadHere: () => reloadHere(),
    managerPid: () => managerPid,
  });
  operation.hear({
    say: 'nodes',
    self: 'b',
    nodes: [node('b'), node('c'), node('a')],
    why: '',
    lost: [],
    queues: [],
    jobsWhy: '',
  });
});
afterEach(() => {
  vi.useRealTimers();
});

const settle = (): Promise<unknown> => vi.advanceTimersByTimeAsync(0);
/** The last order to the broker process. */
async function order(): Promise<Order> {
  await settle();
  const last = said.at(-1);
  if (last?.say !== 'reloadNode') throw new Error('nothing was ordered');
  return last;
}
const steps = (): string[] => operation.status().reload?.nodes.map(({ node: id, state: how }) => `${id} ${how}`) ?? [];
/** How it ends, from now on. */
const outcome = (reload: Promise<unknown>): Promise<unknown> => reload.then(() => 'done').catch((error) => error);

describe('durable jobs', () => {
  const mail = { name: 'mail', isWorked: true, waiting: 1, delayed: 0, running: 0, done: 0, dead: 2 };
  const withJobs = (jobs: object): ClusterOperation => {
    const { cluster } = resolveOptions({ cluster: { driver: 'redis', url: 'redis://host:1', ...jobs } });
    if (cluster === null) throw new Error('there is no cluster');
    const record = {
      read: () => ({ state }),
      get brokerPid() {
        return brokerPid;
      },
      get isSilent() {
        return isSilent;
      },
    } as unknown as ClusterRecord;
    const made = new ClusterOperation({
      ...{ options: cluster, record, reloadTimeoutMs: 10_000, reloadHere, log: { warn: () => {} } },
      say: (message) => said.push(message),
      managerPid: () => managerPid,
    });
    made.hear({ say: 'nodes', self: 'b', nodes: [node('b')], why: '', lost: [], queues: [mail], jobsWhy: '' });
    return made;
  };

  it('are in the status as last counted, while the engine is there', () => {
    const made = withJobs({ jobs: {} });
    expect(made.status().queues).toEqual([mail]);
    state = 'reconnecting';
    expect(made.status().queues).toEqual([]);
  });

  it('are asked of the broker process, and fail as it says', async () => {
    const made = withJobs({ jobs: { deadlineMs: 2000 } });
    const counted = made.jobs.count();
    const dead = made.jobs.dead('mail', 4, 2);
    const retried = outcome(made.jobs.retry('mail:1'));
    expect(said).toMatchObject([
      { say: 'countJobs' },
      { say: 'deadJobs', name: 'mail', page: { offset: 4, limit: 2 } },
      { say: 'retryJob', job: 'mail:1' },
    ]);
    const [first, second, third] = (said as { id: number }[]).map(({ id }) => id);
    made.hear({ say: 'answer', id: second as number, value: ['a job'] });
    made.hear({ say: 'answer', id: first as number, value: [mail] });
    const error = serializeError(new ServerError('ERR_JOB_NOT_DEAD', { id: 'mail:1' }));
    made.hear({ say: 'failed', id: third as number, error });
    expect(await counted).toEqual([mail]);
    expect(await dead).toEqual(['a job']);
    expect(await retried).toMatchObject({ code: 'ERR_JOB_NOT_DEAD' });
    const found = made.jobs.find('mail:3');
    expect(said.at(-1)).toMatchObject({ say: 'findJob', job: 'mail:3' });
    made.hear({ say: 'answer', id: (said.at(-1) as { id: number }).id });
    expect(await found).toBe(undefined);
    const listed = made.jobs.schedules('mail', 4, 2);
    expect(said.at(-1)).toMatchObject({ say: 'jobSchedules', name: 'mail', page: { offset: 4, limit: 2 } });
    made.hear({ say: 'answer', id: (said.at(-1) as { id: number }).id, value: ['a schedule'] });
    expect(await listed).toEqual(['a schedule']);
    const unscheduled = made.jobs.unschedule('mail', 'nightly');
    expect(said.at(-1)).toMatchObject({ say: 'unschedule', name: 'mail', key: 'nightly' });
    made.hear({ say: 'answer', id: (said.at(-1) as { id: number }).id, value: false });
    expect(await unscheduled).toBe(false);
    const removed = made.jobs.remove('mail:2');
    expect(said.at(-1)).toMatchObject({ say: 'removeJob', job: 'mail:2' });
    made.hear({ say: 'answer', id: (said.at(-1) as { id: number }).id, value: true });
    expect(await removed).toBe(true);
    for (const [gone, more] of [
      [999, false],
      [1000, true],
    ]) {
      const all = made.jobs.removeDead('mail');
      expect(said.at(-1)).toMatchObject({ say: 'removeDeadJobs', name: 'mail' });
      made.hear({ say: 'answer', id: (said.at(-1) as { id: number }).id, value: gone });
      expect(await all).toEqual({ removed: gone, more });
    }
    const late = outcome(made.jobs.count());
    await vi.advanceTimersByTimeAsync(3000);
    expect(await late).toMatchObject({ code: 'ERR_CLUSTER_TIMEOUT' });
  });

  it.each([
    [
      'a manager that stands still',
      { broker: 7, manager: 6, silent: false },
      'the manager (pid 6), by which the broker process answers, says',
    ],
    ['a broker process that stands still', { broker: 7, manager: 6, silent: true }, 'the broker process (pid 7) says'],
    ['one that has ended', { broker: 0, manager: 6, silent: false }, 'the broker process (which has ended) says'],
    ['one that has no manager between', { broker: 7, manager: 0, silent: false }, 'the broker process (pid 7) says'],
  ])('that are not answered in time name who does not: %s', async (_what, { broker, manager, silent }, says) => {
    const made = withJobs({ jobs: { deadlineMs: 2000 } });
    [brokerPid, managerPid, isSilent] = [broker, manager, silent];
    const late = outcome(made.jobs.count());
    await vi.advanceTimersByTimeAsync(3000);
    const { code, message } = (await late) as ServerError;
    expect(code).toBe('ERR_CLUSTER_TIMEOUT');
    expect(message).toContain(`No answer came within 3000 ms: on node "b" ${says} nothing.`);
  });

  it('are refused where there are none', () => {
    expect(() => withJobs({}).jobs).toThrow(expect.objectContaining({ code: 'ERR_NO_JOBS' }));
  });
});

it('that has no room for an answer lets it go, and says so', async () => {
  const { cluster } = resolveOptions({ cluster: { driver: 'redis', url: 'redis://host:1' } });
  if (cluster === null) throw new Error('there is no cluster');
  const full = new ClusterOperation({
    managerPid: () => managerPid,
    ...{ options: cluster, record: {} as ClusterRecord, reloadTimeoutMs: 10_000, reloadHere },
    log: { warn: (text) => logged.push(text) },
    say: () => {
      throw new ServerError('ERR_MESSAGE_QUEUE_FULL', { processId: 2, bytes: 1 } as never);
    },
  });
  expect(() => full.hear({ say: 'presentBefore', id: 1, page: 0 })).not.toThrow();
  full.hear({ say: 'reload', id: 2 });
  await settle();
  expect(logged.length).toBe(2);
});

describe('the status of a node', () => {
  it('has all nodes, this one marked, and no secret', () => {
    const { nodes, ...rest } = operation.status();
    expect(nodes).toEqual([
      { ...node('b'), self: true },
      { ...node('c'), self: false },
      { ...node('a'), self: false },
    ]);
    expect(rest).toEqual({
      ...{ nodeId: 'b', driver: 'redis', engine: 'host:1', state: 'up', why: '', lost: [], queues: [], jobsWhy: '' },
      ...{ readyNeedsEngine: false, reload: null },
    });
  });

  it('is down until the nodes are known, whatever the figures say', async () => {
    operation.hear({ say: 'nodes', self: 'b', nodes: [], why: '', lost: [], queues: [], jobsWhy: '' });
    expect(operation.status().state).toBe('down');
    await expect(operation.reload()).rejects.toMatchObject({ code: 'ERR_NODE_RELOAD' });
  });

  it('says why it is not up', () => {
    state = 'down';
    operation.hear({ say: 'nodes', self: 'b', nodes: [node('b')], why: 'no route', lost: [], queues: [], jobsWhy: '' });
    expect(operation.status()).toMatchObject({ state: 'down', why: 'no route' });
    brokerPid = 0;
    expect(operation.status().why).toContain('broker process');
  });
});

describe('a reload of all nodes', () => {
  it('orders one after another, by name, and this one last', async () => {
    const reload = operation.reload();
    const first = await order();
    expect([first.node, first.timeoutMs]).toEqual(['a', 15_000]);
    expect(steps()).toEqual(['a reloading', 'c waiting', 'b waiting']);
    operation.hear({ say: 'answer', id: first.id, value: true });
    const second = await order();
    expect(second.node).toBe('c');
    operation.hear({ say: 'answer', id: second.id, value: true });
    expect(await reload).toMatchObject({ running: false });
    expect(steps()).toEqual(['a reloaded', 'c reloaded', 'b reloaded']);
    expect(said).toHaveLength(2);
  });

  it('skips a node that is not there any more', async () => {
    const reload = operation.reload();
    operation.hear({ say: 'answer', id: (await order()).id, value: false });
    operation.hear({ say: 'answer', id: (await order()).id, value: true });
    expect((await reload).nodes[0]).toEqual({
      node: 'a',
      state: 'skipped',
      why: 'it has left the cluster, or its server has ended',
    });
    expect(steps()).toEqual(['a skipped', 'c reloaded', 'b reloaded']);
  });

  it('names a node that was lost before, which may have its old workers', async () => {
    operation.hear({ say: 'nodes', self: 'b', nodes: [node('b')], why: '', lost: ['z'], queues: [], jobsWhy: '' });
    expect(operation.status().lost).toEqual(['z']);
    const { nodes } = await operation.reload();
    expect(nodes).toEqual([
      { node: 'b', state: 'reloaded', why: '' },
      { node: 'z', state: 'skipped', why: 'it was lost before, and may serve on with its old workers' },
    ]);
  });

  it('stops at the first that fails, and says which follow', async () => {
    const ended = outcome(operation.reload());
    const error = serializeError(new ServerError('ERR_RELOAD', { why: 'worker 0 threw' }));
    operation.hear({ say: 'failed', id: (await order()).id, error });
    const detail = { node: 'a', left: 'c, b', why: 'worker 0 threw' };
    expect(await ended).toMatchObject({ code: 'ERR_NODE_RELOAD', detail });
    expect(steps()).toEqual(['a failed', 'c waiting', 'b waiting']);
    expect(operation.status().reload?.running).toBe(false);
  });

  it('says of a node whose new workers crash that they have replaced the old ones', async () => {
    const ended = outcome(operation.reload());
    const error = serializeError(new ServerError('ERR_RELOAD', { why: 'worker 0 threw', generation: 5 }));
    operation.hear({ say: 'failed', id: (await order()).id, error });
    const why = 'The workers were replaced (generation 5), and a new process crashed at once: worker 0 threw';
    expect(await ended).toMatchObject({ code: 'ERR_NODE_RELOAD', detail: { node: 'a', left: 'c, b', why } });
  });

  it('fails when this node does', async () => {
    operation.hear({ say: 'nodes', self: 'b', nodes: [node('b')], why: '', lost: [], queues: [], jobsWhy: '' });
    reloadHere = () => Promise.reject(new Error('It is broken.'));
    const detail = { node: 'b', left: '', why: 'It is broken' };
    expect(await outcome(operation.reload())).toMatchObject({ code: 'ERR_NODE_RELOAD', detail });
  });

  it('ends when the broker process that was asked is gone', async () => {
    const ended = outcome(operation.reload());
    await order();
    brokerPid = 8;
    await vi.advanceTimersByTimeAsync(600);
    expect(await ended).toMatchObject({ detail: { node: 'a', why: expect.stringContaining('broker process') } });
    expect(vi.getTimerCount()).toBe(0);
  });

  it('ends when nobody answers', async () => {
    const ended = outcome(operation.reload());
    await order();
    await vi.advanceTimersByTimeAsync(20_500);
    expect(await ended).toMatchObject({
      detail: { node: 'a', why: 'Node "a" must answer within 20000 ms, and did not' },
    });
  });

  it('is refused while another one runs, and while the engine is lost', async () => {
    const running = outcome(operation.reload());
    const { id } = await order();
    await expect(operation.reload()).rejects.toMatchObject({
      detail: { why: expect.stringContaining('another reload') },
    });
    operation.hear({ say: 'failed', id, error: serializeError(new Error('x')) });
    await running;
    state = 'reconnecting';
    await expect(operation.reload()).rejects.toMatchObject({
      detail: { why: expect.stringContaining('reconnecting') },
    });
  });
});

describe('a reload that another node asks for', () => {
  it('is answered when this one has new workers, or says why not', async () => {
    operation.hear({ say: 'reload', id: 5 });
    await settle();
    expect(said).toEqual([{ say: 'ofMaster', answer: { say: 'answer', id: 5 } }]);
    reloadHere = () => Promise.reject(new ServerError('ERR_RELOAD', { why: 'x' }));
    operation.hear({ say: 'reload', id: 6 });
    await settle();
    expect(said.at(-1)).toMatchObject({ answer: { say: 'failed', id: 6, error: { code: 'ERR_RELOAD' } } });
  });
});

it('keeps a copy of what is present for a broker process that follows', () => {
  const ann = { key: 'lobby', member: 'ann', meta: 1, ttlMs: 400, keeper: 0 };
  operation.hear({ say: 'presentChanges', changes: [ann, { key: 'lobby', member: 'bob' }] });
  operation.hear({ say: 'presentBefore', id: 5, page: 0 });
  expect(said).toEqual([{ say: 'ofMaster', answer: { say: 'answer', id: 5, value: { members: [ann], next: 0 } } }]);
  expect(logged).toEqual([]);
});
