import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ProfilePiece } from '../../src/ipc/message.js';
import { LeftProfile } from '../../src/messaging/left-profile.js';
import { MessagingMemory } from '../../src/messaging/memory.js';
import { freeParts, Overflow } from '../../src/messaging/overflow.js';
import { answerProfile } from '../../src/messaging/profile-answer.js';
import { MessagingWorld } from '../helpers/messaging-world.js';

let world: MessagingWorld;
let overflow: Overflow;
let folder: string;

beforeEach(() => {
  world = new MessagingWorld();
  overflow = world.overflow;
  folder = mkdtempSync(join(tmpdir(), 'profile-'));
});

afterEach(() => {
  world.close();
  rmSync(folder, { recursive: true });
});

const order = (path: string) => ({ request: 7, kind: 'cpu' as const, durationMs: 20, path });

async function textOf(pieces: readonly ProfilePiece[]): Promise<string> {
  const read: Buffer[] = [];
  for await (const piece of new LeftProfile(pieces, overflow).read()) read.push(piece);
  return Buffer.concat(read).toString();
}

describe('a profile', () => {
  it('of the processor that is left for the master is what developer tools read', async () => {
    const begin = performance.now();
    const answer = await answerProfile(order(''), overflow);
    expect(performance.now() - begin).toBeGreaterThanOrEqual(19);
    expect(answer).toEqual({ type: 'profiled', request: 7, pieces: [expect.anything()] });
    const text = await textOf(answer.pieces ?? []);
    expect(JSON.parse(text)).toMatchObject({ nodes: expect.any(Array), endTime: expect.any(Number) });
    expect(new LeftProfile(answer.pieces ?? [], overflow).bytes).toBe(Buffer.byteLength(text));
  });

  it('of the memory is whole, and its place is free again when it was read', async () => {
    const { pieces = [] } = await answerProfile({ ...order(''), kind: 'heap' }, overflow);
    const text = await textOf(pieces);
    expect(Object.keys(JSON.parse(text))).toContain('snapshot');
    const left = new LeftProfile(pieces, overflow);
    expect(left.bytes).toBe(pieces.reduce((sum, { bytes }) => sum + bytes, 0));
    left.free();
    expect((await textOf(pieces)).replaceAll('\0', '')).toBe('');
  });

  it('into a file is there for its owner alone', async () => {
    const path = join(folder, 'cpu.cpuprofile');
    expect(await answerProfile(order(path), overflow)).toEqual({ type: 'profiled', request: 7 });
    expect(JSON.parse(readFileSync(path, 'utf8'))).toHaveProperty('nodes');
    expect(statSync(path).mode & 0o777).toBe(0o600);
  });

  it('replaces nothing, follows no link, and says so', async () => {
    const path = join(folder, 'there');
    writeFileSync(path, 'mine');
    symlinkSync(join(folder, 'elsewhere'), join(folder, 'link'));
    for (const taken of [path, join(folder, 'link')]) {
      const { failed } = await answerProfile(order(taken), overflow);
      expect(failed).toBe(`there is something at ${taken} already, and a profile replaces nothing: name a new file`);
    }
    expect([readFileSync(path, 'utf8'), existsSync(join(folder, 'elsewhere'))]).toEqual(['mine', false]);
    const { failed } = await answerProfile(order(join(folder, 'no', 'folder')), overflow);
    expect(failed).toContain('ENOENT');
  });
});

describe('the file for large data', () => {
  it('has a place of its own for each value, on pages that nobody shares', () => {
    const offsets = [1, 4096, 4097, 1].map((bytes) => overflow.reserve(bytes));
    const [first = 0] = offsets;
    expect(offsets).toEqual([first, first + 4096, first + 8192, first + 16_384]);
    expect(first).toBe(4096);
  });

  it.each([1, 4096, 512 * 1024, 512 * 1024 + 1])('gives %i bytes back, large ones later', async (length) => {
    const data = Buffer.from(Array.from({ length }, (_, index) => index & 0xff));
    const offset = overflow.reserve(length);
    overflow.write(offset, data);
    const read = overflow.read(offset, length);
    expect(read instanceof Promise).toBe(length > 512 * 1024);
    expect(data.equals(await read)).toBe(true);
  });

  it('gives back the pages of what is freed, and no others', async () => {
    const [one, two] = [overflow.reserve(5000), overflow.reserve(5000)] as const;
    for (const offset of [one, two]) overflow.write(offset, Buffer.alloc(5000, 'x'));
    overflow.free(one, 5000);
    expect((await overflow.read(one, 5000)).every((byte) => byte === 0)).toBe(true);
    expect((await overflow.read(two, 5000)).every((byte) => byte === 0x78)).toBe(true);
  });

  it('begins again at its start where the part of a process is full', () => {
    const part = 2 ** 42;
    const memory = new MessagingMemory(world.region);
    const other = new Overflow(-1, memory, 2);
    const at = memory.overflowPositionIndex(2);
    memory.float64[at] = part - 8192;
    expect([other.reserve(4097), other.reserve(1)]).toEqual([2 * part + part - 8192, 2 * part + 4096]);
    memory.float64[at] = part - 4096;
    expect(other.reserve(4097)).toBe(2 * part + 4096);
  });

  it('that ends within a value says so', async () => {
    const offset = overflow.reserve(10);
    overflow.write(offset, Buffer.from('12345'));
    expect(() => overflow.read(offset, 10)).toThrow('the overflow file ends after 5 bytes of a value');
    const far = overflow.reserve(600_000);
    await expect(overflow.read(far, 600_000)).rejects.toThrow('the overflow file ends after 0 bytes of a value');
  });

  it('is freed by who is no party to it too', () => {
    expect(() => freeParts(-1, [])).not.toThrow();
    expect(() => freeParts(-1, [{ offset: 4096, bytes: 1 }])).toThrow();
  });
});
