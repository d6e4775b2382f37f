/** Latencies of callbacks over the last seconds, from histograms that only grow. Runs in the master. */
import { processNum } from '../memory/layout.js';
import { addHistograms, type Histogram, quantile, subtractHistogram } from '../memory/process-board.js';
import type { Region } from '../memory/region.js';
import { callbacksOf } from './stats.js';

/** Seconds. */
const KEPT = 10;

/** Seconds within which half, and 99 of 100, have ended; 0: none has. */
export interface Latencies {
  readonly latencyP50: number;
  readonly latencyP99: number;
}

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

function latenciesOf(callbacks: Histogram): Latencies {
  return { latencyP50: quantile(callbacks, 0.5), latencyP99: quantile(callbacks, 0.99) };
}
