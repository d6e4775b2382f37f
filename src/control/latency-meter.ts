/** Latencies of callbacks over the last seconds, from histograms that only grow. Runs in the master. */
import { peerOf, processNum } from '../memory/layout.js';
import { addHistograms, type Histogram, ProcessRecord, subtractHistogram } from '../memory/process-board.js';
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
    return this.#latencies(this.#since(id), [id]);
  }

  /** Of all workers together. */
  ofWorkers(): Latencies {
    const ids = Array.from({ length: this.#region.shape.workerNum }, (_, id) => id);
    return this.#latencies(addHistograms(ids.map((id) => this.#since(id))), ids);
  }

  /** The longest is exact where it lies in the highest bucket: seconds of the two are not the same ones. */
  #latencies(callbacks: Histogram, ids: readonly number[]): Latencies {
    const latencies = latenciesOf(callbacks);
    const bound = latencies.latencyMax;
    const records = ids.flatMap((id) => [0, 1].map((lane) => ProcessRecord.ofPeer(this.#region, peerOf(id, lane))));
    const longest = Math.max(0, ...records.map((record) => record.longestCallback(KEPT + 1))) / 1000;
    if (longest <= bound / 2 || longest > bound) return latencies;
    const latencyP50 = Math.min(latencies.latencyP50, longest);
    return { latencyP50, latencyP99: Math.min(latencies.latencyP99, longest), latencyMax: longest };
  }

  #since(id: number): Histogram {
    const now = callbacksOf(this.#region, id);
    const before = this.#samples[0]?.[id];
    return before === undefined ? now : subtractHistogram(now, before);
  }
}
