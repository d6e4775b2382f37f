/** A client that was disconnected because of what it sent: a reactor tells it, whoever keeps the log writes it. */
import type { Log } from '../util/log.js';
import { closeReason } from './frame.js';

export interface RefusedClient {
  readonly sessionId: number;
  readonly code: number;
  readonly message: string;
  /** How many of the same were not told before this one. */
  readonly others: number;
}

export function logRefused({ sessionId, code, message, others }: RefusedClient, log: Log): void {
  const reason = closeReason(code, message);
  const fields = { fd: sessionId, code: reason.code, ...(others > 0 ? { othersBefore: others } : {}) };
  log.warn(`a client was disconnected: ${reason.message}`, fields);
}
