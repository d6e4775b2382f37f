/**
 * Turns for a process that only submits tasks, and sends messages and data: it wakes when a result has arrived, or a
 * reactor has room again. Runs in the manager and in the master's main thread.
 */
import type { Sleeper } from '../ipc/sleep.js';
import { clearDoorbell, type DoorbellDescriptors } from '../os/doorbell.js';
import { type Poller, type PollerHandler, READABLE } from '../os/poller.js';
import type { Messaging } from './messaging.js';

/** The sends of this process to connections. */
export interface TurnOutbox {
  readonly waitsForRoom: boolean;
  roomAgain(): void;
}

export class PeerLoop implements PollerHandler {
  readonly #messaging: Messaging;
  readonly #sleeper: Sleeper;
  readonly #bell: DoorbellDescriptors;
  readonly #poller: Poller;
  #outbox: TurnOutbox | undefined;

  constructor(
    messaging: Messaging,
    sleeper: Sleeper,
    bell: DoorbellDescriptors,
    createPoller: (handler: PollerHandler) => Poller,
  ) {
    this.#messaging = messaging;
    this.#sleeper = sleeper;
    this.#bell = bell;
    this.#poller = createPoller(this);
    this.#poller.addReadable(bell.read, 0);
    messaging.messenger.wantsTurn = () => this.#poller.wakeSoon();
    this.#poller.wakeSoon();
  }

  /** From now on these turns also serve this outbox. */
  serve(outbox: TurnOutbox): void {
    this.#outbox = outbox;
    this.#poller.wakeSoon();
  }

  ready(): void {
    if (!this.#poller.levelTriggered) return;
    clearDoorbell(this.#bell);
    this.#poller.rearm(this.#bell.read, READABLE);
  }

  turnEnd(): void {
    this.#sleeper.wake();
    if (this.#outbox?.waitsForRoom) this.#outbox.roomAgain();
    this.#messaging.take(() => true);
    this.#sleeper.sleep();
    if (this.#messaging.hasWork) this.#poller.wakeSoon();
  }

  close(): void {
    this.#poller.close();
  }
}
