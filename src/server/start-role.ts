/** `start()` in each role: one function each. The parent of the process has decided the role. */
import { ServerError, serializeError } from '../errors/index.js';
import type { Inheritance, ProcessRole } from '../ipc/inheritance.js';
import { WorkerBoard, WorkerField } from '../memory/boards.js';
import { peerOf } from '../memory/layout.js';
import { nameOfProcess } from '../memory/process-id.js';
import { Region } from '../memory/region.js';
import { packForPredecessor } from '../messaging/passed-on.js';
import { exitWithoutTeardown } from '../os/exit.js';
import { bindToCore, coreFor, giveUpRights, settleIn } from '../os/isolation.js';
import { ignoreLostOutput } from '../os/lost-output.js';
import { setProcessTitle } from '../os/process-title.js';
import { TaskRunner } from '../task/task-runner.js';
import { UserProcess } from '../user/user-process.js';
import { keepProgram } from '../util/import-module.js';
import { type RunningWorker, runWorker } from '../worker/run.js';
import { startStackWatch } from '../worker/stack-watch.js';
import type { Connection } from './connection.js';
import type { StartContext } from './context.js';
import { logDebugger } from './debugging.js';
import { callbacksOf, declaredBy, httpOf, listensOf } from './roles.js';
import { processAt, runningServer } from './running-server.js';
import { leaveUncaughtToParent, told } from './told-error.js';

/** What a process of the tree is. */
export type Role = 'master' | 'manager' | ProcessRole;

const never = (): Promise<never> => new Promise(() => {});

export async function startRole(inheritance: Inheritance | undefined, context: StartContext): Promise<void> {
  if (inheritance === undefined) context.stopWish.listen();
  ignoreStraySignals();
  ignoreLostOutput();
  exitWithoutTeardown();
  const { processTitle } = context.options;
  if (inheritance === undefined) {
    setProcessTitle(`${processTitle}: master`);
    // Modules that only one role needs are loaded by that role alone: so each process starts sooner.
    const { startMaster } = await import('./start-master.js');
    return startMaster(context);
  }
  leaveUncaughtToParent();
  openLogOfChild(context);
  settleIn(context.options);
  if (inheritance.role === 'manager') {
    setProcessTitle(`${processTitle}: manager`);
    const { startManager } = await import('./start-manager.js');
    return startManager(inheritance, context);
  }
  setProcessTitle(`${processTitle}: ${nameOf(inheritance, context)}`);
  return startProcess(inheritance, context);
}

/** A file that only the master may write to is not a reason to fail: the process then logs to standard error. */
function openLogOfChild({ openLog, log }: StartContext): void {
  try {
    openLog();
  } catch (error) {
    log.warn('the log of this process goes to standard error', { reason: (error as Error).message });
  }
}

/**
 * Without a listener SIGUSR1 opens Node's debugger and the others end the process. A terminal sends SIGINT and
 * SIGHUP to every process of the tree; only the master acts on them.
 */
function ignoreStraySignals(): void {
  for (const signal of ['SIGUSR1', 'SIGUSR2', 'SIGINT', 'SIGHUP'] as const) process.on(signal, () => {});
}

