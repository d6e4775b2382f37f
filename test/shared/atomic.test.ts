import { closeSync } from 'node:fs';
import { afterEach, describe, expect, it } from 'vitest';
import { Arena } from '../../src/shared/arena.js';
import { Atomic, atomicFigures, atomicQueue, ringWaiters, waitWhile, wakeLongest } from '../../src/shared/atomic.js';
import { Waiting } from '../../src/shared/waiting/waiting.js';
import { FakeClock } from '../helpers/fake-clock.js';
import { follow } from '../helpers/follow.js';

const arenas: Arena[] = [];
afterEach(() => {
  for (const { descriptor } of arenas.splice(0)) closeSync(descriptor);
});

/** Several processes, made up, that wait for one atomic with 4 waiters. */
function processes() {
  const dead = new Set<number>();
  const clock = new FakeClock();
  const kernel = { isRunning: (pid: number) => !dead.has(pid), startTimeOf: () => '1' };
  const arena = Arena.create({ pid: 1, ...kernel });
  arenas.push(arena);
  const object = (pid: number) => {
    const spec = { kind: 'atomic', name: 'it', schema: 'an atomic of 32 bits for 4 waiters', bytes: 4096 } as const;
    return Arena.open(arena.descriptor, { pid, ...kernel }).attach(spec);
  };
  const open = (pid: number, bell?: number, ring: (bell: number) => void = () => {}) => {
    const waiting = new Waiting({ clock, soon: (callback) => void clock.setTimeout(callback, 0) });
    if (bell !== undefined) waiting.setRinger(ring, bell);
    const queue = atomicQueue(object(pid), { waiting, patienceMs: 20 });
    const values = new Int32Array(queue.object.memory, 0, 1);
    const set = (value: number) => {
      Atomics.store(values, 0, value);
      ringWaiters(queue);
    };
    const wait = (same: number, timeoutMs?: number, signal?: AbortSignal) =>
      waitWhile(queue, () => Atomics.load(values, 0) === same, { timeoutMs, signal });
    return { waiting, queue, set, wait, wake: (most: number) => wakeLongest(queue, most) };
  };
  const pass = async (ms: number) => {
    for (let passed = 0; passed < ms; passed += 5) {
      clock.advance(5);
      for (let turn = 0; turn < 8; turn++) await Promise.resolve();
    }
  };
  return { dead, object, open, pass };
}

const coded = (code: string) => expect.objectContaining({ code });

describe('an atomic of 32 bits', () => {
  it('keeps what it was made with, and sums wrap around', () => {
    const atomic = new Atomic(5);
    expect([atomic.get(), atomic.add(), atomic.sub(3), atomic.get()]).toEqual([5, 6, 3, 3]);
    atomic.set(2 ** 31 - 1);
    expect([atomic.add(2), atomic.get()]).toEqual([-(2 ** 31) + 1, -(2 ** 31) + 1]);
    expect([atomic.sub(2), atomic.get()]).toEqual([2 ** 31 - 1, 2 ** 31 - 1]);
    atomic.set(-(2 ** 31));
    expect(atomic.get()).toBe(-(2 ** 31));
  });

  it('is set only from what is expected', () => {
    const atomic = new Atomic(1);
    expect([atomic.compareAndSet(2, 9), atomic.get()]).toEqual([false, 1]);
    expect([atomic.compareAndSet(1, 9), atomic.get()]).toEqual([true, 9]);
  });

  it('is the same for each declaration of its name, and another one without a name', () => {
    new Atomic(3, { name: 'named' }).add();
    expect(new Atomic(3, { name: 'named' }).get()).toBe(4);
    new Atomic(7).set(8);
    expect(new Atomic(7).get()).toBe(7);
  });

  it('takes whole numbers of 32 bits alone', () => {
    const atomic = new Atomic();
    for (const wrong of [1.5, 2 ** 31, -(2 ** 31) - 1, Number.NaN, '1' as never, 1n as never]) {
      expect(() => new Atomic(wrong), String(wrong)).toThrow(coded('ERR_OPTION_RANGE'));
      for (const method of ['set', 'add', 'sub'] as const) {
        expect(() => atomic[method](wrong), `${method} ${wrong}`).toThrow(coded('ERR_OPTION_RANGE'));
      }
      expect(() => atomic.compareAndSet(wrong, 0)).toThrow(coded('ERR_OPTION_RANGE'));
      expect(() => atomic.compareAndSet(0, wrong)).toThrow(coded('ERR_OPTION_RANGE'));
    }
    expect(atomic.get()).toBe(0);
  });

  it('refuses options that it cannot use', async () => {
    const atomic = new Atomic();
    expect(() => new Atomic(0, null as never)).toThrow(coded('ERR_OPTION_TYPE'));
    expect(() => new Atomic(0, { name: 1 as never })).toThrow(coded('ERR_SHARED_NAME'));
    expect(() => new Atomic(0, { waiters: 0 })).toThrow(coded('ERR_OPTION_RANGE'));
    expect(() => atomic.wake(-1)).toThrow(coded('ERR_OPTION_RANGE'));
    await expect(atomic.wait(0.5)).rejects.toThrow(coded('ERR_OPTION_RANGE'));
    await expect(atomic.wait(0, { timeoutMs: -1 })).rejects.toThrow(coded('ERR_OPTION_RANGE'));
    await expect(atomic.wait(0, { signal: {} as never })).rejects.toThrow(coded('ERR_OPTION_TYPE'));
    await expect(atomic.wait(0, { signal: AbortSignal.abort(new Error('before')) })).rejects.toThrow('before');
  });

  it('ends a wait of its own process by each change, by a wake, and by the time', async () => {
    const atomic = new Atomic();
    expect(await atomic.wait(1)).toBe(true);
    for (const change of [
      () => atomic.add(),
      () => atomic.compareAndSet(1, 2),
      () => atomic.wake(),
      () => atomic.sub(),
    ]) {
      const wait = atomic.wait(atomic.get());
      change();
      expect(await wait).toBe(true);
    }
    expect(await atomic.wait(1, { timeoutMs: 1 })).toBe(false);
  });
});

