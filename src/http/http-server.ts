/** An HTTP server: a `Server` whose ports speak HTTP. */
import type { Server as NodeHttpServer, RequestListener } from 'node:http';
import { describe, ServerError } from '../errors/index.js';
import type { ServerOptions } from '../options/index.js';
import { Server } from '../server/server.js';
import type { FetchFunction, HttpApps } from './apps.js';

export interface HttpServerOptions extends ServerOptions {
  /** Answers every request, in a worker: `fetch: app.fetch` of Hono, H3, itty-router. */
  readonly fetch?: FetchFunction | undefined;
  /**
   * Answers every request through Node's own `http`, in a worker: an app of Express, Koa, Fastify, Nest, any function of
   * (IncomingMessage, ServerResponse), or a `http.Server` that does not listen, for those that hang upgrades on it (socket.io, ws).
   */
  readonly listener?: RequestListener | NodeHttpServer | undefined;
  /** Called in each worker before it is ready: loads one of the two. Where it fails the worker does not boot. */
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
  constructor({ fetch, listener, app, ...options }: HttpServerOptions = {}) {
    super({ protocol: 'http', ...options }, checkApps({ fetch, listener, app }));
  }
}

/** @throws ServerError ERR_OPTION_TYPE, ERR_OPTION_CONFLICT */
export function checkApps(apps: HttpApps): HttpApps {
  const { fetch, listener, app } = apps as Readonly<Record<keyof HttpApps, unknown>>;
  for (const [name, value] of Object.entries({ fetch, app })) {
    if (value === undefined || typeof value === 'function') continue;
    throw new ServerError('ERR_OPTION_TYPE', { name, expected: 'a function', received: describe(value) });
  }
  const isServer = typeof listener === 'object' && listener !== null && 'emit' in listener;
  if (listener !== undefined && typeof listener !== 'function' && !isServer) {
    const expected = 'a function of (request, response), or a http.Server';
    throw new ServerError('ERR_OPTION_TYPE', { name: 'listener', expected, received: describe(listener) });
  }
  const [name, other] = Object.entries({ fetch, listener, app }).flatMap(([key, value]) => (value ? [key] : []));
  if (name !== undefined && other !== undefined) {
    const why = 'one of them answers the requests';
    throw new ServerError('ERR_OPTION_CONFLICT', { name, other, why });
  }
  return apps;
}
