/** Assembles the manager from what its process inherited. Runs in the manager. */
import { constants } from 'node:os';

import { peerBell, reactorBell } from '../ipc/bells.js';
import { returnStandardError } from '../ipc/boot-output.js';
import { outputOfChildren } from '../ipc/child-output.js';
import { ControlChannel } from '../ipc/control-channel.js';
import { takeFirst } from '../ipc/first-processes.js';
import {
  CONTROL_DESCRIPTOR,
  type Inheritance,
  type OwnDescriptors,
  type ProcessRole,
  type SharedDescriptors,
} from '../ipc/inheritance.js';
import { inspectWish, waitsForDebugger } from '../ipc/inspect.js';
import { decodeMasterToManager, type ManagerToMaster, type MasterToManager } from '../ipc/message.js';
import { queuedBytesAt } from '../ipc/ring.js';
import { Sleeper, Waker } from '../ipc/sleep.js';
import { commandOf } from '../ipc/spawn-role.js';
import { ReactorBoard, WorkerBoard } from '../memory/boards.js';
import { CheckIn } from '../memory/check-in.js';
import { DeadConnections } from '../memory/dead-connections.js';
import { Holders } from '../memory/holders.js';
import { LANES_PER_WORKER, peerOf, peerOfManager } from '../memory/layout.js';
import { ProcessRecord } from '../memory/process-board.js';
import { nameOfProcess } from '../memory/process-id.js';
import type { Region } from '../memory/region.js';
import { Messaging } from '../messaging/messaging.js';
import { PeerLoop } from '../messaging/peer-loop.js';
import { answerProfile } from '../messaging/profile-answer.js';
import type { FinishCallback } from '../messaging/task-client.js';
import type { ResolvedOptions } from '../options/index.js';
import { createPoller } from '../os/create-poller.js';
import { starvedMs } from '../os/other-process.js';
import { processDied } from '../shared/registry.js';
import { monotonicMs, systemClock } from '../util/clock.js';
import type { Log } from '../util/log.js';
import { signalName } from '../util/signal-name.js';
import { FirstProcesses } from './first-processes.js';
import { Manager } from './manager.js';
import type { DeadProcess, ManagerCallbacks } from './manager-parts.js';
import { spawnWorker } from './spawn-worker.js';
import { Watchdog } from './watchdog.js';

export interface RunningManager {
  readonly manager: Manager;
  readonly messaging: Messaging;
  readonly channel: ControlChannel<MasterToManager, ManagerToMaster>;
  readonly loop: PeerLoop;
}

/** What the script declares, as far as the manager needs it. */
export interface DeclaredForManager {
  readonly options: ResolvedOptions;
  readonly callbacks: ManagerCallbacks & { readonly finish?: FinishCallback | undefined };
  readonly userProcessNames: readonly string[];
  readonly log: Log;
}

export function runManager(inheritance: Inheritance, region: Region, declared: DeclaredForManager): RunningManager {
  const { options, callbacks, log } = declared;
  const channel = ControlChannel.inherited<MasterToManager, ManagerToMaster>(CONTROL_DESCRIPTOR, decodeMasterToManager);
  const { overflow, arena, settings, datagrams, bells } = inheritance;
  const shared = { region: region.descriptor, overflow, arena, settings, datagrams, bells };
  const peer = peerOfManager(region.shape);
  const messaging = new Messaging({
    region,
    overflow,
    bells,
    peer,
    options,
    finish: callbacks.finish,
    failed: (what, error) => log.error(what, { error }),
  });
  const first = new FirstProcesses(takeFirst());
  const place: ManagerPlace = {
    ...declared,
    ...{ region, shared, messaging, first },
    notifyMaster: (message) => void channel.send(message),
    exit: (code) => {
      first.kill();
      void channel.flushed().then(() => process.exit(code));
    },
  };
  const manager = createManager(place);
  const orphaned = (): void => {
    first.kill(); // before what the script does at the end of the manager
    manager.orphaned();
  };
  channel.listen({ message: (message) => manager.onMessage(message), end: orphaned });
  process.on('SIGTERM', () => manager.shutdownAsked());
  process.on('SIGUSR1', () => manager.reload());
  process.on('SIGUSR2', () => manager.reload(true));
  const sleeper = new Sleeper(region.int32, region.managerSleepIndex);
  const loop = new PeerLoop(messaging, sleeper, peerBell(bells, region.shape, peer), (handler) =>
    createPoller(options.reactorBackend, handler),
  );
  region.managerPid = process.pid;
  new CheckIn({ record: ProcessRecord.ofPeer(region, peer) }).start();
  const kept = keepFitting(first, place); // before standard error gets another number
  void Promise.all([kept, returnStandardError()]).then(() => channel.send({ type: 'started' }));
  return { manager, messaging, channel, loop };
}

