import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Ledger } from '../../src/messaging/ledger.js';
import { Counter, MessagingMemory } from '../../src/messaging/memory.js';
import { Queue } from '../../src/messaging/queue.js';
import { Purpose, Records } from '../../src/messaging/record.js';
import { encodeError, encodeValue } from '../../src/messaging/value.js';
import {
  ABORTED,
  entryOf,
  freed,
  GONE,
  inState,
  nextUse,
  runBy,
  SlotState,
  tryAgain,
} from '../../src/messaging/word.js';
import { MessagingWorld } from '../helpers/messaging-world.js';

const PEER = 1;
const SHORT_QUEUE = 1024;

let world: MessagingWorld;
let memory: MessagingMemory;

beforeEach(() => {
  world = new MessagingWorld();
  memory = new MessagingMemory(world.region);
});

afterEach(() => world.close());

/** A slot that waits in the state of its word. @returns its entry */
function slotIn(slot: number, state: SlotState, use = 1): number {
  let word = 0;
  for (let i = 0; i < use; i++) word = nextUse(freed(word));
  memory.int32[memory.wordIndex(PEER, slot)] = inState(word, state);
  return entryOf(PEER, slot, word);
}

describe('a queue', () => {
  it('gives the first entry whose slot waits, and passes over others', () => {
    const queue = new Queue(memory, 2, PEER);
    expect([queue.isEmpty, queue.length, queue.peek(), queue.newest]).toEqual([true, 0, 0, 0]);
    const running = slotIn(0, SlotState.running);
    const [queued, next] = [slotIn(1, SlotState.queued), slotIn(2, SlotState.queued)];
    const ofAnotherUse = slotIn(3, SlotState.queued);
    slotIn(3, SlotState.queued, 2);
    for (const entry of [running, ofAnotherUse, queued, next]) queue.push(entry);
    expect([queue.length, queue.newest]).toEqual([4, next]);
    expect([queue.peek(), queue.length]).toEqual([queued, 2]);
    queue.shift(next); // not the first: nothing happens
    expect(queue.length).toBe(2);
    queue.shift(queued);
    expect([queue.peek(), queue.length, queue.newest]).toEqual([next, 1, next]);
    queue.shift(next);
    expect([queue.isEmpty, queue.newest]).toEqual([true, 0]);
  });

  it('is seen alike by all, and each queue and producer has one of its own', () => {
    const entry = slotIn(0, SlotState.queued);
    new Queue(memory, 2, PEER).push(entry);
    expect(new Queue(new MessagingMemory(world.region), 2, PEER).peek()).toBe(entry);
    expect([new Queue(memory, 2, 2).isEmpty, new Queue(memory, 1, PEER).isEmpty]).toEqual([true, true]);
  });

  it('has room for so many, and again when stale ones are passed over', () => {
    const queue = new Queue(memory, 2, PEER);
    const entry = slotIn(0, SlotState.queued);
    for (let i = 0; i < SHORT_QUEUE; i++) {
      expect(queue.hasRoom()).toBe(true);
      queue.push(entry);
    }
    expect([queue.hasRoom(), queue.length, queue.newest]).toEqual([false, SHORT_QUEUE, entry]);
    slotIn(0, SlotState.running);
    expect([queue.hasRoom(), queue.length]).toEqual([true, 0]);
  });

  it('goes on beyond 2^31 entries', () => {
    const queue = new Queue(memory, 2, PEER);
    const head = memory.endsIndex(2, PEER);
    memory.int32.fill(0x7fffffff, head, head + 2);
    const [one, two] = [slotIn(0, SlotState.queued), slotIn(1, SlotState.queued)];
    queue.push(one);
    queue.push(two);
    expect([queue.length, queue.newest, queue.peek()]).toEqual([2, two, one]);
    queue.shift(one);
    expect([queue.peek(), queue.length]).toEqual([two, 1]);
  });

  it('rings a producer that waits for room, once, when half of it is empty', () => {
    const queue = new Queue(memory, 2, PEER);
    const entry = slotIn(0, SlotState.queued);
    expect(queue.takeWaiting()).toBe(false);
    for (let i = 0; i < SHORT_QUEUE; i++) queue.push(entry);
    expect(queue.waitForRoom()).toBe(true);
    for (let i = 0; i < SHORT_QUEUE / 2; i++) queue.shift(entry);
    expect([queue.length, queue.takeWaiting()]).toEqual([512, false]);
    queue.shift(entry);
    expect([queue.takeWaiting(), queue.takeWaiting()]).toEqual([true, false]);
    expect(queue.waitForRoom()).toBe(false);
  });
});

