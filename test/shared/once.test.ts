import { closeSync } from 'node:fs';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { Arena } from '../../src/shared/arena.js';
import { Once, OnceCells, onceFigures, settleDeadOnce } from '../../src/shared/once.js';
import { Calls } from '../../src/shared/waiting/calls.js';
import { Waiting } from '../../src/shared/waiting/waiting.js';
import { FakeClock } from '../helpers/fake-clock.js';
import { follow } from '../helpers/follow.js';

const arenas: Arena[] = [];
afterEach(() => {
  for (const { descriptor } of arenas.splice(0)) closeSync(descriptor);
});

const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Several processes, made up, over one arena: 2 keys, results of 16 bytes. */
function processes(schema = 'once with 2 keys of 8 bytes, results of 16 bytes, for 8 waiters') {
  const dead = new Set<number>();
  const clock = new FakeClock();
  const kernel = { isRunning: (pid: number) => !dead.has(pid), startTimeOf: () => '1' };
  const arena = Arena.create({ pid: 1, ...kernel });
  arenas.push(arena);
  const object = (pid: number) =>
    Arena.open(arena.descriptor, { pid, ...kernel }).attach({ kind: 'once', name: 'it', schema, bytes: 32_768 });
  const cells = (pid: number) => {
    const waiting = new Waiting({ clock, soon: (callback) => void clock.setTimeout(callback, 0) });
    return new OnceCells(object(pid), { waiting, patienceMs: 20, now: () => clock.now() });
  };
  const pass = async (ms: number) => {
    for (let passed = 0; passed < ms; passed += 5) {
      clock.advance(5);
      for (let turn = 0; turn < 8; turn++) await Promise.resolve();
    }
  };
  const calls = (pid: number) => new Calls(cells(pid));
  return { dead, arena, object, cells, calls, pass };
}

const key = Buffer.from('k');
const value = (text: string) => async () => Buffer.from(text);
const never = () => new Promise<Buffer>(() => {});

describe('once', () => {
  it('computes in one process, and gives all others the result', async () => {
    const { cells, pass } = processes();
    let finish: (bytes: Buffer) => void = () => {};
    const first = cells(10).run(key, { lead: () => new Promise((resolve) => (finish = resolve)), leaseMs: 0 });
    const others = [11, 12].map((pid) => cells(pid).run(key, { lead: value('wrong'), leaseMs: 0 }));
    await pass(50);
    finish(Buffer.from('right'));
    await pass(50);
    expect((await Promise.all([first, ...others])).map(String)).toEqual(['right', 'right', 'right']);
    expect(String(await cells(13).run(key, { lead: value('later'), leaseMs: 0 }))).toBe('later');
  });

  it('keeps a result as long as its lease, and puts another key in the place of the one that ends first', async () => {
    const { cells, pass } = processes();
    await cells(10).run(key, { lead: value('kept'), leaseMs: 100 });
    expect(String(await cells(11).run(key, { lead: value('new'), leaseMs: 0 }))).toBe('kept');
    await pass(100);
    expect(String(await cells(11).run(key, { lead: value('new'), leaseMs: 1000 }))).toBe('new');
    await cells(10).run(Buffer.from('2'), { lead: value('2'), leaseMs: 2000 });
    await cells(10).run(Buffer.from('3'), { lead: value('3'), leaseMs: 2000 });
    expect(String(await cells(10).run(key, { lead: value('again'), leaseMs: 0 }))).toBe('again');
  });

  it('lets one who waited lead, once the leader has died', async () => {
    const { dead, arena, cells, object, pass } = processes();
    void cells(10).run(key, { lead: never, leaseMs: 0 });
    const others = [11, 12].map((pid) => cells(pid).run(key, { lead: value(`by ${pid}`), leaseMs: 0 }));
    await pass(20);
    dead.add(10);
    arena.owners.markDead(10);
    settleDeadOnce(object(1));
    await pass(100);
    expect((await Promise.all(others)).map(String)).toEqual(['by 11', 'by 11']);
  });

  it('gives an error to the one who led, and the next one tries for himself', async () => {
    const { cells, pass } = processes();
    const fails = cells(10).run(key, { lead: () => Promise.reject(new Error('broken')), leaseMs: 1000 });
    const next = cells(11).run(key, { lead: value('mended'), leaseMs: 0 });
    await expect(fails).rejects.toThrow('broken');
    await pass(50);
    expect(String(await next)).toBe('mended');
  });

  it('says which bound is too low', async () => {
    const { cells } = processes();
    await expect(cells(10).run(key, { lead: value('x'.repeat(17)), leaseMs: 0 })).rejects.toThrow(
      /at most 16 bytes \("valueBytes"\)/,
    );
    expect(() => cells(10).checkKey('é'.repeat(5))).toThrow(/at most 8 bytes \("keyBytes"\), received 10/);
    for (const each of ['1', '2']) void cells(10).run(Buffer.from(each), { lead: never, leaseMs: 0 });
    await expect(cells(10).run(Buffer.from('3'), { lead: never, leaseMs: 0 })).rejects.toThrow(
      /has 2 keys, and all are in use/,
    );
  });
});

