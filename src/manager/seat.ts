/** One process id and its processes: the serving one, the coming one, the leaving ones. Runs in the manager. */
import type { ProcessRole } from '../ipc/inheritance.js';
import type { ReplaceReason } from '../ipc/message.js';
import { LANES_PER_WORKER } from '../memory/layout.js';
import { Backoff } from './backoff.js';
import type { WorkerHandle } from './worker-handle.js';

export class Seat {
  readonly id: number;
  readonly role: ProcessRole;
  /** Its name in the log: `worker 0`. */
  readonly name: string;
  /** A reload leaves its process alone. */
  readonly outlivesReloads: boolean;
  readonly backoff = new Backoff();
  /** Receives packets. */
  serving: WorkerHandle | undefined;
  /** Boots, or waits until `serving` has released its packets. */
  coming: WorkerHandle | undefined;
  /** Was asked to release its packets; each ends when it has finished its pending work. */
  readonly leaving = new Set<WorkerHandle>();
  /** Why the serving process is to be replaced. */
  recycle: ReplaceReason | undefined;
  /** No process is started before this time (monotonic ms). */
  spawnAt = 0;

  constructor(id: number, role: ProcessRole, name: string, outlivesReloads = false) {
    this.outlivesReloads = outlivesReloads;
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
   * No pending work is left in any process. While no process serves, packets already read wait for the coming one,
   * which is asked to settle when it takes them, not before.
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
