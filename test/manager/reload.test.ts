import { expect, it } from 'vitest';
import type { ProcessRole } from '../../src/ipc/inheritance.js';
import { Reload } from '../../src/manager/reload.js';
import { Seat } from '../../src/manager/seat.js';
import { WorkerHandle } from '../../src/manager/worker-handle.js';
import { Log } from '../../src/util/log.js';
import { FakeClock } from '../helpers/fake-clock.js';

/** Why a reload has failed in which a new process ends that was ready. */
async function failureBy(role: ProcessRole, exitCode: number, signal: number): Promise<string | undefined> {
  let failure: string | undefined;
  const seats = [new Seat(0, role, 'it'), new Seat(1, 'worker', 'another')];
  const reload = new Reload({
    seats: () => seats,
    log: new Log({ role: 'manager', level: 'silent', write: () => {} }),
    clock: new FakeClock(),
    callbackTimeoutMs: 1000,
    callbacks: {},
    nextGeneration: () => 1,
    setRunning: () => {},
    completed: () => {},
    failed: (_, why) => {
      failure = why;
    },
    changed: () => {},
  });
  reload.request('all');
  await new Promise((resolve) => setImmediate(resolve));
  const handle = new WorkerHandle({ id: 0, role, name: 'it', lane: 1, generation: 1 }, 0, 1000);
  handle.becomeReady();
  handle.exited(exitCode, signal);
  reload.ended(handle, false);
  return failure;
}

it.each([
  ['worker', 0, 0, 'it exited with code 0'],
  ['task', 0, 0, 'it exited with code 0'],
  ['user', 0, 0, undefined],
  ['user', 1, 0, 'it exited with code 1'],
  ['user', 0, 11, 'it was killed by SIGSEGV'],
  ['worker', 0, 15, undefined],
  ['task', 0, 9, undefined],
] as const)(
  'a new process of kind %s that ends with code %d, signal %d: the reload fails with %s',
  async (role, code, signal, why) => {
    expect(await failureBy(role, code, signal)).toBe(why);
  },
);
