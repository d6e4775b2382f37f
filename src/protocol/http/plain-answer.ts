/** Answers that the server sends by itself: a status, and a sentence that says why. */
import { httpDate } from './date.js';
import { reasonPhrase } from './reason-phrase.js';

export interface PlainAnswer {
  readonly status: number;
  /** Sent to the client; quotes none of its bytes. */
  readonly why: string;
  /** The connection ends after it. */
  readonly close: boolean;
  /** HEAD: no body is sent. */
  readonly isHead?: boolean;
  readonly retryAfterSeconds?: number;
}

export const CONTINUE = 'HTTP/1.1 100 Continue\r\n\r\n';

/** ASCII. */
export function plainAnswer({ status, why, close, isHead = false, retryAfterSeconds }: PlainAnswer): string {
  const body = `${why}\n`;
  const head =
    `HTTP/1.1 ${status} ${reasonPhrase(status)}\r\nContent-Type: text/plain; charset=utf-8\r\n` +
    `Content-Length: ${body.length}\r\nDate: ${httpDate()}\r\n` +
    (retryAfterSeconds === undefined ? '' : `Retry-After: ${retryAfterSeconds}\r\n`) +
    (close ? 'Connection: close\r\n' : '');
  return `${head}\r\n${isHead ? '' : body}`;
}
