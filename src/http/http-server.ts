/** An HTTP server: a `Server` whose ports speak HTTP. */
import type { RequestListener, Server as NodeHttpServer } from 'node:http';
import { describe, ServerError } from '../errors/index.js';
import type { ServerOptions } from '../options/index.js';
import { Server } from '../server/server.js';

/** As Hono, H3, itty-router and others have it: a web Request in, a web Response out. */
export type FetchFunction = (request: Request, env?: unknown, context?: unknown) => Response | Promise<Response>;

export interface HttpServerOptions extends ServerOptions {
  /** Answers every request, in a worker: `fetch: app.fetch` of Hono, H3, itty-router. */
  readonly fetch?: FetchFunction | undefined;
  /**
   * Answers every request through Node's own `http`, in a worker: an app of Express, Koa, Fastify, Nest, any function of
   * (IncomingMessage, ServerResponse), or a `http.Server` that does not listen, for those that hang upgrades on it (socket.io, ws).
   */
  readonly listener?: RequestListener | NodeHttpServer | undefined;
}

/**
 * @example
 * const server = new HttpServer({ port: 8080 });
 * server.on('request', (req, res) => res.json({ path: req.path }));
 * await server.start();
 */
export class HttpServer extends Server {
  /** @throws ServerError ERR_OPTION_*, ERR_ONE_SERVER */
  constructor({ fetch, listener, ...options }: HttpServerOptions = {}) {
    super({ protocol: 'http', ...options }, checkApps(fetch, listener));
  }
}

function checkApps(fetch: unknown, listener: unknown): { fetch?: FetchFunction; listener?: RequestListener | NodeHttpServer } {
  if (fetch !== undefined && typeof fetch !== 'function') {
    throw new ServerError('ERR_OPTION_TYPE', { name: 'fetch', expected: 'a function', received: describe(fetch) });
  }
  const isServer = typeof listener === 'object' && listener !== null && 'emit' in listener;
  if (listener !== undefined && typeof listener !== 'function' && !isServer) {
    const expected = 'a function of (request, response), or a http.Server';
    throw new ServerError('ERR_OPTION_TYPE', { name: 'listener', expected, received: describe(listener) });
  }
  if (fetch !== undefined && listener !== undefined) {
    const why = 'one of them answers the requests';
    throw new ServerError('ERR_OPTION_CONFLICT', { name: 'fetch', other: 'listener', why });
  }
  return {
    ...(fetch !== undefined && { fetch: fetch as FetchFunction }),
    ...(listener !== undefined && { listener: listener as RequestListener | NodeHttpServer }),
  };
}
