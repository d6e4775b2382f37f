/** Assembles the HTTP of a worker: a handler for each port that speaks it. Runs in a worker. */
import { ReactorBoard, ReactorCounter, WorkerBoard } from '../memory/boards.js';
import { ConnectionTable } from '../memory/connection-table.js';
import type { Region } from '../memory/region.js';
import { type ResolvedOptions, speaksHttp } from '../options/index.js';
import type { StartContext } from '../server/context.js';
import type { ListenPort } from '../server/listen-port.js';
import type { ServiceFactory } from '../worker/service.js';
import { checkApps, type HttpApps } from './apps.js';
import { markSessions } from './engine-io.js';
import {
  bridgeTo,
  type HandlerParts,
  type RequestCallback,
  refuseExpectation,
  serveByCallback,
  serveByFetch,
  withFiles,
} from './handlers.js';
import { type Http2Source, HttpRequests, type PortHandler } from './http-requests.js';
import type { Http1Exchange } from './http1-exchange.js';
import { Http1Streams } from './http2/as-http1.js';
import type { Http2Bridge, Http2BridgeParts } from './http2/http2-bridge.js';
import type { Http2Exchange } from './http2/http2-exchange.js';
import type { WorkerLimit, WorkerLimitParts } from './limited.js';
import type { TunnelEvents } from './node/raw-exchange.js';
import { OWN_TLS, servesPlainly } from './own-tls.js';
import { RequestClients } from './request-clients.js';
import { RequestGate } from './request-gate.js';
import { isInstrumented } from './request-span.js';

/** Takes an upgrade request. @returns false: it is a request as any other */
export type TakeUpgrade = (exchange: Http1Exchange) => boolean;

/**
 * @param upgradeOf of a listen port; undefined: upgrades are requests as any other
 * @throws ServerError when an app cannot be loaded
 */
export async function assembleHttp(
  context: StartContext,
  region: Region,
  apps: HttpApps,
  upgradeOf: (port: ListenPort) => TakeUpgrade | undefined = () => undefined,
): Promise<ServiceFactory> {
  const table = new ConnectionTable(region);
  const { options, log, server } = context;
  const clients = new RequestClients(
    table,
    context.ports.map(({ settings }) => settings),
  );
  const { peer: remote, forwarded } = clients;
  const { workerMaxConcurrency } = options;
  const gate = workerMaxConcurrency === 0 ? undefined : new RequestGate(workerMaxConcurrency);
  const failed = (error: unknown, what: string): void => requests.failed(error, what);
  const parts: HandlerParts = {
    ...{ options, log, server, remote, forwarded, failed },
    limit: await limitOf(options, { clientOf: clients.of, failed }),
    countUnderWay: (change) => {
      requests.http2.countUnderWay(change);
      requests.countUnderWay(change);
    },
    answered: (status) => requests.answered(status),
    http2: () => requests.http2,
    isFull: fullness(options, region),
    readsNobody: pausedReactor(options, region),
    gate,
    accessLog: context.accessLog?.(),
  };
  const loaded =
    apps.app === undefined
      ? apps
      : checkApps(await apps.app({ host: options.host, port: region.ports[0] ?? options.port }));
  if (options.maxWorkerNum > 1 && markSessions(server.workerId)) {
    region.beginSessionAffinity();
    if (server.workerId === 0) log.info('Engine.IO is in use: requests of a session go to the worker that keeps it');
  }
  const speaking = context.ports.map(({ settings }) => settings).filter(({ protocol }) => speaksHttp(protocol));
  if (server.workerId === 0 && servesPlainly(loaded, speaking)) log.warn(OWN_TLS);
  const handlers = await Promise.all(
    context.ports.map(async (port) =>
      speaksHttp(port.settings.protocol)
        ? withUpgrade(await handlerOf(port, context, loaded, ofPort(port, parts)), upgradeOf(port))
        : undefined,
    ),
  );
  let requests: HttpRequests;
  const portOf = (fd: number): number => table.portIndex(table.slotOf(fd));
  return (host) => {
    requests = new HttpRequests(host, { portOf, remote, forwarded, handlers, gate });
    return requests;
  };
}

/** HTTP/2 is held to the limit of its port here, as HTTP/1 is where its connections are. */
function ofPort({ settings: { sendBufferSize } }: ListenPort, parts: HandlerParts): HandlerParts {
  return { ...parts, options: { ...parts.options, sendBufferSize } };
}

function withUpgrade(handler: PortHandler, takeUpgrade: TakeUpgrade | undefined): PortHandler {
  if (takeUpgrade === undefined) return handler;
  const serve = (exchange: Http1Exchange): void => {
    if (!exchange.isUpgrade || !takeUpgrade(exchange)) handler.serve(exchange);
  };
  return { ...handler, serve };
}

/** A `request` callback of the port comes first, then that of the server, then an app. */
async function handlerOf(
  port: ListenPort,
  { events }: StartContext,
  { fetch, listener }: HttpApps,
  parts: HandlerParts,
): Promise<PortHandler> {
  const callback = port.table.callbacks.request ?? events.request;
  if (callback === undefined && listener !== undefined) return handlerOfListener(listener, parts);
  const serve =
    callback === undefined && fetch !== undefined
      ? await serveByFetch(fetch, parts)
      : serveByCallback(callback ?? notFound, parts);
  const { limit } = parts;
  const forHttp2 = limit === undefined ? serve : limit.guard(serve, () => parts.http2().countRefused());
  const http2 = http2Of(parts, { serve: withFiles(forHttp2, parts.options) });
  const forHttp1 = limit?.isOfWorkers ? limit.guard(serve) : serve;
  const serveExpected = (exchange: Http1Exchange): void =>
    exchange.expectsOther ? refuseExpectation(exchange) : forHttp1(exchange);
  return { serve: serveExpected, http2: http2.accept, dismiss: http2.dismiss, drain: http2.drain };
}

