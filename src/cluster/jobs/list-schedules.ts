import type { JobSchedulerJson, Queue } from 'bullmq';
import { fromEngineKey } from './job-id.js';
import type { JobRule, JobSchedule } from './queue.js';

/**
 * The next to tick first. Not by BullMQ's own list, which removes a schedule whose data it does not find: one that was
 * unscheduled and made anew meanwhile would be gone.
 */
export async function listSchedules(queue: Queue, offset: number, limit: number): Promise<JobSchedule[]> {
  const range = await queue.getBackend().getJobSchedulersRange(offset, offset + limit - 1, true);
  const keys = range.filter((_, index) => index % 2 === 0); // a time stands behind each
  const all = await Promise.all(keys.map((key) => queue.getJobScheduler(key)));
  return all.flatMap((found) => (found === undefined ? [] : [toJobSchedule(queue.name, found)]));
}

function toJobSchedule(name: string, { key, next, template, ...rule }: JobSchedulerJson): JobSchedule {
  return {
    key: fromEngineKey(key),
    name,
    rule: toRule(rule),
    nextAt: next ?? 0,
    // BullMQ keeps no data that is empty.
    data: template !== undefined && 'data' in template ? (template.data as unknown) : {},
    attempts: template?.opts?.attempts ?? 1,
  };
}

/** The other way round than `toRepeat`. */
function toRule({ pattern, tz, every = 0 }: Pick<JobSchedulerJson, 'pattern' | 'tz' | 'every'>): JobRule {
  if (pattern === undefined) return { everyMs: every };
  return { cron: pattern, ...(tz !== undefined && { tz }) };
}
