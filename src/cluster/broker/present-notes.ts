/**
 * What changes in presence, on its way to the master, which keeps a copy: in batches, and of each member what is last. Runs in
 * the broker process.
 */
import type { PresentChange } from '../messages.js';
import { inMessages, nameOf } from '../own-presence.js';

/** What is younger is lost where the broker process dies together with the process that has put it. */
const SOON_MS = 50;
/** A control message has 1 MiB at most, and a member up to 18 KiB. */
const IN_ONE_MESSAGE = 50;

export class PresentNotes {
  readonly #tell: (changes: readonly PresentChange[]) => void;
  readonly #changes = new Map<string, PresentChange>();
  #timer: NodeJS.Timeout | undefined;
  #isHeld: boolean;

  /** @param isHeld until `release`: much of it the master may know */
  constructor(tell: (changes: readonly PresentChange[]) => void, isHeld: boolean) {
    this.#tell = tell;
    this.#isHeld = isHeld;
  }

  note(change: PresentChange): void {
    this.#changes.set(nameOf(change.key, change.member), change);
    if (!this.#isHeld) this.#timer ??= setTimeout(() => this.flush(), SOON_MS);
  }

  /** The master has it so. */
  forget({ key, member }: PresentChange): void {
    this.#changes.delete(nameOf(key, member));
  }

  release(): void {
    this.#isHeld = false;
    this.flush();
  }

  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const changes = [...this.#changes.values()];
    this.#changes.clear();
    for (const some of inMessages(changes, IN_ONE_MESSAGE)) this.#tell(some);
  }
}
