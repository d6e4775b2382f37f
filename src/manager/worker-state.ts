/** The life of a worker process, as the manager sees it. */
export type WorkerState = 'booting' | 'ready' | 'serving' | 'releasing' | 'draining' | 'exited';

/** From each state, where a worker may go. Anything else is a mistake of ours and throws. */
const moves: Record<WorkerState, readonly WorkerState[]> = {
  booting: ['ready', 'exited'],
  /** Has booted and waits until the one before it has let go. */
  ready: ['serving', 'draining', 'exited'],
  serving: ['releasing', 'exited'],
  /** Was told to let go and has not said that it has. */
  releasing: ['draining', 'exited'],
  /** Takes no packets any more and finishes what it owes. */
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
