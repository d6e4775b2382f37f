import type { Command } from 'commander';
import {
  type DeadJob,
  MOST_DEAD_JOBS,
  MOST_SCHEDULES,
  type NamedJobs,
  type RemovedDead,
  type ShownJob,
  type ShownSchedule,
} from '../../control/controlled.js';
import { describeDead, describeJob, describeJobs, describeSchedules } from '../describe-jobs.js';
import { CliError, ExitCode } from '../exit.js';
import { integerBetween } from '../number.js';
import { type Asked, ask } from '../servers.js';
import { choiceOf, failWith, type TargetFlags, withTarget } from '../target.js';
import { count, print, printJson, visible } from '../terminal.js';

interface PageFlags extends TargetFlags {
  readonly offset: number;
  readonly count: number;
  readonly json?: boolean;
}

/** The engine may take its time, and says itself when it takes too long. */
const CALL_MS = 60_000;

export function addJobs(program: Command): void {
  const jobs = program.command('jobs').summary('durable jobs: what waits, runs and is dead, over all nodes');
  withTarget(jobs.command('list', { isDefault: true }))
    .summary('the names this node takes or has enqueued')
    .argument('[server]', 'name or pid')
    .option('--json', 'for programs')
    .action(async (server: string | undefined, flags: TargetFlags & { json?: boolean }) => {
      const all = await ask(choiceOf(flags, server), ({ call }) => call<NamedJobs[]>('jobs', {}, CALL_MS));
      if (flags.json === true) printJson(all);
      else print(describeJobs(all));
    });

  withTarget(jobs.command('show'))
    .summary('one job: where it stands, and its result if it is done')
    .argument('<id>', 'NAME:ID, as enqueue gives it')
    .argument('[server]', 'name or pid')
    .option('--json', 'for programs')
    .action(async (id: string, server: string | undefined, flags: TargetFlags & { json?: boolean }) => {
      const job = await ask(choiceOf(flags, server), ({ call }) => call<ShownJob | null>('findJob', { id }, CALL_MS));
      if (job === null) {
        throw new CliError(
          ExitCode.failed,
          `There is no job "${visible(id)}", or the engine does not keep it any more.`,
        );
      }
      if (flags.json === true) printJson(job);
      else print(describeJob(job));
    });

  withTarget(jobs.command('dead'))
    .summary('jobs that failed for the last time, newest first')
    .argument('<name>', 'see "tswoole jobs"')
    .argument('[server]', 'name or pid')
    .option('--offset <number>', 'how many to pass over', integerBetween(0, Number.MAX_SAFE_INTEGER), 0)
    .option('-n, --count <number>', 'how many', integerBetween(1, MOST_DEAD_JOBS), 20)
    .option('--json', 'for programs')
    .action(async (name: string, server: string | undefined, flags: PageFlags) => {
      const { offset, count: most } = flags;
      const page = await ask(choiceOf(flags, server), ({ call }) =>
        call<DeadJob[]>('deadJobs', { name, offset, count: most }, CALL_MS),
      );
      if (flags.json === true) return printJson(page);
      print(describeDead(name, page));
      if (page.length === most) print(`There may be more: --offset ${offset + most}`);
    });

  withTarget(jobs.command('schedules'))
    .summary('what is enqueued again and again, the next to tick first')
    .argument('<name>', 'see "tswoole jobs"')
    .argument('[server]', 'name or pid')
    .option('--offset <number>', 'how many to pass over', integerBetween(0, Number.MAX_SAFE_INTEGER), 0)
    .option('-n, --count <number>', 'how many', integerBetween(1, MOST_SCHEDULES), 20)
    .option('--json', 'for programs')
    .action(async (name: string, server: string | undefined, flags: PageFlags) => {
      const { offset, count: most } = flags;
      const page = await ask(choiceOf(flags, server), ({ call }) =>
        call<ShownSchedule[]>('jobSchedules', { name, offset, count: most }, CALL_MS),
      );
      if (flags.json === true) return printJson(page);
      print(describeSchedules(name, page));
      if (page.length === most) print(`There may be more: --offset ${offset + most}`);
    });

  withTarget(jobs.command('unschedule'))
    .summary('end a schedule; jobs that it has enqueued stay')
    .argument('<name>', 'see "tswoole jobs"')
    .argument('<key>', 'see "tswoole jobs schedules"')
    .argument('[server]', 'name or pid')
    .action(async (name: string, key: string, server: string | undefined, flags: TargetFlags) => {
      const { unscheduled } = await ask(choiceOf(flags, server), ({ call }) =>
        call<{ readonly unscheduled: boolean }>('unschedule', { name, key }, CALL_MS),
      );
      const schedule = `schedule "${visible(key)}" of the jobs "${visible(name)}"`;
      if (!unscheduled) throw new CliError(ExitCode.failed, `There is no ${schedule}.`);
      print(`The ${schedule} has ended.`);
    });

  withTarget(jobs.command('retry'))
    .summary('run dead jobs again, with all their attempts')
    .argument('[ids...]', 'see "tswoole jobs dead"')
    .option('--all <name>', 'all dead jobs of that name')
    .action(async (ids: string[], flags: TargetFlags & { all?: string }) => {
      const { all } = flags;
      if (ids.length > 0 === (all !== undefined)) {
        throw new CliError(
          ExitCode.usage,
          'Give the ids of dead jobs, or --all NAME. "tswoole jobs dead NAME" lists them.',
        );
      }
      await ask(choiceOf(flags), async (asked) => retry(asked, all === undefined ? ids : await idsOf(asked, all)));
    });

  withTarget(jobs.command('remove'))
    .summary('remove jobs that wait, are delayed or ended')
    .argument('[ids...]', 'NAME:ID, as enqueue gives it')
    .option('--dead <name>', 'all dead jobs of that name')
    .action(async (ids: string[], flags: TargetFlags & { dead?: string }) => {
      const { dead } = flags;
      if (ids.length > 0 === (dead !== undefined)) {
        throw new CliError(ExitCode.usage, 'Give the ids of jobs, or --dead NAME for all dead jobs of a name.');
      }
      await ask(choiceOf(flags), (asked) => (dead === undefined ? remove(asked, ids) : removeDead(asked, dead)));
    });
}

