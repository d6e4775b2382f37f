/** The life of a worker process, as the manager sees it. */
export type WorkerState = 'booting' | 'ready' | 'serving' | 'releasing' | 'draining' | 'exited';

/** From each state, where a worker may go. Anything else is a defect of this program and throws. */
const moves: Record<WorkerState, readonly WorkerState[]> = {
  booting: ['ready', 'exited'],
  /** Has booted and waits until its predecessor has released its packets. */
  ready: ['serving', 'draining', 'exited'],
  serving: ['releasing', 'exited'],
  /** Was asked to release its packets and has not reported it yet. */
  releasing: ['draining', 'exited'],
  /** Receives no packets any more and finishes its pending work. */
  draining: ['exited'],
  exited: [],
};

export function move(from: WorkerState, to: WorkerState): WorkerState {
  if (!moves[from].includes(to)) throw new Error(`a worker cannot go from '${from}' to '${to}'`);
  return to;
}

export function mayMove(from: WorkerState, to: WorkerState): boolean {
  return moves[from].includes(to);
}
