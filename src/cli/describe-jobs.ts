/** Durable jobs, as the terminal shows them. */
import type { DeadJob, NamedJobs, ShownJob, ShownSchedule } from '../control/controlled.js';
import { count, list, table, visible } from './terminal.js';

export function describeJobs(all: readonly NamedJobs[]): string {
  if (all.length === 0) return 'This node takes no jobs, and has enqueued none since its broker process started.';
  const head = ['NAME', 'WAITING', 'DELAYED', 'RUNNING', 'DONE', 'DEAD', ''];
  const rows = all.map(({ name, isWorked, waiting, delayed, running, done, dead }) => [
    visible(name),
    ...[waiting, delayed, running, done, dead].map(count),
    isWorked ? '' : 'not taken here',
  ]);
  return table(head, rows);
}

export function describeDead(name: string, page: readonly DeadJob[]): string {
  if (page.length === 0) return `No job "${visible(name)}" is dead.`;
  const rows = page.map(({ id, attemptsMade, endedAt, reason = '' }) => [
    visible(id),
    attemptsMade,
    endedAt === undefined ? '' : new Date(endedAt).toISOString(),
    visible(reason),
  ]);
  return table(['ID', 'ATTEMPTS', 'ENDED', 'REASON'], rows);
}

export function describeJob(job: ShownJob): string {
  const { id, state, attemptsMade, attempts, enqueuedAt, startedAt, endedAt, reason, stack } = job;
  const { data, dataStart = JSON.stringify(data), result, resultStart = JSON.stringify(result) } = job;
  const entries = [
    ['id', id],
    ['state', state],
    ['attempts', `${attemptsMade} of ${attempts}`],
    ['enqueued', timeOf(enqueuedAt)],
    ['started', timeOf(startedAt)],
    ['ended', timeOf(endedAt)],
    ['data', dataStart],
    ['result', resultStart],
    ['reason', reason],
  ] as const;
  const told = entries.flatMap(([name, value]) => (value === undefined ? [] : [[name, visible(value)] as const]));
  const stackLines = stack === undefined ? [] : ['', ...stack.split('\n').map(visible)];
  return [list(told), ...stackLines].join('\n');
}

/** Of data, in a table. */
const MOST_OF_DATA = 60;

export function describeSchedules(name: string, page: readonly ShownSchedule[]): string {
  if (page.length === 0) return `There are no schedules of the jobs "${visible(name)}".`;
  const rows = page.map(({ key, rule, nextAt, data, dataStart = JSON.stringify(data) }) => [
    visible(key),
    visible(ruleOf(rule)),
    new Date(nextAt).toISOString(),
    visible(dataStart.length > MOST_OF_DATA ? `${dataStart.slice(0, MOST_OF_DATA)}…` : dataStart),
  ]);
  return table(['KEY', 'RULE', 'NEXT', 'DATA'], rows);
}

function ruleOf(rule: ShownSchedule['rule']): string {
  if ('everyMs' in rule) return `every ${rule.everyMs} ms`;
  return rule.tz === undefined ? rule.cron : `${rule.cron} (${rule.tz})`;
}

function timeOf(at: number | undefined): string | undefined {
  return at === undefined ? undefined : new Date(at).toISOString();
}
