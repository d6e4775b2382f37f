/** A send in several pieces, while it is under way. */
import type { Frame } from '../ipc/frames/frame.js';

export interface WaitingFrame extends Frame {
  readonly peer: number;
}

/** The sender of an unfinished send, and the frames that wait behind it. */
export interface Speech {
  readonly peer: number;
  /** Mark of that process: all pieces of a send carry it. */
  readonly mark: number;
  readonly waiting: WaitingFrame[];
  /** Bytes of those. */
  waitingBytes: number;
}
