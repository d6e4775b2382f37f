import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { TaskGiver, TaskOutcome, TaskQueue, TaskTaker } from '../../src/messaging/task-queue.js';

/** What a driver gives the suite: two callers and two task workers (ids 2 and 3) on one queue of at most 40 tasks. */
export interface QueueUnderTest {
  readonly callers: readonly [TaskGiver, TaskGiver];
  readonly takers: readonly [TaskTaker, TaskTaker];
  readonly figures: TaskQueue;
  close(): void;
}

const LIMIT = 40;
const FREE = -1;

/** Every driver of the task queue keeps these promises. */
export function describeTaskQueue(name: string, open: () => QueueUnderTest): void {
  describe(name, () => {
    let it_: QueueUnderTest;
    beforeEach(() => {
      it_ = open();
    });
    afterEach(() => it_.close());

    const outcomes = (caller: TaskGiver): { handle: number; failed: boolean; value: unknown }[] => {
      const list: { handle: number; failed: boolean; value: unknown }[] = [];
      caller.takeEnded((handle: number, outcome: TaskOutcome) => {
        list.push({ handle, failed: outcome.failed, value: outcome.value });
        caller.release(handle);
      });
      return list;
    };

    it('gives a task to one task worker, and its result to the caller', () => {
      const [caller] = it_.callers;
      const [taker, other] = it_.takers;
      const given = caller.give({ n: 1 }, FREE);
      const task = taker.claim();
      expect(task?.id).toBe(given.id);
      expect(task?.readData()).toEqual({ n: 1 });
      expect(other.claim()).toBeUndefined();
      expect(caller.hasEnded).toBe(false);
      if (task) taker.finish(task, false, 'done');
      expect(caller.hasEnded).toBe(true);
      expect(outcomes(caller)).toEqual([{ handle: given.handle, failed: false, value: 'done' }]);
      expect(outcomes(caller)).toEqual([]);
    });

    it('tells jobs from tasks', () => {
      const [caller] = it_.callers;
      for (const isJob of [true, false]) caller.give(isJob, FREE, isJob);
      const tasks = [0, 1].map(() => it_.takers[0].claim());
      expect(tasks.map((task) => [task?.isJob, task?.readData()])).toEqual([
        [true, true],
        [false, false],
      ]);
    });

    it('keeps the order in which tasks were given, whoever gave them', () => {
      const [one, two] = it_.callers;
      const ids = Array.from({ length: 30 }, (_, i) => (i % 3 === 0 ? two : one).give(i, FREE).id);
      const taken = Array.from({ length: 30 }, (_, i) => it_.takers[i % 2]?.claim());
      expect(taken.map((task) => task?.id)).toEqual(ids);
      expect(taken.map((task) => task?.readData())).toEqual(Array.from({ length: 30 }, (_, i) => i));
    });

    it('gives a task that names a task worker to that one only, in its place in the line', () => {
      const [caller] = it_.callers;
      caller.give('for 3', 3);
      caller.give('for anyone', FREE);
      caller.give('for 2', 2);
      const [second, third] = it_.takers;
      expect(second.hasWaiting).toBe(true);
      expect(second.claim()?.readData()).toBe('for anyone');
      expect(second.claim()?.readData()).toBe('for 2');
      expect(second.claim()).toBeUndefined();
      expect(third.claim()?.readData()).toBe('for 3');
    });

    it('tells the caller what a task threw', () => {
      const [caller] = it_.callers;
      const [taker] = it_.takers;
      caller.give(0, FREE);
      const task = taker.claim();
      const thrown = Object.assign(new TypeError('no', { cause: new Error('why') }), { code: 'E_NO' });
      if (task) taker.finish(task, true, thrown);
      const [outcome] = outcomes(caller);
      expect(outcome?.failed).toBe(true);
      expect(outcome?.value).toMatchObject({
        name: 'TypeError',
        message: 'no',
        code: 'E_NO',
        cause: { message: 'why' },
      });
    });

    it('makes a result that cannot be cloned the error of that task', () => {
      const [caller] = it_.callers;
      const [taker] = it_.takers;
      caller.give(0, FREE);
      const task = taker.claim();
      if (task) taker.finish(task, false, () => {});
      expect(outcomes(caller)).toMatchObject([{ failed: true, value: { code: 'ERR_DATA_NOT_CLONEABLE' } }]);
      expect(it_.figures.counts()).toMatchObject({ submitted: 1, failed: 1, done: 0 });
    });

    it('refuses what cannot be cloned at once, and takes nothing in', () => {
      const [caller] = it_.callers;
      for (const data of [() => {}, Symbol('s'), { f() {} }, new WeakMap(), Promise.resolve()]) {
        expect(() => caller.give(data, FREE)).toThrow(expect.objectContaining({ code: 'ERR_DATA_NOT_CLONEABLE' }));
      }
      expect(it_.takers[0].hasWaiting).toBe(false);
      expect(it_.figures.counts().submitted).toBe(0);
    });

    it('is full at its limit, counts what it refuses, and takes again when there is room', () => {
      const [one, two] = it_.callers;
      for (let i = 0; i < LIMIT; i++) (i % 2 ? one : two).give(i, FREE);
      expect(() => one.give('one more', FREE)).toThrow(expect.objectContaining({ code: 'ERR_TASK_QUEUE_FULL' }));
      expect(() => two.give('one more', 2)).toThrow(expect.objectContaining({ code: 'ERR_TASK_QUEUE_FULL' }));
      expect(it_.figures.counts()).toMatchObject({ submitted: LIMIT, queued: LIMIT, refused: 2 });
      it_.takers[0].claim();
      one.give('again', FREE);
      expect(it_.figures.counts()).toMatchObject({ submitted: LIMIT + 1, queued: LIMIT, running: 1 });
    });

    it('is full at its limit however many tasks have gone through it before', () => {
      const [one, two] = it_.callers;
      const [taker] = it_.takers;
      for (let i = 0; i < 5 * LIMIT; i++) {
        one.give(i, FREE);
        const task = taker.claim();
        if (task) taker.finish(task, false, i);
        one.takeEnded((handle) => one.release(handle));
      }
      for (let i = 0; i < LIMIT; i++) (i % 2 ? one : two).give(i, FREE);
      expect(() => one.give('one more', FREE)).toThrow(expect.objectContaining({ code: 'ERR_TASK_QUEUE_FULL' }));
      expect(() => two.give('one more', FREE)).toThrow(expect.objectContaining({ code: 'ERR_TASK_QUEUE_FULL' }));
    });

    it('runs the tasks of all callers in the order they came, in whatever turns they come', () => {
      const [one, two] = it_.callers;
      const [taker] = it_.takers;
      const turns = [one, one, one, two, one, two, two, one, two, one];
      const claimed: unknown[] = [];
      turns.forEach((caller, i) => {
        caller.give(i, i % 4 === 3 ? 2 : FREE);
        if (i % 3 === 2) claimed.push(taker.claim()?.readData());
      });
      for (let task = taker.claim(); task !== undefined; task = taker.claim()) claimed.push(task.readData());
      expect(claimed).toEqual(turns.map((_, i) => i));
    });

    it('lets a caller give up a task that waits: nobody runs it', () => {
      const [caller] = it_.callers;
      const { handle } = caller.give('too late', FREE);
      caller.give('in time', FREE);
      expect(caller.giveUp(handle)).toBe(true);
      expect(it_.takers[0].claim()?.readData()).toBe('in time');
      expect(it_.takers[0].claim()).toBeUndefined();
      expect(it_.figures.counts()).toMatchObject({ submitted: 2, queued: 0, running: 1, timedOut: 1 });
    });

    it('lets a caller give up a task that runs: it is told, and its result is dropped and counted', () => {
      const [caller] = it_.callers;
      const [taker] = it_.takers;
      const { handle } = caller.give('slow', FREE);
      const task = taker.claim();
      expect(task?.isAborted).toBe(false);
      expect(caller.giveUp(handle)).toBe(true);
      expect(task?.isAborted).toBe(true);
      expect(it_.figures.counts()).toMatchObject({ running: 0, timedOut: 1, dropped: 0 });
      expect(task && taker.finish(task, false, 'late')).toBe(false);
      expect(outcomes(caller)).toEqual([]);
      expect(it_.figures.counts()).toMatchObject({ submitted: 1, done: 0, timedOut: 1, dropped: 1 });
    });

    it('does not let a caller give up a task that has ended', () => {
      const [caller] = it_.callers;
      const [taker] = it_.takers;
      const { handle } = caller.give(0, FREE);
      const task = taker.claim();
      if (task) taker.finish(task, false, 'in time');
      expect(caller.giveUp(handle)).toBe(false);
      expect(outcomes(caller)).toMatchObject([{ value: 'in time' }]);
    });

    it('goes on for ever with places that are used again, given up or not', () => {
      const [caller] = it_.callers;
      const [taker] = it_.takers;
      for (let i = 0; i < 20_000; i++) {
        const { handle } = caller.give(i, FREE);
        if (i % 5 === 0) caller.giveUp(handle);
        const task = taker.claim();
        expect(task === undefined).toBe(i % 5 === 0);
        if (i % 7 === 0) caller.giveUp(handle);
        if (task) taker.finish(task, false, i);
        outcomes(caller);
      }
      const { submitted, done, timedOut, queued, running } = it_.figures.counts();
      expect({ submitted, queued, running }).toEqual({ submitted: 20_000, queued: 0, running: 0 });
      expect(done + timedOut).toBe(20_000);
    });

    it.each([
      ['nothing', undefined],
      ['null', null],
      ['a number', -0.5],
      ['NaN', Number.NaN],
      ['a bigint', 2n ** 70n],
      ['a string', 'grüße €'],
      ['an empty string', ''],
      ['a long string', 'x'.repeat(100_000)],
      ['an object', { a: [1, { b: null }], c: undefined }],
      ['a Map, a Set, a Date, a RegExp', new Map<unknown, unknown>([[new Set([1]), [new Date(5), /x/gi]]])],
      ['typed arrays', { f: new Float64Array([1.5]), b: new Uint8Array([1, 2]).buffer }],
      ['bytes', new Uint8Array([1, 2, 3])],
      ['no bytes', new Uint8Array(0)],
    ])('carries %s there and back', async (_what, value) => {
      const [caller] = it_.callers;
      const [taker] = it_.takers;
      caller.give(value, FREE);
      const task = taker.claim();
      const data = await task?.readData();
      expect(data).toEqual(value);
      if (task) taker.finish(task, false, data);
      expect(await outcomes(caller)[0]?.value).toEqual(value);
    });

    it('carries a Buffer as a Buffer, of its own, also a large one', async () => {
      const [caller] = it_.callers;
      const [taker] = it_.takers;
      for (const size of [10, 5000, 3_000_000]) {
        const data = Buffer.alloc(size, 1);
        caller.give(data, FREE);
        data.fill(9);
        const task = taker.claim();
        const read = (await task?.readData()) as Buffer;
        expect(Buffer.isBuffer(read) && read.length === size && read.every((byte) => byte === 1)).toBe(true);
        if (task) taker.finish(task, false, read);
        const ended: TaskOutcome[] = [];
        let handle = -1;
        caller.takeEnded((at, outcome) => {
          handle = at;
          ended.push(outcome);
        });
        const result = (await ended[0]?.value) as Buffer;
        caller.release(handle);
        expect(Buffer.isBuffer(result) && result.equals(read)).toBe(true);
      }
    });
  });
}
