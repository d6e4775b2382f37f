import { closeSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { MasterToManager, ProfileOrder } from '../../src/ipc/message.js';
import { Profiles } from '../../src/master/profiles.js';
import { createSharedFile } from '../../src/os/memory.js';

const order: Omit<ProfileOrder, 'request'> = { kind: 'cpu', durationMs: 1000, path: '' };

let heard: MasterToManager[];
let isManagerThere: boolean;
let overflow: number;
let profiles: Profiles;

beforeEach(() => {
  vi.useFakeTimers();
  heard = [];
  isManagerThere = true;
  overflow = createSharedFile('test data', 0);
  profiles = new Profiles(overflow, (message) => {
    if (isManagerThere) heard.push(message);
    return isManagerThere;
  });
});

afterEach(() => {
  vi.useRealTimers();
  closeSync(overflow);
});

describe('a profile', () => {
  it('is asked for by a number of its own, and answered by it', async () => {
    const [first, second] = [profiles.take(0, order), profiles.take(-1, order)];
    expect(heard).toEqual([
      { type: 'profile', workerId: 0, profile: { ...order, request: 1 } },
      { type: 'profile', workerId: -1, profile: { ...order, request: 2 } },
    ]);
    profiles.done(2, undefined, []);
    profiles.done(1, undefined, [{ offset: 4096, bytes: 7 }]);
    expect(await first).toEqual([{ offset: 4096, bytes: 7 }]);
    expect(await second).toEqual([]);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('fails with what its process says', async () => {
    const taken = profiles.take(0, order);
    profiles.done(1, 'the file is there already');
    await expect(taken).rejects.toMatchObject({ code: 'ERR_PROFILE' });
  });

  it('fails at once while the manager is being replaced', async () => {
    isManagerThere = false;
    await expect(profiles.take(0, order)).rejects.toThrow('the manager is being replaced');
  });

  it('fails when the manager dies, whoever was asked', async () => {
    const taken = [profiles.take(0, order), profiles.take(-1, order)];
    profiles.allFailed('the manager has died meanwhile');
    for (const one of taken) await expect(one).rejects.toThrow('the manager has died meanwhile');
    expect(vi.getTimerCount()).toBe(0);
  });

  it('fails a minute after its time when its process is silent, and what comes then is given back', async () => {
    const taken = profiles.take(0, order);
    const failed = expect(taken).rejects.toThrow('the process does not answer');
    await vi.advanceTimersByTimeAsync(60_999);
    expect(vi.getTimerCount()).toBe(1);
    await vi.advanceTimersByTimeAsync(1);
    await failed;
    expect(() => profiles.done(1, undefined, [])).not.toThrow();
  });
});
