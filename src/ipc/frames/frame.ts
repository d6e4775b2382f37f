/** A frame, in a ring or out of it. */
export interface Frame {
  /** Type, flags and detail: see `typeOf`. */
  readonly word: number;
  readonly sessionId: number;
  readonly bytes: Buffer;
  /** Of the first of `bytes`, for the kernel; 0 where the frame is read in this process only. */
  readonly address: number;
  readonly payloadAt: number;
  readonly length: number;
}
