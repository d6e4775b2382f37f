/** The measures of the shared memory, out of the options. Runs in the master. */
import { MAX_SLOTS } from '../exchange/layout.js';
import type { RegionShape } from '../memory/layout.js';
import type { ResolvedOptions } from '../options/index.js';
import { slotCount } from './slot-count.js';

/** Tasks that run, results that are not read yet, and messages need slots besides the tasks that wait. */
const SLOTS_BESIDES_WAITING = 2048;

export function shapeOf(options: ResolvedOptions, userProcessNum: number, hasTls: boolean): RegionShape {
  // In BASE mode each worker is the reactor of its own connections.
  const reactorNum = options.mode === 'base' ? options.workerNum : options.reactorNum;
  const { maxWorkerNum: workerNum, taskWorkerNum, maxConnections, channelSize, taskQueueLimit } = options;
  const waiting = taskWorkerNum === 0 ? 0 : taskQueueLimit;
  const slots = slotCount(maxConnections, reactorNum);
  return {
    reactorNum,
    workerNum,
    taskWorkerNum,
    userProcessNum,
    slots,
    tlsSlots: hasTls ? slots : 0,
    ringBytes: channelSize,
    exchangeSlots: Math.min(waiting + SLOTS_BESIDES_WAITING, MAX_SLOTS),
  };
}
