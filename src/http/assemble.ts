/** Puts the HTTP of a worker together: for each port that speaks it, who answers. Runs in a worker. */
import { ConnectionTable } from '../memory/connection-table.js';
import type { Region } from '../memory/region.js';
import type { ListenPort } from '../server/listen-port.js';
import type { StartContext } from '../server/server.js';
import type { HttpService } from '../worker/http-service.js';
import { checkApps, type HttpApps } from './apps.js';
import { type HandlerParts, ServingHandler, serveByCallback, serveByFetch } from './handlers.js';
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

async function handlerOf(
  port: ListenPort,
  { events }: StartContext,
  { fetch }: HttpApps,
  parts: HandlerParts,
): Promise<PortHandler> {
  const callback = port.table.callbacks.request ?? events.request;
  const serve =
    callback === undefined && fetch !== undefined
      ? await serveByFetch(fetch, parts)
      : serveByCallback(callback ?? ((_request, response) => response.fail(404, 'Not Found')), parts);
  return new ServingHandler(serve, refuseHttp2, async () => {});
}

function refuseHttp2(source: Http2Source): void {
  source.tunnel({ received: () => {}, ended: () => {}, gone: () => {} }).destroy();
}
