/** Assembles a worker out of what its process inherited. Runs in every process that bears an id. */
import { Exchange } from '../exchange/exchange.js';
import type { FinishCallback } from '../exchange/task-client.js';
import { peerBell, reactorBell } from '../ipc/bells.js';
import { ControlChannel } from '../ipc/control-channel.js';
import { CONTROL_DESCRIPTOR, type Inheritance, type ProcessRole } from '../ipc/inheritance.js';
import { decodeManagerToWorker, type ManagerToWorker, type WorkerToManager } from '../ipc/message.js';
import { Outbox } from '../ipc/outbox.js';
import { RingReader, RingWriter } from '../ipc/ring.js';
import { Sleeper, Waker } from '../ipc/sleep.js';
import { ReactorBoard, WorkerBoard } from '../memory/boards.js';
import { ConnectionTable } from '../memory/connection-table.js';
import { peerOf } from '../memory/layout.js';
import type { Region } from '../memory/region.js';
import type { ResolvedOptions } from '../options/index.js';
import { createPoller } from '../os/create-poller.js';
import type { Log } from '../util/log.js';
import type { UserConnection, WorkerCallbacks } from './callbacks.js';
import { Worker, type WorkerParts } from './worker.js';

export interface RunningWorker<C extends UserConnection> {
  readonly worker: Worker<C>;
  readonly outbox: Outbox;
  readonly exchange: Exchange;
  readonly channel: ControlChannel<ManagerToWorker, WorkerToManager>;
}

export function runWorker<C extends UserConnection>(
  inheritance: Inheritance & { role: ProcessRole },
  region: Region,
  options: ResolvedOptions,
  callbacks: WorkerCallbacks<C> & { readonly finish?: FinishCallback | undefined },
  create: Pick<WorkerParts<C>, 'createConnection' | 'createPeer'>,
  log: Log,
): RunningWorker<C> {
  const { role, id, lane, bells, overflow } = inheritance;
  const peer = peerOf(id, lane);
  const takesPackets = role === 'worker';
  const { layout, shape } = region;
  const board = new WorkerBoard(region);
  const reactors = new ReactorBoard(region);
  const each = <T>(make: (reactor: number) => T): T[] => Array.from({ length: shape.reactorNum }, (_, r) => make(r));
  const wakers = each((r) => new Waker(region.int32, reactors.sleepIndex(r), reactorBell(bells, r)));
  const links = each((r) => ({
    ring: new RingWriter(region, layout.outbound(r, peer)),
    waker: wakers[r] as Waker,
  }));
  const { highWatermark, sendBufferSize: limitBytes } = options;
  const outbox = new Outbox(new ConnectionTable(region), links, {
    highWatermark,
    limitBytes,
    hearsOfRoom: takesPackets,
  });
  const channel = ControlChannel.inherited<ManagerToWorker, WorkerToManager>(CONTROL_DESCRIPTOR, decodeManagerToWorker);
  const exchange = new Exchange({
    region,
    overflow,
    bells,
    peer,
    ...(role === 'task' ? { taskWorkerId: id } : {}),
    options,
    finish: callbacks.finish,
    failed: (what, error) => log.error(what, { error }),
  });
  const worker = new Worker<C>({
    id,
    lane,
    region,
    rings: takesPackets ? each((r) => new RingReader(region, layout.inbound(r, id))) : [],
    reactorWakers: wakers,
    outbox,
    sleeper: new Sleeper(region.int32, board.sleepIndex(id, lane)),
    bell: peerBell(bells, shape, peer),
    channel,
    callbacks,
    maxRequest: jittered(options.maxRequest, options.maxRequestJitter),
    exchange,
    log,
    createPoller: (handler) => createPoller(options.reactorBackend, handler),
    ...create,
    exit: (code) => process.exit(code),
  });
  process.on('SIGTERM', () => worker.terminate());
  return { worker, outbox, exchange, channel };
}

/** Each worker has a limit of its own, so that not all of them are replaced at once. */
function jittered(limit: number, jitter: number): number {
  return limit === 0 ? 0 : limit + Math.floor(Math.random() * (jitter + 1));
}