/** Those of the first processes that this manager would start otherwise end before it begins. */
async function keepFitting(first: FirstProcesses, place: ManagerPlace): Promise<void> {
  const { region, shared, options, userProcessNames, log } = place;
  const output = outputOfChildren(options, log);
  const recover = recoveryOf(place);
  const board = new WorkerBoard(region);
  await first.keepFitting({
    commandOf: (role) => {
      const title = `${options.processTitle}: ${nameOfProcess(region.shape, role.id, userProcessNames)}`;
      return commandOf(role, title, shared, undefined, output);
    },
    refused: ({ id }, why) => {
      const name = nameOfProcess(region.shape, id, userProcessNames);
      log.info(
        `${name} was started before the script ran in the manager, and is started anew: the script changes ${why.join(', ')}`,
      );
    },
    gone: ({ role: { id, lane }, pid, exitCode, signal }) => {
      board.forgetProcess(id, pid);
      board.forgetHeld(id, lane);
      region.countDeath();
      const bySignal = signal === null ? 0 : constants.signals[signal];
      recover({ pid, id, lane, wasServing: false, exitCode, signal: bySignal, why: 'it was started anew' });
    },
  });
}

/** A person sits at the debugger that a worker waits for. */
const DEBUGGER_WAIT_MS = 24 * 60 * 60 * 1000;

export interface ManagerPlace {
  readonly region: Region;
  readonly shared: SharedDescriptors;
  /** BASE mode: descriptors that a worker holds besides. */
  readonly ownOf?: (workerId: number) => OwnDescriptors;
  readonly options: ResolvedOptions;
  readonly callbacks: ManagerCallbacks;
  readonly userProcessNames: readonly string[];
  readonly messaging: Messaging;
  /** Processes that have been started before. */
  readonly first?: FirstProcesses;
  readonly log: Log;
  notifyMaster(message: ManagerToMaster): void;
  exit(code: number): void;
}

/** In a process of its own, or (BASE mode) in the one that starts the server. */
export function createManager(place: ManagerPlace): Manager {
  const { region, shared, options, callbacks, userProcessNames, messaging, log } = place;
  const { taskWorkerNum, processTitle, maxWaitMs } = options;
  const bootTimeoutMs = waitsForDebugger(inspectWish()) ? DEBUGGER_WAIT_MS : options.bootTimeoutMs;
  const { workerNum } = region.shape;
  const processes = [
    ...named('worker', 'worker', 0, workerNum),
    ...named('task', 'task worker', workerNum, taskWorkerNum),
    ...userProcessNames.map((name, index) => ({
      role: 'user' as const,
      name: `process ${name}`,
      // The last one holds the connection to the cluster's engine.
      outlivesReloads: options.cluster !== null && index === userProcessNames.length - 1,
    })),
  ];
  const reactorWakers = reactorWakersOf(place);
  const output = outputOfChildren(options, log);
  const manager = new Manager({
    processes,
    maxWaitMs,
    bootTimeoutMs,
    region,
    board: new WorkerBoard(region),
    clock: systemClock,
    log,
    callbacks,
    spawn: (spec, events) => {
      const descriptors = spec.role === 'worker' ? place.ownOf?.(spec.id) : undefined;
      const own = { descriptors, output, first: place.first?.take(spec) };
      return spawnWorker(spec, `${processTitle}: ${spec.name}`, shared, own, events);
    },
    starvedMs,
    recover: recoveryOf(place, reactorWakers),
    recoverAll: () => {
      allReaped(region);
      region.countDeath();
      for (const waker of reactorWakers) waker.ring();
      recoverAll(messaging, processes.length);
    },
    isDrained: (workerId) => isDrained(region, workerId),
    profile: (order) => void answerProfile(order, messaging.overflow).then((answer) => place.notifyMaster(answer)),
    notifyMaster: (message) => place.notifyMaster(message),
    ended: (end) => place.notifyMaster({ type: 'ended', end }),
    exit: (code) => {
      reportLostTasks(messaging, log);
      place.exit(code);
    },
  });
  if (options.workerTimeoutMs > 0) watch(manager, options.workerTimeoutMs, region, log);
  return manager;
}

