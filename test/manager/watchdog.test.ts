import { beforeEach, describe, expect, it } from 'vitest';
import { Watchdog } from '../../src/manager/watchdog.js';
import { WorkerHandle } from '../../src/manager/worker-handle.js';
import { Log } from '../../src/util/log.js';

let now: number;
let killed: string[];
let log: string[];
let handle: WorkerHandle;
let seenAt: number;
let stack: string;
let watchdog: Watchdog;

beforeEach(() => {
  now = 10_000;
  [killed, log, seenAt, stack] = [[], [], now, 'at spin (app.js:3:1)'];
  handle = new WorkerHandle({ id: 0, role: 'worker', name: 'worker 0', lane: 0, generation: 0 }, now, 1000);
  handle.process = { pid: 77, send: () => {}, kill: (signal) => killed.push(signal) };
  watchdog = new Watchdog({
    timeoutMs: 2000,
    log: new Log({ role: 'manager', level: 'debug', write: (line) => log.push(line) }),
    handles: () => [handle],
    look: () => ({ seenAt, stack }),
    now: () => now,
  });
});

/** Looks as often as it wants to. */
function pass(ms: number): void {
  for (const end = now + ms; now < end; ) {
    now += watchdog.intervalMs;
    watchdog.look();
  }
}

describe('the watchdog', () => {
  it('kills a process whose loop stands still, once, and logs where', () => {
    pass(1500);
    expect(killed).toEqual([]);
    pass(5000);
    expect(killed).toEqual(['SIGKILL']);
    expect(handle.reason).toBe('hang');
    expect(log.join()).toContain('spin (app.js:3:1)');
  });

  it('waits 2 s longer for the stack', () => {
    stack = '';
    pass(3500);
    expect(killed).toEqual([]);
    stack = 'at spin (app.js:3:1)';
    pass(500);
    expect(killed).toEqual(['SIGKILL']);
    expect(log.join()).toContain('spin (app.js:3:1)');
  });

  it('does not wait longer than that', () => {
    stack = '';
    pass(4500);
    expect(killed).toEqual(['SIGKILL']);
  });

  it('leaves one alone that turns, and one that has not begun', () => {
    for (let i = 0; i < 20; i++) {
      seenAt = now;
      pass(500);
    }
    seenAt = 0;
    pass(10_000);
    expect(killed).toEqual([]);
  });

  it('gives all another chance when it did not run itself', () => {
    now += 60_000;
    watchdog.look();
    expect(killed).toEqual([]);
    seenAt = now;
    pass(1000);
    expect(killed).toEqual([]);
  });
});
