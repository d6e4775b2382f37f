/** Assembles a worker from what its process inherited. Runs in every process with a worker id. */

import { createOutbox, linksOf } from '../ipc/assemble-outbox.js';
import { peerBell } from '../ipc/bells.js';
import { ControlChannel } from '../ipc/control-channel.js';
import { CONTROL_DESCRIPTOR, type Inheritance, type ProcessRole } from '../ipc/inheritance.js';
import { decodeManagerToWorker, type ManagerToWorker, type WorkerToManager } from '../ipc/message.js';
import type { Outbox } from '../ipc/outbox.js';
import type { LocalLink } from '../ipc/reply.js';
import { RingReader } from '../ipc/ring.js';
import { Sleeper, type Wakes } from '../ipc/sleep.js';
import { Spin } from '../ipc/spin.js';
import { WorkerBoard } from '../memory/boards.js';
import { CheckIn } from '../memory/check-in.js';
import { peerOf } from '../memory/layout.js';
import { ProcessRecord } from '../memory/process-board.js';
import type { Region } from '../memory/region.js';
import { Messaging } from '../messaging/messaging.js';
import type { FinishCallback } from '../messaging/task-client.js';
import type { ResolvedListen, ResolvedOptions } from '../options/index.js';
import { createPoller } from '../os/create-poller.js';
import { sharedResidentBytes } from '../os/other-process.js';
import type { Poller } from '../os/poller.js';
import type { Log } from '../util/log.js';
import { inheritContext } from '../util/own-context.js';
import type { UserConnection, WorkerCallbacks } from './callbacks.js';
import type { OwnSockets } from './own-sockets.js';
import type { ServiceFactory } from './service.js';
import { Worker, type WorkerParts } from './worker.js';

/** A worker that could not be replaced asks again after N ms. */
const ASK_AGAIN_MS = 30_000;

/** The worker's side of its channel to the manager. */
export type WorkerChannel = Pick<ControlChannel<ManagerToWorker, WorkerToManager>, 'listen' | 'send' | 'flushed'>;

/** Where a worker owns connections itself (BASE mode), or is not a process of its own. */
export interface WorkerSurroundings<C extends UserConnection> {
  readonly sockets?: OwnSockets;
  readonly channel?: WorkerChannel;
  /** The short way to a reactor in this thread. */
  direct?(reactor: number): LocalLink | undefined;
  /** Wakes a reactor in this process. */
  reactorWaker?(reactor: number): Wakes | undefined;
  createPoller?(worker: Worker<C>): Poller;
  exit?(code: number): void;
}

export interface WorkerPlace<C extends UserConnection> extends WorkerSurroundings<C> {
  readonly inheritance: Inheritance & { role: ProcessRole };
  readonly region: Region;
  readonly options: ResolvedOptions;
  readonly listens: readonly ResolvedListen[];
  readonly callbacks: WorkerCallbacks<C> & { readonly finish?: FinishCallback | undefined };
  readonly create: Pick<WorkerParts<C>, 'createConnection' | 'datagrams'>;
  /** Protocols besides those that every worker has. */
  readonly services: readonly ServiceFactory[];
  readonly log: Log;
}

export interface RunningWorker<C extends UserConnection> {
  readonly worker: Worker<C>;
  readonly outbox: Outbox;
  readonly messaging: Messaging;
  readonly channel: WorkerChannel;
  readonly record: ProcessRecord;
}

