/** A send in several pieces, while it is under way. */
import type { Frame } from '../ipc/frames/frame.js';

export interface WaitingFrame extends Frame {
  readonly peer: number;
}

/** Whose send is not whole yet, and what waits behind it. */
export interface Speech {
  readonly peer: number;
  /** Which process that is: all pieces of a send bear it. */
  readonly mark: number;
  readonly waiting: WaitingFrame[];
}
