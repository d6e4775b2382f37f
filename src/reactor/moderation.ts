/**
 * Interrupt moderation, as network cards have it: where many messages come and clients have several of them under way,
 * the reactor looks less often, and finds more at once. Whether that pays it finds out by trying. Runs in the reactor.
 */
import { pauseThread } from '../os/pause.js';
import { monotonicMs } from '../util/clock.js';
import type { ReactorContext } from './context.js';

const PAUSE_MS = 0.05;
/** Rates are compared over so long. */
const WINDOW_MS = 8;
/** How long what a trial has shown holds. */
const WINDOWS_PER_TRIAL = 64;
/** Below this rate there is nothing to gain. */
const BUSY_PER_MS = 25;
/** With one message under way per client each read finds one, and a pause only makes all of them wait. */
const MESSAGES_PER_READ = 1.25;
/** Slower by no more than this, the pauses stay: the CPU time that they save is the gain then. */
const SLOWEST_RATE = 0.97;

export class Moderation {
  readonly #context: ReactorContext;
  readonly #pause: (ms: number) => void;
  readonly #now: () => number;
  #windowSince: number;
  #reads = 0;
  #messages = 0;
  #isPausing = false;
  /** Windows until the next trial; above 0, what the last one has shown holds. */
  #windowsLeft = 0;
  /** Messages per ms without pauses; 0: no trial is under way. */
  #rateBefore = 0;

  constructor(context: ReactorContext, pause = pauseThread, now = monotonicMs) {
    this.#context = context;
    this.#pause = pause;
    this.#now = now;
    this.#windowSince = now();
  }

  /** Called at the end of each turn, when nothing is left to do in it. */
  turnEnd(): void {
    const context = this.#context;
    if (context.reads === 0) return;
    this.#reads += context.reads;
    this.#messages += context.messages;
    context.reads = 0;
    context.messages = 0;
    if (context.now - this.#windowSince >= WINDOW_MS) this.#endWindow();
    if (this.#isPausing) this.#pause(PAUSE_MS);
  }

  #endWindow(): void {
    const now = this.#now();
    const rate = this.#messages / (now - this.#windowSince);
    const mayPay = rate >= BUSY_PER_MS && this.#messages >= this.#reads * MESSAGES_PER_READ;
    this.#windowSince = now;
    this.#reads = 0;
    this.#messages = 0;
    if (!mayPay) return this.#begin(false, 0);
    if (this.#windowsLeft > 0) {
      this.#windowsLeft--;
      if (this.#windowsLeft === 0) this.#isPausing = false; // the next window is measured without
      return;
    }
    if (this.#rateBefore > 0) return this.#begin(rate >= this.#rateBefore * SLOWEST_RATE, WINDOWS_PER_TRIAL);
    this.#rateBefore = rate;
    this.#isPausing = true;
  }

  #begin(isPausing: boolean, windows: number): void {
    this.#isPausing = isPausing;
    this.#windowsLeft = windows;
    this.#rateBefore = 0;
  }
}
