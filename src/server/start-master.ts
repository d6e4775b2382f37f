/**
 * `start()` in the process that a user has started: it becomes the master, or (daemon) the process that waits for it.
 */

import { statSync } from 'node:fs';
import { aloneMode, isAlone } from '../base/alone.js';
import type { ToMaster } from '../cluster/messages.js';
import { requirePackages } from '../cluster/needed-packages.js';
import { CommandTable } from '../control/commands.js';
import type { ClusterControl } from '../control/controlled.js';
import { describe, ServerError } from '../errors/index.js';
import { peerBell } from '../ipc/bells.js';
import { returnStandardError } from '../ipc/boot-output.js';
import { Sleeper } from '../ipc/sleep.js';
import { isTheDaemon, leaveNotice, reportToStarter, startDaemon } from '../master/daemon.js';
import { Master } from '../master/master.js';
import { type MasterMode, processMode } from '../master/mode.js';
import { Operation } from '../master/operation.js';
import type { StopWish } from '../master/stop-wish.js';
import { CheckIn } from '../memory/check-in.js';
import { ClusterRecord } from '../memory/cluster-record.js';
import { peerOfMaster } from '../memory/layout.js';
import { ProcessRecord } from '../memory/process-board.js';
import { Messaging } from '../messaging/messaging.js';
import { PeerLoop } from '../messaging/peer-loop.js';
import { Purpose } from '../messaging/record.js';
import { packRunning, takeFlags } from '../options/index.js';
import { TLS_ENGINE_VARIABLE, TLS_ENGINES, tlsEngineOf } from '../options/tls-engine.js';
import { createPoller } from '../os/create-poller.js';
import { checkIsolation, settleIn, startedIn } from '../os/isolation.js';
import { loadDispatch } from '../reactor/dispatch/custom.js';
import { monotonicMs } from '../util/clock.js';
import { heapArguments } from '../util/heap-argument.js';
import { version } from '../version.js';
import { reloadTimeoutMs } from './cluster-node.js';
import { ClusterOperation } from './cluster-operation.js';
import type { Connection } from './connection.js';
import type { Runtime, StartContext } from './context.js';
import { ControlledServer, nameOf } from './controlled-server.js';
import { logDebugger } from './debugging.js';
import { requireCallbacks, uncalledEvents } from './required-callbacks.js';
import { callbacksOf, declaredBy, httpOf, listensOf } from './roles.js';
import { toldFromAfar } from './told-error.js';

/** The parts assembled before anything starts. */
interface Assembled {
  readonly master: Master;
  /** The parts of the surface in this process; set early, and complete when the server is up. */
  runtime(): Runtime | undefined;
  /** Undoes the assembly, when the start fails. */
  close(): void;
}

export async function startMaster(context: StartContext): Promise<void> {
  if (context.options.daemonize && !isTheDaemon()) return waitForDaemon(context);
  try {
    await bringUp(context);
  } catch (error) {
    if (context.stopWish.isMade) return endInOrder(context);
    // The waiting process reports the error itself; further output of this one is for the log.
    await returnStandardError();
    reportToStarter([], error);
    throw toldFromAfar(error);
  }
  await callStart(context);
}

/**
 * The server was asked to end while it started: whatever was undone, and however that step took it, the end was
 * wanted.
 */
function endInOrder({ log }: StartContext): never {
  log.info('the server has shut down before its start was complete');
  log.flush();
  reportToStarter([], new ServerError('ERR_START_ENDED', {}));
  return process.exit(0);
}

/** The daemon is another process: this one has nothing more to do. */
async function waitForDaemon({ options, stopWish }: StartContext): Promise<never> {
  const started = await startDaemon(options, stopWish).catch((error: unknown) => endedEarly(error, stopWish));
  const { pid, listening, notice } = started;
  const line = `${nameOf(options)} runs in the background as process ${pid}, listening on ${listening.join(', ')}\n`;
  await new Promise((resolve) => process.stdout.write(line, resolve));
  if (notice !== undefined) await new Promise((resolve) => process.stderr.write(`${notice}\n`, resolve));
  if (options.logFile === '' && options.logger === null)
    await new Promise((resolve) => process.stderr.write(NO_LOG, resolve));
  return process.exit(0);
}

const NO_LOG =
  'It has no log file, so what the server and the app write is lost: start it with --log-file FILE (option logFile).\n';

/** A daemon that was asked to end has not failed. Where this process was asked, it has done as asked. */
function endedEarly(error: unknown, { isMade, signal }: StopWish): never {
  const wasEnded = error instanceof ServerError && error.is('ERR_START_ENDED');
  if (!isMade && !wasEnded) throw toldFromAfar(error);
  process.stderr.write('The server was asked to end before its start was complete; no process of it is left.\n');
  if (!isMade) return process.exit(1);
  return process.exit(signal === 'SIGINT' ? INTERRUPTED : 0);
}

