import { afterEach, beforeEach, describe, expect, it, type MockInstance, vi } from 'vitest';
import { ServerError } from '../../src/errors/index.js';
import { Overflow } from '../../src/messaging/overflow.js';
import type { TaskOutcome } from '../../src/messaging/task-queue.js';
import { type Task, TaskRunner, type TaskRunnerParts } from '../../src/task/task-runner.js';
import { type Deferred, deferred } from '../../src/util/deferred.js';
import { eventually } from '../helpers/eventually.js';
import { type Member, MessagingWorld } from '../helpers/messaging-world.js';

const TASK_WORKER = 2;

let world: MessagingWorld;
let caller: Member;
let taskWorker: Member;
let room: number[];
let running: number[];
let took: number[];
/** What the runner asked for, in order. */
let asked: string[];
let run: (task: Task) => unknown;
let runJob: (task: Task) => unknown;
/** Outcomes by what was given. */
let outcomes: Map<unknown, TaskOutcome>;
let given: Map<number, unknown>;

beforeEach(() => {
  world = new MessagingWorld();
  caller = world.member(0);
  taskWorker = world.member(TASK_WORKER);
  [room, running, took, asked] = [[], [], [], []];
  [outcomes, given] = [new Map(), new Map()];
  run = ({ data }) => data;
  runJob = ({ data }) => ({ job: data });
  vi.useFakeTimers({ toFake: ['performance'] }); // a turn is over after 10 ms
});
afterEach(() => {
  vi.useRealTimers();
  world.close();
});

const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const yes = (): boolean => true;
const runner = (parts: Partial<TaskRunnerParts> = {}): TaskRunner => {
  const made = new TaskRunner({
    queue: taskWorker.queue,
    concurrency: 1,
    maxTasks: 0,
    run: (task) => run(task),
    runJob: (task) => runJob(task),
    setRoom: (count) => room.push(count),
    setLooking: (looks) => asked.push(looks ? 'look' : 'look no more'),
    setRunning: (count) => running.push(count),
    took: (ms) => took.push(ms),
    wakeAnother: () => asked.push('another'),
    wakeSoon: () => asked.push('soon'),
    retire: () => asked.push('retire'),
    ...parts,
  });
  made.attach();
  asked.length = 0;
  return made;
};
/** @returns the handle of the last one */
const give = (...all: unknown[]): number => {
  let handle = -1;
  for (const data of all) {
    handle = caller.queue.give(data, -1).handle;
    given.set(handle, data);
  }
  return handle;
};
const ended = (): Map<unknown, TaskOutcome> => {
  caller.queue.takeEnded((handle, outcome) => {
    outcomes.set(given.get(handle), outcome);
    caller.queue.release(handle);
  });
  return outcomes;
};
/** Tasks that run until the test ends them. */
const held = (): Map<unknown, Deferred<unknown>> => {
  const all = new Map<unknown, Deferred<unknown>>();
  run = ({ data }) => {
    const task = deferred<unknown>();
    all.set(data, task);
    return task.promise;
  };
  return all;
};

describe('a task', () => {
  it('ends with what the callback returns', () => {
    const tasks = runner();
    give({ n: 1 });
    expect(tasks.hasWork).toBe(true);
    expect(tasks.take(yes)).toBe(false);
    expect([...ended().values()]).toEqual([{ failed: false, value: { n: 1 } }]);
    expect(tasks.pending).toBe(0);
  });

  it.each([
    ['a promise', () => Promise.resolve('later')],
    // biome-ignore lint/suspicious/noThenProperty: what a library may give
    ['anything with a then', () => ({ then: (done: (value: string) => void) => done('later') })],
  ])('ends with what %s of the callback resolves to', async (_title, callback) => {
    run = callback;
    give('it');
    runner().take(yes);
    expect(ended().size).toBe(0);
    await settle();
    expect(ended().get('it')).toEqual({ failed: false, value: 'later' });
  });

  it.each([
    [
      'throws',
      () => {
        throw new RangeError('no');
      },
    ],
    ['rejects with', () => Promise.reject(new RangeError('no'))],
  ])('fails with what the callback %s', async (_title, callback) => {
    run = callback;
    give('it');
    const tasks = runner();
    tasks.take(yes);
    await settle();
    expect(ended().get('it')).toMatchObject({ failed: true, value: { name: 'RangeError', message: 'no' } });
    expect(tasks.pending).toBe(0);
  });

  it('keeps the code and the detail of an error of ours', () => {
    run = () => {
      throw new ServerError('ERR_TASK_GIVEN_UP', { taskId: 7 });
    };
    give('it');
    runner().take(yes);
    expect(ended().get('it')).toMatchObject({ value: { code: 'ERR_TASK_GIVEN_UP', detail: { taskId: 7 } } });
  });

  it('knows its id and who asked', () => {
    let seen: Task | undefined;
    run = (task) => {
      seen = task;
    };
    const { id } = world.member(1).queue.give('it', -1);
    runner().take(yes);
    expect(seen).toMatchObject({ id, fromWorkerId: 1, data: 'it' });
    expect(seen?.signal.aborted).toBe(false);
  });

  it('is told how long it ran', async () => {
    const tasks = held();
    give('it');
    runner().take(yes);
    vi.advanceTimersByTime(250);
    tasks.get('it')?.resolve(1);
    await settle();
    expect(took).toEqual([250]);
  });

  it('of more than 512 KiB begins when its data was read', async () => {
    const large = 'x'.repeat(600_000);
    run = ({ data }) => (data as string).length;
    give(large);
    const tasks = runner();
    tasks.take(yes);
    expect(tasks.pending).toBe(1);
    await eventually(() => expect(ended().get(large)).toEqual({ failed: false, value: 600_000 }));
  });
});