describe('an atomic of 64 bits', () => {
  it('counts beyond what a number can, and wraps around', () => {
    const atomic = Atomic.big(2n ** 53n);
    expect([atomic.add(), atomic.get(), atomic.sub(2n)]).toEqual([2n ** 53n + 1n, 2n ** 53n + 1n, 2n ** 53n - 1n]);
    atomic.set(2n ** 63n - 1n);
    expect([atomic.add(), atomic.get()]).toEqual([-(2n ** 63n), -(2n ** 63n)]);
    expect([atomic.sub(), atomic.get()]).toEqual([2n ** 63n - 1n, 2n ** 63n - 1n]);
    expect([atomic.compareAndSet(0n, 1n), atomic.compareAndSet(2n ** 63n - 1n, -1n), atomic.get()]).toEqual([
      false,
      true,
      -1n,
    ]);
  });

  it('takes bigints of 64 bits alone', async () => {
    const atomic = Atomic.big();
    for (const wrong of [1 as never, 2n ** 63n, -(2n ** 63n) - 1n, undefined as never]) {
      expect(() => atomic.set(wrong)).toThrow(coded('ERR_OPTION_RANGE'));
    }
    expect(() => Atomic.big(2n ** 63n)).toThrow(coded('ERR_OPTION_RANGE'));
    await expect(atomic.wait(0 as never)).rejects.toThrow(coded('ERR_OPTION_RANGE'));
  });

  it('can be waited for', async () => {
    const atomic = Atomic.big();
    const wait = atomic.wait(0n);
    atomic.add(5n);
    expect(await wait).toBe(true);
  });
});

describe('waiting for an atomic of several processes', () => {
  it('ends in all of them when one changes the value', async () => {
    const { open, pass } = processes();
    const waits = [10, 11, 12].map((pid) => follow(open(pid).wait(0)));
    await pass(100);
    expect(waits).toEqual([{}, {}, {}]);
    open(13).set(1);
    await pass(30);
    expect(waits).toEqual([{ value: true }, { value: true }, { value: true }]);
  });

  it('ends for the longest waiting when one wakes so many', async () => {
    const { object, open, pass } = processes();
    const waits = [10, 11, 12].map((pid) => follow(open(pid).wait(0)));
    const waker = open(13);
    expect([waker.wake(0), waker.wake(2)]).toEqual([0, 2]);
    await pass(30);
    expect(waits).toEqual([{ value: true }, { value: true }, {}]);
    expect(atomicFigures(object(1))['waiting']).toBe(1);
    expect([waker.wake(9), waker.wake(9)]).toEqual([1, 0]);
  });

  it('ends by its time and by its signal, and leaves no waiter behind', async () => {
    const { object, open, pass } = processes();
    const timed = follow(open(10).wait(0, 50));
    const controller = new AbortController();
    const aborted = follow(open(11).wait(0, undefined, controller.signal));
    await pass(45);
    expect([timed, aborted]).toEqual([{}, {}]);
    controller.abort(new Error('enough'));
    await pass(10);
    expect(timed).toEqual({ value: false });
    expect(aborted.error).toMatchObject({ message: 'enough' });
    expect(atomicFigures(object(1))['waiting']).toBe(0);
  });

  it('is refused when all slots are in use, until a process that waits has died', async () => {
    const { dead, open, pass } = processes();
    const one = open(10);
    for (let i = 0; i < 4; i++) void one.wait(0);
    await expect(open(11).wait(0)).rejects.toThrow(/has room for 4 waiters/);
    dead.add(10);
    const wait = follow(open(11).wait(0));
    await pass(5);
    expect(wait).toEqual({});
  });

  it('rings the doorbell of a process that has one, which need not wait for its timer', async () => {
    const { open, pass } = processes();
    const rung: number[] = [];
    const waiter = open(10, 3);
    const waits = follow(waiter.wait(0));
    open(11, 4, (bell) => rung.push(bell)).set(1);
    expect(rung).toEqual([3]);
    await pass(40);
    expect(waits).toEqual({});
    waiter.waiting.look();
    await pass(5);
    expect(waits).toEqual({ value: true });
  });
});
