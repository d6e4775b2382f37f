/** Assembles the manager out of what its process inherited. Runs in the manager. */
import { ControlChannel } from '../ipc/control-channel.js';
import { CONTROL_DESCRIPTOR, type Inheritance } from '../ipc/inheritance.js';
import { decodeMasterToManager, type ManagerToMaster, type MasterToManager } from '../ipc/message.js';
import { WorkerBoard } from '../memory/boards.js';
import type { Region } from '../memory/region.js';
import type { ResolvedOptions } from '../options/index.js';
import { systemClock } from '../util/clock.js';
import type { Log } from '../util/log.js';
import { Manager, type ManagerCallbacks } from './manager.js';
import { spawnWorker } from './spawn-worker.js';

export interface RunningManager {
  readonly manager: Manager;
  readonly channel: ControlChannel<MasterToManager, ManagerToMaster>;
}

export function runManager(
  inheritance: Inheritance,
  region: Region,
  options: ResolvedOptions,
  callbacks: ManagerCallbacks,
  log: Log,
): RunningManager {
  const channel = ControlChannel.inherited<MasterToManager, ManagerToMaster>(CONTROL_DESCRIPTOR, decodeMasterToManager);
  const manager = new Manager({
    workerNum: options.workerNum,
    maxWaitMs: options.maxWaitMs,
    bootTimeoutMs: options.bootTimeoutMs,
    region,
    board: new WorkerBoard(region),
    clock: systemClock,
    log,
    callbacks,
    spawn: (spec, events) =>
      spawnWorker(spec, `${options.processTitle}: worker ${spec.id}`, region, inheritance.bells, events),
    tellMaster: (message) => void channel.send(message),
    exit: (code) => void channel.flushed().then(() => process.exit(code)),
  });
  channel.listen({ message: (message) => manager.obey(message), end: () => manager.orphaned() });
  process.on('SIGTERM', () => manager.shutdownAsked());
  process.on('SIGUSR1', () => manager.reload());
  region.managerPid = process.pid;
  channel.send({ type: 'started' });
  return { manager, channel };
}
