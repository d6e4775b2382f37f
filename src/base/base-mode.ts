/** BASE mode in the process that starts the server: it is the manager too, and the workers own the connections. */

import type { Manager } from '../manager/manager.js';
import type { ManagerCallbacks } from '../manager/manager-parts.js';
import { createManager } from '../manager/run.js';
import type { ManagerLink, MasterMode } from '../master/mode.js';
import type { Region } from '../memory/region.js';
import type { Messaging } from '../messaging/messaging.js';
import type { ResolvedOptions } from '../options/index.js';
import type { Log } from '../util/log.js';
import { WorkersAsOwners } from './workers-as-owners.js';

export interface BaseModeParts {
  readonly options: ResolvedOptions;
  readonly callbacks: ManagerCallbacks;
  readonly userProcessNames: readonly string[];
  readonly log: Log;
  /** Set when the manager is started. */
  region(): Region;
  messaging(): Messaging;
}

export function baseMode(parts: BaseModeParts): MasterMode {
  let owners: WorkersAsOwners | undefined;
  return {
    createOwners: (ownerParts) => {
      owners = new WorkersAsOwners(ownerParts);
      return owners;
    },
    startManager: (_title, shared, { message, exit }): ManagerLink => {
      // Master and manager live in one process: the receiver gets a message after its sender has finished.
      const soon = (run: () => void): void => queueMicrotask(run);
      const { options, callbacks, userProcessNames, log } = parts;
      const manager: Manager = createManager({
        region: parts.region(),
        shared,
        ownOf: (worker) => (owners as WorkersAsOwners).ownOf(worker),
        options,
        callbacks,
        userProcessNames,
        messaging: parts.messaging(),
        log,
        notifyMaster: (sent) => soon(() => message(sent)),
        exit: (code) => soon(() => exit(code, 0)),
      });
      soon(() => message({ type: 'started' }));
      return { pid: process.pid, send: (order) => soon(() => manager.onMessage(order)), kill: () => {} };
    },
  };
}