describe('a ledger', () => {
  const SLOT = 3;
  let ledger: Ledger;
  let index: number;
  let queued: number;
  const counts = (): number[] => [Counter.submitted, Counter.timedOut].map((counter) => memory.total(counter));

  beforeEach(() => {
    ledger = new Ledger(memory, PEER);
    index = memory.wordIndex(PEER, SLOT);
    slotIn(SLOT, SlotState.queued);
    queued = memory.int32[index] as number;
  });

  it('changes a word and counts it, once, and nothing where the word is another', () => {
    const running = runBy(queued, 7);
    expect(ledger.change(index, queued, running, Counter.submitted, Counter.timedOut)).toBe(true);
    expect([memory.int32[index], counts()]).toEqual([running, [1, 1]]);
    expect(ledger.change(index, queued, running, Counter.submitted)).toBe(false);
    ledger.settle(PEER);
    expect([memory.int32[index], counts()]).toEqual([running, [1, 1]]);
    expect(ledger.change(index, running, inState(running, SlotState.done), Counter.submitted)).toBe(true);
    expect(counts()).toEqual([2, 1]);
  });

  /** The process dies just before it changes the word, or just after; others go on from there. */
  function settleAfterDeath(from: number, to: number, now: number): number[] {
    memory.int32[index] = from;
    const before = counts();
    const atomics = Atomics.compareExchange;
    Atomics.compareExchange = () => {
      throw new Error('killed');
    };
    try {
      expect(() => ledger.change(index, from, to, Counter.submitted)).toThrow('killed');
    } finally {
      Atomics.compareExchange = atomics;
    }
    memory.int32[index] = now;
    new Ledger(memory, PEER).settle(PEER);
    new Ledger(memory, PEER).settle(PEER);
    return counts().map((count, i) => count - (before[i] ?? 0));
  }

  it('is settled by what the word has become, whoever has gone on from there', () => {
    const running = runBy(queued, 7);
    const done = inState(running, SlotState.done);
    const free = freed(queued);
    const later = inState(nextUse(free), SlotState.queued);
    const cases: [string, number, number, number, boolean][] = [
      ['not changed', running, done, running, false],
      ['changed', running, done, done, true],
      ['changed, and released', running, done, freed(done), true],
      ['changed, and used again', running, done, later, true],
      ['not changed, and the caller has gone', running, done, running | GONE, false],
      ['not changed, and the caller has given up', running, done, running | ABORTED, false],
      ['given up', running, running | ABORTED, running | ABORTED, true],
      ['not given up, but done', running, running | ABORTED, done, false],
      ['given up, and released', running, running | ABORTED, free, true],
      ['given up while it waited', queued, free, free, true],
      ['not given up while it waited, but run', queued, free, running, false],
      ['run again', running, tryAgain(running), tryAgain(running), true],
    ];
    for (const [what, from, to, now, happened] of cases) {
      expect([what, ...settleAfterDeath(from, to, now)]).toEqual([what, happened ? 1 : 0, 0]);
    }
  });
});

describe('what a slot holds', () => {
  const short = 'x'.repeat(224);
  const long = 'y'.repeat(225);
  let records: Records;

  beforeEach(() => {
    records = new Records(memory, world.overflow);
  });

  it('is for whom it was described', () => {
    records.describe(PEER, 4, Purpose.task, 3);
    records.describe(PEER, 5, Purpose.message, -1);
    expect([records.target(PEER, 4), records.isMessage(PEER, 4)]).toEqual([3, false]);
    expect([records.target(PEER, 5), records.isMessage(PEER, 5)]).toEqual([-1, true]);
  });

  it.each([
    ['', ''],
    [short, 'r'],
    ['d', long],
    [long, long],
  ])('is data and result, each in a place of its own', async (data, result) => {
    for (const slot of [4, 5]) {
      records.writeData(PEER, slot, encodeValue(`${data}`));
      records.writeResult(PEER, slot, encodeValue(Buffer.from(result)));
    }
    for (const slot of [4, 5]) {
      expect(records.readData(PEER, slot)).toBe(data);
      expect(String(records.readResult(PEER, slot))).toBe(result);
      expect(records.dataBytes(PEER, slot)).toBe(data.length);
    }
    const other = new Records(new MessagingMemory(world.region), world.overflow);
    expect(other.readData(PEER, 4)).toBe(data);
  });

  it('may be an error', () => {
    records.writeResult(PEER, 4, encodeError(new TypeError('failed')));
    expect(records.readResult(PEER, 4)).toMatchObject({ name: 'TypeError', message: 'failed' });
  });

  it('gives its place outside back, also that of a result before', () => {
    const written: unknown[] = [];
    const { free } = world.overflow;
    world.overflow.free = (offset, bytes) => {
      written.push(bytes);
      free.call(world.overflow, offset, bytes);
    };
    records.writeData(PEER, 4, encodeValue(long));
    records.writeResult(PEER, 4, encodeValue('z'.repeat(300)));
    records.writeResult(PEER, 4, encodeValue('z'.repeat(301)));
    expect(written).toEqual([300]);
    records.free(PEER, 4);
    records.free(PEER, 4);
    expect(written).toEqual([300, 225, 301]);
    records.writeData(PEER, 4, encodeValue('short'));
    expect(records.readData(PEER, 4)).toBe('short');
  });
});
