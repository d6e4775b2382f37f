/**
 * BASE mode in one process: one worker and nothing that would need another process, so the process that starts the
 * server is the worker too. Of the manager's work only passing on messages remains.
 */

import { serializeError } from '../errors/index.js';
import type { OwnDescriptors, SharedDescriptors } from '../ipc/inheritance.js';
import type { ManagerToWorker, MasterToManager, ServerRequest, WorkerToManager } from '../ipc/message.js';
import type { ListeningPort } from '../listen/bind-port.js';
import type { ConnectionOwners } from '../master/connection-owners.js';
import type { ManagerEvents, ManagerLink, MasterMode, OwnerParts } from '../master/mode.js';
import { WorkerBoard, WorkerField } from '../memory/boards.js';
import type { Region } from '../memory/region.js';
import type { ResolvedOptions } from '../options/index.js';
import { monotonicMs } from '../util/clock.js';
import type { Log } from '../util/log.js';
import type { WorkerChannel } from '../worker/run.js';

/** True where one process is enough. */
export function isAlone(options: ResolvedOptions, userProcessNum: number): boolean {
  const { mode, workerNum, taskWorkerNum, maxRequest, user, group, chroot, workerTimeoutMs, maxMemory } = options;
  const { maxUptimeMs, cronReload } = options;
  if (maxUptimeMs > 0 || cronReload !== '') return false;
  if (workerTimeoutMs > 0 || maxMemory > 0) return false; // another process has to replace the worker
  if (user !== '' || group !== '' || chroot !== '') return false; // the master keeps its rights, workers give them up
  return mode === 'base' && workerNum === 1 && taskWorkerNum === 0 && userProcessNum === 0 && maxRequest === 0;
}

export interface AloneParts {
  readonly log: Log;
  region(): Region;
  /** Assembles the worker and boots it. @param exit called when the worker has finished */
  startWorker(shared: SharedDescriptors, own: OwnDescriptors, channel: WorkerChannel, exit: () => void): Promise<void>;
}

export function aloneMode(parts: AloneParts): MasterMode {
  let ports: readonly ListeningPort[] = [];
  return {
    createOwners: (ownerParts) => new OneProcess(ownerParts, (bound) => (ports = bound)),
    startManager: (_title, shared, events) => {
      const own = { listeners: ports.map(({ descriptor }) => descriptor), give: -1, take: -1 };
      return new AloneManager(parts, shared, own, events);
    },
  };
}

class OneProcess implements ConnectionOwners {
  readonly #parts: OwnerParts;
  readonly #setPorts: (ports: readonly ListeningPort[]) => void;

  constructor(parts: OwnerParts, setPorts: (ports: readonly ListeningPort[]) => void) {
    this.#parts = parts;
    this.#setPorts = setPorts;
  }

  async start(ports: readonly ListeningPort[]): Promise<void> {
    this.#setPorts(ports);
  }

  async ready(): Promise<void> {}

  accept(): void {
    this.#parts.region.accepting = true;
    this.#parts.notifyManager({ type: 'accept' });
  }

  stopAccepting(): void {
    this.#parts.region.accepting = false;
  }

  async quiesce(): Promise<void> {}

  closeAll(deadlineMs: number): Promise<void> {
    return this.#parts.closeByManager(deadlineMs);
  }

  async renew(): Promise<undefined> {}

  // The number of workers of BASE mode does not change.
  useWorkers(): void {}

  async withhold(): Promise<void> {}

  async rebind(): Promise<void> {}

  async stop(): Promise<void> {}

  stopAtOnce(): void {}
}

/** Passes messages between master and worker. The receiver gets each one after its sender has finished. */
class AloneManager implements ManagerLink {
  readonly pid = process.pid;
  readonly #parts: AloneParts;
  readonly #start: () => Promise<void>;
  readonly #events: ManagerEvents;
  /** Set when there is a worker. */
  #toWorker: ((message: ManagerToWorker) => void) | undefined;
  #boot: 'under way' | 'done' | 'failed' = 'under way';
  #stopTimer: NodeJS.Timeout | undefined;

  constructor(parts: AloneParts, shared: SharedDescriptors, own: OwnDescriptors, events: ManagerEvents) {
    this.#parts = parts;
    this.#events = events;
    const channel: WorkerChannel = {
      listen: ({ message }) => {
        this.#toWorker = message;
      },
      send: (message) => {
        queueMicrotask(() => this.#onWorkerMessage(message));
        return true;
      },
      flushed: () => Promise.resolve(),
    };
    this.#start = () => parts.startWorker(shared, own, channel, () => queueMicrotask(() => this.#exit()));
    queueMicrotask(() => events.message({ type: 'started' }));
  }

  send(message: MasterToManager): void {
    queueMicrotask(() => this.#onMasterMessage(message));
  }

  /** There is no other process. */
  kill(): void {}

  #onMasterMessage(message: MasterToManager): void {
    switch (message.type) {
      case 'begin':
        return this.#begin();
      case 'reload': {
        const failed = 'the server is one process, and no other process can replace it';
        this.#parts.log.warn(`${failed}: nothing is reloaded`);
        return this.#events.message({ type: 'reloaded', request: message.request, failed });
      }
      case 'stopWorker':
        return this.#parts.log.warn('the server is one process, and no other process can replace it');
      case 'withdraw':
      case 'scale':
        return; // refused before
      case 'profile':
        return this.#toWorker?.({ type: 'profile', profile: message.profile });
      case 'stop':
        // A boot that may take for ever is not waited for: the exit of this process ends it.
        if (this.#boot === 'under way') return this.#events.exit(0, 0);
        // Only the exit of this process can end it by force.
        this.#stopTimer = setTimeout(() => this.#exit(), message.deadlineMs);
        return this.#toWorker?.(message);
      default:
        return this.#toWorker?.(message);
    }
  }

  #exit(): void {
    clearTimeout(this.#stopTimer);
    this.#events.exit(0, 0);
  }

  #begin(): void {
    this.#start().catch((error: unknown) => {
      this.#boot = 'failed';
      this.#events.message({ type: 'bootFailed', error: serializeError(error) });
      if (this.#toWorker === undefined) this.#events.exit(1, 0); // else the worker leaves when it is asked to stop
    });
  }

  #onWorkerMessage(message: WorkerToManager): void {
    if (message.type === 'ready') {
      this.#boot = 'done';
      const board = new WorkerBoard(this.#parts.region());
      board.setField(0, WorkerField.pid, process.pid);
      board.setStartedAt(0, monotonicMs());
      this.#toWorker?.({ type: 'attach' });
      this.#events.message({ type: 'ready' });
    } else if (message.type === 'settled' || message.type === 'closed' || message.type === 'profiled') {
      this.#events.message(message);
    } else if (message.type === 'request') this.#carryOut(message);
  }

  #carryOut(request: ServerRequest): void {
    if (request.action === 'stopWorker')
      this.#parts.log.warn('the server is one process, and no other process can replace it');
    else this.#events.message(request);
  }
}