/** The manager before this one has died, and all its processes with it. */
function allReaped(region: Region): void {
  const holders = new Holders(region);
  for (let peer = 0; peer <= peerOfManager(region.shape); peer++) holders.reaped(peer);
}

function reactorWakersOf({ region, shared }: ManagerPlace): Waker[] {
  const reactors = new ReactorBoard(region);
  return Array.from(
    { length: region.shape.reactorNum },
    (_, r) => new Waker(region.int32, reactors.sleepIndex(r), reactorBell(shared.bells, r)),
  );
}

/** @returns what is to be done when a process is gone */
function recoveryOf(place: ManagerPlace, reactorWakers = reactorWakersOf(place)): (dead: DeadProcess) => void {
  const { region, options, messaging } = place;
  return ({ pid, id, lane, wasServing, exitCode, signal, why }) => {
    processDied(pid);
    const owned = options.mode === 'base' && wasServing && id < region.shape.workerNum;
    if (owned) new DeadConnections(region, options).reap(id);
    for (const waker of reactorWakers) waker.ring(); // some wait for its reply
    const died = { exitCode, signal: signalName(signal) ?? '', why };
    messaging.keeper.recover({ peer: peerOf(id, lane), workerId: id, ...died });
  };
}

/** Watches the event loops of all workers. */
function watch(manager: Manager, timeoutMs: number, region: Region, log: Log): void {
  const watchdog = new Watchdog({
    timeoutMs,
    log,
    handles: () => manager.watched,
    look: ({ id, lane }) => ProcessRecord.ofPeer(region, peerOf(id, lane)),
    now: monotonicMs,
  });
  setInterval(() => watchdog.look(), watchdog.intervalMs).unref();
}

/** True when the rings from the reactors to this worker are empty. */
function isDrained(region: Region, workerId: number): boolean {
  const { layout, shape } = region;
  for (let reactor = 0; reactor < shape.reactorNum; reactor++) {
    if (queuedBytesAt(region, layout.inbound(reactor, workerId)) > 0) return false;
  }
  return true;
}

function named(role: ProcessRole, word: string, first: number, count: number): { role: ProcessRole; name: string }[] {
  return Array.from({ length: count }, (_, index) => ({ role, name: `${word} ${first + index}` }));
}

/** All processes of the preceding manager are gone, and no manager has reaped them. */
function recoverAll(messaging: Messaging, processes: number): void {
  for (let peer = 0; peer < processes * LANES_PER_WORKER; peer++) {
    const workerId = Math.floor(peer / LANES_PER_WORKER);
    messaging.keeper.recover({ peer, workerId, exitCode: 0, signal: '', why: 'the death of the manager' });
  }
  messaging.keeper.recoverKeeper();
}

function reportLostTasks(messaging: Messaging, log: Log): void {
  const { queued, running } = messaging.queue.counts();
  if (queued + running > 0) log.warn('tasks were left at the end of the shutdown time', { queued, running });
}
