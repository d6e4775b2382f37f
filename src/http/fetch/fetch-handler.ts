import { ServerError } from '../../errors/index.js';
import type { FetchFunction } from '../apps.js';
import type { Exchange } from '../exchange.js';
import { installLight } from './install.js';
import { LightRequest, nativeRequest } from './light-request.js';
import { NativeResponse } from './natives.js';
import { sendResponse } from './send-response.js';

export interface FetchInfo<S = unknown> {
  readonly server: S;
  /** The address of the client. */
  clientOf(exchange: Exchange): { readonly remoteAddress: string; readonly remotePort: number };
  /**
   * The handler has thrown, or its result cannot be sent: to be logged, and answered with 500.
   * @param hasBegun the head has left; the exchange was aborted
   */
  failed(error: unknown, exchange: Exchange, hasBegun: boolean): void;
  /** False: global `Response`, `Request` and `fetch` stay those of Node, and each request is one of Node's. Default true. */
  readonly lightResponse?: boolean;
}

/** The second argument of a handler, beside the request (Hono: `c.env`). Runs in a worker. */
export class FetchEnv<S = unknown> {
  /** The server of this worker. */
  readonly server: S;
  readonly #exchange: Exchange;
  readonly #info: FetchInfo<S>;

  constructor(exchange: Exchange, info: FetchInfo<S>) {
    this.server = info.server;
    this.#exchange = exchange;
    this.#info = info;
  }

  /** Session id of the connection. */
  get fd(): number {
    return this.#exchange.fd;
  }

  /** IP address of the client. */
  get remoteAddress(): string {
    return this.#info.clientOf(this.#exchange).remoteAddress;
  }

  /** Port of the client. */
  get remotePort(): number {
    return this.#info.clientOf(this.#exchange).remotePort;
  }

  /** The part of Node's request that handlers written for @hono/node-server use. */
  get incoming(): { readonly socket: { remoteAddress: string; remotePort: number; remoteFamily: string } } {
    const { remoteAddress, remotePort } = this.#info.clientOf(this.#exchange);
    const remoteFamily = remoteAddress.includes(':') ? 'IPv6' : 'IPv4';
    return { socket: { remoteAddress, remotePort, remoteFamily } };
  }
}

/** Makes a handler of exchanges from a handler of requests. Its promise never rejects. */
export function fetchHandler(app: FetchFunction, info: FetchInfo): (exchange: Exchange) => undefined | Promise<void> {
  const isLight = info.lightResponse !== false;
  if (isLight) installLight();
  return (exchange) => {
    const outcome = new Outcome(exchange, info);
    try {
      const request = isLight ? (new LightRequest(exchange) as unknown as Request) : nativeRequest(exchange);
      const response = app(request, new FetchEnv(exchange, info));
      // Handlers that answer at once lose no turn of the loop.
      return response instanceof NativeResponse ? outcome.send(response) : outcome.await(response);
    } catch (error) {
      outcome.failed(error);
      return undefined;
    }
  };
}

/** The outcome of one request. */
class Outcome {
  readonly #exchange: Exchange;
  readonly #info: FetchInfo;
  #isStreaming = false;

  constructor(exchange: Exchange, info: FetchInfo) {
    this.#exchange = exchange;
    this.#info = info;
  }

  async await(response: unknown): Promise<void> {
    try {
      await this.send(await response);
    } catch (error) {
      this.failed(error);
    }
  }

  send(response: unknown): undefined | Promise<void> {
    if (!(response instanceof NativeResponse))
      throw new ServerError('ERR_HTTP_FETCH_RESULT', { got: kindOf(response) });
    const sending = sendResponse(this.#exchange, response);
    if (sending === undefined) return undefined;
    this.#isStreaming = true;
    return sending.catch((error: unknown) => this.failed(error));
  }

  failed(error: unknown): void {
    // A reader of the stream of a client that has gone gets the error; no answer is pending.
    if (this.#exchange.isGone && this.#isStreaming) return;
    if (this.#isStreaming) this.#exchange.abort();
    this.#info.failed(error, this.#exchange, this.#isStreaming);
  }
}

function kindOf(value: unknown): string {
  if (value === null) return 'null';
  if (typeof value !== 'object') return typeof value;
  return value.constructor?.name ?? 'object';
}
