import { closeSync, fstatSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Giver, Taker } from '../../src/base/hand-over.js';
import { createMessagePair, DescriptorMessage, LONGEST_MESSAGE } from '../../src/os/descriptor-passing.js';
import { READABLE, WRITABLE } from '../../src/os/poller.js';
import type { EventRecord, Snapshot } from '../../src/reactor/handoff/snapshot.js';
import { FakePoller } from '../helpers/fake-poller.js';
import { openDescriptors } from '../helpers/leaks.js';

let folder: string;
let give: number;
let take: number;
let before: string[];
let giverPoller: FakePoller;
let takerPoller: FakePoller;
/** How often the giver has said that it is done. */
let done: number;

beforeEach(() => {
  before = openDescriptors();
  folder = mkdtempSync(join(tmpdir(), 'hand-over-'));
  [give, take] = createMessagePair();
  done = 0;
});
afterEach(() => {
  for (const end of [give, take]) closeSync(end);
  rmSync(folder, { recursive: true });
  expect(openDescriptors()).toEqual(before);
});

/** What a connection is, as far as the channel is concerned: a record, a descriptor, bytes. */
const snapshot = (token: number, descriptor: number, ...bytes: Buffer[]): Snapshot =>
  ({ record: { kind: 'event', worker: token } as unknown as EventRecord, descriptor, bytes }) as Snapshot;
const file = (name: string): number => {
  writeFileSync(join(folder, name), name);
  return openSync(join(folder, name), 'r');
};
const giver = (...cargo: Snapshot[]): Giver =>
  new Giver(
    give,
    cargo,
    (handler) => {
      giverPoller = new FakePoller(handler);
      return giverPoller;
    },
    () => done++,
  );
const taker = (): Taker =>
  new Taker(take, (handler) => {
    takerPoller = new FakePoller(handler);
    return takerPoller;
  });
const bytesOf = ({ bytes }: Snapshot): Buffer => Buffer.concat(bytes);

describe('what is given away', () => {
  it('is nothing where there is nothing, and the giver is done at once', () => {
    giver();
    expect(done).toBe(1);
    expect(taker().finish()).toEqual([]);
  });

  it('comes whole and in order: record, descriptor and bytes', () => {
    giver(snapshot(1, file('one'), Buffer.from('a'), Buffer.from('bc')), snapshot(2, -1), snapshot(3, file('three')));
    expect(done).toBe(1);
    const taken = taker().finish();
    expect(taken.map(({ record }) => record)).toEqual([1, 2, 3].map((worker) => ({ kind: 'event', worker })));
    expect(taken.map((one) => bytesOf(one).toString())).toEqual(['abc', '', '']);
    const [one, two, three] = taken.map(({ descriptor }) => descriptor);
    expect([readFileSync(one ?? -1, 'utf8'), two, readFileSync(three ?? -1, 'utf8')]).toEqual(['one', -1, 'three']);
    for (const descriptor of [one, three]) closeSync(descriptor ?? -1);
  });

  it.each([100, 40, 20, 0, -LONGEST_MESSAGE])(
    'comes whole where its record is about as long as a message (%d less), or longer',
    (less) => {
      const name = 'é'.repeat((LONGEST_MESSAGE - less) / 2);
      giver(snapshot(name as never, file('one'), Buffer.from('a')), snapshot(2, -1));
      const taken = taker().finish();
      expect(taken.map(({ record }) => (record as EventRecord).worker)).toEqual([name, 2]);
      expect(taken.map((one) => bytesOf(one).toString())).toEqual(['a', '']);
      closeSync(taken[0]?.descriptor ?? -1);
    },
  );

  it('is skipped where an earlier taker has died with the beginning of a long record', () => {
    giver(snapshot('x'.repeat(LONGEST_MESSAGE * 2) as never, -1, Buffer.from('a')), snapshot(2, -1));
    const message = new DescriptorMessage();
    message.receive(take);
    expect(
      taker()
        .finish()
        .map(({ record }) => (record as EventRecord).worker),
    ).toEqual([2]);
  });

  it.each([LONGEST_MESSAGE - 100, LONGEST_MESSAGE, 3 * LONGEST_MESSAGE, 1 << 20])(
    'may have a record of %s characters',
    (length) => {
      const record = { kind: 'event', state: 'é'.repeat(length / 2) } as unknown as EventRecord;
      const closer = giver({ record, descriptor: file('one'), bytes: [Buffer.from('ab')] }, snapshot(2, -1));
      const comer = taker();
      while (done === 0) {
        comer.ready();
        closer.ready();
      }
      const [long, short] = comer.finish() as [Snapshot, Snapshot];
      expect(long.record).toEqual(record);
      expect(bytesOf(long).toString()).toBe('ab');
      expect(readFileSync(long.descriptor, 'utf8')).toBe('one');
      expect(short.record).toEqual({ kind: 'event', worker: 2 });
      closeSync(long.descriptor);
    },
  );

  it('is no more open at the giver, whose copy is closed when it has left', () => {
    const mine = file('one');
    giver(snapshot(1, mine));
    expect(() => fstatSync(mine)).toThrow(expect.objectContaining({ code: 'EBADF' }));
    for (const { descriptor } of taker().finish()) closeSync(descriptor);
  });

  it.each([0, 1, LONGEST_MESSAGE - 2, LONGEST_MESSAGE - 1, LONGEST_MESSAGE])('may have %i bytes', (length) => {
    const bytes = Buffer.from(Array.from({ length }, (_, at) => at % 251));
    giver(snapshot(1, -1, bytes), snapshot(2, -1, Buffer.from('x')));
    const [first, second] = taker().finish();
    expect(bytesOf(first as Snapshot).equals(bytes)).toBe(true);
    expect(bytesOf(second as Snapshot).toString()).toBe('x');
  });

  it('outlives a giver that is done before the taker has begun', () => {
    giver(snapshot(1, -1, Buffer.from('kept')));
    expect(done).toBe(1);
    expect(giverPoller.asked).toEqual([`abandon ${give}`]);
    expect(
      taker()
        .finish()
        .map((one) => bytesOf(one).toString()),
    ).toEqual(['kept']);
  });
});

