/**
 * Checks before the start that ports and callbacks fit: a port whose packets no callback takes was not meant, and neither
 * was a port's own callback that it never calls.
 */
import { ServerError } from '../errors/index.js';
import { isDatagram } from '../listen/bind-port.js';
import { type ResolvedListen, speaksHttp } from '../options/index.js';
import type { StartContext } from './context.js';
import type { ListenPort, PortEvents } from './listen-port.js';

type NeededEvent = 'receive' | 'packet' | 'request';

const isStream = (settings: ResolvedListen): boolean => !isDatagram(settings);
const isWebSocket = (settings: ResolvedListen): boolean => isStream(settings) && settings.protocol === 'websocket';

/** Which ports call it. */
const calledBy: Readonly<Record<keyof PortEvents, (settings: ResolvedListen) => boolean>> = {
  connect: isStream,
  receive: (settings) => isStream(settings) && !speaksHttp(settings.protocol),
  packet: isDatagram,
  request: (settings) => isStream(settings) && speaksHttp(settings.protocol),
  handshake: isWebSocket,
  open: isWebSocket,
  message: isWebSocket,
  close: isStream,
  bufferFull: isStream,
  bufferEmpty: isStream,
};

/**
 * @throws ServerError ERR_CALLBACK_MISSING, ERR_CALLBACK_UNUSED, ERR_JOB_NO_TASK_WORKERS. Swoole: "require onReceive
 * callback" and its like
 */
export function requireCallbacks(context: StartContext): void {
  const { options, events, ports, jobHandlers } = context;
  const { taskWorkerNum: count } = options;
  const [job] = jobHandlers?.offers ?? [];
  if (count === 0 && job !== undefined) throw new ServerError('ERR_JOB_NO_TASK_WORKERS', { name: job.name });
  if (count > 0 && events.task === undefined && job === undefined) {
    throw new ServerError('ERR_CALLBACK_MISSING', { event: 'task', where: `task workers (taskWorkerNum: ${count})` });
  }
  for (const port of ports) {
    refuseUnused(port);
    requireOf(port, context);
  }
}

/** Events that have a callback of the server, and that none of its ports calls. Programs may register them for all of their servers. */
export function uncalledEvents({ events, ports }: Pick<StartContext, 'events' | 'ports'>): string[] {
  const names = Object.keys(calledBy) as (keyof PortEvents)[];
  return names.filter((event) => events[event] !== undefined && !ports.some((port) => calledBy[event](port.settings)));
}

/** The server's own callbacks may be for another port; those of a port are for it alone. */
function refuseUnused(port: ListenPort): void {
  const { settings } = port;
  for (const event of Object.keys(port.table.callbacks) as (keyof PortEvents)[]) {
    if (calledBy[event](settings)) continue;
    const speaks = isDatagram(settings) ? 'datagrams' : `"${settings.protocol}"`;
    throw new ServerError('ERR_CALLBACK_UNUSED', { event, speaks, ...placeOf(port) });
  }
}

function requireOf(port: ListenPort, { events, httpHalf, options }: StartContext): void {
  const event = neededBy(port);
  if ((port.table.callbacks[event] ?? events[event]) !== undefined) return;
  const isAnswered = options.staticFiles.length > 0 || httpHalf?.answers === true;
  if (event === 'request' && isAnswered) return;
  throw new ServerError('ERR_CALLBACK_MISSING', { event, ...placeOf(port) });
}

function placeOf({ port, type, host, path }: ListenPort): { where: string; port?: number } {
  const where = `the listen port for ${type} on ${path === '' ? host : path}`;
  return { where, ...(path === '' && { port }) };
}

function neededBy({ settings }: ListenPort): NeededEvent {
  if (isDatagram(settings)) return 'packet';
  return speaksHttp(settings.protocol) ? 'request' : 'receive';
}