describe('a result that the shared memory does not take', () => {
  const noRoom = (): ServerError<'ERR_DATA_STORE'> =>
    expect.objectContaining({
      code: 'ERR_DATA_STORE',
      message: expect.stringMatching(/\d+ bytes .*: ENOSPC: no space/),
    });
  let write: MockInstance;
  beforeEach(() => {
    write = vi.spyOn(Overflow.prototype, 'write').mockImplementation(() => {
      throw Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' });
    });
  });
  afterEach(() => write.mockRestore());

  it.each([
    ['a value', (task: Deferred<unknown>) => task.resolve('x'.repeat(900))],
    ['an error', (task: Deferred<unknown>) => task.reject(new RangeError('x'.repeat(900)))],
  ])('is an error for its caller alone where it is %s: the tasks beside it go on', async (_title, end) => {
    const tasks = held();
    const it = runner({ concurrency: 3 });
    give('ends', 'goes on', 'too');
    it.take(yes);
    end(tasks.get('ends') as Deferred<unknown>);
    await settle();
    expect(it.pending).toBe(2);
    expect(running).toEqual([0, 1, 2, 3, 2]);
    for (const name of ['goes on', 'too']) tasks.get(name)?.resolve(name);
    await settle();
    expect(it.pending).toBe(0);
    expect(Object.fromEntries(ended())).toEqual({
      ends: { failed: true, value: noRoom() },
      'goes on': { failed: false, value: 'goes on' },
      too: { failed: false, value: 'too' },
    });
  });

  it('is an error for its caller where the callback has returned it at once', () => {
    run = () => 'x'.repeat(900);
    give('it');
    const it = runner();
    it.take(yes);
    expect([it.pending, ended().get('it')]).toEqual([0, { failed: true, value: noRoom() }]);
  });
});

it('a task whose end throws ends with that error, and the one beside it goes on', async () => {
  const tasks = held();
  give('it', 'other');
  const it = runner({ concurrency: 2 });
  it.take(yes);
  const finish = vi.spyOn(taskWorker.queue, 'finish').mockImplementationOnce(() => {
    throw new Error('once');
  });
  tasks.get('it')?.resolve('done');
  await settle();
  expect(finish).toHaveBeenCalledTimes(2);
  expect(it.pending).toBe(1);
  expect(ended().get('it')).toMatchObject({ failed: true, value: { message: 'once' } });
  tasks.get('other')?.resolve('done');
  await settle();
  expect(ended().get('other')).toEqual({ failed: false, value: 'done' });
});

