/** Starts a worker process. Runs in the manager. */
import { reactorBell, workerBell } from '../ipc/bells.js';
import { ControlChannel } from '../ipc/control-channel.js';
import { decodeWorkerToManager, type ManagerToWorker, type WorkerToManager } from '../ipc/message.js';
import { spawnRole, whenEnded } from '../ipc/spawn-role.js';
import type { Region } from '../memory/region.js';
import type { DoorbellDescriptors } from '../os/doorbell.js';
import type { WorkerProcess, WorkerProcessEvents, WorkerSpec } from './worker-handle.js';

export function spawnWorker(
  spec: WorkerSpec,
  title: string,
  region: Region,
  bells: readonly DoorbellDescriptors[],
  events: WorkerProcessEvents,
): WorkerProcess {
  const { shape } = region;
  const reactors = Array.from({ length: shape.reactorNum }, (_, reactor) => reactorBell(bells, reactor));
  const own = workerBell(bells, shape, spec.id, spec.lane);
  const { id, lane, generation } = spec;
  const child = spawnRole({ role: 'worker', id, lane, generation }, title, region.descriptor, [...reactors, own]);
  const channel = new ControlChannel<WorkerToManager, ManagerToWorker>(child.control, decodeWorkerToManager);
  channel.listen({ message: (message) => events.message(message), end: () => {} });
  whenEnded(child, (exitCode, signal) => {
    channel.close();
    events.exit(exitCode, signal);
  });
  return {
    pid: child.process.pid ?? 0,
    send: (message) => void channel.send(message),
    kill: (signal) => void child.process.kill(signal),
  };
}
