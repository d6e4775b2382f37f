import { mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { takeProfile, writeProfile } from '../../src/util/profile.js';
import { openDescriptors } from '../helpers/leaks.js';

const heap = vi.hoisted(() => ({ snapshot: (): unknown => undefined }));
vi.mock('node:v8', async (original) => ({
  ...(await original<typeof import('node:v8')>()),
  getHeapSnapshot: () => heap.snapshot(),
}));

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'profile-'));
  heap.snapshot = () => Readable.from(['{"ä":', Buffer.from('1}')]);
});
afterEach(() => rmSync(folder, { recursive: true }));

const wish = (kind: 'cpu' | 'heap', durationMs = 0) => ({ kind, durationMs });

describe('a profile', () => {
  it('of the time of this process is one piece of JSON, which took as long as it was to', async () => {
    const pieces: string[] = [];
    await takeProfile(wish('cpu', 20), (piece) => pieces.push(String(piece)));
    expect(pieces).toHaveLength(1);
    const { nodes, startTime, endTime } = JSON.parse(pieces[0] ?? '');
    expect(nodes.length).toBeGreaterThan(0);
    expect(endTime - startTime).toBeGreaterThan(15_000); // µs
  });

  it('of its heap comes in pieces, as they are made', async () => {
    const pieces: Buffer[] = [];
    await takeProfile(wish('heap'), (piece) => pieces.push(Buffer.from(piece)));
    expect(pieces.map(String)).toEqual(['{"ä":', '1}']);
  });

  it('is written to a new file of its owner', async () => {
    const path = join(folder, 'x');
    const before = openDescriptors();
    await writeProfile(wish('heap'), path);
    expect(openDescriptors()).toEqual(before);
    expect(readFileSync(path, 'utf8')).toBe('{"ä":1}');
    expect(statSync(path).mode & 0o777).toBe(0o600);
  });

  it('replaces nothing, and follows no link', async () => {
    const path = join(folder, 'x');
    writeFileSync(path, 'old');
    symlinkSync(join(folder, 'nowhere'), join(folder, 'link'));
    for (const taken of [path, join(folder, 'link')]) {
      await expect(writeProfile(wish('heap'), taken)).rejects.toThrow(/there is something at .*: name a new file/);
    }
    expect(readFileSync(path, 'utf8')).toBe('old');
    await expect(writeProfile(wish('heap'), join(folder, 'no', 'x'))).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('of a process that ends meanwhile leaves no file', async () => {
    const listeners = process.listeners('exit');
    const path = join(folder, 'x');
    const written = writeProfile(wish('cpu', 50), path);
    expect(statSync(path).size).toBe(0);
    const [ours] = process.listeners('exit').filter((one) => !listeners.includes(one));
    (ours as () => void)();
    expect(() => statSync(path)).toThrow(/ENOENT/);
    await written;
    expect(process.listeners('exit')).toEqual(listeners);
  });

  it('that fails leaves no file', async () => {
    heap.snapshot = () => {
      throw new Error('no memory');
    };
    const path = join(folder, 'x');
    await expect(writeProfile(wish('heap'), path)).rejects.toThrow('no memory');
    expect(() => statSync(path)).toThrow(/ENOENT/);
  });
});
