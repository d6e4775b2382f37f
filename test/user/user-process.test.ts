import { beforeEach, describe, expect, it } from 'vitest';
import { UserProcess, type UserProcessParts } from '../../src/user/user-process.js';
import { type Deferred, deferred } from '../../src/util/deferred.js';

let end: Deferred<void>;
let signals: AbortSignal[];
let failed: unknown[];
let turns: number;

const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const userProcess = (parts: Partial<UserProcessParts> = {}): UserProcess =>
  new UserProcess({
    run: (signal) => {
      signals.push(signal);
      return end.promise;
    },
    waits: true,
    failed: (error) => failed.push(error),
    wakeSoon: () => turns++,
    ...parts,
  });

beforeEach(() => {
  end = deferred<void>();
  [signals, failed, turns] = [[], [], 0];
});

describe('a process of the user', () => {
  it('runs when no process before it is at work, and once', async () => {
    const process = userProcess();
    expect(signals).toEqual([]);
    process.attach();
    expect(signals).toHaveLength(1);
    expect(process.pending).toBe(1);
    end.resolve();
    await settle();
    expect([process.pending, turns, failed]).toEqual([0, 1, []]);
  });

  it('keeps its successor waiting until it has finished', () => {
    expect(userProcess().holdsUntilFinished).toBe(true);
  });

  it('never has packets or tasks to take', () => {
    const process = userProcess();
    process.attach();
    expect([process.hasWork, process.take()]).toEqual([false, false]);
  });

  it.each(['release', 'stop'] as const)('is told by its signal to finish at a %s, and is waited for', async (what) => {
    const process = userProcess();
    process.attach();
    process[what]();
    expect(signals[0]?.aborted).toBe(true);
    expect(process.pending).toBe(1);
    end.resolve();
    await settle();
    expect(process.pending).toBe(0);
  });

  it('that does not take the signal is waited for by nobody', () => {
    const process = userProcess({ waits: false });
    process.attach();
    expect(process.pending).toBe(0);
  });

  it.each([
    [
      'throws',
      () => {
        throw new Error('no');
      },
    ],
    ['rejects', () => Promise.reject(new Error('no'))],
  ])('that %s says so, once', async (_title, run) => {
    const process = userProcess({ run });
    process.attach();
    await settle();
    expect(failed).toEqual([new Error('no')]);
    expect([process.pending, turns]).toEqual([0, 1]);
  });

  it('that was told to finish may throw: that is how many functions answer a signal', async () => {
    const process = userProcess();
    process.attach();
    process.stop();
    end.reject(new Error('aborted'));
    await settle();
    expect(failed).toEqual([]);
    expect(turns).toBe(1);
  });

  it('may be stopped before it has run: it finds its signal aborted', () => {
    const process = userProcess();
    process.stop();
    process.attach();
    expect(signals[0]?.aborted).toBe(true);
  });
});
