/** Starts a worker process. Runs in the manager. */
import type { ChildOutput } from '../ipc/child-output.js';
import { ControlChannel } from '../ipc/control-channel.js';
import type { FirstProcess } from '../ipc/first-processes.js';
import type { OwnDescriptors, SharedDescriptors } from '../ipc/inheritance.js';
import { decodeWorkerToManager, type ManagerToWorker, type WorkerToManager } from '../ipc/message.js';
import { adoptFirst, spawnRole, whenEnded } from '../ipc/spawn-role.js';
import type { WorkerProcess, WorkerProcessEvents, WorkerSpec } from './worker-handle.js';

export interface OwnOfWorker {
  readonly descriptors: OwnDescriptors | undefined;
  readonly output: ChildOutput | undefined;
  /** It has been started already. */
  readonly first?: FirstProcess | undefined;
}

export function spawnWorker(
  spec: WorkerSpec,
  title: string,
  shared: SharedDescriptors,
  { descriptors, output, first }: OwnOfWorker,
  events: WorkerProcessEvents,
): WorkerProcess {
  const { role, id, lane, generation } = spec;
  const child =
    first === undefined
      ? spawnRole({ role, id, lane, generation }, title, shared, descriptors, output)
      : adoptFirst(first, output);
  const channel = new ControlChannel<WorkerToManager, ManagerToWorker>(child.control, decodeWorkerToManager);
  channel.listen({ message: (message) => events.message(message), end: () => {} });
  whenEnded(child, (exitCode, signal, wrote) => {
    channel.close();
    events.exit(exitCode, signal, wrote);
  });
  return {
    pid: child.process.pid ?? 0,
    send: (message) => void channel.send(message),
    kill: (signal) => void child.process.kill(signal),
  };
}
