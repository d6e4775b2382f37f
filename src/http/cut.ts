/** Why a body did not come whole, and the error for each of its readers. Runs in a worker. */
import { ServerError } from '../errors/index.js';
import { CloseCode, closeReason } from '../ipc/frame.js';

/** Value of `detail.reason` for a reader. */
export type CutReason = 'client' | 'timeout' | 'limit' | 'malformed' | 'server' | 'answered';

export interface BodyCut {
  readonly reason: CutReason;
  /** Status of the server's reply to the client; 0: none, or the handler's own. */
  readonly status: number;
  /** A part of a sentence. */
  readonly why: string;
}

/** The worker, or the server, has ended the connection. */
export const byServer: BodyCut = { reason: 'server', status: 0, why: 'the server has ended the connection' };
/** Over HTTP/1 the connection ends after a reply that precedes the end of the body. */
export const byAnswer: BodyCut = {
  reason: 'answered',
  status: 0,
  why: 'the answer was sent before the body had come whole',
};
export const byClient: BodyCut = { reason: 'client', status: 0, why: 'the client ended the connection' };

/** @param code CloseCode @param message empty, or "STATUS sentence" */
export function cutOf(code: number, message: string): BodyCut {
  const [, digits = '0', sentence = ''] = /^(\d{3}) (.*)$/.exec(message) ?? [];
  const status = Number(digits);
  const { initiator, message: usual } = closeReason(code, '');
  const why = sentence === '' ? usual : sentence.replace(/\.$/, '');
  if (code === CloseCode.HTTP_REFUSED) return { reason: status === 413 ? 'limit' : 'malformed', status, why };
  // To the handler a failure between client and server looks as if the client had left.
  const isLost = code === CloseCode.SOCKET_ERROR;
  return { reason: isLost ? 'client' : initiator === 'error' ? 'server' : initiator, status, why };
}

/** A new error for each reader: additions of one must not reach another. */
export function cutError({ reason, status, why }: BodyCut): ServerError {
  if (reason === 'client') return new ServerError('ERR_HTTP_CLIENT_GONE', {}, { cause: new Error(why) });
  return new ServerError('ERR_HTTP_BODY_CUT', { reason, status, why });
}
