import { closeSync } from 'node:fs';
import { afterEach, describe, expect, it } from 'vitest';
import { Arena, MAX_OBJECTS } from '../../src/shared/arena.js';
import { OwnedLock } from '../../src/shared/owned-lock.js';

const opened: Arena[] = [];
function create(): Arena {
  const arena = Arena.create({ pid: 100, isRunning: () => true, startTimeOf: () => '1' });
  opened.push(arena);
  return arena;
}

afterEach(() => {
  for (const { descriptor } of opened.splice(0)) closeSync(descriptor);
});

const spec = { kind: 'table', name: 'visits', schema: 'a table of 10 rows', bytes: 5000 } as const;

describe('an arena', () => {
  it('gives the same memory to each process that asks for the same object', () => {
    const arena = create();
    const one = new Int32Array(
      arena.attach({ ...spec, initialise: (memory) => new Int32Array(memory).fill(7, 0, 1) }).memory,
      0,
      2,
    );
    const other = Arena.open(arena.descriptor);
    const two = new Int32Array(other.attach(spec).memory, 0, 2);
    one[1] = 9;
    expect([...two]).toEqual([7, 9]);
    expect(other.objects().map(({ kind, name, schema }) => ({ kind, name, schema }))).toEqual([
      { kind: 'table', name: 'visits', schema: 'a table of 10 rows' },
    ]);
  });

  it('keeps objects of another name or kind apart', () => {
    const arena = create();
    const memories = [spec, { ...spec, name: 'others' }, { ...spec, kind: 'cache' as const }].map(
      (each) => arena.attach(each).memory,
    );
    for (const [index, memory] of memories.entries()) new Uint8Array(memory).fill(index + 1);
    expect(memories.map((memory) => new Set(new Uint8Array(memory)))).toEqual([
      new Set([1]),
      new Set([2]),
      new Set([3]),
    ]);
  });

  it('refuses another schema behind the same name, and tells both', () => {
    const arena = create();
    arena.attach(spec);
    expect(() => arena.attach({ ...spec, schema: 'a table of 20 rows' })).toThrow(
      /"visits" is there as a table of 10 rows; the script declares it as a table of 20 rows/,
    );
  });

  it.each([
    ['no name', { ...spec, name: '' }, /ERR_SHARED_NAME/],
    ['a name of 257 bytes', { ...spec, name: 'é'.repeat(129) }, /ERR_SHARED_NAME/],
    ['more bytes than a view may have', { ...spec, bytes: 2 ** 32 + 1 }, /ERR_SHARED_LIMIT/],
  ])('refuses %s', (_, given, code) => {
    expect(() => create().attach(given)).toThrow(expect.objectContaining({ code: expect.stringMatching(code) }));
  });

  it('holds a bounded number of objects', () => {
    const arena = create();
    for (let i = 0; i < MAX_OBJECTS; i++) arena.attach({ ...spec, name: `n${i}`, bytes: 8 });
    expect(() => arena.attach(spec)).toThrow(/there are 256 already/);
    expect(arena.attach({ ...spec, name: 'n255', bytes: 8 }).name).toBe('n255');
  });

  it('begins an object anew that was being made when its process died', () => {
    const arena = create();
    const dies = () =>
      arena.attach({
        ...spec,
        initialise: () => {
          throw new Error('dies');
        },
      });
    expect(dies).toThrow('dies');
    expect(arena.objects()).toEqual([]);
    expect(arena.attach(spec).memory.byteLength).toBe(5000);
  });
});

describe('an owned lock', () => {
  function lockOf(arena: Arena, pid: number, isRunning: (pid: number) => boolean, patienceMs = 20) {
    const other = Arena.open(arena.descriptor, { pid, isRunning, startTimeOf: () => '1' });
    return {
      lock: new OwnedLock(new Int32Array(other.attach(spec).memory), other.owners, patienceMs),
      owners: other.owners,
    };
  }

  it('is never taken from an owner that lives', () => {
    const arena = create();
    const one = lockOf(arena, 1, () => true);
    const two = lockOf(arena, 2, () => true);
    expect(one.lock.acquire(0)).toBe('free');
    expect(two.lock.acquire(0)).toBe('busy');
    one.lock.release(0);
    expect(two.lock.acquire(0)).toBe('free');
  });

  it('is inherited from an owner that died, once, also when another process has its pid and its record now', () => {
    const arena = create();
    expect(lockOf(arena, 1, () => true).lock.acquire(0)).toBe('free');
    const again = lockOf(arena, 1, (pid) => pid === 1); // the same pid: a later process
    void again.owners.word;
    expect(lockOf(arena, 2, (pid) => pid !== 1).lock.acquire(0)).toBe('inherited');
    expect(lockOf(arena, 3, (pid) => pid !== 1).lock.acquire(0)).toBe('busy');
  });

  it('is inherited from a process that was reaped, without asking the kernel', () => {
    const arena = create();
    expect(lockOf(arena, 1, () => true).lock.acquire(0)).toBe('free');
    arena.owners.markDead(1);
    expect(lockOf(arena, 2, () => true).lock.acquire(0)).toBe('inherited');
  });
});
