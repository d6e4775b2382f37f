/**
 * Workers whose manager has died. They end by themselves within a moment; the master kills one that cannot (its
 * event loop stands still). They have become the master's children, so it reaps them. Runs in the master.
 */
import { type WorkerBoard, WorkerField } from '../memory/boards.js';
import { reapChild } from '../os/process.js';
import { monotonicMs } from '../util/clock.js';

const LOOK_MS = 10;
const KILL_AFTER_MS = 600;
const GIVE_UP_AFTER_MS = 3000;

/**
 * @param stopBy until when those that are ready may end in order, in ms of `monotonicMs()`; it may come nearer meanwhile
 * @returns when none of them is left
 */
export async function endOrphans(board: WorkerBoard, workerNum: number, stopBy = () => 0): Promise<void> {
  const began = monotonicMs();
  const killed = new Set<number>();
  for (;;) {
    const left = livingOrphans(board, workerNum);
    const now = monotonicMs();
    const latest = Math.max(began, stopBy());
    if (left.length === 0 || now > latest + GIVE_UP_AFTER_MS) return;
    for (const { pid, isReady } of left) {
      if (killed.has(pid) || now <= (isReady ? latest : began) + KILL_AFTER_MS) continue;
      killed.add(pid);
      kill(pid);
    }
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
}

export function killOrphans(board: WorkerBoard, workerNum: number): void {
  for (const { pid } of livingOrphans(board, workerNum)) kill(pid);
}

interface Orphan {
  readonly pid: number;
  readonly isReady: boolean;
}

function livingOrphans(board: WorkerBoard, workerNum: number): Orphan[] {
  const left: Orphan[] = [];
  for (let worker = 0; worker < workerNum; worker++) {
    for (const pid of board.processes(worker)) {
      if (isGone(pid)) board.forgetProcess(worker, pid);
      else left.push({ pid, isReady: board.field(worker, WorkerField.ready) === pid });
    }
  }
  return left;
}

function isGone(pid: number): boolean {
  reapChild(pid);
  try {
    process.kill(pid, 0);
    return false;
  } catch {
    return true;
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // gone meanwhile
  }
}
