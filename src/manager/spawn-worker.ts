/** Starts a worker process. Runs in the manager. */
import { constants } from 'node:os';
import { reactorBell, workerBell } from '../ipc/bells.js';
import { ControlChannel } from '../ipc/control-channel.js';
import { decodeWorkerToManager, type ManagerToWorker, type WorkerToManager } from '../ipc/message.js';
import { spawnRole } from '../ipc/spawn-role.js';
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
  let gone = false;
  const exit = (exitCode: number, signal: number): void => {
    if (gone) return;
    gone = true;
    channel.close();
    events.exit(exitCode, signal);
  };
  // What the worker said last is read before its end is acted upon: 'close' comes after the streams have ended.
  child.process.once('exit', (code, signal) => {
    const end = (): void => exit(code ?? 0, signal === null ? 0 : constants.signals[signal]);
    child.control.once('close', end);
    child.control.once('end', end);
    setTimeout(end, 100).unref();
  });
  child.process.once('error', () => exit(1, 0));
  return {
    pid: child.process.pid ?? 0,
    send: (message) => void channel.send(message),
    kill: (signal) => void child.process.kill(signal),
  };
}
