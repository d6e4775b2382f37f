import { afterEach, describe, expect, test } from 'vitest';
import * as C from '../../src/os/constants.js';
import { addressOf, allocateStable, check, EAGAIN, libc } from '../../src/os/libc.js';
import { FOR_OLD_KERNELS, FOR_ONE_THREAD, SendBatch } from '../../src/os/send-batch.js';

const EPIPE = 32;
const EBADF = 9;
const open: number[] = [];
const batches: SendBatch[] = [];

afterEach(() => {
  for (const batch of batches.splice(0)) batch.close();
  for (const descriptor of open.splice(0)) libc.close(descriptor);
});

/** Where the kernel has io_uring and lets us use it. */
const isThere = (() => {
  const batch = SendBatch.open();
  batch?.close();
  return batch !== undefined;
})();

function pair(): [number, number] {
  const ends = Buffer.alloc(8);
  check(libc.socketpair(1, 1 | 0x800, 0, ends), 'socketpair');
  const both: [number, number] = [ends.readInt32LE(0), ends.readInt32LE(4)];
  open.push(...both);
  return both;
}

/** What only its address tells of would be collected. */
const kept: Buffer[] = [];

function stable(text: string): { address: number; length: number; keep: Buffer } {
  const keep = allocateStable(Buffer.byteLength(text));
  keep.write(text);
  kept.push(keep);
  return { address: addressOf(keep), length: keep.length, keep };
}

function received(descriptor: number): string {
  const bytes = allocateStable(65_536);
  const count = libc.recv(descriptor, addressOf(bytes), bytes.length, 0);
  return bytes.toString('latin1', 0, Math.max(count, 0));
}

describe.skipIf(!isThere).each([
  ['for one thread', FOR_ONE_THREAD],
  ['for old kernels', FOR_OLD_KERNELS],
])('many sends in one call, a ring %s', (_, flags) => {
  function openBatch(): SendBatch {
    const batch = SendBatch.open([flags]) as SendBatch;
    batches.push(batch);
    return batch;
  }

  test('each gets its own bytes, and each result is told', () => {
    const batch = openBatch();
    const pairs = [pair(), pair(), pair()];
    const texts = ['one', 'the second', '3'].map(stable);
    for (const [i, [from]] of pairs.entries()) {
      const { address, length } = texts[i] as ReturnType<typeof stable>;
      batch.add(from, address, length);
    }
    batch.submit();
    expect(pairs.map((_, i) => batch.resultOf(i))).toEqual([3, 10, 1]);
    expect(pairs.map(([, to]) => received(to))).toEqual(['one', 'the second', '3']);
    expect(batch.isUsable).toBe(true);
  });

  test('errors are those of their own socket: one is full, one has gone, one was never there', () => {
    const batch = openBatch();
    const [full, good, gone] = [pair(), pair(), pair()];
    const big = allocateStable(65_536);
    while (libc.send(full[0], addressOf(big), big.length, C.MSG_NOSIGNAL) > 0);
    libc.close(gone[1]);
    open.splice(open.indexOf(gone[1]), 1);
    const { address, length } = stable('text');
    for (const descriptor of [full[0], gone[0], 999_999, good[0]]) batch.add(descriptor, address, length);
    batch.submit();
    expect([0, 1, 2, 3].map((i) => batch.resultOf(i))).toEqual([-EAGAIN, -EPIPE, -EBADF, 4]);
    expect(received(good[1])).toBe('text');
  });

  test('a socket that has room for a part takes that part', () => {
    const batch = openBatch();
    const [from] = pair();
    const big = allocateStable(8 << 20);
    batch.add(from, addressOf(big), big.length);
    batch.submit();
    expect(batch.resultOf(0)).toBeGreaterThan(0);
    expect(batch.resultOf(0)).toBeLessThan(big.length);
  });

  test('it is used again and again, over the ends of its rings, and holds so many at once', () => {
    const batch = openBatch();
    const [from, to] = pair();
    const { address, length } = stable('x');
    for (let round = 0; round < 20; round++) {
      const count = round === 10 ? 64 : 1 + ((round * 37) % 150);
      for (let i = 0; i < count; i++) batch.add(from, address, length);
      batch.submit();
      expect(received(to)).toBe('x'.repeat(count));
    }
    let held = 0;
    for (; !batch.isFull; held++) batch.add(999_999, address, length);
    batch.submit();
    expect(held).toBe(1024);
    expect(batch.resultOf(1023)).toBe(-EBADF);
  });

  test('when the kernel refuses the call all is sent one by one, and the batch says that it is of no more use', () => {
    const batch = openBatch();
    const pairs = [pair(), pair()];
    const { address, length } = stable('still sent');
    batch.add(pairs[0]?.[0] as number, address, length);
    batch.close(); // the ring is gone: EBADF
    batches.length = 0;
    batch.add(pairs[1]?.[0] as number, address, length);
    batch.submit();
    expect([batch.resultOf(0), batch.resultOf(1)]).toEqual([10, 10]);
    expect(pairs.map(([, to]) => received(to))).toEqual(['still sent', 'still sent']);
    expect(batch.isUsable).toBe(false);
  });
});
