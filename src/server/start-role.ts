/** `start()` in each role: one function each. The role was decided by whoever started the process. */
import { serializeError } from '../errors/index.js';
import { reactorBell } from '../ipc/bells.js';
import type { Inheritance } from '../ipc/inheritance.js';
import { Outbox } from '../ipc/outbox.js';
import { RingWriter } from '../ipc/ring.js';
import { Waker } from '../ipc/sleep.js';
import { runManager } from '../manager/run.js';
import { Master } from '../master/master.js';
import { ReactorBoard } from '../memory/boards.js';
import { ConnectionTable } from '../memory/connection-table.js';
import { senderOfManager } from '../memory/layout.js';
import { Region } from '../memory/region.js';
import { exitWithoutTeardown } from '../os/exit.js';
import { setProcessTitle } from '../os/process-title.js';
import { runWorker } from '../worker/run.js';
import type { Connection } from './connection.js';
import type { Runtime, StartContext } from './server.js';

export type Role = 'master' | 'manager' | 'worker';

const never = (): Promise<never> => new Promise(() => {});

export function startRole(inheritance: Inheritance | undefined, context: StartContext): Promise<void> {
  ignoreStraySignals();
  exitWithoutTeardown();
  const { processTitle } = context.options;
  if (inheritance === undefined) {
    setProcessTitle(`${processTitle}: master`);
    return startMaster(context);
  }
  if (inheritance.role === 'manager') {
    setProcessTitle(`${processTitle}: manager`);
    return startManager(inheritance, context);
  }
  setProcessTitle(`${processTitle}: worker ${inheritance.id}`);
  return startWorker(inheritance, context);
}

/**
 * Without a listener SIGUSR1 opens Node's debugger and the others end the process. A terminal sends SIGINT and SIGHUP
 * to every process of the tree; only the master acts on them.
 */
function ignoreStraySignals(): void {
  for (const signal of ['SIGUSR1', 'SIGUSR2', 'SIGINT', 'SIGHUP'] as const) process.on(signal, () => {});
}

async function startMaster(context: StartContext): Promise<void> {
  const { options, ports, events, log } = context;
  const master = new Master(
    options,
    ports.map((port) => port.settings),
    events,
    log,
  );
  const end = async (): Promise<void> => {
    await master.shutdown();
    // During the start it is start() that undoes everything and says why.
    if (master.hasStarted) process.exit(0);
  };
  const runtime: Runtime = {
    region: master.region,
    outbox: master.outbox,
    requestShutdown: () => void end(),
    requestReload: () => master.reload(),
    requestStopWorker: (workerId) => master.stopWorker(workerId),
  };
  master.onShutdownRequest = () => void end();
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, () => void end());
  process.on('SIGUSR1', () => master.reload());
  context.running(runtime);
  await master.start();
  try {
    await events.start?.();
  } catch (error) {
    log.error("the 'start' callback failed", { error });
  }
}

async function startManager(inheritance: Inheritance, context: StartContext): Promise<never> {
  const region = Region.open(inheritance.region);
  const { highWatermark, sendBufferSize: limitBytes } = context.options;
  const reactors = new ReactorBoard(region);
  const links = Array.from({ length: region.shape.reactorNum }, (_, r) => ({
    ring: new RingWriter(region, region.layout.outbound(r, senderOfManager(region.shape))),
    waker: new Waker(region.int32, reactors.sleepIndex(r), reactorBell(inheritance.bells, r)),
  }));
  const outbox = new Outbox(new ConnectionTable(region), links, { highWatermark, limitBytes, hearsOfRoom: false });
  const { manager, channel } = runManager(inheritance, region, context.options, context.events, context.log);
  context.running({
    region,
    outbox,
    requestShutdown: () => void channel.send({ type: 'request', action: 'shutdown' }),
    requestReload: () => manager.reload(),
    requestStopWorker: (workerId) => manager.recycle(workerId),
  });
  return never();
}

async function startWorker(inheritance: Inheritance & { role: 'worker' }, context: StartContext): Promise<never> {
  const { options, ports, events, log } = context;
  const region = Region.open(inheritance.region);
  const callbacks = {
    ports: ports.map((port) => ({ ...events, ...port.table.callbacks })),
    workerStart: events.workerStart,
    workerExit: events.workerExit,
    workerStop: events.workerStop,
  };
  const { worker, outbox, channel } = runWorker<Connection>(
    inheritance,
    region,
    options,
    callbacks,
    context.createConnection,
    log,
  );
  context.running({
    region,
    outbox,
    requestShutdown: () => void channel.send({ type: 'request', action: 'shutdown' }),
    requestReload: () => void channel.send({ type: 'request', action: 'reload' }),
    requestStopWorker: (workerId) => void channel.send({ type: 'request', action: 'stopWorker', workerId }),
  });
  try {
    await worker.boot();
  } catch (error) {
    log.error('the worker could not start', { error });
    channel.send({ type: 'bootFailed', error: serializeError(error) });
    await channel.flushed();
    process.exit(1);
  }
  return never();
}
