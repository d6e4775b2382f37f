/** One process id and the processes that have to do with it: who serves, who comes, who leaves. Runs in the manager. */
import type { ProcessRole } from '../ipc/inheritance.js';
import type { ReplaceReason } from '../ipc/message.js';
import { LANES_PER_WORKER } from '../memory/layout.js';
import { Backoff } from './backoff.js';
import type { WorkerHandle } from './worker-handle.js';

export class Seat {
  readonly id: number;
  readonly role: ProcessRole;
  /** As the log calls it: `worker 0`. */
  readonly name: string;
  readonly backoff = new Backoff();
  /** Takes packets. */
  serving: WorkerHandle | undefined;
  /** Boots, or waits until `serving` has let go. */
  coming: WorkerHandle | undefined;
  /** Was told to let go; ends when it has finished what it owes. */
  readonly leaving = new Set<WorkerHandle>();
  /** Why the one that serves is to be replaced. */
  recycle: ReplaceReason | undefined;
  /** Nobody is started before this time (monotonic ms). */
  spawnAt = 0;

  constructor(id: number, role: ProcessRole, name: string) {
    this.id = id;
    this.role = role;
    this.name = name;
  }

  get all(): WorkerHandle[] {
    return [this.serving, this.coming, ...this.leaving].filter((handle) => handle !== undefined);
  }

  /** undefined while processes of this id hold all lanes. */
  get freeLane(): number | undefined {
    const taken = new Set(this.all.map((handle) => handle.lane));
    for (let lane = 0; lane < LANES_PER_WORKER; lane++) if (!taken.has(lane)) return lane;
    return undefined;
  }

  get isEmpty(): boolean {
    return this.serving === undefined && this.coming === undefined && this.leaving.size === 0;
  }

  /** True while some process may still be reading this id's packets. */
  get isHeld(): boolean {
    if (this.serving !== undefined) return true;
    for (const handle of this.leaving) if (handle.state === 'releasing') return true;
    return false;
  }

  /**
   * Nobody owes an answer any more. While nobody serves, what was read waits for the one that comes; that one is asked
   * when it takes the packets, not before.
   */
  get isSettled(): boolean {
    return [this.serving ?? this.coming, ...this.leaving].every((handle) => handle?.settled !== false);
  }

  forget(handle: WorkerHandle): void {
    if (this.serving === handle) this.serving = undefined;
    if (this.coming === handle) this.coming = undefined;
    this.leaving.delete(handle);
  }
}
