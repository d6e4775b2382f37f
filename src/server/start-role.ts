/** `start()` in each role: one function each. The role was decided by whoever started the process. */
import { aloneMode, isAlone } from '../base/alone.js';
import { baseMode } from '../base/base-mode.js';
import { limitsOf, runBaseWorker } from '../base/run-worker.js';
import { ServerError, serializeError } from '../errors/index.js';
import { Exchange } from '../exchange/exchange.js';
import { PeerLoop } from '../exchange/peer-loop.js';
import type { FinishCallback } from '../exchange/task-client.js';
import { peerBell, reactorBell } from '../ipc/bells.js';
import type { Inheritance, ProcessRole } from '../ipc/inheritance.js';
import { Outbox } from '../ipc/outbox.js';
import { RingWriter } from '../ipc/ring.js';
import { Sleeper, Waker } from '../ipc/sleep.js';
import { runManager } from '../manager/run.js';
import { Master } from '../master/master.js';
import { type MasterMode, processMode } from '../master/mode.js';
import { ReactorBoard, WorkerBoard, WorkerField } from '../memory/boards.js';
import { ConnectionTable } from '../memory/connection-table.js';
import { peerOfManager, peerOfMaster } from '../memory/layout.js';
import { Region } from '../memory/region.js';
import type { ResolvedListen } from '../options/index.js';
import { createPoller } from '../os/create-poller.js';
import { exitWithoutTeardown } from '../os/exit.js';
import { setProcessTitle } from '../os/process-title.js';
import { loadDispatch } from '../reactor/dispatch/custom.js';
import { TaskRunner } from '../task/task-runner.js';
import { UserProcess } from '../user/user-process.js';
import type { WorkerCallbacks } from '../worker/callbacks.js';
import { type RunningWorker, runWorker } from '../worker/run.js';
import type { Connection } from './connection.js';
import type { Runtime, StartContext } from './server.js';

export type Role = 'master' | 'manager' | ProcessRole;

type CallbacksOfWorker = WorkerCallbacks<Connection> & { readonly finish?: FinishCallback | undefined };

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
  setProcessTitle(`${processTitle}: ${nameOf(inheritance, context)}`);
  return startProcess(inheritance, context);
}

/**
 * Without a listener SIGUSR1 opens Node's debugger and the others end the process. A terminal sends SIGINT and SIGHUP
 * to every process of the tree; only the master acts on them.
 */
function ignoreStraySignals(): void {
  for (const signal of ['SIGUSR1', 'SIGUSR2', 'SIGINT', 'SIGHUP'] as const) process.on(signal, () => {});
}

async function startMaster(context: StartContext): Promise<void> {
  const { options, events, log } = context;
  if (options.taskWorkerNum > 0 && events.task === undefined) {
    throw new ServerError('ERR_TASK_CALLBACK', { count: options.taskWorkerNum });
  }
  const { dispatchMode } = options;
  if (typeof dispatchMode !== 'string') await loadDispatch(dispatchMode.module); // says here why it cannot be used
  const names = context.userProcesses.map(({ name }) => name);
  if (isAlone(options, names.length)) return startAlone(context);
  const mode: MasterMode =
    options.mode === 'process'
      ? processMode
      : baseMode({
          options,
          callbacks: events,
          userProcessNames: names,
          log,
          region: () => master.region,
          exchange: () => exchange,
        });
  const master: Master = new Master(options, names.length, listensOf(context), mode, events, log);
  const { region } = master;
  const peer = peerOfMaster(region.shape);
  const exchange: Exchange = new Exchange({
    ...master.shared,
    region,
    peer,
    options,
    finish: events.finish,
    failed: (what, error) => log.error(what, { error }),
  });
  const sleeper = new Sleeper(region.int32, region.masterSleepIndex);
  const bell = peerBell(master.shared.bells, region.shape, peer);
  const loop = new PeerLoop(exchange, sleeper, bell, (handler) => createPoller(options.reactorBackend, handler));
  const runtime: Runtime = {
    region,
    outbox: master.outbox,
    exchange,
    get datagrams() {
      return master.shared.datagrams;
    },
    requestShutdown: () => void endMaster(master),
    requestReload: (tasksOnly) => master.reload(tasksOnly),
    requestStopWorker: (workerId) => master.stopWorker(workerId),
  };
  obeySignals(master);
  context.running(runtime);
  try {
    await master.start();
  } catch (error) {
    loop.close();
    throw error;
  }
  await callStart(context);
}

/** BASE mode, where one process is enough: this one runs the callbacks too. */
async function startAlone(context: StartContext): Promise<void> {
  const { options, events, log } = context;
  const listens = listensOf(context);
  const mode = aloneMode({
    log,
    region: () => master.region,
    startWorker: async (shared, own, channel, exit) => {
      const { region } = master;
      const inheritance = { role: 'worker' as const, id: 0, lane: 0, generation: 0, ...shared };
      const alone = { channel, exit };
      const callbacks = callbacksOf(context);
      const place = { inheritance, own, region, options, listens, callbacks, create: context, log, alone };
      const { worker, outbox, exchange } = await runBaseWorker<Connection>(place);
      context.running({
        region,
        outbox,
        exchange,
        workerId: 0,
        datagrams: shared.datagrams,
        requestShutdown: () => void endMaster(master),
        requestReload: (tasksOnly) => master.reload(tasksOnly),
        requestStopWorker: (workerId) => master.stopWorker(workerId),
      });
      await worker.boot();
    },
  });
  const master: Master = new Master(options, 0, listens, mode, events, log);
  obeySignals(master);
  await master.start();
  await callStart(context);
}

