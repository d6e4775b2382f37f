/** What the first manager starts before it runs the script. Runs in the master. */
import { fileURLToPath } from 'node:url';
import { FIRST_ENTRY } from '../entries.js';
import { outputOfChildren } from '../ipc/child-output.js';
import type { FirstRole, FirstSet } from '../ipc/spawn-role.js';
import { processNum } from '../memory/layout.js';
import { nameOfProcess } from '../memory/process-id.js';
import type { Region } from '../memory/region.js';
import type { ResolvedOptions } from '../options/index.js';
import type { Log } from '../util/log.js';

interface Declared {
  readonly userProcessNames: readonly string[];
  readonly log: Log;
}

/** Every process with an id that a start begins with. */
export function firstSet(options: ResolvedOptions, region: Region, { userProcessNames, log }: Declared): FirstSet {
  const { shape, generation, seatNum } = region;
  const ids = Array.from({ length: processNum(shape) }, (_, id) => id);
  const roles = ids.flatMap((id): FirstRole[] => {
    if (id >= seatNum && id < shape.workerNum) return []; // no worker yet
    const role = id < shape.workerNum ? 'worker' : id < shape.workerNum + shape.taskWorkerNum ? 'task' : 'user';
    const title = `${options.processTitle}: ${nameOfProcess(shape, id, userProcessNames)}`;
    return [{ title, role: { role, id, lane: 0, generation } }];
  });
  return { entry: fileURLToPath(FIRST_ENTRY), roles, output: outputOfChildren(options, log) };
}
