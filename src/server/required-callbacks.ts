/**
 * Checks before the start that the required callbacks are there: a port whose packets no callback takes was not meant.
 */
import { ServerError } from '../errors/index.js';
import { isDatagram } from '../listen/bind-port.js';
import { speaksHttp } from '../options/index.js';
import type { StartContext } from './context.js';
import type { ListenPort } from './listen-port.js';

type NeededEvent = 'receive' | 'packet' | 'request';

/** @throws ServerError ERR_CALLBACK_MISSING, ERR_JOB_NO_TASK_WORKERS. Swoole: "require onReceive callback" and its like */
export function requireCallbacks(context: StartContext): void {
  const { options, events, ports, jobHandlers } = context;
  const { taskWorkerNum: count } = options;
  const [job] = jobHandlers?.offers ?? [];
  if (count === 0 && job !== undefined) throw new ServerError('ERR_JOB_NO_TASK_WORKERS', { name: job.name });
  if (count > 0 && events.task === undefined && job === undefined) {
    throw new ServerError('ERR_CALLBACK_MISSING', { event: 'task', where: `task workers (taskWorkerNum: ${count})` });
  }
  for (const port of ports) requireOf(port, context);
}

function requireOf(port: ListenPort, { events, httpHalf, options }: StartContext): void {
  const event = neededBy(port);
  if ((port.table.callbacks[event] ?? events[event]) !== undefined) return;
  const { port: number, type, host, path } = port;
  const where = `the listen port for ${type} on ${path === '' ? host : path}`;
  const detail = { event, where, ...(path === '' && { port: number }) };
  const isAnswered = options.staticFiles.length > 0 || httpHalf?.answers === true;
  if (event === 'request' && isAnswered) return;
  throw new ServerError('ERR_CALLBACK_MISSING', detail);
}

function neededBy({ settings }: ListenPort): NeededEvent {
  if (isDatagram(settings)) return 'packet';
  return speaksHttp(settings.protocol) ? 'request' : 'receive';
}
