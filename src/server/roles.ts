/** The callbacks of a script, as a process of a role calls them. */

import type { ProcessRole } from '../ipc/inheritance.js';
import type { Region } from '../memory/region.js';
import type { FinishCallback } from '../messaging/task-client.js';
import { type Declared, type ResolvedListen, speaksHttp } from '../options/index.js';
import type { WorkerCallbacks } from '../worker/callbacks.js';
import type { ServiceFactory } from '../worker/service.js';
import type { Connection } from './connection.js';
import type { StartContext } from './context.js';
import { runningServer } from './running-server.js';

type CallbacksOfWorker = WorkerCallbacks<Connection> & { readonly finish?: FinishCallback | undefined };

export function callbacksOf({ ports, events, httpHalf }: StartContext, isUser = false): CallbacksOfWorker {
  const asCalled = httpHalf?.callbacks ?? ((callbacks) => callbacks);
  return {
    ports: ports.map((port) => asCalled({ ...events, ...port.table.callbacks }, port)),
    workerStart: isUser ? undefined : events.workerStart,
    workerExit: isUser ? undefined : events.workerExit,
    workerStop: isUser ? undefined : events.workerStop,
    pipeMessage: events.pipeMessage,
    finish: events.finish,
  };
}

/** The listen ports of the server: what the script has added since its start is not among them. */
export function listensOf({ ports }: StartContext): ResolvedListen[] {
  return ports.slice(0, runningServer()?.portNum).map(({ settings }) => settings);
}

export function declaredBy(context: StartContext): Declared {
  const { options, given, ports, userProcesses } = context;
  const listens = ports.map(({ settings }) => settings);
  return { options, given, listens, processes: userProcesses.map(({ name }) => name) };
}

/** Loaded only where it is needed. */
export async function httpOf(
  context: StartContext,
  region: Region,
  role: ProcessRole,
): Promise<readonly ServiceFactory[]> {
  if (role !== 'worker' || listensOf(context).every(({ protocol }) => !speaksHttp(protocol))) return [];
  return (await context.httpHalf?.load(context, region)) ?? [];
}
