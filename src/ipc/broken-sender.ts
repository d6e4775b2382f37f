/** A worker whose memory is not to be trusted any more. */
import { type WorkerBoard, WorkerField } from '../memory/boards.js';
import type { Log } from '../util/log.js';

/** It wrote a frame that cannot be read. @param worker −1: it is not known which */
export function killBrokenSender(worker: number, board: WorkerBoard, log: Log): void {
  log.error(`worker ${worker} wrote a frame that cannot be read; it is killed`);
  const pid = worker < 0 ? 0 : board.field(worker, WorkerField.pid);
  if (pid !== 0) process.kill(pid, 'SIGKILL');
}
