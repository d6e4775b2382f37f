/** The apps that answer requests in place of a `request` callback. */
import type { Server as NodeHttpServer, RequestListener } from 'node:http';
import { describe, ServerError, told } from '../errors/index.js';

/**
 * As Hono, H3, itty-router and others have it: a web Request in, a web Response out. It is written as a method because
 * each of them declares an environment and a context of its own, which only a method's parameters may narrow.
 */
export type FetchFunction = {
  fetch(request: Request, env?: unknown, context?: unknown): Response | Promise<Response>;
}['fetch'];

export interface BoundAddress {
  readonly host: string;
  readonly port: number;
}

export interface HttpApps {
  readonly fetch?: FetchFunction | undefined;
  readonly listener?: RequestListener | NodeHttpServer | undefined;
  /** Called in each worker before it is ready. @param at where clients connect: the bound address */
  readonly app?: ((at: BoundAddress) => Promise<HttpApps>) | undefined;
}

/** @throws ServerError ERR_OPTION_TYPE, ERR_OPTION_CONFLICT */
export function checkApps(apps: HttpApps): HttpApps {
  const { fetch, listener, app } = apps as Readonly<Record<keyof HttpApps, unknown>>;
  for (const [name, value] of Object.entries({ fetch, app })) {
    if (value === undefined || typeof value === 'function') continue;
    throw told(new ServerError('ERR_OPTION_TYPE', { name, expected: 'a function', received: describe(value) }));
  }
  const isServer = typeof listener === 'object' && listener !== null && 'emit' in listener;
  if (listener !== undefined && typeof listener !== 'function' && !isServer) {
    const expected = 'a function of (request, response), or a http.Server';
    throw told(new ServerError('ERR_OPTION_TYPE', { name: 'listener', expected, received: describe(listener) }));
  }
  const [name, other] = Object.entries({ fetch, listener, app }).flatMap(([key, value]) => (value ? [key] : []));
  if (name !== undefined && other !== undefined) {
    const why = 'only one of them can answer the requests';
    throw told(new ServerError('ERR_OPTION_CONFLICT', { name, other, why }));
  }
  return apps;
}
