/** `start()` in the manager. */
import { createOutbox, linksOf } from '../ipc/assemble-outbox.js';
import type { Inheritance } from '../ipc/inheritance.js';
import { runManager } from '../manager/run.js';
import { peerOfManager } from '../memory/layout.js';
import { Region } from '../memory/region.js';
import type { StartContext } from './context.js';
import { listensOf } from './roles.js';
import { runningServer } from './running-server.js';

export async function startManager(inheritance: Inheritance, context: StartContext): Promise<never> {
  const region = Region.open(inheritance.region);
  const { bells } = inheritance;
  const peer = peerOfManager(region.shape);
  const links = linksOf({ region, bells, peer });
  const outbox = createOutbox({ region, peer }, links, context.options, listensOf(context), false);
  const { manager, messaging, channel, loop } = runManager(inheritance, region, {
    options: context.options,
    callbacks: context.events,
    // The script may add others now.
    userProcessNames: runningServer()?.processes ?? [],
    log: context.log,
  });
  loop.serve(outbox);
  context.running({
    region,
    outbox,
    messaging,
    datagrams: inheritance.datagrams,
    requestShutdown: () => void channel.send({ type: 'request', action: 'shutdown' }),
    requestReload: (tasksOnly) => manager.reload(tasksOnly),
    requestStopWorker: (workerId) => manager.recycle(workerId),
  });
  return new Promise(() => {});
}
