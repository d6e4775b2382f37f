/** A frame, in a ring or out of it. */
export interface Frame {
  /** Type, flags and detail: see `typeOf`. */
  readonly word: number;
  readonly sessionId: number;
  readonly bytes: Buffer;
  readonly payloadAt: number;
  readonly length: number;
}
