/**
 * The server holds more than `maxBufferedBytes`, and a reactor reads no client: the reactor tells it, whoever keeps the log
 * writes it.
 */
import type { Log } from '../util/log.js';

interface Paused {
  readonly state: 'paused';
  readonly reactor: number;
  /** Of the whole server, the most until now. */
  readonly heldBytes: number;
  readonly limitBytes: number;
  /** Open connections of this reactor. */
  readonly connections: number;
  /** The fewest of them for which half of what waits in this reactor waits; 0: nothing does. */
  readonly holders: number;
  /** Session id of the one for which the most waits; 0: there is none. */
  readonly largest: number;
  /** Clients that take nothing are ended: there is a `writeTimeoutMs`. */
  readonly endsDeaf: boolean;
  /** How often reading has paused and gone on since the last report, untold. */
  readonly untold: number;
}

interface ReadsOn {
  readonly state: 'reads on';
  readonly reactor: number;
  readonly pausedMs: number;
  readonly heldBytes: number;
  /** The most it was meanwhile. */
  readonly mostBytes: number;
}

export type Overload = Paused | ReadsOn;

export function logOverload(overload: Overload, log: Log): void {
  const { reactor, heldBytes } = overload;
  if (overload.state === 'reads on') {
    const { pausedMs, mostBytes } = overload;
    return log.info('clients are read on', { reactor, pausedMs: Math.round(pausedMs), heldBytes, mostBytes });
  }
  const { limitBytes, connections, holders, largest, endsDeaf, untold } = overload;
  const most = holders === 0 ? {} : { holders, largestFd: largest };
  const before = untold === 0 ? {} : { pausesBefore: untold };
  const fields = { reactor, heldBytes, maxBufferedBytes: limitBytes, connections, ...most, ...before };
  log.warn(`no client is read: the server holds more than maxBufferedBytes; ${adviceFor(endsDeaf)}`, fields);
}

function adviceFor(endsDeaf: boolean): string {
  const close = "overloadPolicy: 'close' resets those for which the most waits";
  if (endsDeaf) return `clients that take nothing end after writeTimeoutMs, ${close}`;
  return `writeTimeoutMs ends clients that take nothing, ${close}`;
}