export function runWorker<C extends UserConnection>(place: WorkerPlace<C>): RunningWorker<C> {
  const { inheritance, region, options, callbacks, create, services, sockets, log } = place;
  const { role, id, lane, bells } = inheritance;
  const { layout, shape } = region;
  inheritContext();
  const peer = peerOf(id, lane);
  const takesPackets = role === 'worker';
  const board = new WorkerBoard(region);
  const links = linksOf({ region, bells, peer, reactorWaker: place.reactorWaker, direct: place.direct });
  const outbox = createOutbox({ region, peer }, links, options, place.listens, takesPackets);
  const channel = place.channel ?? inheritedChannel();
  const messaging = messagingOf(place, peer);
  const record = ProcessRecord.ofPeer(region, peer);
  const worker: Worker<C> = new Worker<C>({
    ...{ id, lane, region, outbox, channel, callbacks, services, messaging, record, log, sockets },
    rings: takesPackets ? links.map((_, reactor) => new RingReader(region, layout.inbound(reactor, id))) : [],
    reactorWakers: links.map(({ waker }) => waker),
    sleeper: new Sleeper(region.int32, board.sleepIndex(id, lane)),
    spin: new Spin(),
    bell: peerBell(bells, shape, peer),
    maxQueuedBytes: options.maxQueuedBytes,
    countsHandled: options.maxQueuedBytes > 0 || !stickyModes.has(options.dispatchMode),
    answersInTurn: !stickyModes.has(options.dispatchMode),
    maxRequest: jittered(options.maxRequest, options.maxRequestJitter),
    createPoller: (handler) =>
      place.createPoller?.(handler as Worker<C>) ?? createPoller(options.reactorBackend, handler),
    createConnection: (fd) => create.createConnection(fd),
    datagrams: create.datagrams,
    exit: (code) => (place.exit ?? process.exit)(code),
  });
  watchOver(worker, record, { ...options, maxUptimeMs: role === 'user' ? 0 : options.maxUptimeMs }, log);
  if (place.channel === undefined) process.on('SIGTERM', () => worker.terminate());
  return { worker, outbox, messaging, channel, record };
}

function messagingOf<C extends UserConnection>(place: WorkerPlace<C>, peer: number): Messaging {
  const { inheritance, region, options, callbacks, log } = place;
  const { role, id, bells, overflow } = inheritance;
  return new Messaging({
    ...{ region, overflow, bells, peer, options },
    ...(role === 'task' ? { taskWorkerId: id } : {}),
    finish: callbacks.finish,
    failed: (what, error) => log.error(what, { error }),
  });
}

/** A process that only lacks CPU is often late by less. */
const TOLD_FROM_MS = 1000;

function watchOver<C extends UserConnection>(
  worker: Worker<C>,
  record: ProcessRecord,
  { mode, maxMemory, maxUptimeMs, maxUptimeJitterMs }: ResolvedOptions,
  log: Log,
): void {
  const longestMs = jittered(maxUptimeMs, maxUptimeJitterMs);
  let askedAt = Number.NEGATIVE_INFINITY;
  const checkIn = new CheckIn({
    record,
    stoodStill(stoodMs, stack) {
      if (stoodMs >= TOLD_FROM_MS) log.warn('the event loop of this process stood still', { stoodMs, stack });
    },
    measured: (residentBytes) => {
      if (mode === 'base') worker.lookForGone();
      if (worker.isLeaving) return;
      const now = performance.now();
      const { servedMs } = worker;
      const isTooOld = longestMs > 0 && servedMs >= longestMs;
      if (now - askedAt < ASK_AGAIN_MS || (!isTooOld && (maxMemory === 0 || residentBytes <= maxMemory))) return;
      const ownBytes = residentBytes - sharedResidentBytes();
      const isTooLarge = maxMemory > 0 && ownBytes > maxMemory;
      if (!isTooOld && !isTooLarge) return;
      askedAt = now;
      if (isTooLarge) {
        log.warn('this process uses more memory than maxMemory and asks to be replaced', { ownBytes, maxMemory });
      } else
        log.info('this process has run for maxUptimeMs and asks to be replaced', { uptimeMs: Math.round(servedMs) });
      worker.askToBeReplaced(isTooLarge ? 'memory' : 'maxUptime');
    },
  });
  checkIn.start();
}

function inheritedChannel(): WorkerChannel {
  return ControlChannel.inherited<ManagerToWorker, WorkerToManager>(CONTROL_DESCRIPTOR, decodeManagerToWorker);
}

/** In the other modes a connection goes to another worker only when none of its packets is being handled. */
const stickyModes = new Set<unknown>(['least-connections', 'fd-mod', 'ip-mod']);

/** Each worker has a limit of its own, so that not all of them are replaced at once. */
function jittered(limit: number, jitter: number): number {
  return limit === 0 ? 0 : limit + Math.floor(Math.random() * (jitter + 1));
}
