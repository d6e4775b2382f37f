import type { Job } from 'bullmq';
import { toJobId } from './job-id.js';
import type { JobCounts, JobInfo, JobState } from './queue.js';

/** Of a job that BullMQ has read from a list of jobs in that state. */
export function toJobInfo(name: string, job: Job, state: JobState): JobInfo {
  const stack = job.stacktrace?.at(-1);
  return {
    id: toJobId(name, job.id ?? ''),
    name,
    state,
    data: job.data,
    attemptsMade: job.attemptsMade,
    attempts: job.opts.attempts ?? 1,
    enqueuedAt: job.timestamp,
    ...(job.processedOn !== undefined && { startedAt: job.processedOn }),
    ...(job.finishedOn !== undefined && { endedAt: job.finishedOn }),
    ...(job.failedReason !== undefined && { reason: job.failedReason }),
    ...(stack !== undefined && { stack }),
  };
}

/** BullMQ's states, of which several are one to a user. */
export function toJobCounts(counts: { readonly [state: string]: number }): JobCounts {
  const of = (...states: string[]) => states.reduce((sum, state) => sum + (counts[state] ?? 0), 0);
  return {
    waiting: of('waiting', 'wait', 'prioritized'),
    delayed: of('delayed'),
    running: of('active'),
    done: of('completed'),
    dead: of('failed'),
  };
}
