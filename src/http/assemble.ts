/** Puts the HTTP of a worker together: for each port that speaks it, who answers. Runs in a worker. */
import { ConnectionTable } from '../memory/connection-table.js';
import type { Region } from '../memory/region.js';
import type { ListenPort } from '../server/listen-port.js';
import type { StartContext } from '../server/server.js';
import type { HttpService } from '../worker/http-service.js';
import { checkApps, type HttpApps } from './apps.js';
import { bridgeTo, type HandlerParts, type RequestCallback, serveByCallback, serveByFetch } from './handlers.js';
import { type Http2Source, HttpRequests, type PortHandler } from './http-requests.js';

/** @throws ServerError when an app cannot be loaded */
export async function assembleHttp(context: StartContext, region: Region): Promise<HttpService> {
  const table = new ConnectionTable(region);
  const { options, server, apps } = context;
  const remote = (fd: number): { remoteAddress: string; remotePort: number } => {
    const { remoteAddress = '', remotePort = 0 } = table.info(fd) ?? {};
    return { remoteAddress, remotePort };
  };
  const parts: HandlerParts = { options, server, remote, failed: (error, what) => requests.failed(error, what) };
  const loaded = apps.app === undefined ? apps : checkApps(await apps.app());
  const handlers = await Promise.all(
    context.ports.map((port) =>
      port.settings.protocol === 'http' ? handlerOf(port, context, loaded, parts) : undefined,
    ),
  );
  const requests = new HttpRequests({ portOf: (fd) => table.portIndex(table.slotOf(fd)), remote, handlers });
  return requests;
}

/** A `request` callback of the port comes first, then that of the server, then an app. */
async function handlerOf(
  port: ListenPort,
  { events }: StartContext,
  { fetch, listener }: HttpApps,
  parts: HandlerParts,
): Promise<PortHandler> {
  const callback = port.table.callbacks.request ?? events.request;
  if (callback === undefined && listener !== undefined) {
    const bridge = await bridgeTo(listener, parts);
    const drain = (): void => void bridge.drain();
    return { serve: (exchange) => bridge.handle(exchange), http2: refuseHttp2, dismiss: () => {}, drain };
  }
  const serve =
    callback === undefined && fetch !== undefined
      ? await serveByFetch(fetch, parts)
      : serveByCallback(callback ?? notFound, parts);
  return { serve, http2: refuseHttp2, dismiss: () => {}, drain: () => {} };
}

const notFound: RequestCallback = (_request, response) => response.fail(404, 'Not Found');

function refuseHttp2(source: Http2Source): void {
  source.tunnel({ received: () => {}, ended: () => {}, gone: () => {} }).destroy();
}
