/**
 * One request under way and its answer, over any transport: HTTP/1 through the reactor (`http1-exchange.ts`) or a
 * stream of HTTP/2 (`http2/http2-exchange.ts`). `HttpRequest` and `HttpResponse` build on it. Runs in a worker.
 */

import type { Forwarded } from '../protocol/http/forwarded.js';
import type { RequestSpan } from './request-span.js';

/** Field lines as sent: name, value, name, value … Both were checked by `HttpResponse`. */
export type FieldList = readonly string[];

export interface FilePiece {
  /** Absolute. */
  readonly path: string;
  readonly offset: number;
  readonly length: number;
}

/** The body of a request. */
export interface RequestBody {
  /** The whole body, where it came with the request: `next` is not needed then. Null: it comes in pieces. */
  readonly whole: Buffer | null;
  /**
   * Resolves to the next piece, and to null after the last one. The client is read on as pieces are taken. Where
   * the body was cut it rejects after the last piece that has come, at each call: with ERR_HTTP_CLIENT_GONE when
   * the client has gone, else with ERR_HTTP_BODY_CUT. A body that has come whole is returned whole, also when the
   * client has gone since.
   */
  next(): Promise<Buffer | null>;
  /** Somebody has got a reader of it, and may read it behind the head of the answer. `next` does it too. */
  claim(): void;
  /** Trailer fields, name, value …; empty before the end, and where there are none. */
  readonly trailers: readonly string[];
}

export interface Exchange {
  /** Session id of the connection. */
  readonly fd: number;
  readonly httpVersion: '1.0' | '1.1' | '2.0';
  /** Upper case, one of `methods`. */
  readonly method: string;
  /** As it was sent: origin form, `*`, or absolute form. Of HTTP/2: `:path`. */
  readonly target: string;
  /** Of the connection. */
  readonly isEncrypted: boolean;
  /** What trusted proxies say of the request; undefined: none has brought it. Read from the fields at each call. */
  readonly forwarded?: Forwarded | undefined;
  /** Name, value, name, value …, as sent (HTTP/2: with `host` for `:authority`). */
  readonly rawHeaders: readonly string[];
  readonly body: RequestBody;
  /** Where an OpenTelemetry SDK is registered. */
  readonly span?: RequestSpan | undefined;

  /** The client has gone, or its time is over: further writes do not arrive. */
  readonly isGone: boolean;
  /** Called once, when `isGone` becomes true before the answer has ended; at once when it is. */
  onGone(listener: () => void): void;
  /**
   * Called once when the client has ended its side before the answer has ended; at once when it has. Most clients that
   * do have gone, which only writing shows; one may still read. Never called for HTTP/2, where streams end by
   * themselves.
   * @param listener gets true if the answer had begun
   */
  onHalfClosed(listener: (hasBegun: boolean) => void): void;

  /** `join` may be called once the answer has begun. */
  readonly mayJoin?: boolean;

  /**
   * The answer that has begun, a stream of server-sent events, gets what is published to a room. Missing: that needs
   * HTTP/1. @returns false: it was refused
   */
  join?(room: string): boolean;

  /**
   * Called once when this process is about to leave (reload, shutdown): answers without an end of their own shall end.
   */
  onLeaving(listener: () => void): void;

  /**
   * Sends head and body at once. The exchange does the framing: `content-length` is that of the body whatever the
   * fields contain (of HEAD without a body, and of 304: that of the fields), and fields of one hop are left out. It
   * adds `date` where the fields have none, and leaves the body out where the request or the status has none (HEAD,
   * 204, 304).
   * @param reason '' for the usual one
   */
  respond(status: number, reason: string, fields: FieldList, body: string | Uint8Array): void;
  /**
   * Sends the head of an answer whose body comes by `write`, `writeFile` and `end`; without a valid
   * `content-length` among the fields it is chunked.
   */
  begin(status: number, reason: string, fields: FieldList): void;
  /**
   * @returns false: the client does not keep up; wait for `drain`
   * @throws ServerError ERR_HTTP_CONTENT_LENGTH: the data exceeds the length that `begin` declared. None of it was
   * sent; call `abort` next.
   */
  write(data: string | Uint8Array): boolean;
  /** Sends a part of a file after the bytes written; only where `begin` got a `content-length`. */
  writeFile(piece: FilePiece): void;
  /**
   * @param trailers only of chunked answers
   * @throws ServerError ERR_HTTP_CONTENT_LENGTH: the body is shorter than `begin` declared; call `abort` next
   */
  end(data?: string | Uint8Array, trailers?: FieldList): void;
  /** Sends 1xx, before the answer: 103 with its fields. */
  inform(status: number, fields: FieldList): void;
  /** Resolves when more can be written, or the client has gone. */
  drain(): Promise<void>;
  /**
   * Another process answers instead: this one has nothing left to do for it.
   * @returns the number by which that process finds the request
   * @throws ServerError ERR_HTTP_DETACH where the answer belongs to this process
   */
  detach(): number;
  /**
   * Aborts an answer that cannot be finished: the end of the connection shows it to the client (HTTP/2: RST_STREAM).
   */
  abort(): void;
}
