import { describe, ServerError } from '../errors/index.js';
import { processNum, type RegionShape } from './layout.js';
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

type Numbers = Pick<RegionShape, 'workerNum' | 'taskWorkerNum'>;

/** What a process is called in the log and in its title. @param userNames of `addProcess`, in the order of their ids */
export function nameOfProcess({ workerNum, taskWorkerNum }: Numbers, id: number, userNames: readonly string[]): string {
  if (id < workerNum) return `worker ${id}`;
  if (id < workerNum + taskWorkerNum) return `task worker ${id}`;
  return `process ${userNames[id - workerNum - taskWorkerNum] ?? id}`;
}