/** Call by call, each of which removes a bounded number. What was removed before a failure is told too. */
async function removeDead({ call }: Asked, name: string): Promise<void> {
  let done = 0;
  try {
    for (let more = true; more; ) {
      const answer = await call<RemovedDead>('removeDeadJobs', { name }, CALL_MS);
      done += answer.removed;
      more = answer.more;
    }
  } catch (error) {
    failWith(visible(name), error);
  }
  print(`${count(done)} dead ${done === 1 ? 'job is' : 'jobs are'} removed.`);
}

/** One that cannot be removed keeps none of the others from it. */
async function remove({ call }: Asked, ids: readonly string[]): Promise<void> {
  let done = 0;
  for (const id of ids) {
    try {
      const { removed } = await call<{ readonly removed: boolean }>('removeJob', { id }, CALL_MS);
      if (!removed) throw new CliError(ExitCode.failed, 'There is no such job.');
      done++;
    } catch (error) {
      failWith(visible(id), error);
    }
  }
  print(`${count(done)} of ${count(ids.length)} ${ids.length === 1 ? 'job is' : 'jobs are'} removed.`);
}

/** One that cannot be retried keeps none of the others from it. */
async function retry({ call }: Asked, ids: readonly string[]): Promise<void> {
  let done = 0;
  for (const id of ids) {
    try {
      await call('retryJob', { id }, CALL_MS);
      done++;
    } catch (error) {
      failWith(visible(id), error);
    }
  }
  print(`${count(done)} of ${count(ids.length)} dead ${ids.length === 1 ? 'job runs' : 'jobs run'} again.`);
}

/** All of them before the first is retried: it may be dead again soon, and would be met a second time. */
async function idsOf({ call }: Asked, name: string): Promise<readonly string[]> {
  const ids = new Set<string>();
  for (let offset = 0; ; offset += MOST_DEAD_JOBS) {
    const page = await call<DeadJob[]>('deadJobs', { name, offset, count: MOST_DEAD_JOBS }, CALL_MS);
    for (const { id } of page) ids.add(id);
    if (page.length < MOST_DEAD_JOBS) return [...ids];
  }
}
