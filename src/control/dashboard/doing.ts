/** The change of the server that runs now, whoever has asked for it. Runs in the master. */
import { WorkerBoard, WorkerField } from '../../memory/boards.js';
import { processNum } from '../../memory/layout.js';
import type { Region } from '../../memory/region.js';

export interface Doing {
  readonly what: 'reload' | 'scale';
  /** When it was first seen, Unix time in ms. */
  readonly since: number;
  /** How far it is, for people. */
  readonly detail: string;
}

/**
 * A reload may be asked for by a command, a signal, a worker or a changed file, of the master or of the manager. All of them
 * count generations up, and then completed or failed reloads: while the first count is ahead, one runs.
 */
export class DoingWatch {
  readonly #region: Region;
  readonly #now: () => number;
  #reloadSince = 0;
  #scale: { readonly from: number; readonly to: number; readonly since: number } | undefined;
  #managerPid = 0;
  /** Reloads that a manager has taken with it when it died: they end by no count. */
  #lost = 0;

  /** @param now Unix time in ms */
  constructor(region: Region, now: () => number) {
    this.#region = region;
    this.#now = now;
  }

  /** The number of workers changes while this runs. */
  async scaling<T>(to: number, run: () => Promise<T>): Promise<T> {
    const mine = { from: this.#region.activeWorkerNum, to, since: this.#now() };
    this.#scale ??= mine;
    try {
      return await run();
    } finally {
      if (this.#scale === mine) this.#scale = undefined;
    }
  }

  now(): Doing | null {
    const isReloading = this.#isReloading();
    if (!isReloading) this.#reloadSince = 0;
    else if (this.#reloadSince === 0) this.#reloadSince = this.#now();
    if (this.#scale !== undefined) {
      const { from, to, since } = this.#scale;
      return { what: 'scale', since, detail: `from ${from} to ${to} workers` };
    }
    return isReloading ? { what: 'reload', since: this.#reloadSince, detail: this.#progress() } : null;
  }

  #isReloading(): boolean {
    const { managerPid, generation, reloads, reloadsFailed } = this.#region;
    const open = generation - reloads - reloadsFailed;
    if (managerPid !== this.#managerPid) {
      this.#managerPid = managerPid;
      this.#lost = open;
    }
    return open > this.#lost;
  }

  #progress(): string {
    const { generation, shape } = this.#region;
    const board = new WorkerBoard(this.#region);
    const ids = Array.from({ length: processNum(shape) }, (_, id) => id).filter(
      (id) => board.field(id, WorkerField.pid) !== 0,
    );
    const renewed = ids.filter((id) => board.field(id, WorkerField.generation) === generation);
    return `${renewed.length} of ${ids.length} processes are of generation ${generation}`;
  }
}
