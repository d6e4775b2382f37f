/** Latencies of callbacks over the last seconds, from histograms that only grow. Runs in the master. */
import { processNum } from '../memory/layout.js';
import { addHistograms, type Histogram, subtractHistogram } from '../memory/process-board.js';
import type { Region } from '../memory/region.js';
import { callbacksOf, type Latencies, latenciesOf } from './stats.js';

/** Seconds. */
const KEPT = 10;

export class LatencyMeter {
  readonly #region: Region;
  /** By id of the process; the oldest first. */
  readonly #samples: (readonly Histogram[])[] = [];

  constructor(region: Region) {
    this.#region = region;
  }

  /** To be called once a second. */
  sample(): void {
    const ids = Array.from({ length: processNum(this.#region.shape) }, (_, id) => id);
    this.#samples.push(ids.map((id) => callbacksOf(this.#region, id)));
    if (this.#samples.length > KEPT) this.#samples.shift();
  }

  /** Of a worker, a task worker or a process of the user, since the oldest sample: at most ten seconds. */
  of(id: number): Latencies {
    return latenciesOf(this.#since(id));
  }

  /** Of all workers together. */
  ofWorkers(): Latencies {
    const { workerNum } = this.#region.shape;
    return latenciesOf(addHistograms(Array.from({ length: workerNum }, (_, id) => this.#since(id))));
  }

  #since(id: number): Histogram {
    const now = callbacksOf(this.#region, id);
    const before = this.#samples[0]?.[id];
    return before === undefined ? now : subtractHistogram(now, before);
  }
}
