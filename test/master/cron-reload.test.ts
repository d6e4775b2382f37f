import { beforeEach, describe, expect, it } from 'vitest';
import { CronReload } from '../../src/master/cron-reload.js';
import { parseCron } from '../../src/util/cron.js';
import { Log } from '../../src/util/log.js';
import { FakeClock } from '../helpers/fake-clock.js';

const HOUR_MS = 3_600_000;
const START = Date.parse('2026-05-01T00:00Z');
const utc = { wallOf: (ms: number) => ms, unixOf: (ms: number) => ms };

let clock: FakeClock;
let log: string[];
/** How far the wall clock was set. */
let setBy: number;
/** Hours of the wall clock since the start. */
let reloads: number[];
let isReloading: boolean;
let fails: boolean;

beforeEach(() => {
  clock = new FakeClock();
  [log, reloads, setBy, isReloading, fails] = [[], [], 0, false, false];
});

const wallMs = (): number => START + clock.now() + setBy;
function cron(expression: string): CronReload {
  const schedule = parseCron(expression);
  if (schedule === undefined) throw new Error(expression);
  const made = new CronReload({
    ...{ schedule, clock, wallMs, zone: utc, isReloading: () => isReloading },
    log: new Log({ role: 'master', level: 'info', write: (line) => log.push(line) }),
    reload: async () => {
      reloads.push((wallMs() - START) / HOUR_MS);
      if (fails) throw new Error('the script is broken');
    },
  });
  made.start();
  return made;
}

describe('cronReload', () => {
  it('is nothing where there is no expression', () => {
    const parts = { log: new Log({ role: 'master', level: 'info', write: () => {} }), isReloading: () => false };
    expect(CronReload.start({ expression: '', ...parts, reload: async () => {} })).toBeUndefined();
  });

  it('reloads at its times, and says when the next is', () => {
    cron('0 */4 * * *');
    expect(log[0]).toContain('2026-05-01T04:00:00.000Z');
    clock.advance(4 * HOUR_MS - 1);
    expect(reloads).toEqual([]);
    clock.advance(1);
    expect([reloads, log[1]]).toEqual([[4], expect.stringContaining('2026-05-01T08:00:00.000Z')]);
    clock.advance(9 * HOUR_MS);
    expect(reloads).toEqual([4, 8, 12]);
  });

  it('leaves out a time at which a reload is running, and says so', () => {
    cron('0 * * * *');
    isReloading = true;
    clock.advance(HOUR_MS);
    expect([reloads, log[1]]).toEqual([[], expect.stringContaining('skipped')]);
    isReloading = false;
    clock.advance(HOUR_MS);
    expect(reloads).toEqual([2]);
  });

  it('goes on after a reload that failed', async () => {
    cron('0 * * * *');
    fails = true;
    clock.advance(HOUR_MS);
    await Promise.resolve();
    await Promise.resolve();
    expect(log.join('\n')).toContain('the script is broken');
    clock.advance(HOUR_MS);
    expect(reloads).toEqual([1, 2]);
  });

  it('notices within a minute that the wall clock was set forward, and runs once', () => {
    cron('0 */4 * * *');
    clock.advance(HOUR_MS);
    setBy = 9 * HOUR_MS;
    clock.advance(60_000);
    expect(reloads).toEqual([10 + 1 / 60]);
    clock.advance(2 * HOUR_MS);
    expect(reloads.slice(1)).toEqual([12]);
  });

  it('does not run again when the wall clock is set back a little, but when it is set back by days', () => {
    cron('0 4 * * *');
    clock.advance(4 * HOUR_MS);
    setBy = -HOUR_MS;
    clock.advance(2 * HOUR_MS);
    expect(reloads).toEqual([4]);
    setBy = -49 * HOUR_MS;
    clock.advance(48 * HOUR_MS);
    expect(reloads.length).toBe(3);
  });

  it('ends with the server', () => {
    const made = cron('0 * * * *');
    expect(clock.pending).toBe(1);
    made.stop();
    expect(clock.pending).toBe(0);
  });
});
