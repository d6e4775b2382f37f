/**
 * The work of a process with an id besides packets: running tasks, or being a user process. The owner of the event loop
 * calls it in every turn.
 */
export interface WorkSource {
  /** This process owns the id from now on. */
  attach(): void;
  /** Takes available work, as long as `goOn` returns true. @returns true when more can be taken at once */
  take(goOn: () => boolean): boolean;
  /** Checked once more after sleep was announced. */
  readonly hasWork: boolean;
  /** It has nothing to do, and work may come at any moment. */
  readonly isFree: boolean;
  /** From now on it finds work without being woken, or no longer. Only between the two calls, in one turn. */
  look(looks: boolean): void;
  /** Work begun and not finished. */
  readonly pending: number;
  /** Calls back as soon as it runs nothing that a successor would not wait for. A later call replaces an earlier one. */
  whenFree(then: () => void): void;
  /** Another process owns the id from now on: takes no more work, finishes what it has begun. */
  release(): void;
  /** The server will end, and workers finish what they have begun: this process goes on, and begins nothing that takes long. */
  settle(): void;
  /** The server ends: running work is notified, and may still finish. */
  stop(): void;
  /** True when its successor must not begin before it has finished. */
  readonly holdsUntilFinished: boolean;
}