/** As a shell has it: 128 + SIGINT. */
const INTERRUPTED = 130;

async function bringUp(context: StartContext): Promise<void> {
  const { options, log, commands } = context;
  requireCallbacks(context);
  const uncalled = uncalledEvents(context);
  if (uncalled.length > 0) log.info('callbacks that no listen port calls, as none speaks their protocol', { uncalled });
  for (const { root } of options.staticFiles) {
    if (statSync(root, { throwIfNoEntry: false })?.isDirectory()) continue;
    const expected = 'a folder that is there';
    throw new ServerError('ERR_OPTION_VALUE', { name: 'staticFiles.root', expected, received: describe(root) });
  }
  if (options.cluster !== null) requirePackages(options.cluster);
  const { dispatchMode } = options;
  // Throws here when the module cannot be used.
  if (typeof dispatchMode !== 'string') await context.stopWish.unlessMade(loadDispatch(dispatchMode.module));
  checkIsolation(options);
  settleIn(options);
  context.openLog();
  warnOfUnused(context);
  warnOfTlsEngine(context);
  const isOneProcess = isAlone(options, context.userProcesses.length);
  const assembled = isOneProcess ? assembleAlone(context) : await assemble(context);
  const { master, runtime } = assembled;
  const controlled = new ControlledServer({
    master,
    options,
    listens: listensOf(context),
    userProcessNames: context.userProcesses.map(({ name }) => name),
    messaging: () => runtime()?.messaging,
    outbox: () => runtime()?.outbox ?? master.outbox,
    publish: context.httpHalf?.publish,
    cluster: clusterOf(context, assembled),
    shutdown: () => void end(),
    reopenLogs: () => operation.reopenLogs(),
    adminUrl: () => operation.adminUrl,
  });
  const operation: Operation = new Operation({
    options,
    controlled,
    commands: new CommandTable(controlled, commands),
    log,
    region: master.region,
    note: noteOf(context),
  });
  const end = async (): Promise<void> => {
    operation.stopping();
    await master.shutdown();
    // During the start it is start() that undoes everything.
    if (!master.hasStarted) return;
    await operation.close();
    log.flush();
    process.exit(0);
  };
  handleSignals(context, master, operation, () => void end());
  try {
    await operation.open();
    await master.start();
  } catch (error) {
    assembled.close();
    await operation.close();
    throw error;
  }
  await returnStandardError();
  const { listening, cluster } = controlled.status();
  controlled.start();
  operation.ready(listening);
  if (cluster !== null && cluster.why !== '') leaveNotice(`It serves alone, and tries again to join: ${cluster.why}`);
  reportToStarter(listening);
  log.info('the server is up', { listening: listening.join(', ') });
}

/** @param engine of the environment */
function warnOfTlsEngine(context: StartContext, engine = process.env[TLS_ENGINE_VARIABLE]): void {
  if (tlsEngineOf(engine) !== undefined || listensOf(context).every(({ tls }) => tls === null)) return;
  const values = TLS_ENGINES.join(', ');
  context.log.warn(`${TLS_ENGINE_VARIABLE} names no engine for TLS, and has no effect: its values are ${values}`, {
    engine,
  });
}

/** Options that were given and mean nothing beside another one, and that other start with the same script may need. */
function warnOfUnused({ options: { mode }, given: { reactorNum }, log }: StartContext): void {
  if (mode !== 'base' || reactorNum === undefined) return;
  log.warn('the option reactorNum has no effect in BASE mode: each worker is the reactor of its own connections', {
    reactorNum,
  });
}

/** Where the server is a node of several, the last of its processes is the broker process. */
function clusterOf(
  { options, userProcesses, log }: StartContext,
  { master, runtime }: Assembled,
): ClusterControl | undefined {
  const { cluster } = options;
  if (cluster === null) return undefined;
  const record = new ClusterRecord(master.region);
  const brokerId = options.maxWorkerNum + options.taskWorkerNum + userProcesses.length - 1;
  record.begin(brokerId);
  const operation = new ClusterOperation({
    ...{ options: cluster, record, reloadTimeoutMs: reloadTimeoutMs(options), log },
    say: (message) =>
      void runtime()
        ?.messaging.messenger.send(message, brokerId, Purpose.service)
        .catch(() => {}),
    reloadHere: () => master.reloaded(),
    managerPid: () => (master.region.managerPid === process.pid ? 0 : master.region.managerPid),
  });
  const sender = runtime();
  if (sender !== undefined) sender.clusterNodes = () => operation.nodes;
  master.mayServe = () => operation.mayServe(options.bootTimeoutMs);
  master.onClusterReport = (said) => operation.hear(said as ToMaster);
  return operation;
}

