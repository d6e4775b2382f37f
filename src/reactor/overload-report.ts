/** Reports that a reactor reads no client, and that it reads on: at most one such pause in ten seconds. Runs in the reactor. */
import type { Overload } from '../ipc/overload.js';
import type { Connection } from './connection.js';
import type { ReactorContext } from './context.js';

/** A server that drains and fills again pauses many times a second. */
const REST_MS = 10_000;
/** By then a worker's bytes have come to the reactor, which knows whose they are. */
const LATER_LOOKS = 5;

export class OverloadReport {
  readonly #context: ReactorContext;
  readonly #notify: (overload: Overload) => void;
  #since = 0;
  #looks = 0;
  #most = 0;
  /** This pause was reported. */
  #isTold = false;
  #toldAt = Number.NEGATIVE_INFINITY;
  /** Pauses since then that were over before they could be reported. */
  #untold = 0;

  constructor(context: ReactorContext, notify: (overload: Overload) => void) {
    this.#context = context;
    this.#notify = notify;
  }

  begin(): void {
    this.#since = this.#context.now;
    this.#most = 0;
    this.#looks = 0;
    this.#isTold = false;
  }

  /** Every 20 ms of a pause, unless the thread is at work. */
  look(): void {
    this.#looks++;
  }

  /** Once per turn of a pause. One that outlasts the rest is reported then. */
  goesOn(heldBytes: number): void {
    this.#most = Math.max(this.#most, heldBytes);
    if (this.#looks >= LATER_LOOKS) this.#tell();
  }

  end(heldBytes: number): void {
    this.#tell();
    if (!this.#isTold) {
      this.#untold++;
      return;
    }
    const { id, now } = this.#context;
    this.#notify({
      ...{ state: 'reads on', reactor: id },
      ...{ pausedMs: now - this.#since, heldBytes, mostBytes: this.#most },
    });
  }

  #tell(): void {
    const { now } = this.#context;
    if (this.#isTold || now - this.#toldAt < REST_MS) return;
    this.#isTold = true;
    this.#toldAt = now;
    this.#notify(this.#paused());
    this.#untold = 0;
  }

  #paused(): Overload {
    const { id, options, connections } = this.#context;
    const all = connections.list();
    const buffering = all.filter(({ buffered }) => buffered > 0).sort((a, b) => b.buffered - a.buffered);
    return {
      ...{ state: 'paused', reactor: id, heldBytes: this.#most, limitBytes: options.maxBufferedBytes },
      ...{ connections: all.length, holders: holdersOfHalf(buffering), largest: buffering[0]?.sessionId ?? 0 },
      ...{ endsDeaf: options.writeTimeoutMs > 0, untold: this.#untold },
    };
  }
}

/** @param buffering those for which the most waits first */
function holdersOfHalf(buffering: readonly Connection[]): number {
  const total = buffering.reduce((sum, { buffered }) => sum + buffered, 0);
  let held = 0;
  let holders = 0;
  for (; held < total / 2; holders++) held += buffering[holders]?.buffered ?? total;
  return holders;
}
