/** What a process has under way to one connection, as its outbox keeps it. Runs in every process that sends. */

export interface OutboxLimits {
  /** From so many bytes that wait here for one connection `send` says that the client does not keep up. */
  readonly highWatermark: number;
  /** A connection for which more than this waits here is closed: its client does not read, its sender does not wait. */
  readonly limitBytes: number;
}

export interface HeldData {
  readonly data: Uint8Array;
  at: number;
  /** Request.send, or the type of a protocol's own frames. */
  readonly type: number;
  readonly flags: number;
  readonly exchange: number;
}

export interface HeldRequest {
  readonly request: number;
  readonly flags: number;
  readonly code: number;
  readonly payload?: Uint8Array;
}

export type HeldItem = HeldData | HeldRequest;

const MIN_WINDOW = 65536;

export class OutState {
  readonly sessionId: number;
  readonly limits: OutboxLimits;
  /** Bytes that may be on their way without the reactor having said that there is room. */
  readonly window: number;
  /** Bytes sent since the reactor last said that there is room. */
  unconfirmed = 0;
  /** The reactor was asked to say when there is room. */
  asked = false;
  held: HeldItem[] | null = null;
  heldBytes = 0;
  waiters: (() => void)[] | null = null;

  constructor(sessionId: number, limits: OutboxLimits) {
    this.sessionId = sessionId;
    this.limits = limits;
    this.window = Math.max(MIN_WINDOW, limits.highWatermark / 2);
  }

  resolveWaiters(): void {
    const waiters = this.waiters ?? [];
    this.waiters = null;
    for (const resolve of waiters) resolve();
  }
}
