/**
 * What a process with an id does besides packets: run tasks, or be a process of the user's own. Whoever owns the event
 * loop asks it in every turn.
 */
export interface WorkSource {
  /** This process is the one that bears the id from now on. */
  attach(): void;
  /** Takes what is there, as long as `goOn` says so. @returns true when there is more that can be taken at once */
  take(goOn: () => boolean): boolean;
  /** Looked at once more after sleep was announced. */
  readonly hasWork: boolean;
  /** What has begun and is not finished. */
  readonly pending: number;
  /** Another process bears the id from now on: takes nothing more, finishes what it has begun. */
  release(): void;
  /** The server ends: what runs is told, and may still finish. */
  stop(): void;
  /** True when its successor must not begin before it has finished. */
  readonly holdsUntilFinished: boolean;
}
