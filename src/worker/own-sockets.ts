/** Connections that the worker itself owns (BASE mode); elsewhere the reactors of the master own them. */
export interface OwnSockets {
  /** This process now owns the worker id and its predecessor's connections. */
  attach(): void;
  /** Clients may come. */
  accept(): void;
  /** Ends connections that cannot be handed off to another process; `done`, later, when there are none. */
  dismiss(deadlineMs: number, done: () => void): void;
  /** Hands off all connections to the next process; `done` when they have left. */
  release(done: () => void): void;
  /** Takes nothing more in, soon: then `isQuiet` is true. */
  quiesce(): void;
  /** False between `quiesce` and its end. */
  readonly isQuiet: boolean;
  /** Closes every connection once its queued bytes have left, at the deadline at the latest. */
  closeAll(deadlineMs: number, done: () => void): void;
}