it('looks at each slot a few times under the guard, however many keys are computed and waited for', async () => {
  const keys = 64;
  const pids = [10, 11, 12, 13, 14, 15, 16, 17];
  const slots = keys * pids.length;
  const all = processes(`once with ${keys} keys of 8 bytes, results of 16 bytes, for ${slots} waiters`);
  const cells = pids.map((pid) => all.cells(pid));
  const load = vi.spyOn(Atomics, 'load');
  let finish = (): void => {};
  const lead = () => new Promise<Buffer>((resolve) => (finish = () => resolve(Buffer.from('x'))));
  for (let k = 0; k < keys; k++) for (const each of cells) void each.run(Buffer.from(`${k}`), { lead, leaseMs: 0 });
  expect(load.mock.calls.length / slots).toBeLessThan(6 * slots);
  load.mockClear();
  finish();
  await all.pass(0);
  await settle();
  expect(load.mock.calls.length).toBeGreaterThan(slots);
  expect(load.mock.calls.length).toBeLessThan(12 * slots);
  load.mockRestore();
});

/** A call that computes until it is told to finish. */
function open() {
  let finish: (value: string) => void = () => {};
  const fn = () => new Promise<string>((resolve) => (finish = resolve));
  return { fn, finish: (value: string) => finish(value) };
}

describe('a leader that cannot tell of its end', () => {
  it('because a process was stopped in the midst of a change leaves as soon as that one goes on', async () => {
    const { object, cells, pass } = processes();
    const queue = cells(10);
    const guard = new Int32Array(object(1).memory);
    const fails = follow(
      queue.run(key, {
        lead: () => {
          guard[0] = object(12).owners.word;
          return Promise.reject(new Error('broken'));
        },
        leaseMs: 0,
      }),
    );
    await pass(10);
    expect(fails.error).toMatchObject({ message: 'broken' });
    guard[0] = 0;
    await pass(50);
    expect(onceFigures(object(1))).toMatchObject({ held: 0, waiting: 0 });
  });
});

