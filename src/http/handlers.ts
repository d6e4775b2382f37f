/** Who answers the requests of a port: its `request` callback, an app with `fetch`, or one of Node's `http`. Runs in a worker. */
import type { ResolvedOptions } from '../options/index.js';
import type { Log } from '../util/log.js';
import { Compression } from './compression.js';
import type { Exchange } from './exchange.js';
import type { Http2Source, PortHandler } from './http-requests.js';
import { defaultRequestLimits, HttpRequest, type Peer } from './request.js';
import { HttpResponse, type ResponseSettings } from './response.js';

export type RequestCallback = (request: HttpRequest, response: HttpResponse) => unknown;

export interface HandlerParts {
  readonly options: ResolvedOptions;
  readonly log: Log;
  remote(fd: number): { remoteAddress: string; remotePort: number };
  /** A callback has failed: it is counted. */
  failed(error: unknown, what: string): void;
}

/** The user's `request` callback. */
export class CallbackHandler implements PortHandler {
  readonly #callback: RequestCallback;
  readonly #parts: HandlerParts;
  readonly #settings: ResponseSettings;
  readonly #peerOf: (fd: number) => Peer;

  constructor(callback: RequestCallback, parts: HandlerParts) {
    this.#callback = callback;
    this.#parts = parts;
    this.#settings = { compression: compressionOf(parts.options) };
    this.#peerOf = (fd) => parts.remote(fd);
  }

  serve(exchange: Exchange): void {
    const request = new HttpRequest(exchange, this.#peerOf, defaultRequestLimits);
    const response = new HttpResponse(exchange, request, this.#settings);
    try {
      const result = this.#callback(request, response);
      if (isThenable(result)) result.then(undefined, (error: unknown) => this.#failed(error, response));
    } catch (error) {
      this.#failed(error, response);
    }
  }

  http2(source: Http2Source): void {
    source.tunnel({ received: () => {}, ended: () => {}, gone: () => {} }).destroy();
  }

  async drain(): Promise<void> {}

  #failed(error: unknown, response: HttpResponse): void {
    this.#parts.failed(error, 'request');
    response.fail(500, 'Internal Server Error');
  }
}

export function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function';
}

const MOST_OF_ZLIB = 9;

function compressionOf({ compression }: ResolvedOptions): Compression | null {
  if (compression === null) return null;
  const { encodings, minLength: threshold, types, level } = compression;
  const zlibLevel = Math.min(level, MOST_OF_ZLIB);
  const levels = { br: level, zstd: level, gzip: zlibLevel, deflate: zlibLevel };
  return new Compression({ encodings, threshold, types: types ?? undefined, levels });
}
