/**
 * Workers whose manager has died. They end by themselves within a moment; the master kills one that cannot (its
 * event loop stands still). They have become the master's children, so it reaps them. Runs in the master.
 */
import type { WorkerBoard } from '../memory/boards.js';
import { reapChild } from '../os/process.js';

const LOOK_MS = 10;
const KILL_AFTER_MS = 600;
const GIVE_UP_AFTER_MS = 3000;

/** @returns when none of them is left */
export async function endOrphans(board: WorkerBoard, workerNum: number): Promise<void> {
  const began = performance.now();
  let killed = false;
  for (;;) {
    const left = livingOrphans(board, workerNum);
    const passed = performance.now() - began;
    if (left.length === 0 || passed > GIVE_UP_AFTER_MS) return;
    if (passed > KILL_AFTER_MS && !killed) {
      killed = true;
      for (const pid of left) kill(pid);
    }
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
}

export function killOrphans(board: WorkerBoard, workerNum: number): void {
  for (const pid of livingOrphans(board, workerNum)) kill(pid);
}

function livingOrphans(board: WorkerBoard, workerNum: number): number[] {
  const left: number[] = [];
  for (let worker = 0; worker < workerNum; worker++) {
    for (const pid of board.processes(worker)) {
      if (isGone(pid)) board.forgetProcess(worker, pid);
      else left.push(pid);
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