const notFound: RequestCallback = (_request, response) => response.fail(404, 'Not Found');

async function handlerOfListener(
  listener: NonNullable<HttpApps['listener']>,
  parts: HandlerParts,
): Promise<PortHandler> {
  const bridge = await bridgeTo(listener, parts);
  const { server } = bridge;
  const { limit } = parts;
  const streams = new Http1Streams(bridge, parts.remote);
  const serveStream = (exchange: Http2Exchange): void => streams.serve(exchange);
  const guarded = limit === undefined ? serveStream : limit.guard(serveStream, () => parts.http2().countRefused());
  const http2 = http2Of(parts, {
    serve: withFiles(guarded, parts.options),
    takesExpectations: true,
    isInstrumented: () => isInstrumented(server),
    closed: (fd) => streams.closed(fd),
  });
  const drain = (): void => {
    void bridge.drain();
    http2.drain();
  };
  const serve = (exchange: Http1Exchange): void => {
    const refusal = limit?.isOfWorkers ? limit.refusalOf(exchange, exchange.fd) : undefined;
    if (refusal === undefined) bridge.handle(exchange);
    else limit?.refuse(exchange, refusal);
  };
  return {
    ...{ serve, http2: http2.accept, dismiss: http2.dismiss, drain },
    isInstrumented: () => isInstrumented(server),
  };
}

async function limitOf({ rateLimit }: ResolvedOptions, parts: WorkerLimitParts): Promise<WorkerLimit | undefined> {
  if (rateLimit === null) return undefined;
  const { WorkerLimit } = await import('./limited.js');
  return new WorkerLimit(rateLimit, parts);
}

/** Reactors publish the HTTP/1 requests under way, workers those of HTTP/2. */
function fullness({ maxConcurrency }: ResolvedOptions, region: Region): () => boolean {
  if (maxConcurrency === 0) return () => false;
  const { reactorNum, workerNum } = region.shape;
  const reactors = new ReactorBoard(region);
  const workers = new WorkerBoard(region);
  return () => {
    let underWay = workers.streamsUnderWay(workerNum);
    for (let reactor = 0; reactor < reactorNum; reactor++) underWay += reactors.underWay(reactor);
    return underWay >= maxConcurrency;
  };
}

/** The reactors, each for its connections, become one after the other what the first is. */
function pausedReactor({ maxBufferedBytes }: ResolvedOptions, region: Region): () => boolean {
  if (maxBufferedBytes === 0) return () => false;
  const { reactorNum } = region.shape;
  const board = new ReactorBoard(region);
  return () => {
    for (let id = 0; id < reactorNum; id++) if (board.read(id, ReactorCounter.paused) !== 0) return true;
    return false;
  };
}

/** Created when the first client speaks HTTP/2: Node's part of it takes some 3 MiB. */
function http2Of(
  parts: HandlerParts,
  app: Pick<Http2BridgeParts, 'serve' | 'takesExpectations' | 'isInstrumented' | 'closed'>,
): Pick<PortHandler, 'dismiss' | 'drain'> & { accept(source: Http2Source): void } {
  let bridge: Http2Bridge | undefined;
  let isDraining = false;
  let isDismissed = false;
  const make = async (): Promise<Http2Bridge> => {
    const { Http2Bridge } = await import('./http2/http2-bridge.js');
    const { log, options } = parts;
    const begun = (): void => parts.countUnderWay(1);
    const ended = (): void => parts.countUnderWay(-1);
    const { isFull, readsNobody, gate, remote, forwarded, accessLog, answered } = parts;
    const record = parts.http2();
    bridge ??= new Http2Bridge({
      ...{ options, log, record, gate, isDraining, isDismissed, isFull, readsNobody, remote, forwarded, accessLog },
      ...{ answered, begun, ended },
      ...app,
    });
    return bridge;
  };
  return {
    accept: (source) => {
      if (bridge !== undefined) return bridge.accept(source);
      const early = openEarly(source);
      void make().then((made) => made.accept(early));
    },
    dismiss: () => {
      isDismissed = true;
      void bridge?.dismiss();
    },
    drain: () => {
      isDraining = true;
      void bridge?.drain();
    },
  };
}

/** Buffers events until the tunnel has a listener. */
function openEarly(source: Http2Source): Http2Source {
  const early: ((events: TunnelEvents) => void)[] = [];
  let listener: TunnelEvents | undefined;
  const pass = (what: (events: TunnelEvents) => void): void => {
    if (listener === undefined) early.push(what);
    else what(listener);
  };
  const tunnel = source.tunnel({
    received: (data) => pass((events) => events.received(data)),
    ended: () => pass((events) => events.ended()),
    gone: () => pass((events) => events.gone()),
  });
  return {
    ...source,
    tunnel: (events) => {
      // Not before the caller has the tunnel.
      queueMicrotask(() => {
        listener = events;
        for (const what of early.splice(0)) what(events);
      });
      return tunnel;
    },
  };
}
