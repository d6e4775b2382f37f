import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ExitCode } from '../../src/cli/exit.js';
import type { ShownJob, ShownSchedule } from '../../src/control/controlled.js';
import { ServerError } from '../../src/errors/index.js';
import { CliWorld } from '../helpers/cli-world.js';

let world: CliWorld;
beforeEach(() => {
  world = new CliWorld();
});
afterEach(async () => {
  vi.restoreAllMocks();
  await world.end();
});

const at = 1_700_000_000_000;

describe('tswoole jobs show', () => {
  const waiting: ShownJob = {
    ...{ id: 'mail:1', name: 'mail', state: 'waiting', attempts: 5, attemptsMade: 0, enqueuedAt: at },
    data: { to: 'x\u2028' },
  };
  const serve = (job: ShownJob | null): Promise<void> => world.serve({ findJob: async () => job });

  it('shows where a job stands, and escapes what a terminal would act on', async () => {
    await serve(waiting);
    const lines = [
      'id        mail:1',
      'state     waiting',
      'attempts  0 of 5',
      'enqueued  2023-11-14T22:13:20.000Z',
      'data      {"to":"x\\u{2028}"}',
    ];
    for (const words of [['mail:1'], ['mail:1', 'web']]) {
      expect((await world.run('jobs', 'show', ...words)).out.trimEnd().split('\n')).toEqual(lines);
    }
    expect(JSON.parse((await world.run('jobs', 'show', 'mail:1', '--json')).out)).toEqual(waiting);
  });

  it('shows the result of one that is done, and reason and stack of one that is dead', async () => {
    let job: ShownJob = { ...waiting, state: 'done', startedAt: at, endedAt: at + 1, result: { n: null } };
    await world.serve({ findJob: async () => job });
    const done = (await world.run('jobs', 'show', 'mail:1')).out;
    expect(done).toMatch(/^ended {5}2023-11-14T22:13:20\.001Z$/m);
    expect(done).toMatch(/^result {4}\{"n":null\}$/m);
    job = { ...waiting, state: 'dead', reason: 'no\u001b route', stack: 'Error: no\n    at x\u001b', data: null };
    const dead = (await world.run('jobs', 'show', 'mail:1')).out;
    expect(dead).toMatch(/^reason {4}no\\u\{1b\} route\n\nError: no\n {4}at x\\u\{1b\}\n$/m);
  });

  it('shows the beginnings of long data and results', async () => {
    const { data: _, ...job } = waiting;
    await serve({ ...job, state: 'done', dataStart: '{"to":"x…', resultStart: '[1,1…' });
    const { out } = await world.run('jobs', 'show', 'mail:1');
    expect(out).toMatch(/^data {6}\{"to":"x…\nresult {4}\[1,1…$/m);
  });

  it('fails where there is none', async () => {
    await serve(null);
    for (const words of [[], ['--json']]) {
      const { failure, out } = await world.run('jobs', 'show', 'mail:\u001b1', ...words);
      expect([failure, out]).toEqual([[ExitCode.failed, expect.stringContaining('no job "mail:\\u{1b}1"')], '']);
    }
  });
});

describe('tswoole jobs schedules', () => {
  const nightly: ShownSchedule = {
    ...{ key: 'night\u001bly', name: 'mail', rule: { cron: '0 3 * * *', tz: 'Europe/Berlin' } },
    ...{ nextAt: at, attempts: 3, data: { report: true } },
  };
  const often: ShownSchedule = {
    ...{ key: 'often', name: 'mail', rule: { everyMs: 1500 }, nextAt: at + 1, attempts: 1 },
    dataStart: `"${'x'.repeat(100)}…`,
  };

  it('lists rules and the next ticks, page by page', async () => {
    const asked: unknown[][] = [];
    await world.serve({
      jobSchedules: async (...given) => {
        asked.push(given);
        return [nightly, often].slice(0, given[2]);
      },
    });
    expect((await world.run('jobs', 'schedules', 'mail')).out.trimEnd().split('\n')).toEqual([
      'KEY            RULE                       NEXT                      DATA',
      'night\\u{1b}ly  0 3 * * * (Europe/Berlin)  2023-11-14T22:13:20.000Z  {"report":true}',
      `often          every 1500 ms              2023-11-14T22:13:20.001Z  "${'x'.repeat(59)}…`,
    ]);
    const page = await world.run('jobs', 'schedules', 'mail', 'web', '--offset', '3', '-n', '1');
    expect(page.out).toMatch(/\nThere may be more: --offset 4\n$/);
    expect(asked).toEqual([
      ['mail', 0, 20],
      ['mail', 3, 1],
    ]);
    expect(JSON.parse((await world.run('jobs', 'schedules', 'mail', '--json')).out)).toEqual([nightly, often]);
  });

  it('says where there are none', async () => {
    await world.serve({ jobSchedules: async () => [] });
    expect((await world.run('jobs', 'schedules', 'mail')).out).toBe('There are no schedules of the jobs "mail".\n');
  });
});

describe('tswoole jobs unschedule', () => {
  it('ends a schedule, and fails where there is none', async () => {
    const unschedule = async (name: string, key: string) => ({ unscheduled: name === 'mail' && key === 'nightly' });
    await world.serve({ unschedule });
    for (const server of [[], ['web']]) {
      const { out } = await world.run('jobs', 'unschedule', 'mail', 'nightly', ...server);
      expect(out).toBe('The schedule "nightly" of the jobs "mail" has ended.\n');
    }
    const { failure } = await world.run('jobs', 'unschedule', 'mail', 'weekly');
    expect(failure).toEqual([ExitCode.failed, 'There is no schedule "weekly" of the jobs "mail".']);
  });
});

describe('tswoole jobs remove --dead', () => {
  it('removes all dead jobs of a name, call by call', async () => {
    const left = [1000, 1000, 7];
    const names: string[] = [];
    const removeDeadJobs = async (name: string) => {
      names.push(name);
      return { removed: left.shift() ?? 0, more: left.length > 0 };
    };
    await world.serve({ removeDeadJobs });
    expect((await world.run('jobs', 'remove', '--dead', 'mail')).out).toBe('2007 dead jobs are removed.\n');
    expect(names).toEqual(['mail', 'mail', 'mail']);
    expect((await world.run('jobs', 'remove', '--dead', 'mail')).out).toBe('0 dead jobs are removed.\n');
    left.push(1);
    expect((await world.run('jobs', 'remove', '--dead', 'mail')).out).toBe('1 dead job is removed.\n');
  });

  it('tells what was removed before a failure', async () => {
    let calls = 0;
    const removeDeadJobs = async () => {
      if (calls++ > 0) throw new ServerError('ERR_CLUSTER_DOWN', { engine: 'Redis', state: 'down' });
      return { removed: 1000, more: true };
    };
    await world.serve({ removeDeadJobs });
    const { out, err, exitCode } = await world.run('jobs', 'remove', '--dead', 'mail');
    expect([out, exitCode]).toEqual(['1000 dead jobs are removed.\n', ExitCode.failed]);
    expect(err).toMatch(/^tswoole: mail: .*ERR_CLUSTER_DOWN/);
  });

  it.each([[[]], [['mail:1', '--dead', 'mail']]])('or ids, not both: %j', async (words) => {
    await world.serve();
    const { failure } = await world.run('jobs', 'remove', ...words);
    expect(failure).toEqual([ExitCode.usage, expect.stringContaining('--dead NAME')]);
  });
});
