import type { Job } from 'bullmq';
import { toJobId } from './job-id.js';
import type { JobCounts, JobInfo, JobState } from './queue.js';

/** Of a job that BullMQ has read, and that is in that state. */
export function toJobInfo(name: string, job: Job, state: JobState): JobInfo {
  const isDone = state === 'done';
  // BullMQ keeps those of attempts that have failed, also where a later one has not.
  const stack = isDone ? undefined : job.stacktrace?.at(-1);
  const reason = isDone ? undefined : job.failedReason;
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
    ...(isDone && { result: (job.returnvalue as unknown) ?? null }),
    ...(reason !== undefined && { reason }),
    ...(stack !== undefined && { stack }),
  };
}

const STATES: ReadonlyMap<string, JobState> = new Map([
  ...(['waiting', 'wait', 'prioritized', 'paused', 'waiting-children'] as const).map((of) => [of, 'waiting'] as const),
  ['delayed', 'delayed'],
  ['active', 'running'],
  ['completed', 'done'],
  ['failed', 'dead'],
]);

/** @param state as BullMQ says it @returns undefined: it knows none, the job is not there */
export function toJobState(state: string): JobState | undefined {
  return STATES.get(state);
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
