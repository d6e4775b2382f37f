/** Reloads that a command waits for, and one requested while there is no manager. Runs in the master. */
import { ServerError } from '../errors/index.js';
import type { MasterToManager } from '../ipc/message.js';
import { type Deferred, deferred } from '../util/deferred.js';

interface ReloadEnd {
  /** Why it has failed. */
  readonly failed?: string;
  /** It has failed with the new workers in service: theirs. */
  readonly generation?: number;
  /** What it has not applied. */
  readonly needsRestart?: readonly string[];
}

export class Reloads {
  readonly #notify: (message: MasterToManager) => boolean;
  readonly #waiting = new Map<number, Deferred<readonly string[]>>();
  #last = 0;
  /** Requested while there was no manager. */
  #held: 'no' | 'tasks' | 'all' = 'no';

  /** @param notify sends to the manager; false while there is none */
  constructor(notify: (message: MasterToManager) => boolean) {
    this.#notify = notify;
  }

  ask(tasksOnly: boolean, request = 0): void {
    if (this.#notify({ type: 'reload', tasksOnly, request })) return;
    this.#held = tasksOnly && this.#held !== 'all' ? 'tasks' : 'all';
  }

  /** Opens the next reload with a waiting caller. @returns its number, and the promise of its end: what needs a restart still */
  open(): { readonly request: number; readonly done: Promise<readonly string[]> } {
    const done = deferred<readonly string[]>();
    this.#waiting.set(++this.#last, done);
    return { request: this.#last, done: done.promise };
  }

  /** A manager has been started: @returns the reload requested meanwhile */
  takeHeld(): 'no' | 'tasks' | 'all' {
    const held = this.#held;
    this.#held = 'no';
    return held;
  }

  /** All requests up to this one are over. */
  over(upTo: number, { failed, generation, needsRestart = [] }: ReloadEnd): void {
    for (const [request, done] of this.#waiting) {
      if (request > upTo) continue;
      this.#waiting.delete(request);
      if (failed === undefined) done.resolve(needsRestart);
      else done.reject(new ServerError('ERR_RELOAD', { why: failed, generation }));
    }
  }

  allOver(failed: string): void {
    this.over(this.#last, { failed });
  }
}
