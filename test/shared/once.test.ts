import { closeSync } from 'node:fs';
import { afterEach, describe, expect, it } from 'vitest';
import { Arena } from '../../src/shared/arena.js';
import { OnceCells, settleDeadOnce } from '../../src/shared/once.js';
import { Waiting } from '../../src/shared/waiting/waiting.js';
import { FakeClock } from '../helpers/fake-clock.js';

const arenas: Arena[] = [];
afterEach(() => {
  for (const { descriptor } of arenas.splice(0)) closeSync(descriptor);
});

/** Several processes, made up, over one arena: 2 keys, results of 16 bytes. */
function processes() {
  const dead = new Set<number>();
  const clock = new FakeClock();
  const kernel = { isRunning: (pid: number) => !dead.has(pid), startTimeOf: () => '1' };
  const arena = Arena.create({ pid: 1, ...kernel });
  arenas.push(arena);
  const schema = 'once with 2 keys of 8 bytes, results of 16 bytes, for 8 waiters';
  const object = (pid: number) =>
    Arena.open(arena.descriptor, { pid, ...kernel }).attach({ kind: 'once', name: 'it', schema, bytes: 1024 });
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
  return { dead, arena, object, cells, pass };
}

const key = Buffer.from('k');
const value = (text: string) => async () => Buffer.from(text);
const never = () => new Promise<Buffer>(() => {});

describe('once', () => {
  it('computes in one process, and gives all others the result', async () => {
    const { cells, pass } = processes();
    let finish: (bytes: Buffer) => void = () => {};
    const first = cells(10).run(key, () => new Promise((resolve) => (finish = resolve)), 0);
    const others = [11, 12].map((pid) => cells(pid).run(key, value('wrong'), 0));
    await pass(50);
    finish(Buffer.from('right'));
    await pass(50);
    expect((await Promise.all([first, ...others])).map(String)).toEqual(['right', 'right', 'right']);
    expect(String(await cells(13).run(key, value('later'), 0))).toBe('later');
  });

  it('keeps a result as long as its lease, and puts another key in the place of the one that ends first', async () => {
    const { cells, pass } = processes();
    await cells(10).run(key, value('kept'), 100);
    expect(String(await cells(11).run(key, value('new'), 0))).toBe('kept');
    await pass(100);
    expect(String(await cells(11).run(key, value('new'), 1000))).toBe('new');
    await cells(10).run(Buffer.from('2'), value('2'), 2000);
    await cells(10).run(Buffer.from('3'), value('3'), 2000);
    expect(String(await cells(10).run(key, value('again'), 0))).toBe('again');
  });

  it('lets one who waited lead, once the leader has died', async () => {
    const { dead, arena, cells, object, pass } = processes();
    void cells(10).run(key, never, 0);
    const others = [11, 12].map((pid) => cells(pid).run(key, value(`by ${pid}`), 0));
    await pass(20);
    dead.add(10);
    arena.owners.markDead(10);
    settleDeadOnce(object(1));
    await pass(100);
    expect((await Promise.all(others)).map(String)).toEqual(['by 11', 'by 11']);
  });

  it('gives an error to the one who led, and the next one tries for himself', async () => {
    const { cells, pass } = processes();
    const fails = cells(10).run(key, () => Promise.reject(new Error('broken')), 1000);
    const next = cells(11).run(key, value('mended'), 0);
    await expect(fails).rejects.toThrow('broken');
    await pass(50);
    expect(String(await next)).toBe('mended');
  });

  it('says which bound is too low', async () => {
    const { cells } = processes();
    await expect(cells(10).run(key, value('x'.repeat(17)), 0)).rejects.toThrow(/at most 16 bytes \("valueBytes"\)/);
    expect(() => cells(10).checkKey('é'.repeat(5))).toThrow(/at most 8 bytes \("keyBytes"\), received 10/);
    for (const each of ['1', '2']) void cells(10).run(Buffer.from(each), never, 0);
    await expect(cells(10).run(Buffer.from('3'), never, 0)).rejects.toThrow(/has 2 keys, and all are in use/);
  });
});
