import { closeSync } from 'node:fs';
import { afterEach, describe, expect, it } from 'vitest';
import { Arena, type SharedObject } from '../../src/shared/arena.js';
import type { Kind } from '../../src/shared/kinds.js';
import { lockQueue, settleDeadLock } from '../../src/shared/lock.js';
import { semaphoreQueue } from '../../src/shared/semaphore.js';
import { acquire, tryAcquire } from '../../src/shared/waiting/held.js';
import { FREE, Queue, type QueueParts, queueBytes } from '../../src/shared/waiting/queue.js';
import { type Waiter, Waiting } from '../../src/shared/waiting/waiting.js';
import { type Clock, systemClock } from '../../src/util/index.js';
import { FakeClock } from '../helpers/fake-clock.js';
import { follow } from '../helpers/follow.js';

const EXCLUSIVE = 1;
const SHARED = 2;
const opened: Arena[] = [];

afterEach(() => {
  for (const { descriptor } of opened.splice(0)) closeSync(descriptor);
});

/** Several processes, made up, over one arena. */
class Processes {
  readonly dead = new Set<number>();
  readonly clock = new FakeClock();
  readonly arena: Arena;
  readonly #of: (object: SharedObject, parts?: QueueParts) => Queue;
  readonly #spec: { readonly kind: Kind; readonly schema: string };

