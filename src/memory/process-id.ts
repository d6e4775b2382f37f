import { describe, ServerError } from '../errors/index.js';
import { processNum } from './layout.js';
import type { Region } from './region.js';

/** The id of a current worker, task worker or user process. @throws ServerError ERR_WORKER_ID */
export function checkProcessId(region: Region, id: unknown): asserts id is number {
  const count = processNum(region.shape);
  const received = describe(id);
  if (typeof id !== 'number' || !Number.isInteger(id) || id < 0 || id >= count) {
    throw new ServerError('ERR_WORKER_ID', { received, count });
  }
  const workers = Math.max(region.seatNum, region.activeWorkerNum);
  if (id >= workers && id < region.shape.workerNum)
    throw new ServerError('ERR_WORKER_ID', { received, count, workers });
}
