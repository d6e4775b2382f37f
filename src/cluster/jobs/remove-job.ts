import type { Job } from 'bullmq';
import { ServerError } from '../../errors/index.js';
import type { JobId } from './queue.js';

/** A code of BullMQ: the schedule makes its next tick behind this one, and would end. */
const OF_SCHEDULE = -8;
/** BullMQ has no code for that. */
const LOCKED = /is locked by another worker/;

/** @throws ServerError ERR_JOB_NOT_REMOVED */
export async function removeJob(job: Job, id: JobId): Promise<void> {
  // One whose lease is lost has no lock, and may run all the same.
  if (await job.isActive()) throw underWay(id);
  try {
    await job.remove();
  } catch (error) {
    if (Reflect.get(Object(error), 'code') === OF_SCHEDULE) throw notRemoved(id, 'it is the next tick of a schedule');
    throw LOCKED.test((error as Error).message) ? underWay(id) : error;
  }
}

const underWay = (id: JobId): ServerError => notRemoved(id, 'it is under way');
const notRemoved = (id: JobId, why: string): ServerError => new ServerError('ERR_JOB_NOT_REMOVED', { id, why });
