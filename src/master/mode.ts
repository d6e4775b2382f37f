/** The differences between the modes in the process that starts the server. */

import type { SharedDescriptors } from '../ipc/inheritance.js';
import type { MasterToManager } from '../ipc/message.js';
import type { ReactorLink } from '../ipc/reactor-links.js';
import type { RefusedClient } from '../ipc/refused-client.js';
import type { Region } from '../memory/region.js';
import type { ResolvedListen, ResolvedOptions } from '../options/index.js';
import type { DoorbellDescriptors } from '../os/doorbell.js';
import type { Log } from '../util/log.js';
import type { ConnectionOwners } from './connection-owners.js';
import { type ManagerEvents, ManagerHandle, type ManagerStart } from './manager-handle.js';
import { ReactorThreads } from './reactor-threads.js';

/** The manager as the master holds it: a process, or (BASE) a part of this one. */
export interface ManagerLink {
  readonly pid: number;
  send(message: MasterToManager): void;
  kill(signal: NodeJS.Signals): void;
}

export type { ManagerEvents };

/** What the owner of the connections needs of the master. */
export interface OwnerParts {
  readonly region: Region;
  readonly bells: readonly DoorbellDescriptors[];
  readonly links: readonly ReactorLink[];
  readonly options: ResolvedOptions;
  readonly listens: readonly ResolvedListen[];
  readonly log: Log;
  brokenSender(worker: number): void;
  refused(client: RefusedClient): void;
  failed(error: unknown): void;
  notifyManager(message: MasterToManager): void;
  /** Resolves when all workers have closed their connections. */
  closeByManager(deadlineMs: number): Promise<void>;
}

export interface MasterMode {
  createOwners(parts: OwnerParts): ConnectionOwners;
  startManager(title: string, shared: SharedDescriptors, events: ManagerEvents, start?: ManagerStart): ManagerLink;
}

/** Reactor threads in this process; the manager is a child of it. */
export const processMode: MasterMode = {
  createOwners: (parts) => new ReactorThreads(parts),
  startManager: (title, shared, events, start) => new ManagerHandle(title, shared, events, start),
};