  constructor(spec: { kind: Kind; schema: string }, of: (object: SharedObject, parts?: QueueParts) => Queue) {
    this.#spec = spec;
    this.#of = of;
    this.arena = Arena.create({ pid: 1, ...this.#kernel });
    opened.push(this.arena);
  }

  queue(pid: number, atStep?: () => void): Queue {
    const waiting = new Waiting({ clock: this.clock, soon: (callback) => void this.clock.setTimeout(callback, 0) });
    const parts = { waiting, patienceMs: 20, ...(atStep === undefined ? {} : { atStep }) };
    return this.#of(this.object(pid), parts);
  }

  object(pid: number): SharedObject {
    const arena = Arena.open(this.arena.descriptor, { pid, ...this.#kernel });
    return arena.attach({ ...this.#spec, name: 'it', bytes: queueBytes(8) });
  }

  get #kernel() {
    return { isRunning: (pid: number) => !this.dead.has(pid), startTimeOf: () => '1' };
  }
}

const locks = () => new Processes({ kind: 'lock', schema: 'a lock for 8 waiters' }, lockQueue);
const semaphores = () =>
  new Processes({ kind: 'semaphore', schema: 'a semaphore of 3 permits for 8 waiters' }, semaphoreQueue);

async function pass(processes: Processes, ms: number): Promise<void> {
  for (let passed = 0; passed < ms; passed += 5) {
    processes.clock.advance(5);
    for (let turn = 0; turn < 5; turn++) await Promise.resolve();
  }
}

describe('a lock', () => {
  it('is held by one at a time, and goes on in the order of asking', async () => {
    const all = locks();
    const held = await acquire(all.queue(10), EXCLUSIVE, {});
    const second = follow(acquire(all.queue(11), EXCLUSIVE, {}));
    const third = follow(acquire(all.queue(12), EXCLUSIVE, {}));
    await pass(all, 50);
    expect([second.value, third.value]).toEqual([undefined, undefined]);
    held.release();
    held.release();
    await pass(all, 50);
    expect(second.value?.ownerDied).toBe(false);
    expect(third.value).toBeUndefined();
    second.value?.release();
    await pass(all, 50);
    expect(third.value).toBeDefined();
  });

  it('is shared, until one waits to have it alone', async () => {
    const all = locks();
    const one = await acquire(all.queue(10), SHARED, {});
    const two = await acquire(all.queue(11), SHARED, {});
    const writer = follow(acquire(all.queue(12), EXCLUSIVE, {}));
    const late = follow(acquire(all.queue(13), SHARED, {}));
    expect(tryAcquire(all.queue(14), SHARED)).toBeUndefined();
    one.release();
    await pass(all, 50);
    expect([writer.value, late.value]).toEqual([undefined, undefined]);
    two.release();
    await pass(all, 50);
    expect(writer.value).toBeDefined();
    expect(late.value).toBeUndefined();
    writer.value?.release();
    await pass(all, 50);
    expect(late.value).toBeDefined();
  });

  it('lets a second call of the same process wait', async () => {
    const all = locks();
    const queue = all.queue(10);
    const held = await acquire(queue, EXCLUSIVE, {});
    const second = follow(acquire(queue, EXCLUSIVE, {}));
    await pass(all, 50);
    expect(second.value).toBeUndefined();
    held.release();
    await pass(all, 50);
    expect(second.value).toBeDefined();
  });

  it('goes from a holder that died to the next, who alone is told', async () => {
    const all = locks();
    await acquire(all.queue(10), EXCLUSIVE, {});
    const second = follow(acquire(all.queue(11), EXCLUSIVE, {}));
    const third = follow(acquire(all.queue(12), EXCLUSIVE, {}));
    all.dead.add(10);
    await pass(all, 300);
    expect(second.value?.ownerDied).toBe(true);
    second.value?.release();
    await pass(all, 50);
    expect(third.value?.ownerDied).toBe(false);
  });

  it('goes on at once when the one who reaped the holder says so', async () => {
    const all = locks();
    await acquire(all.queue(10), EXCLUSIVE, {});
    const second = follow(acquire(all.queue(11), EXCLUSIVE, {}));
    all.arena.owners.markDead(10);
    settleDeadLock(all.object(1));
    await pass(all, 20);
    expect(second.value?.ownerDied).toBe(true);
  });

  it('passes over a waiter that died', async () => {
    const all = locks();
    const held = await acquire(all.queue(10), EXCLUSIVE, {});
    void follow(acquire(all.queue(11), EXCLUSIVE, {}));
    all.dead.add(11);
    held.release();
    expect(tryAcquire(all.queue(12), EXCLUSIVE)?.ownerDied).toBe(false);
  });

  it('ends a wait by its time or its signal, and the slot is used again', async () => {
    const all = locks();
    const held = await acquire(all.queue(10), EXCLUSIVE, {});
    const timed = follow(acquire(all.queue(11), EXCLUSIVE, { timeoutMs: 30 }));
    const controller = new AbortController();
    const aborted = follow(acquire(all.queue(12), EXCLUSIVE, { signal: controller.signal }));
    controller.abort(new Error('enough'));
    await pass(all, 100);
    expect(timed.error).toMatchObject({ code: 'ERR_SHARED_TIMEOUT', detail: { timeoutMs: 30 } });
    expect(aborted.error).toMatchObject({ message: 'enough' });
    held.release();
    expect(all.queue(1).figures()).toMatchObject({ waiting: 0, held: 0, lockWaits: 2, brokenLocks: 0 });
  });

  it('says when all slots are in use, and what to raise', async () => {
    const all = locks();
    const queue = all.queue(10);
    for (let i = 0; i < 8; i++) void follow(acquire(queue, EXCLUSIVE, {}));
    await expect(acquire(queue, EXCLUSIVE, {})).rejects.toThrow(/8 waiters, and all are in use. Raise that option/);
  });
});

describe('a change that throws', () => {
  it('leaves the guard free, and what it has freed goes on to the next', async () => {
    const all = locks();
    const queue = all.queue(10);
    await acquire(queue, EXCLUSIVE, {});
    const second = follow(acquire(all.queue(11), EXCLUSIVE, {}));
    const breaks = () => {
      queue.setState(0, FREE);
      throw new Error('no memory');
    };
    expect(() => queue.locked(breaks)).toThrow('no memory');
    await pass(all, 50);
    expect(second.value).toBeDefined();
    second.value?.release();
    expect(tryAcquire(all.queue(12), EXCLUSIVE)).toBeDefined();
  });

  it('throws as it has, also where the queue cannot give anything to others', () => {
    const queue = new Queue(locks().object(10), { at: 0, slots: 8, option: 'waiters' }, () => {
      throw new Error('no memory');
    });
    for (let times = 0; times < 2; times++) expect(() => queue.locked(() => queue.enter(1))).toThrow('no memory');
    expect(queue.locked(() => 'free')).toBe('free');
  });
});

describe('a semaphore', () => {
  it('gives permits in the order of asking, never more than it has', async () => {
    const all = semaphores();
    const two = await acquire(all.queue(10), 2, {});
    const many = follow(acquire(all.queue(11), 3, {}));
    const few = follow(acquire(all.queue(12), 1, {}));
    expect(tryAcquire(all.queue(13), 1)).toBeUndefined();
    await pass(all, 50);
    expect([many.value, few.value]).toEqual([undefined, undefined]);
    two.release();
    await pass(all, 50);
    expect(many.value).toBeDefined();
    expect(few.value).toBeUndefined();
    many.value?.release();
    await pass(all, 50);
    expect(few.value).toBeDefined();
  });

  it('gets the permits of a dead holder back', async () => {
    const all = semaphores();
    await acquire(all.queue(10), 3, {});
    all.dead.add(10);
    expect(tryAcquire(all.queue(11), 3)?.ownerDied).toBe(true);
  });
});

class Death extends Error {}

/** Dies at the n-th step of all that it does. */
function dyingAt(step: number, onDeath: () => void): () => void {
  let left = step;
  return () => {
    if (left-- > 0) return;
    onDeath();
    throw new Death();
  };
}

describe('a process that dies at any step', () => {
  it('of acquiring, releasing and handing over leaves a lock that one at a time gets', async () => {
    let steps = 0;
    for (let isDead = true; isDead; steps++) isDead = await dieAt(steps);
    expect(steps).toBeGreaterThan(20);
  });

  /** @returns false: it was through before that step */
  async function dieAt(step: number): Promise<boolean> {
    const all = locks();
    const dies = all.queue(
      10,
      dyingAt(step, () => all.dead.add(10)),
    );
    const first = follow(acquire(dies, EXCLUSIVE, {}));
    await pass(all, 5);
    const second = follow(acquire(all.queue(11), EXCLUSIVE, {}));
    const isThrough = tries(() => first.value?.release()) && first.error === undefined;
    all.dead.add(10);
    await pass(all, 400);
    expect(second.value, `step ${step}: ${String(second.error)}`).toBeDefined();
    const third = follow(acquire(all.queue(12), EXCLUSIVE, {}));
    await pass(all, 300);
    expect(third.value, `step ${step}`).toBeUndefined();
    second.value?.release();
    await pass(all, 300);
    expect(third.value, `step ${step}`).toBeDefined();
    third.value?.release();
    expect(all.queue(13).figures(), `step ${step}`).toMatchObject({ waiting: 0, held: 0 });
    closeSync(all.arena.descriptor);
    opened.splice(opened.indexOf(all.arena), 1);
    return !isThrough;
  }

  function tries(work: () => void): boolean {
    try {
      work();
      return true;
    } catch (error) {
      if (error instanceof Death) return false;
      throw error;
    }
  }
});

describe('what is released while a process is stopped in the midst of a change', () => {
  it('goes on as soon as that one does, and `release` does not throw', async () => {
    const world = locks();
    const [queue, other] = [world.queue(10), world.queue(11)];
    const held = await acquire(queue, EXCLUSIVE, {});
    const guard = new Int32Array(queue.object.memory);
    const stopped = world.object(12).owners.word;
    guard[0] = stopped;
    held.release();
    expect(() => tryAcquire(other, EXCLUSIVE)).toThrow(expect.objectContaining({ code: 'ERR_SHARED_STUCK' }));
    guard[0] = 0;
    await world.clock.advance(500);
    expect(tryAcquire(other, EXCLUSIVE)).toMatchObject({ ownerDied: false });
  });
});

it('a queue that is full of dead waiters is not full for whoever does not wait', async () => {
  const all = locks();
  const held = await acquire(all.queue(10), EXCLUSIVE, {});
  const waiting = all.queue(11);
  for (let i = 0; i < 7; i++) follow(acquire(waiting, EXCLUSIVE, {}));
  expect(() => tryAcquire(all.queue(12), EXCLUSIVE)).toThrow(expect.objectContaining({ code: 'ERR_SHARED_WAITERS' }));
  all.dead.add(11);
  expect(tryAcquire(all.queue(12), EXCLUSIVE)).toBeUndefined();
  held.release();
  expect(tryAcquire(all.queue(12), EXCLUSIVE)).toMatchObject({ ownerDied: false });
});

describe('the timer', () => {
  const waiters = (clock: Clock, log: string[] = []) => {
    const waiting = new Waiting({ clock });
    const { owners } = locks().object(10);
    const add = (isAwaited = true): Waiter => {
      const waiter = { isAwaited, look: () => log.push('look'), lookForDead: () => log.push('dead') };
      waiting.add(waiter, owners);
      return waiter;
    };
    return { waiting, add };
  };

  it.each(['with', 'without'])('of a process %s a doorbell looks in its time, however often waiters come', (bell) => {
    const clock = new FakeClock();
    const log: string[] = [];
    const { waiting, add } = waiters(clock, log);
    if (bell === 'with') waiting.setRinger(() => {}, 1);
    add();
    for (let ms = 0; ms < 500; ms += 0.5) {
      waiting.remove(add());
      clock.advance(0.5);
    }
    expect(log.filter((each) => each === 'dead').length).toBeGreaterThanOrEqual(3);
  });

  it('looks sooner when a waiter comes after it had slowed down', () => {
    const clock = new FakeClock();
    const log: string[] = [];
    const { add } = waiters(clock, log);
    add();
    clock.advance(100);
    log.length = 0;
    add();
    clock.advance(1);
    expect(log.slice(0, 2)).toEqual(['look', 'look']);
  });

  it('keeps the process from ending once one that is awaited has come', () => {
    let timer: NodeJS.Timeout | undefined;
    const setTimer = (callback: () => void): NodeJS.Timeout => {
      clearTimeout(timer);
      timer = setTimeout(callback, 60_000);
      return timer;
    };
    const { add } = waiters({ ...systemClock, now: () => 0, setTimeout: setTimer });
    add(false);
    expect(timer?.hasRef()).toBe(false);
    add(true);
    expect(timer?.hasRef()).toBe(true);
    clearTimeout(timer);
  });
});
