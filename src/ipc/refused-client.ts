/** A client that was disconnected because of what it sent: a reactor tells it, whoever keeps the log writes it. */
import type { Log } from '../util/log.js';
import { closeReason } from './frame.js';

export interface RefusedClient {
  /** 0: it was no connection yet. */
  readonly sessionId: number;
  readonly code: number;
  readonly message: string;
  /** Its address and port, where it was no connection yet and is no unix socket. */
  readonly client?: string;
  /** How many of the same were not told before this one. */
  readonly others: number;
}

export function logRefused({ sessionId, code, message, client, others }: RefusedClient, log: Log): void {
  const reason = closeReason(code, message);
  const fields = {
    ...(sessionId === 0 ? {} : { fd: sessionId }),
    ...(client === undefined ? {} : { client }),
    ...{ code: reason.code, ...(others > 0 ? { othersBefore: others } : {}) },
  };
  log.warn(`a client was disconnected: ${reason.message}`, fields);
}
