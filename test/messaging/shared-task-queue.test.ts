import { afterEach, describe, expect, it, vi } from 'vitest';
import { ServerError } from '../../src/errors/index.js';
import { Overflow } from '../../src/messaging/overflow.js';
import { type Member, MessagingWorld } from '../helpers/messaging-world.js';
import { describeTaskQueue } from './task-queue.conformance.js';

describeTaskQueue('the task queue in shared memory', () => {
  const world = new MessagingWorld();
  const [one, two, three, four] = [0, 1, 2, 3].map((id) => world.member(id)) as [Member, Member, Member, Member];
  return {
    callers: [one.queue, two.queue],
    takers: [three.queue, four.queue],
    figures: world.manager().queue,
    close: () => world.close(),
  };
});

const FREE = -1;
const dead = (member: Member, workerId: number) => ({
  peer: member.peer,
  workerId,
  exitCode: 0,
  signal: 'SIGKILL',
  why: '',
});

describe('a death', () => {
  let world: MessagingWorld;
  afterEach(() => world.close());

  const values = (member: Member): unknown[] => {
    const list: unknown[] = [];
    member.queue.takeEnded((handle, { value }) => {
      list.push(value);
      member.queue.release(handle);
    });
    return list;
  };

  it('of a task worker fails the task it ran, and leaves the ones that wait alone', () => {
    world = new MessagingWorld();
    const [caller, taker, manager] = [world.member(0), world.member(2), world.manager()];
    for (const name of ['runs', 'waits']) caller.queue.give(name, FREE);
    taker.queue.claim();
    manager.keeper.recover(dead(taker, 2));
    expect(values(caller)).toMatchObject([
      { code: 'ERR_TASK_WORKER_DIED', detail: { workerId: 2, signal: 'SIGKILL' } },
    ]);
    expect(world.member(3).queue.claim()?.readData()).toBe('waits');
    expect(caller.queue.counts()).toMatchObject({ submitted: 2, running: 1, failed: 1, retried: 0 });
  });

  it('of a task worker is told to its caller also where the shared memory has no room for the whole error', () => {
    world = new MessagingWorld();
    const [caller, taker, manager] = [world.member(0), world.member(2), world.manager()];
    caller.queue.give('runs', FREE);
    taker.queue.claim();
    const write = vi.spyOn(Overflow.prototype, 'write').mockImplementation(() => {
      throw new Error('ENOSPC');
    });
    manager.keeper.recover(dead(taker, 2));
    write.mockRestore();
    const detail = { workerId: 2, exitCode: 0, signal: 'SIGKILL', why: '', tries: 1 };
    const { message } = new ServerError('ERR_TASK_WORKER_DIED', detail);
    expect(values(caller)).toMatchObject([{ code: 'ERR_TASK_WORKER_DIED', detail, message }]);
  });

  it('of a task worker lets the task run again, before those that came later, as often as allowed', () => {
    world = new MessagingWorld({ retries: 2 });
    const [caller, manager] = [world.member(0), world.manager()];
    caller.queue.give('first', FREE);
    caller.queue.give('second', FREE);
    for (let i = 0; i < 3; i++) {
      const taker = world.member(2, i % 2);
      expect(taker.queue.claim()?.readData()).toBe('first');
      manager.keeper.recover(dead(taker, 2));
    }
    expect(values(caller)).toMatchObject([{ code: 'ERR_TASK_WORKER_DIED', detail: { tries: 3 } }]);
    expect(world.member(2).queue.claim()?.readData()).toBe('second');
    expect(caller.queue.counts()).toMatchObject({ submitted: 2, running: 1, failed: 1, retried: 2 });
  });

  it('of a task worker fails a job, which its queue may run again', () => {
    world = new MessagingWorld({ retries: 2 });
    const [caller, taker, manager] = [world.member(0), world.member(2), world.manager()];
    caller.queue.give('job', FREE, true);
    expect(taker.queue.claim()).toMatchObject({ isJob: true, isAborted: false });
    manager.keeper.recover(dead(taker, 2));
    expect(values(caller)).toMatchObject([{ code: 'ERR_TASK_WORKER_DIED', detail: { tries: 1 } }]);
    expect(world.member(3).queue.claim()).toBeUndefined();
  });

  it('of a caller aborts its jobs, and not its tasks', () => {
    world = new MessagingWorld();
    const [caller, taker, manager] = [world.member(0), world.member(2), world.manager()];
    caller.queue.give('job', FREE, true);
    caller.queue.give('task', FREE);
    const claimed = [taker.queue.claim(), taker.queue.claim()];
    manager.keeper.recover(dead(caller, 0));
    expect(claimed.map((task) => [task?.isJob, task?.isAborted])).toEqual([
      [true, true],
      [false, false],
    ]);
  });

  it('of a task worker that had written half of a large result leaves the data whole', async () => {
    world = new MessagingWorld({ retries: 1 });
    const [caller, taker, manager] = [world.member(0), world.member(2), world.manager()];
    caller.queue.give(Buffer.alloc(100_000, 1), FREE);
    const task = taker.queue.claim() as NonNullable<ReturnType<typeof taker.queue.claim>>;
    dieAt(0, () => taker.queue.finish(task, false, Buffer.alloc(100_000, 2)));
    manager.keeper.recover(dead(taker, 2));
    const again = world.member(3).queue;
    const data = (await again.claim()?.readData()) as Buffer;
    expect(data.every((byte) => byte === 1)).toBe(true);
  });

  it('of a worker drops and counts the results of what runs, and what waits still runs', () => {
    world = new MessagingWorld();
    const [caller, taker, manager] = [world.member(0), world.member(2), world.manager()];
    for (const name of ['ended', 'runs', 'waits']) caller.queue.give(name, FREE);
    const [ended, runs] = [taker.queue.claim(), taker.queue.claim()] as never[];
    taker.queue.finish(ended as never, false, 1);
    manager.keeper.recover(dead(caller, 0));
    expect(taker.queue.finish(runs as never, false, 2)).toBe(false);
    const waits = taker.queue.claim();
    expect(waits?.readData()).toBe('waits');
    if (waits) taker.queue.finish(waits, true, new Error('x'));
    expect(manager.queue.counts()).toMatchObject({
      submitted: 3,
      queued: 0,
      running: 0,
      done: 2,
      failed: 1,
      dropped: 3,
    });
    const successor = world.member(0);
    for (let i = 0; i < 40; i++) successor.queue.give(i, FREE);
    expect(values(successor)).toEqual([]);
  });

  it('of the manager between two steps is made good by the next one', () => {
    for (let step = 1; step < 40; step++) {
      world = new MessagingWorld({ retries: 1 });
      const [caller, taker, manager] = [world.member(0), world.member(2), world.manager()];
      caller.queue.give('a', FREE);
      taker.queue.claim();
      const died = dieAt(step, () => manager.keeper.recover(dead(taker, 2)));
      const next = world.manager();
      next.keeper.recover(dead(taker, 2));
      next.keeper.recoverKeeper();
      const task = world.member(3).queue.claim();
      expect(task?.readData(), `step ${step}`).toBe('a');
      expect(caller.queue.counts()).toMatchObject({ submitted: 1, running: 1, retried: 1 });
      world.close();
      if (!died) break;
    }
    world = new MessagingWorld();
  });

  it.each(['caller', 'task worker'] as const)('of a %s at any step leaves every count exact', (who) => {
    for (let step = 1; step < 400; step++) {
      world = new MessagingWorld({ retries: step % 2 });
      const [caller, taker, manager] = [world.member(0), world.member(2), world.manager()];
      const of = (actor: 'caller' | 'task worker') => (actor === who ? mortal : immortal);
      let ended = 0;
      const take = (): void => {
        caller.queue.takeEnded((handle) => {
          ended++;
          caller.queue.release(handle);
        });
      };
      const died = dieAt(step, () => liveTogether(caller, taker, of('caller'), of('task worker'), take), false);
      const [victim, id] = who === 'caller' ? [caller, 0] : [taker, 2];
      manager.keeper.recover(dead(victim, id));
      finishAll(world, who === 'caller' ? taker : undefined);
      const { submitted, queued, running, done, failed, timedOut } = manager.queue.counts();
      expect({ queued, running, step }).toEqual({ queued: 0, running: 0, step });
      expect(done + failed + timedOut, `step ${step}`).toBe(submitted);
      take();
      if (who === 'task worker') expect(ended, `step ${step}`).toBe(done + failed);
      world.close();
      if (!died) break;
      expect(step).toBeLessThan(399);
    }
    world = new MessagingWorld();
  });
});

