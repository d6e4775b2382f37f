/**
 * One request under way and its answer, whatever carries it: HTTP/1 through the reactor (`http1-exchange.ts`) or a stream of
 * HTTP/2 (`http2-exchange.ts`). `HttpRequest` and `HttpResponse` stand on this. Runs in a worker.
 */

/** Field lines as they go out: name, value, name, value … Both were checked by `HttpResponse`. */
export type FieldList = readonly string[];

export interface FilePiece {
  /** Absolute. */
  readonly path: string;
  readonly offset: number;
  readonly length: number;
}

/** What a client sends behind the head. */
export interface RequestBody {
  /** All of it, where it was there when the request came: `next` is not needed then. Null: it comes in pieces. */
  readonly whole: Buffer | null;
  /**
   * Resolves to the next piece, and to null behind the last one. The client is read on as pieces are taken.
   * Rejects with ERR_HTTP_CLIENT_GONE when the client has gone in the middle.
   */
  next(): Promise<Buffer | null>;
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
  readonly isEncrypted: boolean;
  /** Name, value, name, value …, as sent (HTTP/2: with `host` for `:authority`). */
  readonly rawHeaders: readonly string[];
  readonly body: RequestBody;

  /** The client has gone, or its time is over: nothing that is written arrives any more. */
  readonly isGone: boolean;
  /** Called once, when `isGone` becomes true before the answer has ended; at once when it is. */
  onGone(listener: () => void): void;
  /**
   * Called once when the client has ended its side before the answer has ended; at once when it has. Most clients that do
   * have gone, which only writing shows; one may still read. Never called for HTTP/2, where streams end by themselves.
   * @param listener is told whether the answer had begun
   */
  onHalfClosed(listener: (hasBegun: boolean) => void): void;

  /** Called once when this process is about to leave (reload, shutdown): what would never end by itself shall end. */
  onLeaving(listener: () => void): void;

  /**
   * Head and body at once. The exchange adds `date`, `content-length`, `connection`, as far as the fields do not say them; it
   * leaves the body out where the request or the status has none (HEAD, 204, 304).
   * @param reason '' for the usual one
   */
  respond(status: number, reason: string, fields: FieldList, body: string | Uint8Array): void;
  /** Head of an answer whose body comes by `write`, `writeFile` and `end`; without a `content-length` among the fields it is chunked. */
  begin(status: number, reason: string, fields: FieldList): void;
  /** @returns false: the client does not keep up; wait for `drain` */
  write(data: string | Uint8Array): boolean;
  /** Part of a file, behind what was written; only where `begin` was told the `content-length`. */
  writeFile(piece: FilePiece): void;
  /** @param trailers only of chunked answers */
  end(data?: string | Uint8Array, trailers?: FieldList): void;
  /** 1xx, before the answer: 103 with its fields. */
  inform(status: number, fields: FieldList): void;
  /** Resolves when more can be written, or the client has gone. */
  drain(): Promise<void>;
  /** The answer cannot be finished: the client is told by the end of the connection (HTTP/2: RST_STREAM). */
  abort(): void;
}
