/** What a process has under way to one connection, as its outbox keeps it. Runs in every process that sends. */
import type { RequestFrame } from './request-frame.js';

export interface OutboxLimits {
  /** From so many bytes that wait here for one connection `send` says that the client does not keep up. */
  readonly highWatermark: number;
  /** A connection for which more than this waits here is closed: its client does not read, its sender does not wait. */
  readonly limitBytes: number;
}

/** What the frames of held bytes say. */
export interface HeldFrame {
  /** Request.send, or the type of a protocol's own frames. */
  readonly type: number;
  readonly flags: number;
  /** Those of them that only the last frame bears. */
  readonly lastFlags: number;
  readonly detail: number;
}

export interface HeldData {
  readonly data: Uint8Array;
  at: number;
  readonly frame: HeldFrame;
}

export type HeldItem = HeldData | RequestFrame;

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
  /** The successor of this process may send too, and waits until what is held here has left: see `Outbox.keepPlaces`. */
  keepsPlace = false;
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
