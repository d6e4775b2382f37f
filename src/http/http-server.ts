/** An HTTP server: a `Server` whose ports speak HTTP. */
import type { Server as NodeHttpServer, RequestListener } from 'node:http';
import { describe, ServerError } from '../errors/index.js';
import type { ServerOptions } from '../options/index.js';
import { Server } from '../server/server.js';
import { checkApps, type FetchFunction, type HttpApps } from './apps.js';

/**
 * What `new HttpServer()` takes: all options of a server, and what answers the requests in place of the callback
 * `request`.
 */
export interface HttpServerOptions extends ServerOptions {
  /** Answers every request, in a worker: `fetch: app.fetch` of Hono, H3, itty-router. Default: none. */
  readonly fetch?: FetchFunction | undefined;
  /**
   * Answers every request through Node's own `http`, in a worker: an app of Express, Koa, Fastify, Nest, any function of
   * (IncomingMessage, ServerResponse), or a `http.Server` that does not listen, for those that hang upgrades on it (socket.io, ws).
   * Default: none.
   */
  readonly listener?: RequestListener | NodeHttpServer | undefined;
  /** Called in each worker before it is ready: loads one of the two. Where it fails the worker does not boot. Default: none. */
  readonly app?: (() => Promise<HttpApps>) | undefined;
}

/**
 * @example
 * const server = new HttpServer({ port: 8080 });
 * server.on('request', (req, res) => res.json({ path: req.path }));
 * await server.start();
 */
export class HttpServer extends Server {
  /** @throws ServerError ERR_OPTION_*, ERR_ONE_SERVER */
  constructor(options: HttpServerOptions = {}) {
    super(...split(options));
  }
}

function split(given: unknown): [ServerOptions, HttpApps] {
  if (typeof given !== 'object' || given === null) {
    const expected = 'an object with options by name';
    throw new ServerError('ERR_OPTION_TYPE', { name: 'options', expected, received: describe(given) });
  }
  const { fetch, listener, app, ...options } = given as HttpServerOptions;
  return [{ protocol: 'http', ...options }, checkApps({ fetch, listener, app })];
}
