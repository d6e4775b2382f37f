/** `start()` in the manager. */
import { reactorBell } from '../ipc/bells.js';
import type { Inheritance } from '../ipc/inheritance.js';
import { Outbox } from '../ipc/outbox.js';
import { RingWriter } from '../ipc/ring.js';
import { Waker } from '../ipc/sleep.js';
import { runManager } from '../manager/run.js';
import { ReactorBoard } from '../memory/boards.js';
import { ConnectionTable } from '../memory/connection-table.js';
import { peerOfManager } from '../memory/layout.js';
import { Region } from '../memory/region.js';
import type { StartContext } from './server.js';

export async function startManager(inheritance: Inheritance, context: StartContext): Promise<never> {
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
  return new Promise(() => {});
}
