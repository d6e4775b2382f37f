import { closeSync, ftruncateSync } from 'node:fs';
import { afterEach, describe, expect, it } from 'vitest';
import { mapShared } from '../../src/os/memory.js';
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
    ['a name with half a character', { ...spec, name: 'a\ud800' }, /ERR_SHARED_NAME/],
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

  it('begins an object anew, in memory that is zero, that was being made when its process died', () => {
    const arena = create();
    const dies = () =>
      arena.attach({
        ...spec,
        initialise: (memory) => {
          new Uint8Array(memory).fill(7);
          throw new Error('dies');
        },
      });
    expect(dies).toThrow('dies');
    expect(arena.objects()).toEqual([]);
    const { memory } = arena.attach(spec);
    expect([memory.byteLength, new Set(new Uint8Array(memory))]).toEqual([5000, new Set([0])]);
    expect(Arena.open(arena.descriptor).attach(spec).schema).toBe(spec.schema);
  });

  it.each(['x', 'é', '漢', '😀'])('compares schemas that are longer than an entry, of %s', (character) => {
    const arena = create();
    const schema = character.repeat(5000);
    const next = { ...spec, name: 'next' };
    arena.attach({ ...spec, schema });
    arena.attach(next);
    const other = Arena.open(arena.descriptor);
    expect(other.objects().map(({ name }) => name)).toEqual(['visits', 'next']);
    expect(other.attach({ ...spec, schema }).schema).toMatch(/^\S{800,}… \(checksum \d+\)$/);
    expect(() => other.attach({ ...spec, schema: `${schema.slice(0, -2)}ab` })).toThrow(/is there as/);
  });

  it('refuses a descriptor that holds none, or less than it says', () => {
    const { descriptor } = create();
    ftruncateSync(descriptor, 8000);
    expect(() => Arena.open(descriptor)).not.toThrow(); // nothing was in it: it is made whole
    const arena = create();
    arena.attach(spec);
    ftruncateSync(arena.descriptor, 8000);
    expect(() => Arena.open(arena.descriptor)).toThrow(/cut off: it has 8000 of/);
    ftruncateSync(arena.descriptor, 0);
    expect(() => Arena.open(arena.descriptor)).toThrow('it holds no shared objects');
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

  it('is inherited from an earlier process that had the pid of this one', () => {
    const arena = create();
    const at = (startTime: string) => {
      const parts = { pid: 1, isRunning: () => true, startTimeOf: () => startTime };
      const other = Arena.open(arena.descriptor, parts);
      return new OwnedLock(new Int32Array(other.attach(spec).memory), other.owners, 20);
    };
    expect(at('1').acquire(0)).toBe('free');
    const later = at('2');
    expect([later.acquire(0), later.acquire(0)]).toEqual(['inherited', 'busy']);
  });

  it("is nobody's once a run begins, whoever runs under that pid", () => {
    const arena = create();
    expect(lockOf(arena, 1, () => true).lock.acquire(0)).toBe('free');
    Arena.open(arena.descriptor).beginRun(1);
    expect(lockOf(arena, 2, () => true).lock.acquire(0)).toBe('inherited');
  });
});

describe('a record of an owner', () => {
  const parts = (pid: number, over: object = {}) => ({
    pid,
    isRunning: () => true,
    startTimeOf: (of: number) => `${of}`,
    ...over,
  });

  it('has the start time of its new owner before its pid', () => {
    const arena = create();
    const first = Arena.open(arena.descriptor, parts(5)).owners;
    const { word } = first;
    arena.owners.markDead(5);
    const seen: boolean[] = [];
    const later = Arena.open(arena.descriptor, parts(5 + 1023, { startTimeOf: () => 'late' })).owners; // the same record
    const watcher = Arena.open(
      arena.descriptor,
      parts(7, { startTimeOf: (of: number) => (of === 7 ? '7' : 'late') }),
    ).owners;
    const next = later.word;
    seen.push(watcher.isAlive(word), watcher.isAlive(next));
    expect(seen).toEqual([false, true]);
  });

  it('is not taken from a process that is just checking in, unless that one has died', () => {
    const arena = create();
    const running = new Set([9]);
    const claim = (pid: number) =>
      Arena.open(arena.descriptor, parts(pid, { isRunning: (of: number) => running.has(of) })).owners;
    const index = (word: number) => (word & 1023) - 1;
    new Int32Array(mapShared(arena.descriptor, 4096, 24_576))[9 * 6] = 9 + 2 ** 30;
    expect(index(claim(9 + 1023).word)).toBe(10);
    running.delete(9);
    expect(index(claim(9 + 2046).word)).toBe(9);
  });
});
