import { spawnSync } from 'node:child_process';
import { closeSync, constants, mkdtempSync, openSync, readSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { passOnBytes, realStandardError } from '../../src/ipc/boot-output.js';
import { standardError } from '../../src/util/log-file.js';
import { eventually } from '../helpers/eventually.js';

let folder: string;
let pipe: number;
let before: number;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'pass-on-'));
  const path = join(folder, 'pipe');
  spawnSync('mkfifo', [path]);
  pipe = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
  before = realStandardError();
  standardError.moveTo(pipe);
});
afterEach(() => {
  standardError.moveTo(before);
  closeSync(pipe);
  rmSync(folder, { recursive: true });
});

function read(): Buffer {
  const bytes = Buffer.alloc(1 << 16);
  try {
    return bytes.subarray(0, readSync(pipe, bytes));
  } catch {
    return Buffer.alloc(0); // nothing is there
  }
}

it('what a child prints comes to the standard error of this process as it is', async () => {
  const stream = new PassThrough();
  passOnBytes(stream);
  const bytes = Buffer.from([0xc3, 0xbc, 0, 0xff, 10]);
  stream.write(bytes);
  await eventually(() => expect(stream.readableLength).toBe(0));
  expect(read()).toEqual(bytes);
});

it('a reader that is slow stops the child, and loses nothing', async () => {
  const stream = new PassThrough({ highWaterMark: 1 << 16 });
  passOnBytes(stream);
  const all = Buffer.from(Array.from({ length: 300_000 }, (_, at) => (at * 31) % 251));
  for (let at = 0; at < all.length; at += 50_000) stream.write(all.subarray(at, at + 50_000));
  await eventually(() => expect(stream.isPaused()).toBe(true));
  expect(stream.readableLength).toBeGreaterThan(0);
  const pieces: Buffer[] = [];
  await eventually(() => {
    pieces.push(read());
    expect(Buffer.concat(pieces).length).toBe(all.length);
  });
  expect(Buffer.concat(pieces).equals(all)).toBe(true);
  await eventually(() => expect(stream.isPaused()).toBe(false));
});