describe('a call that gives up', () => {
  it('by its time or its signal leaves the leader and the others at work, and no slot behind', async () => {
    const { object, calls, pass } = processes();
    const work = open();
    const leader = follow(calls(10).run('k', { fn: work.fn, leaseMs: 0 }));
    const controller = new AbortController();
    const timed = follow(calls(11).run('k', { fn: () => 'wrong', leaseMs: 0, timeoutMs: 30 }));
    const aborted = follow(calls(12).run('k', { fn: () => 'wrong', leaseMs: 0, signal: controller.signal }));
    const patient = follow(calls(13).run('k', { fn: () => 'wrong', leaseMs: 0, timeoutMs: 1000 }));
    controller.abort(new Error('enough'));
    await pass(100);
    expect(timed.error).toMatchObject({
      code: 'ERR_SHARED_TIMEOUT',
      detail: { kind: 'once', name: 'it', timeoutMs: 30 },
    });
    expect(aborted.error).toMatchObject({ message: 'enough' });
    expect(onceFigures(object(1))).toMatchObject({ held: 1, waiting: 1 });
    work.finish('right');
    await pass(50);
    expect([leader, patient]).toEqual([{ value: 'right' }, { value: 'right' }]);
    expect(onceFigures(object(1))).toMatchObject({ held: 0, waiting: 0 });
  });

  it('goes on where it computes itself, while others of its process give up', async () => {
    const { calls, pass } = processes();
    const work = open();
    const one = calls(10);
    const controller = new AbortController();
    const leader = follow(one.run('k', { fn: work.fn, leaseMs: 0, timeoutMs: 10, signal: controller.signal }));
    const timed = follow(one.run('k', { fn: () => 'wrong', leaseMs: 0, timeoutMs: 30 }));
    const patient = follow(one.run('k', { fn: () => 'wrong', leaseMs: 0 }));
    controller.abort(new Error('not any more'));
    await pass(100);
    expect(timed.error).toMatchObject({ code: 'ERR_SHARED_TIMEOUT' });
    work.finish('right');
    await pass(10);
    expect([leader, patient]).toEqual([{ value: 'right' }, { value: 'right' }]);
  });

  it('is replaced by another one of its process, which computes when it is their turn, for its own lease', async () => {
    const { dead, arena, calls, object, pass } = processes();
    void follow(calls(10).run('k', { fn: () => new Promise(() => {}), leaseMs: 0 }));
    const one = calls(11);
    const first = follow(one.run('k', { fn: () => 'first', leaseMs: 0, timeoutMs: 30 }));
    const second = follow(one.run('k', { fn: () => 'second', leaseMs: 1000 }));
    await pass(50);
    expect(first.error).toMatchObject({ code: 'ERR_SHARED_TIMEOUT' });
    dead.add(10);
    arena.owners.markDead(10);
    settleDeadOnce(object(1));
    await pass(50);
    expect(second).toEqual({ value: 'second' });
    expect(await calls(12).run('k', { fn: () => 'third', leaseMs: 0 })).toBe('second');
  });

  it('in the turn in which its result comes gets it, or its turn passes on', async () => {
    const { object, calls, pass } = processes();
    const work = open();
    const leader = follow(calls(10).run('k', { fn: work.fn, leaseMs: 0 }));
    const controller = new AbortController();
    const late = follow(calls(11).run('k', { fn: () => 'wrong', leaseMs: 0, signal: controller.signal }));
    work.finish('right');
    for (let turn = 0; turn < 8; turn++) await Promise.resolve();
    expect([leader, late]).toEqual([{ value: 'right' }, {}]);
    controller.abort(new Error('late'));
    await pass(20);
    expect(late.error).toMatchObject({ message: 'late' });
    expect(onceFigures(object(1))).toMatchObject({ held: 0, waiting: 0 });
  });

  it('alone is not joined by a later call, which gets what it waits for', async () => {
    const { calls, pass } = processes();
    const work = open();
    void follow(calls(10).run('k', { fn: work.fn, leaseMs: 0 }));
    const one = calls(11);
    const controller = new AbortController();
    const gone = follow(one.run('k', { fn: () => 'wrong', leaseMs: 0, signal: controller.signal }));
    controller.abort(new Error('enough'));
    const later = follow(one.run('k', { fn: () => 'wrong', leaseMs: 0 }));
    work.finish('right');
    await pass(50);
    expect(gone.error).toMatchObject({ message: 'enough' });
    expect(later).toEqual({ value: 'right' });
  });
});

describe('the class Once', () => {
  it('waits as long as it is told', async () => {
    const once = new Once();
    const work = open();
    const leader = once.run('k', work.fn, { timeoutMs: 1 });
    await expect(once.run('k', () => 'wrong', { timeoutMs: 1 })).rejects.toThrow(/not to be had within 1 ms/);
    const before = AbortSignal.abort(new Error('before'));
    await expect(once.run('k', () => 'wrong', { signal: before })).rejects.toThrow('before');
    work.finish('right');
    expect(await leader).toBe('right');
  });

  it('refuses options that it cannot use', async () => {
    const once = new Once();
    const coded = (code: string) => expect.objectContaining({ code });
    await expect(once.run('k', () => 1, { timeoutMs: -1 })).rejects.toThrow(coded('ERR_OPTION_RANGE'));
    await expect(once.run('k', () => 1, { signal: {} as never })).rejects.toThrow(coded('ERR_OPTION_TYPE'));
  });
});

it('a key or a result that other processes cannot get is refused', async () => {
  const once = new Once();
  await expect(once.run('\ud800', () => 1)).rejects.toMatchObject({ code: 'ERR_OPTION_TYPE' });
  await expect(once.run('k', () => () => 1)).rejects.toMatchObject({ code: 'ERR_DATA_NOT_CLONEABLE' });
  expect(await once.run('k', () => 2)).toBe(2);
});
