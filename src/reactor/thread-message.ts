/** Messages between the main thread and a reactor thread. Rare: packets and replies travel in shared memory. */
import type { Overload } from '../ipc/overload.js';
import type { RefusedClient } from '../ipc/refused-client.js';
import type { PollerName } from '../os/create-poller.js';
import type { DoorbellDescriptors } from '../os/doorbell.js';
import type { ReactorOptions } from './context.js';
import type { DispatchMode } from './dispatch/index.js';

/** How a reactor thread is started. */
export interface ReactorThreadData {
  readonly id: number;
  readonly region: number;
  readonly bells: readonly DoorbellDescriptors[];
  readonly options: ReactorOptions;
  readonly dispatchMode: DispatchMode;
  readonly backend: PollerName;
  /** −1: the system decides. */
  readonly core: number;
  /**
   * Int32: [0] set to 1 when the process exits at once; [1] set to 1 by the thread when its poll handle is closed.
   */
  readonly exitFlag: SharedArrayBuffer;
}

export type ToReactor =
  | { type: 'quiesce' }
  | { type: 'closeAll'; deadlineMs: number }
  /** Read the certificates again. */
  | { type: 'renewTls' }
  /** New packets go to the first `workerNum` workers. */
  | { type: 'useWorkers'; workerNum: number }
  /** Nothing goes to workers from this id on; the thread sends `withheld` when that is so. */
  | { type: 'withhold'; from: number }
  /** Gives their connections to others; the thread sends `rebound` when that is done. */
  | { type: 'rebind' }
  /** Close the poll handle and end the thread. */
  | { type: 'stop' };

export type FromReactor =
  | { type: 'ready'; poller: string }
  | { type: 'quiet' }
  | { type: 'closed' }
  | { type: 'withheld' }
  | { type: 'rebound' }
  /** To each `renewTls` it sends this, or `notRenewed`. */
  | { type: 'renewed' }
  /**
   * Clients were disconnected because of what they sent: the first one, and the number of others since the last
   * message.
   */
  | ({ type: 'refused' } & RefusedClient)
  | { type: 'overload'; overload: Overload }
  | { type: 'notRenewed'; why: string }
  | { type: 'tlsFellBack'; why: string }
  | { type: 'brokenSender'; worker: number };
