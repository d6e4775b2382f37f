/** Assembles a worker out of what its process inherited. Runs in a worker. */
import { reactorBell } from '../ipc/bells.js';
import { ControlChannel } from '../ipc/control-channel.js';
import { CONTROL_DESCRIPTOR, type Inheritance } from '../ipc/inheritance.js';
import { decodeManagerToWorker, type ManagerToWorker, type WorkerToManager } from '../ipc/message.js';
import { Outbox } from '../ipc/outbox.js';
import { RingReader, RingWriter } from '../ipc/ring.js';
import { Sleeper, Waker } from '../ipc/sleep.js';
import { ReactorBoard, WorkerBoard } from '../memory/boards.js';
import { ConnectionTable } from '../memory/connection-table.js';
import { senderOfWorker } from '../memory/layout.js';
import type { Region } from '../memory/region.js';
import type { ResolvedOptions } from '../options/index.js';
import { createPoller } from '../os/create-poller.js';
import type { Log } from '../util/log.js';
import type { UserConnection, WorkerCallbacks } from './callbacks.js';
import { Worker } from './worker.js';

export interface RunningWorker<C extends UserConnection> {
  readonly worker: Worker<C>;
  readonly outbox: Outbox;
  readonly channel: ControlChannel<ManagerToWorker, WorkerToManager>;
}

export function runWorker<C extends UserConnection>(
  inheritance: Inheritance & { role: 'worker' },
  region: Region,
  options: ResolvedOptions,
  callbacks: WorkerCallbacks<C>,
  createConnection: (sessionId: number) => C,
  log: Log,
): RunningWorker<C> {
  const { id, lane, bells } = inheritance;
  const { layout, shape } = region;
  const board = new WorkerBoard(region);
  const reactors = new ReactorBoard(region);
  const each = <T>(make: (reactor: number) => T): T[] => Array.from({ length: shape.reactorNum }, (_, r) => make(r));
  const wakers = each((r) => new Waker(region.int32, reactors.sleepIndex(r), reactorBell(bells, r)));
  const links = each((r) => ({
    ring: new RingWriter(region, layout.outbound(r, senderOfWorker(id, lane))),
    waker: wakers[r] as Waker,
  }));
  const { highWatermark, sendBufferSize: limitBytes } = options;
  const outbox = new Outbox(new ConnectionTable(region), links, { highWatermark, limitBytes, hearsOfRoom: true });
  const channel = ControlChannel.inherited<ManagerToWorker, WorkerToManager>(CONTROL_DESCRIPTOR, decodeManagerToWorker);
  const worker = new Worker<C>({
    id,
    lane,
    region,
    rings: each((r) => new RingReader(region, layout.inbound(r, id))),
    reactorWakers: wakers,
    outbox,
    sleeper: new Sleeper(region.int32, board.sleepIndex(id, lane)),
    bell: reactorBell(bells, shape.reactorNum),
    channel,
    callbacks,
    log,
    createPoller: (handler) => createPoller(options.reactorBackend, handler),
    createConnection,
    exit: (code) => process.exit(code),
  });
  process.on('SIGTERM', () => worker.terminate());
  return { worker, outbox, channel };
}
