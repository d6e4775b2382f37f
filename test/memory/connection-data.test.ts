import { once } from 'node:events';
import { fstatSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import { ConnectionData, type DataParts, MAX_DATA_BYTES, SHORT_DATA_BYTES } from '../../src/memory/connection-data.js';
import { DATA_RECORD_BYTES } from '../../src/memory/layout.js';
import { Region } from '../../src/memory/region.js';
import { ownerWord } from '../../src/memory/shared-lock.js';
import { PAGE_BYTES } from '../../src/os/memory.js';
import { testShape } from '../helpers/test-shape.js';

const SLOTS = 4096;
const SLOT = 3000;
/** The sessions of one slot, one after the other. */
const [EARLIER, SESSION, LATER] = [1, 2, 3].map((generation) => generation * SLOTS + SLOT) as [number, number, number];

let region: Region;
let data: ConnectionData;

beforeEach(() => {
  region = Region.create(testShape({ slots: SLOTS, dataSlots: SLOTS }));
  data = new ConnectionData(region);
});

const bytesOf = (length: number, seed = 1): Buffer =>
  Buffer.from(Array.from({ length }, (_, index) => (index * 31 + seed * 7 + 1) & 0xff));

/** Quicker to compare. */
const textOf = (bytes: Buffer | undefined): string | undefined => bytes?.toString('latin1');

const sizes = [0, 1, SHORT_DATA_BYTES, SHORT_DATA_BYTES + 1, MAX_DATA_BYTES];

describe('the data of a connection', () => {
  it.each(sizes)('is read as it was written, with %i bytes', (length) => {
    for (const seed of [1, 2, 3]) {
      expect(data.write(SESSION, bytesOf(length, seed))).toBe(true);
      expect(data.read(SESSION)).toEqual(bytesOf(length, seed));
    }
    expect(new ConnectionData(Region.open(region.descriptor)).read(SESSION)).toEqual(bytesOf(length, 3));
  });

  it('has its place in the record up to about a hundred bytes', () => {
    expect(SHORT_DATA_BYTES).toBe(108);
  });

  it('is not there before it was written, nor after clear', () => {
    expect(data.read(SESSION)).toBeUndefined();
    for (const length of sizes) {
      data.write(SESSION, bytesOf(length));
      data.clear(SESSION);
      expect(data.read(SESSION)).toBeUndefined();
    }
    data.write(SESSION, bytesOf(5));
    expect(data.read(SESSION)).toEqual(bytesOf(5));
  });

  it('is refused above 4,096 bytes, and stays as it was', () => {
    data.write(SESSION, bytesOf(7));
    expect(data.write(SESSION, bytesOf(MAX_DATA_BYTES + 1))).toBe(false);
    expect(data.read(SESSION)).toEqual(bytesOf(7));
  });

  it('does not exist where no port speaks WebSocket', () => {
    const none = new ConnectionData(Region.create(testShape()));
    expect(none.write(SESSION, bytesOf(1))).toBe(false);
    expect(none.read(SESSION)).toBeUndefined();
    none.clear(SESSION);
  });

  it('is that of one session: the next one of its slot begins without', () => {
    data.write(EARLIER, bytesOf(50));
    expect(data.read(SESSION)).toBeUndefined();
    data.clear(SESSION);
    expect(data.read(EARLIER)).toEqual(bytesOf(50));
    data.write(SESSION, bytesOf(60));
    expect(data.read(EARLIER)).toBeUndefined();
  });

  it('is not harmed by late writes of an earlier session', () => {
    data.write(SESSION, bytesOf(2000, 4));
    data.write(EARLIER, bytesOf(3000));
    data.clear(EARLIER);
    expect(data.read(SESSION)).toEqual(bytesOf(2000, 4));
    expect(data.read(EARLIER)).toBeUndefined();
  });

  it('lies apart from that of other slots', () => {
    const some = [0, 1, 2, 2047, 2048, SLOTS - 1].map((slot) => 2 ** 40 + 5 * SLOTS + slot);
    for (const length of sizes) {
      for (const [index, id] of some.entries()) data.write(id, bytesOf(length, index));
      for (const [index, id] of some.entries()) expect(data.read(id)).toEqual(bytesOf(length, index));
    }
  });

  it.runIf(PAGE_BYTES === 4096)('gives the pages of long data back when it is cleared', () => {
    const blocks = (): number => fstatSync(region.descriptor).blocks;
    data.write(SESSION, bytesOf(1));
    const before = blocks();
    data.write(SESSION, bytesOf(MAX_DATA_BYTES));
    data.write(SESSION, bytesOf(MAX_DATA_BYTES));
    data.write(SESSION, bytesOf(1));
    expect(blocks()).toBe(before + 16);
    data.clear(SESSION);
    expect(blocks()).toBe(before);
    data.write(LATER, bytesOf(MAX_DATA_BYTES, 9));
    data.clear(SESSION);
    expect(data.read(LATER)).toEqual(bytesOf(MAX_DATA_BYTES, 9));
  });
});

class Killed extends Error {}

const DEAD = 4_000_000;

/** As a process that is killed before that step of its first write. */
function dying(step: number): ConnectionData {
  let steps = 0;
  const atStep = (): void => {
    if (++steps === step) throw new Killed();
  };
  return new ConnectionData(region, { atStep, owner: ownerWord(DEAD, 0) });
}

/** @returns true when it was killed before it was done */
function diesIn(act: () => void): boolean {
  try {
    act();
    return false;
  } catch (error) {
    expect(error).toBeInstanceOf(Killed);
    return true;
  }
}

const survivor: DataParts = { isRunning: (pid) => pid !== DEAD };
const lengths = [...sizes, undefined];
const histories = lengths.flatMap((before) => lengths.map((after) => [before, after] as const));

describe('a writer that is killed', () => {
  it.each(histories)(
    'leaves what was there or what it wrote (%s, then %s bytes), and holds no one up',
    (before, after) => {
      for (let step = 1, isKilled = true; isKilled; step++) {
        region = Region.create(testShape({ slots: SLOTS, dataSlots: SLOTS }));
        const living = new ConnectionData(region, survivor);
        const expected = [before, after].map((length) => (length === undefined ? undefined : bytesOf(length, step)));
        const [old, fresh] = expected;
        if (old !== undefined) living.write(SESSION, old);
        const victim = dying(step);
        isKilled = diesIn(() => (fresh === undefined ? victim.clear(SESSION) : victim.write(SESSION, fresh)));
        expect((isKilled ? expected : [fresh]).map(textOf)).toContain(textOf(living.read(SESSION)));
        for (const length of sizes) {
          expect(living.write(SESSION, bytesOf(length, 77))).toBe(true);
          expect(textOf(living.read(SESSION))).toBe(textOf(bytesOf(length, 77)));
        }
        living.clear(SESSION);
        expect(living.read(SESSION)).toBeUndefined();
      }
    },
  );

  // Clearing long data gives its pages back in the end.
  const recorded = histories.filter(([before = 0, after]) => after !== undefined || before <= SHORT_DATA_BYTES);

  it.each(recorded)('leaves what was there, whatever of its stores are seen (%s, then %s bytes)', (before, after) => {
    const { at } = region.layout.data;
    const record = Buffer.from(region.part(at, SLOTS * DATA_RECORD_BYTES), SLOT * DATA_RECORD_BYTES, DATA_RECORD_BYTES);
    const version = [4, 5, 6, 7];
    if (before !== undefined) data.write(SESSION, bytesOf(before));
    const old = Buffer.from(record);
    if (after === undefined) data.clear(SESSION);
    else data.write(SESSION, bytesOf(after, 2));
    const changed = [...record.keys()].filter((index) => record[index] !== old[index] && !version.includes(index));
    const fresh = Buffer.from(record);
    fc.assert(
      fc.property(fc.subarray(changed), (seen) => {
        record.set(old);
        for (const index of seen) record[index] = fresh[index] ?? 0;
        expect(textOf(data.read(SESSION))).toBe(before === undefined ? undefined : textOf(bytesOf(before)));
      }),
      { numRuns: 30 },
    );
  });
});

describe('a writer that is stopped in the midst of a write', () => {
  it.each([1, 2, 3, 4])('loses its turn at step %i, spoils nothing, and writes again', (stop) => {
    const [first, other, mine] = [bytesOf(4000, 1), bytesOf(4000, 2), bytesOf(4000, 3)];
    const patienceMs = 1;
    let steps = 0;
    const others = new ConnectionData(region, { patienceMs, owner: ownerWord(process.pid, 1) });
    const atStep = (): void => {
      steps++;
      if (steps === stop) {
        others.write(SESSION, other);
        expect(data.read(SESSION)).toEqual(other);
      }
      // From here on the half it fills may be the one that counts.
      expect([first, other, mine].map(textOf)).toContain(textOf(data.read(SESSION)));
    };
    data.write(SESSION, first);
    new ConnectionData(region, { patienceMs, atStep, owner: ownerWord(process.pid, 2) }).write(SESSION, mine);
    expect(steps).toBeGreaterThan(4);
    expect(data.read(SESSION)).toEqual(mine);
    expect(data.write(SESSION, first)).toBe(true);
  });
});

it('data that two threads write at once is never read as a mixture', async () => {
  const fixture = fileURLToPath(new URL('../fixtures/memory-writers.js', import.meta.url));
  const signal = new Int32Array(new SharedArrayBuffer(4));
  const shared = { descriptor: region.descriptor, job: 'data', sessionId: SESSION, signal };
  const threads = ['abc', 'xyz'].map((letters) => new Worker(fixture, { workerData: { ...shared, letters } }));
  const ends = threads.map((thread) => once(thread, 'message'));
  const seen = new Set<string>();
  const began = performance.now();
  while (seen.size < 6 || performance.now() - began < 300) {
    const found = data.read(SESSION);
    if (found !== undefined) {
      const [first = 0] = found;
      expect(found.every((byte) => byte === first)).toBe(true);
      seen.add(String.fromCharCode(first));
    }
    if (seen.size === 0) await new Promise(setImmediate);
  }
  Atomics.store(signal, 0, 1);
  await Promise.all(ends);
  expect([...seen].sort().join('')).toBe('abcxyz');
});
