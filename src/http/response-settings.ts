/** The dependencies of an answer besides its exchange. */
import type { BodyRequest } from './answer-body.js';
import type { Compression } from './compression.js';
import type { HttpResponse } from './response.js';

/** The part of its request that an answer needs. `HttpRequest` has it. */
export interface AnsweredRequest extends BodyRequest {
  header(name: string): string | undefined;
  onAnswered(listener: () => void): void;
}

/** Of a server: one object for all its answers. */
export interface ResponseSettings {
  /** Null: answers are not compressed. */
  readonly compression: Compression | null;
  /** A promise that is not awaited was rejected. */
  failed?(error: unknown, response: HttpResponse): void;
}