type Act = <T>(action: () => T) => T;

/** Four tasks: one ends well, one fails, one is given up while it waits, one while it runs. */
function liveTogether(caller: Member, taker: Member, asCaller: Act, asTaker: Act, take: () => void): void {
  for (let i = 0; i < 4; i++) {
    const { handle } = asCaller(() => caller.queue.give(i % 2 ? i : Buffer.alloc(5000, i), FREE));
    if (i === 2) asCaller(() => caller.queue.giveUp(handle));
    const task = asTaker(() => taker.queue.claim());
    if (i === 3) asCaller(() => caller.queue.giveUp(handle));
    if (task) asTaker(() => taker.queue.finish(task, i === 1, i === 0 ? Buffer.alloc(300) : i));
    asCaller(take);
  }
}

/** What is left is run by task worker 3; what the survivor had begun it gives up as if it had died in order. */
function finishAll(world: MessagingWorld, survivor: Member | undefined): void {
  const manager = world.manager();
  if (survivor !== undefined) manager.keeper.recover(dead(survivor, 2));
  const { queue } = world.member(3);
  for (let task = queue.claim(); task !== undefined; task = queue.claim()) queue.finish(task, false, 1);
}

class Death extends Error {}

let counting = false;
const immortal: Act = (action) => action();
const mortal: Act = (action) => {
  counting = true;
  try {
    return action();
  } finally {
    counting = false;
  }
};

/**
 * Runs `life` until the atomic operation before which it dies: the `step`-th one (from 0) of what is mortal in it.
 * @returns false when it lived longer
 */
function dieAt(step: number, life: () => void, isMortal = true): boolean {
  const originals = {
    store: Atomics.store,
    compareExchange: Atomics.compareExchange,
    or: Atomics.or,
    add: Atomics.add,
  };
  let left = step;
  for (const name of ['store', 'compareExchange', 'or', 'add'] as const) {
    Atomics[name] = ((...args: never[]) => {
      if (counting && --left < 0) throw new Death();
      return (originals[name] as (...all: never[]) => number)(...args);
    }) as never;
  }
  try {
    (isMortal ? mortal : immortal)(life);
    return false;
  } catch (error) {
    if (error instanceof Death || (error as Error).cause instanceof Death) return true;
    throw error;
  } finally {
    Object.assign(Atomics, originals);
  }
}