describe('how many run at once', () => {
  it.each([1, 3])('is at most the concurrency, %i, and what waits comes when one has ended', async (concurrency) => {
    const tasks = held();
    const it = runner({ concurrency });
    const all = ['a', 'b', 'c', 'd', 'e'];
    give(...all);
    expect(it.take(yes)).toBe(false);
    expect([...tasks.keys()]).toEqual(all.slice(0, concurrency));
    expect(it.pending).toBe(concurrency);
    expect(it.hasWork).toBe(false);
    for (const [index, data] of all.entries()) {
      tasks.get(data)?.resolve(index);
      await settle();
      it.take(yes); // what `wakeSoon` leads to, where a turn was over
    }
    expect([...tasks.keys()]).toEqual(all);
    expect([...ended().values()].map(({ value }) => value)).toEqual([0, 1, 2, 3, 4]);
    expect(it.pending).toBe(0);
  });

  it('is told to callers as room, and counted', async () => {
    const tasks = held();
    const it = runner({ concurrency: 2 });
    give('a', 'b');
    it.take(yes);
    expect([room.at(-1), running.at(-1)]).toEqual([0, 2]);
    tasks.get('b')?.resolve(1);
    await settle();
    expect([room.at(-1), running.at(-1)]).toEqual([1, 1]);
    tasks.get('a')?.resolve(1);
    await settle();
    expect([room.at(-1), running.at(-1)]).toEqual([2, 0]);
  });

  it('is none before it is attached, and none after its release', async () => {
    const it = runner();
    it.release();
    give('a');
    expect(it.hasWork).toBe(false);
    expect(it.take(yes)).toBe(false);
    expect(room.at(-1)).toBe(0);
    expect(world.member(3).queue.claim()).toBeDefined(); // another one takes it
  });

  it('lets another task worker look when more wait behind the one that has begun', () => {
    held();
    give('a', 'b');
    runner().take(yes);
    expect(asked).toEqual(['another']);
  });

  it('wakes nobody for a task that is the only one', () => {
    give('a');
    runner().take(yes);
    expect(asked).toEqual([]);
  });
});

describe('a task worker that waits awake', () => {
  it('is free when it runs nothing and is attached', async () => {
    const tasks = held();
    const made = runner();
    expect(made.isFree).toBe(true);
    give('one');
    made.take(yes);
    expect(made.isFree).toBe(false);
    tasks.get('one')?.resolve(1);
    await settle();
    expect(made.isFree).toBe(true);
    made.release();
    expect(made.isFree).toBe(false);
  });

  it('asks for a turn behind an asynchronous task, to wait for the next', async () => {
    run = async ({ data }) => data;
    const made = runner();
    give('one');
    made.take(yes);
    expect(asked).toEqual([]);
    await settle();
    expect(asked).toEqual(['soon']);
  });

  it('says so, and begins by saying that it does not: its predecessor may have died meanwhile', () => {
    const made = runner();
    made.attach();
    expect(asked).toEqual(['look no more']);
    asked.length = 0;
    made.look(true);
    made.look(false);
    expect(asked).toEqual(['look', 'look no more']);
  });
});

describe('a turn of the event loop', () => {
  it('takes tasks only while it may go on', () => {
    give('a', 'b', 'c');
    let left = 2;
    const tasks = runner();
    expect(tasks.take(() => left-- > 0)).toBe(true);
    expect(ended().size).toBe(2);
  });

  it('is over after 10 ms also of tasks that go on afterwards', () => {
    run = () => {
      vi.advanceTimersByTime(6);
      return new Promise(() => {});
    };
    const made = runner({ concurrency: 10 });
    give(1, 2, 3, 4, 5);
    expect(made.take(yes)).toBe(true);
    expect(made.pending).toBe(3);
  });

  it('is over after 10 ms, and there is more to take', () => {
    run = () => vi.advanceTimersByTime(5.5);
    give('a', 'b', 'c');
    const tasks = runner();
    expect(tasks.take(yes)).toBe(true);
    expect(ended().size).toBe(2);
    expect(tasks.take(yes)).toBe(false);
    expect(ended().size).toBe(3);
  });
});

describe('a task whose caller has given up', () => {
  it('is told by its signal, with the reason, at the next turn', async () => {
    let signal: AbortSignal | undefined;
    const ends = deferred<void>();
    run = (task) => {
      signal = task.signal;
      return ends.promise;
    };
    const tasks = runner();
    const handle = give('it');
    tasks.take(yes);
    caller.queue.giveUp(handle);
    expect(signal?.aborted).toBe(false);
    tasks.take(yes);
    tasks.take(yes);
    expect(signal?.reason).toMatchObject({ code: 'ERR_TASK_GIVEN_UP' });
    ends.resolve();
    await settle();
    expect(tasks.pending).toBe(0);
  });

  it('finds its signal aborted also when it looks at it only then', async () => {
    const goOn = deferred<void>();
    let isAborted: boolean | undefined;
    run = async (task) => {
      await goOn.promise;
      isAborted = task.signal.aborted;
    };
    const tasks = runner();
    const handle = give('it');
    tasks.take(yes);
    caller.queue.giveUp(handle);
    tasks.take(yes);
    goOn.resolve();
    await settle();
    expect(isAborted).toBe(true);
  });

  it('does not begin when that was while its large data was read', async () => {
    const begun = vi.fn();
    run = begun;
    const tasks = runner();
    const handle = give('x'.repeat(600_000));
    tasks.take(yes);
    caller.queue.giveUp(handle);
    await eventually(() => expect(tasks.pending).toBe(0));
    expect(begun).not.toHaveBeenCalled();
  });
});