/** Worker, task worker, or user process. */
async function startProcess(inheritance: Inheritance & { role: ProcessRole }, context: StartContext): Promise<never> {
  const { options, log } = context;
  const region = Region.open(inheritance.region);
  const { own } = inheritance;
  // Before this process gives up the right to read the module.
  const base = own === undefined ? undefined : await import('../base/run-worker.js');
  bindToCore(coreFor(options, inheritance.id));
  if (options.workerTimeoutMs > 0 && inheritance.role !== 'user') {
    const peer = peerOf(inheritance.id, inheritance.lane);
    startStackWatch({ region: region.descriptor, peer, timeoutMs: options.workerTimeoutMs }, log);
  }
  giveUpRights(options, keepProgram);
  const callbacks = callbacksOf(context, inheritance.role === 'user');
  const listens = listensOf(context);
  const services = await httpOf(context, region, inheritance.role);
  const place = { inheritance, region, options, listens, callbacks, create: context, log };
  const accessLog = context.accessLog?.();
  const running =
    base === undefined || own === undefined
      ? runWorker<Connection>({ ...place, services })
      : await base.runBaseWorker<Connection>({ ...place, services, own, accessLog });
  const { worker, outbox, messaging, channel } = running;
  const differences = runningServer()?.differences(declaredBy(context)) ?? [];
  if (differences.length > 0) channel.send({ type: 'needsRestart', differences });
  await logDebugger(log);
  if (inheritance.role === 'task') worker.setSource(taskSource(inheritance, running, region, context));
  if (inheritance.role === 'user') worker.setSource(userSource(inheritance, running, context));
  context.running({
    region,
    outbox,
    messaging,
    datagrams: inheritance.datagrams,
    requestShutdown: () => void channel.send({ type: 'request', action: 'shutdown' }),
    requestReload: (tasksOnly) => void channel.send({ type: 'request', action: 'reload', tasksOnly }),
    requestStopWorker: (workerId) =>
      void channel.send({ type: 'request', action: 'stopWorker', workerId, why: 'asked' }),
    tellMaster: (said) => void channel.send({ type: 'cluster', said }),
    passOn: (message) => {
      const packed = packForPredecessor(message);
      if (packed !== undefined) channel.send({ type: 'passOn', packed });
    },
  });
  try {
    if (inheritance.role === 'worker') mustFit(context);
    await worker.boot();
  } catch (error) {
    // Else `start()` rejects with it: each worker of a broken script would say the same once more.
    if (region.isUp) log.error(`${nameOf(inheritance, context)} could not start`, { error });
    channel.send({ type: 'bootFailed', error: serializeError(error) });
    await channel.flushed();
    process.exit(1);
  }
  return never();
}

/** @throws ServerError ERR_RESTART_NEEDED */
function mustFit(context: StartContext): void {
  const misfits = runningServer()?.misfits(listensOf(context)) ?? [];
  if (misfits.length > 0) throw told(new ServerError('ERR_RESTART_NEEDED', { differences: misfits.join(', ') }));
}

function taskSource(
  { id }: Inheritance & { role: ProcessRole },
  { worker, messaging, record }: RunningWorker<Connection>,
  region: Region,
  { options, events, jobHandlers, log }: StartContext,
): TaskRunner {
  const board = new WorkerBoard(region);
  messaging.queue.takeFor(id);
  return new TaskRunner({
    queue: messaging.queue,
    concurrency: options.taskConcurrency,
    maxTasks: options.taskMaxRequest,
    run: (task) => (events.task ?? noCallback)(task),
    runJob: (task) => jobHandlers?.run(task),
    setRoom: (count) => board.setField(id, WorkerField.room, count),
    setLooking: (looks) => board.setLooking(id, looks),
    took: (ms) => record.callbackTook(ms),
    setRunning: (count) => board.setField(id, WorkerField.pending, count),
    wakeAnother: () => messaging.wakeFreeTaskWorker(),
    wakeSoon: () => worker.wakeSoon(),
    retire: () => {
      log.info('this task worker has run taskMaxRequest tasks and asks to be replaced');
      worker.askToBeReplaced('maxRequest');
    },
  });
}

/** Its handlers are for durable jobs. */
function noCallback(): never {
  throw new ServerError('ERR_CALLBACK_MISSING', { event: 'task', where: 'what server.task is given' });
}

function userSource(
  { id }: Inheritance & { role: ProcessRole },
  { worker, channel }: RunningWorker<Connection>,
  { options, userProcesses, server, log }: StartContext,
): UserProcess {
  const given = processAt(userProcesses, id - options.maxWorkerNum - options.taskWorkerNum);
  return new UserProcess({
    run: (signal) => given.run(server, signal),
    settle: () => given.settle?.(),
    waits: given.run.length > 1,
    failed: (error) => {
      log.error(`process ${given.name} failed`, { error });
      channel.send({ type: 'fatal', error: serializeError(error) });
      void channel.flushed().then(() => process.exit(1));
    },
    wakeSoon: () => worker.wakeSoon(),
  });
}

function nameOf({ id }: Inheritance & { role: ProcessRole }, { options, userProcesses }: StartContext): string {
  const { maxWorkerNum: workerNum, taskWorkerNum } = options;
  return nameOfProcess(
    { workerNum, taskWorkerNum },
    id,
    userProcesses.map(({ name }) => name),
  );
}