describe('a channel that is full', () => {
  const large = 40 * LONGEST_MESSAGE;

  it('lets the giver wait until the taker has read, and nothing is lost', () => {
    const bytes = Buffer.alloc(large, 'abcdefg');
    giver(snapshot(1, file('one'), bytes), snapshot(2, file('two')));
    expect(done).toBe(0);
    expect(giverPoller.asked).toEqual([`rearm ${give} ${WRITABLE}`]);
    const receiving = taker();
    for (let rounds = 0; done === 0 && rounds < 1000; rounds++) {
      takerPoller.report(take, READABLE);
      giverPoller.report(give, WRITABLE);
    }
    expect(done).toBe(1);
    const [first, second] = receiving.finish();
    expect(bytesOf(first as Snapshot).equals(bytes)).toBe(true);
    expect(readFileSync(second?.descriptor ?? -1, 'utf8')).toBe('two');
    for (const one of [first, second]) closeSync(one?.descriptor ?? -1);
  });

  it('loses, when the giver dies in the middle, only what had not come whole, and leaves no descriptor', () => {
    const whole = snapshot(1, -1, Buffer.from('whole'));
    const cut = file('cut');
    giver(whole, snapshot(2, cut, Buffer.alloc(large)));
    expect(
      taker()
        .finish()
        .map((one) => bytesOf(one).toString()),
    ).toEqual(['whole']);
  });

  it('goes on, for a taker whose predecessor died with the record, at the next record', () => {
    const message = new DescriptorMessage();
    const bytes = Buffer.alloc(2 * LONGEST_MESSAGE, 'x');
    giver(snapshot(1, -1, bytes), snapshot(2, -1, Buffer.from('next')));
    message.receive(take); // and dies
    expect(
      taker()
        .finish()
        .map(({ record }) => record),
    ).toEqual([{ kind: 'event', worker: 2 }]);
  });
});

describe('a taker', () => {
  it('takes from its boot on, and gives out each thing once', () => {
    const receiving = taker();
    giver(snapshot(1, -1));
    takerPoller.report(take, READABLE);
    expect(receiving.finish()).toHaveLength(1);
    expect(receiving.finish()).toEqual([]);
  });

  it('asks to be told of more, and watches the channel no longer when it has finished', () => {
    const receiving = taker();
    takerPoller.report(take, READABLE);
    expect(takerPoller.asked).toEqual([`rearm ${take} ${READABLE}`]);
    receiving.finish();
    expect(takerPoller.watched.size).toBe(0);
    expect(() => fstatSync(take)).not.toThrow(); // it is for every process of this id
  });
});
