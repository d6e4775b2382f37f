/** What answers requests in place of a `request` callback. */
import type { Server as NodeHttpServer, RequestListener } from 'node:http';

/** As Hono, H3, itty-router and others have it: a web Request in, a web Response out. */
export type FetchFunction = (request: Request, env?: unknown, context?: unknown) => Response | Promise<Response>;

export interface HttpApps {
  readonly fetch?: FetchFunction | undefined;
  readonly listener?: RequestListener | NodeHttpServer | undefined;
  /** Called in each worker before it is ready. */
  readonly app?: (() => Promise<HttpApps>) | undefined;
}
