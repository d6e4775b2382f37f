/**
 * Finds the worker for a request of Engine.IO (socket.io): workers append their own id to the session ids they create
 * (`http/engine-io.ts`), and clients send these with every request of the session. Pure.
 */
const NAME = Buffer.from('sid=', 'latin1');
const AMPERSAND = 38;
const DOT = 46;
const QUESTION_MARK = 63;
const SPACE = 32;
const CR = 13;
const SMALL_W = 119;
const ZERO = 48;
const MOST_DIGITS = 4;

/** The suffix that a worker appends to a session id; no character of it is escaped in a query. */
export function sessionSuffix(workerId: number): string {
  return `.w${workerId}`;
}

/** @param from where the request line begins @returns −1: the request names no session marked by a worker */
export function workerOfSession(bytes: Buffer, from: number, length: number): number {
  const end = from + length;
  const at = bytes.indexOf(NAME, from, 'latin1');
  if (at <= from || at >= end) return -1;
  const before = bytes[at - 1];
  const lineEnd = bytes.indexOf(CR, from);
  if ((before !== QUESTION_MARK && before !== AMPERSAND) || (lineEnd >= 0 && lineEnd < at)) return -1;
  let to = at + NAME.length;
  while (to < end && bytes[to] !== AMPERSAND && bytes[to] !== SPACE) to++;
  return markedWorker(bytes, at + NAME.length, to);
}

/** The worker whose suffix ends these bytes; −1: they have none. */
export function markedWorker(bytes: Buffer, from: number, to: number): number {
  let worker = 0;
  let digits = 0;
  for (let at = to - 1, unit = 1; at >= from; at--, unit *= 10, digits++) {
    const digit = (bytes[at] ?? 0) - ZERO;
    if (digit < 0 || digit > 9 || digits === MOST_DIGITS) break;
    worker += digit * unit;
  }
  const isMarked = digits > 0 && bytes[to - digits - 1] === SMALL_W && bytes[to - digits - 2] === DOT;
  return isMarked && to - digits - 2 >= from ? worker : -1;
}