function listensOf({ ports }: StartContext): ResolvedListen[] {
  return ports.map((port) => port.settings);
}

async function endMaster(master: Master): Promise<void> {
  await master.shutdown();
  // During the start it is start() that undoes everything and says why.
  if (master.hasStarted) process.exit(0);
}

function obeySignals(master: Master): void {
  master.onShutdownRequest = () => void endMaster(master);
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, () => void endMaster(master));
  process.on('SIGUSR1', () => master.reload());
  process.on('SIGUSR2', () => master.reload(true));
}

async function callStart({ events, log }: StartContext): Promise<void> {
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
    ring: new RingWriter(region, region.layout.outbound(r, peerOfManager(region.shape))),
    waker: new Waker(region.int32, reactors.sleepIndex(r), reactorBell(inheritance.bells, r)),
  }));
  const outbox = new Outbox(new ConnectionTable(region), links, { highWatermark, limitBytes, hearsOfRoom: false });
  const names = context.userProcesses.map(({ name }) => name);
  const { options, events, log } = context;
  const { manager, exchange, channel } = runManager(inheritance, region, options, events, names, log);
  context.running({
    region,
    outbox,
    exchange,
    datagrams: inheritance.datagrams,
    requestShutdown: () => void channel.send({ type: 'request', action: 'shutdown' }),
    requestReload: (tasksOnly) => manager.reload(tasksOnly),
    requestStopWorker: (workerId) => manager.recycle(workerId),
  });
  return never();
}

/** Worker, task worker, or a process of the user's own. */
async function startProcess(inheritance: Inheritance & { role: ProcessRole }, context: StartContext): Promise<never> {
  const { options, log } = context;
  const region = Region.open(inheritance.region);
  const callbacks = callbacksOf(context, inheritance.role === 'user');
  const { own } = inheritance;
  const listens = listensOf(context);
  const place = { inheritance, region, options, listens, callbacks, create: context, log };
  const running =
    own === undefined
      ? runWorker<Connection>(inheritance, region, options, callbacks, context, log, { limits: limitsOf(listens) })
      : await runBaseWorker<Connection>({ ...place, own });
  const { worker, outbox, exchange, channel } = running;
  if (inheritance.role === 'task') worker.setSource(taskSource(inheritance, running, region, context));
  if (inheritance.role === 'user') worker.setSource(userSource(inheritance, running, context));
  context.running({
    region,
    outbox,
    exchange,
    datagrams: inheritance.datagrams,
    requestShutdown: () => void channel.send({ type: 'request', action: 'shutdown' }),
    requestReload: (tasksOnly) => void channel.send({ type: 'request', action: 'reload', tasksOnly }),
    requestStopWorker: (workerId) => void channel.send({ type: 'request', action: 'stopWorker', workerId }),
  });
  try {
    await worker.boot();
  } catch (error) {
    log.error(`the ${nameOf(inheritance, context)} could not start`, { error });
    channel.send({ type: 'bootFailed', error: serializeError(error) });
    await channel.flushed();
    process.exit(1);
  }
  return never();
}

function callbacksOf({ ports, events }: StartContext, isUser = false): CallbacksOfWorker {
  return {
    ports: ports.map((port) => ({ ...events, ...port.table.callbacks })),
    workerStart: isUser ? undefined : events.workerStart,
    workerExit: isUser ? undefined : events.workerExit,
    workerStop: isUser ? undefined : events.workerStop,
    pipeMessage: events.pipeMessage,
    finish: events.finish,
  };
}

function taskSource(
  { id }: Inheritance & { role: ProcessRole },
  { worker, exchange, channel }: RunningWorker<Connection>,
  region: Region,
  { options, events, log }: StartContext,
): TaskRunner {
  const board = new WorkerBoard(region);
  exchange.queue.takeFor(id);
  return new TaskRunner({
    queue: exchange.queue,
    concurrency: options.taskConcurrency,
    maxTasks: options.taskMaxRequest,
    run: (task) => events.task?.(task),
    setRoom: (count) => board.setField(id, WorkerField.room, count),
    setRunning: (count) => board.setField(id, WorkerField.pending, count),
    wakeAnother: () => exchange.wakeFreeTaskWorker(),
    wakeSoon: () => worker.wakeSoon(),
    retire: () => {
      log.info('as many tasks were run as taskMaxRequest says, asking to be replaced');
      channel.send({ type: 'request', action: 'stopWorker', workerId: id });
    },
  });
}

function userSource(
  { id }: Inheritance & { role: ProcessRole },
  { worker }: RunningWorker<Connection>,
  { options, userProcesses, server, log }: StartContext,
): UserProcess {
  const given = userProcesses[id - options.workerNum - options.taskWorkerNum];
  if (given === undefined) throw new Error(`the script adds ${userProcesses.length} processes, and not number ${id}`);
  return new UserProcess({
    run: (signal) => given.run(server, signal),
    waits: given.run.length > 1,
    failed: (error) => {
      log.error(`the process ${given.name} failed`, { error });
      process.exit(1);
    },
    wakeSoon: () => worker.wakeSoon(),
  });
}

function nameOf({ role, id }: Inheritance & { role: ProcessRole }, { options, userProcesses }: StartContext): string {
  if (role === 'worker') return `worker ${id}`;
  if (role === 'task') return `task worker ${id}`;
  return `process ${userProcesses[id - options.workerNum - options.taskWorkerNum]?.name ?? id}`;
}
