/** How a stream of HTTP/2 ends when the server has sent its whole answer. */
import { constants, type ServerHttp2Stream } from 'node:http2';
import type { RequestSpan } from '../request-span.js';
import { discardRest } from './discarded-body.js';
import { answerHeaders, type Refusal } from './fields.js';

const { NGHTTP2_NO_ERROR } = constants;

/** Behind its answer: what a client may still send, and the last of the answer where it waits for that. */
export interface AnswerEnd {
  readonly bodyLimit: number;
  /** Ends the answer. Missing: it has ended. */
  readonly last?: () => void;
}

/**
 * The answer is whole, but for what `last` sends. A client that is still sending its request is let finish, within bounds;
 * then it is told that it need not go on (RFC 9113, 8.1).
 */
export function closeBehindAnswer(stream: ServerHttp2Stream, { bodyLimit, last }: AnswerEnd): void {
  if (stream.endAfterHeaders || stream.readableEnded || stream.destroyed) return last?.();
  const close = (): void => {
    if (!stream.closed) stream.close(NGHTTP2_NO_ERROR);
  };
  discardRest(stream, bodyLimit, (hasCome) => {
    if (!stream.destroyed) last?.();
    if (hasCome || stream.destroyed) return;
    if (stream.writableFinished) close();
    else stream.once('finish', close);
  });
}

/**
 * RST_STREAM shows the client that the answer is incomplete. `close` would end the answer first, as if it were whole.
 */
export function breakOff(stream: ServerHttp2Stream): void {
  if (!stream.destroyed) stream.destroy(new Error('the answer was broken off'));
}

/** Whoever has answered, the stream knows the status. */
export function endSpan(span: RequestSpan, stream: ServerHttp2Stream): void {
  const status = stream.headersSent ? Number(stream.sentHeaders[':status']) : 0;
  if (status > 0) span.answers(status);
  span.end();
}

/** Answers in place of the handler. The answer contains none of the client's bytes. */
export function refuse(stream: ServerHttp2Stream, refusal: Refusal, bodyLimit: number): void {
  const { status, why, retryAfterSeconds } = refusal;
  if (stream.destroyed || stream.closed || stream.headersSent) return;
  const body = `${why}\n`;
  const fields = ['content-type', 'text/plain; charset=utf-8'];
  if (status === 405) fields.push('allow', 'GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH');
  if (retryAfterSeconds !== undefined) fields.push('retry-after', String(retryAfterSeconds));
  // Node has ended the answer to HEAD already.
  const endStream = stream.writableEnded;
  stream.respond(answerHeaders(status, fields, body.length), { endStream });
  if (!endStream) stream.end(body);
  closeBehindAnswer(stream, { bodyLimit });
}
