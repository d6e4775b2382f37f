/** Puts the HTTP of a worker together: for each port that speaks it, who answers. Runs in a worker. */
import { ConnectionTable } from '../memory/connection-table.js';
import type { Region } from '../memory/region.js';
import type { StartContext } from '../server/server.js';
import type { HttpService, HttpWorker } from '../worker/http-service.js';
import { CallbackHandler, type HandlerParts } from './handlers.js';
import { HttpRequests, type PortHandler } from './http-requests.js';

export function assembleHttp(context: StartContext, region: Region): HttpService {
  const table = new ConnectionTable(region);
  const { options, log } = context;
  const remote = (fd: number): { remoteAddress: string; remotePort: number } => {
    const { remoteAddress = '', remotePort = 0 } = table.info(fd) ?? {};
    return { remoteAddress, remotePort };
  };
  let worker: HttpWorker | undefined;
  const parts: HandlerParts = { options, log, remote, failed: (error, what) => worker?.callbackFailed(error, what) };
  const handlers = context.ports.map((port) =>
    port.settings.protocol === 'http' ? handlerFor(context, port.table.callbacks.request, parts) : undefined,
  );
  const requests = new HttpRequests({ portOf: (fd) => table.portIndex(table.slotOf(fd)), remote, handlers });
  const begin = requests.begin.bind(requests);
  requests.begin = (given) => {
    worker = given;
    begin(given);
  };
  return requests;
}

function handlerFor(
  { events }: StartContext,
  own: StartContext['events']['request'],
  parts: HandlerParts,
): PortHandler {
  const callback = own ?? events.request;
  return new CallbackHandler(callback ?? notFound, parts);
}

const notFound: NonNullable<StartContext['events']['request']> = (_request, response) =>
  response.fail(404, 'Not Found');