describe('a durable job', () => {
  it('is for its own handler', () => {
    given.set(caller.queue.give('data', -1, true).handle, 'data');
    runner().take(yes);
    expect(ended().get('data')).toEqual({ failed: false, value: { job: 'data' } });
  });

  it('does not begin when the process that gave it has died', () => {
    const begun = vi.fn();
    runJob = begun;
    caller.queue.give('data', -1, true);
    world.manager().keeper.recover({ peer: caller.peer, workerId: 0, exitCode: 0, signal: 'SIGKILL', why: '' });
    const tasks = runner();
    tasks.take(yes);
    expect([begun.mock.calls.length, tasks.pending]).toEqual([0, 0]);
  });
});

describe('the end of a task worker', () => {
  it('tells tasks that run, and those that begin afterwards, and lets them finish', async () => {
    const signals: AbortSignal[] = [];
    const ends: Deferred<string>[] = [];
    run = ({ signal }) => {
      signals.push(signal);
      const end = deferred<string>();
      ends.push(end);
      return end.promise;
    };
    const tasks = runner({ concurrency: 2 });
    give('a');
    tasks.take(yes);
    tasks.stop();
    give('b');
    tasks.take(yes);
    expect(signals.map(({ reason }) => (reason as ServerError).code)).toEqual([
      'ERR_SHUTTING_DOWN',
      'ERR_SHUTTING_DOWN',
    ]);
    for (const end of ends) end.resolve('finished');
    await settle();
    expect([...ended().values()]).toEqual([1, 2].map(() => ({ failed: false, value: 'finished' })));
    expect(asked).toContain('soon');
  });

  it('neither tells jobs nor waits for them: their queue gives them up', async () => {
    const reasons: unknown[] = [];
    runJob = ({ signal }) =>
      new Promise(() => signal.addEventListener('abort', () => reasons.push((signal.reason as ServerError).code)));
    const tasks = runner({ concurrency: 2 });
    const { handle } = caller.queue.give({ id: 'mail:1' }, -1, true);
    tasks.take(yes);
    expect(tasks.pending).toBe(1);
    tasks.settle();
    expect([tasks.pending, reasons]).toEqual([0, []]);
    caller.queue.giveUp(handle);
    tasks.take(yes);
    expect(reasons).toEqual(['ERR_JOB_GIVEN_BACK']);
  });

  it('tells jobs that were given up, and waits half a second for what they clean up', async () => {
    vi.useFakeTimers({ toFake: ['performance', 'setTimeout', 'clearTimeout'] });
    const reasons: unknown[] = [];
    runJob = ({ signal }) =>
      new Promise(() => signal.addEventListener('abort', () => reasons.push((signal.reason as ServerError).code)));
    const tasks = runner({ concurrency: 2 });
    const { handle } = caller.queue.give({ id: 'mail:1' }, -1, true);
    tasks.take(yes);
    caller.queue.giveUp(handle);
    tasks.stop();
    expect([reasons, tasks.pending]).toEqual([['ERR_JOB_GIVEN_BACK'], 1]);
    vi.advanceTimersByTime(499);
    expect([tasks.pending, asked]).toEqual([1, []]);
    vi.advanceTimersByTime(1);
    expect([tasks.pending, asked]).toEqual([0, ['soon']]);
  });

  it('tells a job that its lease is lost where its queue gives it up while the server goes on', () => {
    const reasons: unknown[] = [];
    runJob = ({ signal }) => new Promise(() => signal.addEventListener('abort', () => reasons.push(signal.reason)));
    const tasks = runner({ concurrency: 2 });
    const { handle } = caller.queue.give({ id: 'mail:1' }, -1, true);
    tasks.take(yes);
    caller.queue.giveUp(handle);
    tasks.take(yes);
    expect(reasons).toEqual([expect.objectContaining({ code: 'ERR_JOB_LEASE_LOST', detail: { id: 'mail:1' } })]);
  });

  it('finishes after its release what it has begun, asks for a turn then, and takes nothing more', async () => {
    const tasks = held();
    const it = runner();
    give('a', 'b');
    it.take(yes);
    asked.length = 0;
    it.release();
    expect(it.pending).toBe(1);
    tasks.get('a')?.resolve('done');
    await settle();
    expect(ended().get('a')).toEqual({ failed: false, value: 'done' });
    expect(asked).toEqual(['soon']);
    expect([...tasks.keys()]).toEqual(['a']);
    expect([it.pending, room.at(-1)]).toEqual([0, 0]);
  });

  it("says nothing more once it is released, when what it has begun ends: its place is its successor's", async () => {
    const tasks = held();
    const it = runner();
    give('a');
    it.take(yes);
    it.release();
    expect(room.at(-1)).toBe(0);
    [room.length, running.length] = [0, 0];
    tasks.get('a')?.resolve('done');
    await settle();
    expect([room, running, it.pending]).toEqual([[], [], 0]);
  });

  it('lets its successor begin beside it', () => {
    expect(runner().holdsUntilFinished).toBe(false);
  });

  it.each([
    [0, 5, []],
    [1, 3, ['retire']],
    [3, 3, ['retire']],
    [4, 3, []],
  ])('is asked for after maxTasks, %i, of %i tasks: %j', (maxTasks, count, expected) => {
    give(...Array.from({ length: count }, (_, index) => index));
    runner({ maxTasks }).take(yes);
    expect(asked.filter((what) => what === 'retire').slice(0, 1)).toEqual(expected);
  });

  it('is asked for when nothing runs, as no successor waits for what takes long; until then no task begins', async () => {
    const tasks = held();
    const it = runner({ concurrency: 2 });
    give('a', 'b');
    it.take(yes);
    it.whenFree(() => asked.push('free'));
    expect(room.at(-1)).toBe(0);
    give('c');
    tasks.get('a')?.resolve('done');
    await settle();
    expect([it.hasWork, it.take(yes), tasks.has('c'), asked.includes('free')]).toEqual([false, false, false, false]);
    tasks.get('b')?.resolve('done');
    await settle();
    expect(asked).toContain('free');
    expect([room.at(-1), tasks.has('c')]).toEqual([1, true]);
    it.whenFree(() => asked.push('again'));
    tasks.get('c')?.resolve('done');
    await settle();
    expect(asked).toContain('again');
  });

  describe('where tasks take long', () => {
    /** One of two places has a task, and the runner is to be replaced. */
    function toBeReplaced(): { it: TaskRunner; tasks: Map<unknown, Deferred<unknown>> } {
      vi.useFakeTimers({ toFake: ['performance', 'setTimeout', 'clearTimeout'] });
      const tasks = held();
      const it = runner({ concurrency: 2 });
      give('a');
      it.take(yes);
      it.whenFree(() => asked.push('free'));
      return { it, tasks };
    }
    const RESTRAINT_MS = 10_000;

    it('begins nothing after it was asked for, for 10 s at most', async () => {
      const { it, tasks } = toBeReplaced();
      vi.advanceTimersByTime(500);
      give('b');
      tasks.get('a')?.resolve('done');
      await settle();
      expect([asked.includes('free'), it.hasWork, room.at(-1)]).toEqual([true, false, 0]);
      vi.advanceTimersByTime(RESTRAINT_MS - 1);
      expect([it.hasWork, room.at(-1)]).toEqual([false, 0]);
      vi.advanceTimersByTime(1);
      expect([it.hasWork, room.at(-1)]).toEqual([true, 2]);
    });

    it('begins nothing then where it ran nothing when it was asked for, either', async () => {
      const { it, tasks } = toBeReplaced();
      vi.advanceTimersByTime(500);
      tasks.get('a')?.resolve('done');
      await settle();
      vi.advanceTimersByTime(RESTRAINT_MS);
      asked.length = 0;
      it.whenFree(() => asked.push('free'));
      give('b');
      expect([asked, it.hasWork, room.at(-1)]).toEqual([['free'], false, 0]);
      vi.advanceTimersByTime(RESTRAINT_MS);
      expect([it.hasWork, room.at(-1)]).toEqual([true, 2]);
    });

    it('lets others begin meanwhile where one keeps it waiting for longer than 10 s', async () => {
      const { it, tasks } = toBeReplaced();
      vi.advanceTimersByTime(RESTRAINT_MS - 1);
      give('b');
      expect([it.hasWork, room.at(-1)]).toEqual([false, 0]);
      vi.advanceTimersByTime(1);
      expect([it.hasWork, room.at(-1), asked]).toEqual([true, 1, ['soon']]);
      it.take(yes);
      tasks.get('b')?.resolve('done');
      await settle();
      expect(asked).not.toContain('free');
      tasks.get('a')?.resolve('done');
      await settle();
      expect(asked).toContain('free');
    });
  });

  it('is asked for at once when nothing runs', () => {
    runner().whenFree(() => asked.push('free'));
    expect(asked).toEqual(['free']);
  });
});
