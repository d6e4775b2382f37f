/** An HTTP server: a `Server` whose ports speak HTTP. */
// Loaded at once: tools that instrument it wait until somebody requires it, and an app imports it.
import 'node:http';
import type { Server as NodeHttpServer, RequestListener } from 'node:http';
import { describe, ServerError } from '../errors/index.js';
import { isTicket } from '../ipc/frames/http.js';
import type { ServerOptions } from '../options/index.js';
import type { ServerEvents } from '../server/events.js';
import { copyOf } from '../server/given-options.js';
import { giveHttpToPlainServers, type HttpHalf } from '../server/http-half.js';
import { Server } from '../server/server.js';
import { checkApps, type FetchFunction, type HttpApps } from './apps.js';
import { DetachedAnswers } from './detached.js';
import type { HttpRequest } from './request.js';
import type { HttpResponse } from './response.js';

/**
 * The options of `new HttpServer()`: all options of a server, and the app that answers requests in place of the
 * callback `request`.
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
  /**
   * Called in each worker before it is ready: loads one of the two. When it fails the worker does not boot.
   * Default: none.
   */
  readonly app?: HttpApps['app'];
}

/**
 * @example
 * const server = new HttpServer({ port: 8080 });
 * server.on('request', (req, res) => res.json({ path: req.path }));
 * await server.start();
 */
export class HttpServer<Events extends object = ServerEvents> extends Server<Events> {
  #detached: DetachedAnswers | undefined;

  /** @param half of subclasses: the worker's half of their protocol @throws ServerError ERR_OPTION_*, ERR_ONE_SERVER */
  constructor(options: HttpServerOptions = {}, half: (apps: HttpApps) => HttpHalf = halfWith) {
    super(...split(options, half));
  }

  /**
   * The answer to a request whose worker has left it to another process by `res.detach()`; from any process, in both
   * modes. It is not compressed, and a request that was answered in the meantime is not answered again. Swoole:
   * Response::create()
   * @param fd of the request @param exchange the result of `detach()`
   * @returns undefined where the client has gone; `lastError` says so
   * @throws ServerError ERR_NOT_STARTED; ERR_HTTP_DETACH: the number is not one of `detach()`
   */
  response(fd: number, exchange: number): HttpResponse | undefined {
    this.runtimeFor('response'); // throws where there is none
    if (!isTicket(exchange)) {
      throw new ServerError('ERR_HTTP_DETACH', { why: `the number is ${describe(exchange)}` });
    }
    if (!this.clients.withSlot('response', fd, () => true)) return undefined;
    // Processes that answer nobody else's requests never load it.
    this.#detached ??= new DetachedAnswers(
      () => this.runtimeFor('response').outbox,
      (peer) => this.getClientInfo(peer) ?? NO_PEER,
    );
    return this.#detached.response(fd, exchange);
  }
}

declare module '../server/listen-port.js' {
  interface PortEvents {
    /** Worker: one request over HTTP, of a port that speaks it; a throw is answered 500. Swoole: onRequest. */
    request(request: HttpRequest, response: HttpResponse): void | Promise<void> | unknown;
  }
}

giveHttpToPlainServers(halfWith({}));

const NO_PEER = { remoteAddress: '', remotePort: 0 };

/** Loads there the modules that only a worker with HTTP needs. */
function halfWith(apps: HttpApps): HttpHalf {
  return {
    answers: Object.values(apps).some((app) => app !== undefined),
    load: async (context, region) => {
      const { assembleHttp } = await import('./assemble.js');
      return [await assembleHttp(context, region, apps)];
    },
  };
}

function split(given: HttpServerOptions, half: (apps: HttpApps) => HttpHalf): [ServerOptions, HttpHalf] {
  const { fetch, listener, app, ...options } = copyOf(given);
  return [{ protocol: 'http', ...options }, half(checkApps({ fetch, listener, app }))];
}
