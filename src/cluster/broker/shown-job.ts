/** Jobs as operators get them: each text of one may be a MiB, and an answer is one control message of 1 MiB at most. */
import type { JobInfo, JobRule, JobSchedule } from '../jobs/queue.js';
import type { DeadJob, ShownJob, ShownSchedule } from '../messages.js';

/** Of those of a page: of JSON, of a message and of a stack, in characters. */
const MOST_OF_DATA = 500;
const MOST_OF_REASON = 1000;
const MOST_OF_STACK = 1500;
const MOST_OF_CRON = 2000;
/** Of one that is asked for by its id: of the JSON of its data and of its result; of its reason and of its stack. */
const MOST_OF_ONE = 50_000;
const MOST_OF_ITS_REASON = 10_000;

export function toDeadJob({ state: _, data, reason, stack, ...job }: JobInfo): DeadJob {
  return {
    ...job,
    ...(reason !== undefined && { reason: shortened(reason, MOST_OF_REASON) }),
    ...(stack !== undefined && { stack: shortened(stack, MOST_OF_STACK) }),
    ...shortenedJson('data', data, MOST_OF_DATA),
  };
}

export function toShownJob({ data, result, reason, stack, ...job }: JobInfo): ShownJob {
  return {
    ...job,
    ...(reason !== undefined && { reason: shortened(reason, MOST_OF_ITS_REASON) }),
    ...(stack !== undefined && { stack: shortened(stack, MOST_OF_ITS_REASON) }),
    ...shortenedJson('data', data, MOST_OF_ONE),
    ...(result !== undefined && shortenedJson('result', result, MOST_OF_ONE)),
  };
}

export function toShownSchedule({ rule, data, ...schedule }: JobSchedule): ShownSchedule {
  return { ...schedule, rule: shortenedRule(rule), ...shortenedJson('data', data, MOST_OF_DATA) };
}

/** The engine's parser takes 1,024 characters at most; what another program has stored is not bounded. */
function shortenedRule(rule: JobRule): JobRule {
  return 'cron' in rule ? { ...rule, cron: shortened(rule.cron, MOST_OF_CRON) } : rule;
}

function shortenedJson(field: 'data' | 'result', value: unknown, most: number): object {
  const json = JSON.stringify(value) ?? '';
  return json.length > most ? { [`${field}Start`]: shortened(json, most) } : { [field]: value };
}

const shortened = (text: string, most: number): string => (text.length > most ? `${text.slice(0, most)}…` : text);
