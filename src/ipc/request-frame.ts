/** A frame to a reactor that carries no bytes for the client (`Request`, all but `send` and replies). */
export interface RequestFrame {
  readonly type: number;
  readonly sessionId: number;
  readonly flags: number;
  readonly detail: number;
  readonly payload: Uint8Array;
}

const nothing = new Uint8Array(0);

export function requestFrame(
  type: number,
  sessionId: number,
  flags = 0,
  detail = 0,
  payload: Uint8Array = nothing,
): RequestFrame {
  return { type, sessionId, flags, detail, payload };
}
