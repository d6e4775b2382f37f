/**
 * Whether messages reach other nodes, as the broker process says it, and as this process has told its user. A broker process that
 * stands still says nothing: then its silence in shared memory tells, as it does `tswoole nodes` and `/readyz`. Runs in every
 * process.
 */
import type { DriverState } from './driver.js';

/** A pause of the whole machine is over for the broker process, too, by the second look. */
const LOOK_MS = 500;

export interface ToldStateParts {
  /** The broker process has written nothing for so long that it is taken to stand still. */
  isSilent(): boolean;
  /** To the user: once for each change. */
  tell(state: DriverState): void;
}

export class ToldState {
  readonly #parts: ToldStateParts;
  #said: DriverState = 'down';
  #told: DriverState | undefined;
  #wasSilent = false;
  #isSilent = false;
  #looking: NodeJS.Timeout | undefined;

  constructor(parts: ToldStateParts) {
    this.#parts = parts;
  }

  get state(): DriverState {
    return this.#isSilent ? 'down' : this.#said;
  }

  /** The broker process says how things stand. */
  said(state: DriverState): void {
    this.#said = state;
  }

  /** It has changed. While the broker process is silent, this may be older than its silence: told when that is over. */
  changed(state: DriverState): void {
    if (!this.#isSilent) this.#tell(state);
  }

  /** The broker process is another one, which has not joined. */
  restarted(): void {
    if (this.state === 'up') this.#tell('reconnecting');
    this.#said = 'reconnecting';
  }

  /** From now on. The timer keeps no process alive. */
  look(): void {
    this.#looking ??= setInterval(() => this.#look(), LOOK_MS).unref();
  }

  #look(): void {
    const isSilent = this.#parts.isSilent();
    const before = this.state;
    this.#isSilent = isSilent && this.#wasSilent;
    this.#wasSilent = isSilent;
    if (this.state !== before) this.#tell(this.state);
  }

  #tell(state: DriverState): void {
    if (state === this.#told) return;
    this.#told = state;
    this.#parts.tell(state);
  }
}
