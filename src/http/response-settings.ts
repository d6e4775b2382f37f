/** What an answer stands on besides its exchange. */
import type { BodyRequest } from './answer-body.js';
import type { Compression } from './compression.js';
import type { HttpResponse } from './response.js';

/** What an answer has to know of its request. `HttpRequest` is one. */
export interface AnsweredRequest extends BodyRequest {
  header(name: string): string | undefined;
  onAnswered(listener: () => void): void;
}

/** Of a server: for each of its answers the same object. */
export interface ResponseSettings {
  /** Null: answers go as they are. */
  readonly compression: Compression | null;
  /** What nobody waits for has failed. */
  failed?(error: unknown, response: HttpResponse): void;
}
