/** Assembles a worker that owns connections (BASE mode). Runs in the worker. */

import type { AccessLog } from '../access-log/access-log.js';
import type { Inheritance, OwnDescriptors, ProcessRole } from '../ipc/inheritance.js';
import { isDatagram } from '../listen/bind-port.js';
import type { Region } from '../memory/region.js';
import type { FinishCallback } from '../messaging/task-client.js';
import { reactorOptions } from '../options/for-reactor.js';
import type { ResolvedListen, ResolvedOptions } from '../options/index.js';
import { createPoller } from '../os/create-poller.js';
import { loadModules } from '../reactor/assemble.js';
import { ourArena } from '../shared/objects.js';
import type { Log } from '../util/log.js';
import type { UserConnection, WorkerCallbacks } from '../worker/callbacks.js';
import { type RunningWorker, runWorker, type WorkerSurroundings } from '../worker/run.js';
import type { ServiceFactory } from '../worker/service.js';
import type { WorkerParts } from '../worker/worker.js';
import { BaseSockets } from './own-sockets.js';
import { Turns } from './turns.js';

export interface BaseWorkerPlace<C extends UserConnection> {
  readonly inheritance: Inheritance & { role: ProcessRole };
  readonly own: OwnDescriptors;
  readonly region: Region;
  readonly options: ResolvedOptions;
  readonly listens: readonly ResolvedListen[];
  readonly callbacks: WorkerCallbacks<C> & { readonly finish?: FinishCallback | undefined };
  readonly create: Pick<WorkerParts<C>, 'createConnection' | 'datagrams'>;
  readonly log: Log;
  /** Missing: none is written. */
  readonly accessLog?: AccessLog | undefined;
  /** Protocols that not every worker has. */
  readonly services: readonly ServiceFactory[];
  /** Where the whole server is one process. */
  readonly alone?: Pick<WorkerSurroundings<C>, 'channel' | 'exit'>;
}

/** @throws ServerError when a module for framing or dispatch cannot be used */
export async function runBaseWorker<C extends UserConnection>(place: BaseWorkerPlace<C>): Promise<RunningWorker<C>> {
  const { inheritance, own, region, options, listens, callbacks, create, log, alone } = place;
  const { id, lane, bells } = inheritance;
  const ports = listens.map(({ type, proxyProtocol }, index) => ({
    type,
    descriptor: own.listeners[index] ?? -1,
    proxied: proxyProtocol.length > 0,
  }));
  const datagrams = ports.map((port) => (isDatagram(port) ? port.descriptor : -1));
  const forReactor = reactorOptions(options, listens, datagrams, () => ourArena().descriptor);
  const turns = new Turns((handler) => createPoller(options.reactorBackend, handler));
  const sockets = new BaseSockets({
    id,
    lane,
    region,
    bells,
    reactorOptions: forReactor,
    dispatchMode: options.dispatchMode,
    modules: await loadModules(forReactor.ports, options.dispatchMode, region),
    ports,
    closesPorts: alone === undefined,
    maxConnections: options.maxConnections,
    reusePort: options.reusePort,
    handOver: alone === undefined ? own : undefined,
    turns,
    log,
    accessLog: place.accessLog,
  });
  return runWorker({
    ...{ inheritance, region, options, listens, callbacks, create, log, sockets },
    ...alone,
    services: place.services,
    direct: (reactor) => (reactor === id ? sockets.direct : undefined),
    reactorWaker: (reactor) => (reactor === id ? sockets.reactorWaker : undefined),
    createPoller: (worker) => turns.forWorker(worker),
  });
}
