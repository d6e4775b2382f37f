import type { Queue } from 'bullmq';
import { toJobInfo, toJobState } from './job-info.js';
import type { JobInfo } from './queue.js';

/** Of a job that changes between each two of them, the last state counts. */
const MOST_READS = 5;

/**
 * BullMQ reads a job and its state one after the other: a job that ends in between would be "done" without its result, or
 * "waiting" with an end. So the state is read before the job and after it, until both are the same.
 */
export async function findJob(queue: Queue, engineId: string): Promise<JobInfo | undefined> {
  let before = await queue.getJobState(engineId);
  for (let reads = 1; ; reads++) {
    const job = await queue.getJob(engineId);
    const after = await queue.getJobState(engineId);
    if (job === undefined) return undefined;
    if (before === after || reads >= MOST_READS) {
      const state = toJobState(after);
      return state && toJobInfo(queue.name, job, state);
    }
    before = after;
  }
}
