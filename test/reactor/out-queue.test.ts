import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Chunk, FilePart, OutQueue } from '../../src/reactor/out-queue.js';
import { openDescriptors } from '../helpers/leaks.js';

let folder: string;
let path: string;
let before: string[];
beforeEach(() => {
  before = openDescriptors();
  folder = mkdtempSync(join(tmpdir(), 'queue-'));
  path = join(folder, 'file');
  writeFileSync(path, '0123456789');
});
afterEach(() => {
  rmSync(folder, { recursive: true });
  expect(openDescriptors()).toEqual(before);
});

const bytesOf = (length: number): Buffer => Buffer.from(Array.from({ length }, (_, i) => i % 251));
const waiting = ({ buffer, start, end }: Chunk): Buffer => Buffer.from(buffer.subarray(start, end));

/** Takes all, so many bytes at a time. */
function drain(queue: OutQueue, most: number): Buffer {
  const taken: Buffer[] = [];
  while (!queue.isEmpty) {
    const { buffer, start, end } = queue.head as Chunk;
    const piece = Buffer.from(buffer.subarray(start, Math.min(end, start + most)));
    taken.push(piece);
    queue.shift(piece.length);
  }
  return Buffer.concat(taken);
}

describe('bytes that wait for a client', () => {
  it.each([11, 1000, 1 << 20])('leave once and in order, %i at a time, and are counted', (most) => {
    const queue = new OutQueue();
    const all = bytesOf(200_000);
    expect([queue.isEmpty, queue.bytes, queue.head]).toEqual([true, 0, undefined]);
    for (let at = 0; at < all.length; at += 30_000) queue.push(all, at, Math.min(at + 30_000, all.length));
    expect(queue.bytes).toBe(200_000);
    queue.shift(0);
    expect(queue.bytes).toBe(200_000);
    expect(drain(queue, most).equals(all)).toBe(true);
    expect([queue.isEmpty, queue.bytes]).toEqual([true, 0]);
  });

  it('are copies', () => {
    const queue = new OutQueue();
    const source = bytesOf(10);
    queue.push(source, 2, 5);
    source.fill(0);
    expect([...waiting(queue.head as Chunk)]).toEqual([2, 3, 4]);
  });

  it('take little memory where they are few, and share it where they are many', () => {
    const queue = new OutQueue();
    queue.push(bytesOf(10), 0, 10);
    const first = (queue.head as Chunk).buffer.length;
    for (let i = 0; i < 20; i++) queue.push(bytesOf(10), 0, 10);
    expect([first < 16_384, queue.items.length, queue.bytes]).toEqual([true, 1, 210]);
    const large = new OutQueue();
    large.push(bytesOf(first + 1), 0, first + 1);
    expect((large.head as Chunk).buffer.length).toBeGreaterThan(first);
  });
});

describe('a file that waits', () => {
  it('keeps its place, and bytes behind it do not go before it', () => {
    const queue = new OutQueue();
    queue.push(bytesOf(3), 0, 3);
    const empty = queue.bytes;
    const part = new FilePart(path, 2, 5);
    queue.pushFile(part);
    queue.push(bytesOf(2), 0, 2);
    expect(queue.items.map((item) => item instanceof FilePart)).toEqual([false, true, false]);
    expect(queue.bytes - empty - 2).toBeGreaterThan(0); // it counts for something
    queue.shift(3);
    expect(queue.head).toBe(part);
    const { bytes } = queue;
    queue.shift(1); // no bytes lie at the head
    expect([queue.bytes, queue.head]).toEqual([bytes, part]);
    queue.shiftFile();
    expect([queue.bytes, [...waiting(queue.head as Chunk)]]).toEqual([2, [0, 1]]);
  });

  it('is closed when it has left, or when the queue is given up', () => {
    const [queue, other] = [new OutQueue(), new OutQueue()];
    for (const [of, name] of [[queue, 'left'] as const, [other, 'given up'] as const]) {
      const part = new FilePart(path, 0, 10);
      expect([name, part.descriptor > 2]).toEqual([name, true]);
      of.push(bytesOf(1), 0, 1);
      of.pushFile(part);
    }
    queue.shift(1);
    queue.shiftFile();
    other.close();
  });
});