function noteOf({ options }: StartContext) {
  return {
    name: nameOf(options),
    version,
    mode: options.mode,
    startedAt: Date.now(),
    startedAtMonotonic: monotonicMs(),
    pidFile: options.pidFile,
    logFile: options.logFile,
    isDaemon: options.daemonize,
    cwd: startedIn,
    command: [process.execPath, ...heapArguments(), ...process.execArgv, ...process.argv.slice(1)],
    flags: takeFlags(),
  };
}

/** The parts of BASE mode hold the reactor and the manager, so they are loaded only there. */
async function assemble(context: StartContext): Promise<Assembled> {
  const { options, events, log } = context;
  const names = context.userProcesses.map(({ name }) => name);
  const mode: MasterMode =
    options.mode === 'process'
      ? processMode
      : (await import('../base/base-mode.js')).baseMode({
          options,
          callbacks: events,
          userProcessNames: names,
          log,
          region: () => master.region,
          messaging: () => messaging,
        });
  const master: Master = new Master({
    options,
    mode,
    log,
    userProcessNames: names,
    listens: listensOf(context),
    settings: packRunning(declaredBy(context)),
    callbacks: events,
  });
  const { region } = master;
  const peer = peerOfMaster(region.shape);
  const messaging: Messaging = new Messaging({
    ...master.shared,
    region,
    peer,
    options,
    finish: events.finish,
    failed: (what, error) => log.error(what, { error }),
  });
  new CheckIn({ record: ProcessRecord.ofPeer(region, peer) }).start();
  const sleeper = new Sleeper(region.int32, region.masterSleepIndex);
  const bell = peerBell(master.shared.bells, region.shape, peer);
  const loop = new PeerLoop(messaging, sleeper, bell, (handler) => createPoller(options.reactorBackend, handler));
  loop.serve(master.outbox);
  const runtime = runtimeOf(master, { outbox: master.outbox, messaging });
  context.running(runtime);
  return { master, runtime: () => runtime, close: () => loop.close() };
}

/** @param sends how this process sends: as the master, or as the only worker */
function runtimeOf(master: Master, sends: Pick<Runtime, 'outbox' | 'messaging'>): Runtime {
  return {
    ...sends,
    region: master.region,
    get datagrams() {
      return master.shared.datagrams; // set when the ports are bound
    },
    requestShutdown: () => master.onShutdownRequest(),
    requestReload: (tasksOnly) => master.reload(tasksOnly),
    requestStopWorker: (workerId) => master.stopWorker(workerId),
  };
}

/** BASE mode, where one process is enough: this one runs the callbacks too. */
function assembleAlone(context: StartContext): Assembled {
  const { options, events, log } = context;
  const listens = listensOf(context);
  let known: Runtime | undefined;
  const mode = aloneMode({
    log,
    region: () => master.region,
    startWorker: async (shared, own, channel, exit) => {
      const { runBaseWorker } = await import('../base/run-worker.js');
      const { region } = master;
      const inheritance = { role: 'worker' as const, id: 0, lane: 0, generation: 0, ...shared };
      const alone = { channel, exit };
      const callbacks = callbacksOf(context);
      const services = await httpOf(context, region, 'worker');
      const accessLog = context.accessLog?.();
      const place = { inheritance, own, region, options, listens, callbacks, create: context, log, accessLog };
      const { worker, outbox, messaging } = await runBaseWorker<Connection>({ ...place, alone, services });
      known = { ...runtimeOf(master, { outbox, messaging }), workerId: 0 };
      context.running(known);
      await logDebugger(log);
      await worker.boot();
    },
  });
  const master: Master = new Master({
    ...{ options, userProcessNames: [], listens, mode, callbacks: events, log },
    settings: packRunning(declaredBy(context)),
  });
  return { master, runtime: () => known, close: () => {} };
}

function handleSignals({ stopWish }: StartContext, master: Master, operation: Operation, end: () => void): void {
  master.onShutdownRequest = () => stopWish.make();
  stopWish.whenMade(end);
  process.on('SIGUSR1', () => master.reload());
  process.on('SIGUSR2', () => master.reload(true));
  process.on('SIGWINCH', () => operation.signalled());
}

async function callStart({ events, log }: StartContext): Promise<void> {
  try {
    await events.start?.();
  } catch (error) {
    log.error("the 'start' callback failed", { error });
  }
}
