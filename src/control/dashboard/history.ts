/** The rates of the last 15 minutes, one point per second, from shared memory. Runs in the master. */
import { ReactorBoard, ReactorCounter, WorkerBoard, WorkerCounter, WorkerField } from '../../memory/boards.js';
import { peerNum, peerOf, processNum } from '../../memory/layout.js';
import {
  addHistograms,
  type Histogram,
  ProcessRecord,
  quantile,
  subtractHistogram,
} from '../../memory/process-board.js';
import type { Region } from '../../memory/region.js';
import { monotonicMs } from '../../util/clock.js';
import { Ring } from './ring.js';

const STEP_MS = 1000;
const POINTS = 900;

/** One second of the server. */
export interface Rates {
  /** Its end, Unix time in ms. */
  readonly at: number;
  /** Packets or HTTP requests per second, those answered with a file included. */
  readonly requests: number;
  /** Open connections. */
  readonly connections: number;
  /** Per second, from clients and to them. */
  readonly bytesIn: number;
  readonly bytesOut: number;
  /** Within which half, and 99 of 100, of the callbacks of workers that ended in this second have run; 0: none has ended. */
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** How busy the event loops of the workers were, 0 to 1: the mean. */
  readonly busy: number;
  /** Resident memory of all processes. */
  readonly memoryBytes: number;
  /** Tasks that ended, per second. */
  readonly tasks: number;
}

export interface History {
  readonly stepMs: number;
  /** The oldest first. */
  readonly points: readonly Rates[];
}

/** What only grows. */
interface Totals {
  readonly monotonic: number;
  readonly requests: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly tasks: number;
  readonly callbacks: Histogram;
}

export interface HistoryParts {
  readonly region: Region;
  /** Tasks that have ended since the start. */
  endedTasks(): number;
  /** Called with each point. */
  sampled?(): void;
  /** Monotonic ms. */
  now?(): number;
}

export class HistoryMeter {
  readonly #region: Region;
  readonly #endedTasks: () => number;
  readonly #sampled: () => void;
  readonly #now: () => number;
  readonly #ring = new Ring<Rates>(POINTS);
  #before: Totals | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor({ region, endedTasks, sampled = () => {}, now = monotonicMs }: HistoryParts) {
    this.#region = region;
    this.#endedTasks = endedTasks;
    this.#sampled = sampled;
    this.#now = now;
  }

  start(): void {
    this.sample();
    this.#timer ??= setInterval(() => this.sample(), STEP_MS).unref();
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  /** Undefined before the first second is over. */
  get newest(): Rates | undefined {
    return this.#ring.last;
  }

  report(): History {
    return { stepMs: STEP_MS, points: this.#ring.all() };
  }

  /** The first call only begins to measure. */
  sample(): void {
    this.#sampled();
    const now = this.#totals();
    const before = this.#before;
    const elapsedMs = now.monotonic - (before?.monotonic ?? now.monotonic);
    if (before !== undefined && elapsedMs <= 0) return;
    this.#before = now;
    if (before === undefined) return;
    const perSecond = (read: (totals: Totals) => number): number =>
      Math.max(0, ((read(now) - read(before)) * 1000) / elapsedMs);
    const callbacks = subtractHistogram(now.callbacks, before.callbacks);
    this.#ring.push(() => ({
      at: Math.round(this.#region.unixMs(now.monotonic)),
      requests: perSecond((totals) => totals.requests),
      bytesIn: perSecond((totals) => totals.bytesIn),
      bytesOut: perSecond((totals) => totals.bytesOut),
      tasks: perSecond((totals) => totals.tasks),
      p50Ms: quantile(callbacks, 0.5) * 1000,
      p99Ms: quantile(callbacks, 0.99) * 1000,
      ...this.#gauges(),
    }));
  }

  #totals(): Totals {
    const { shape } = this.#region;
    const reactors = new ReactorBoard(this.#region);
    const workers = new WorkerBoard(this.#region);
    const ofReactors = (counter: number): number => sum(shape.reactorNum, (id) => reactors.read(id, counter));
    return {
      monotonic: this.#now(),
      requests:
        sum(shape.workerNum, (id) => workers.read(id, WorkerCounter.received)) + ofReactors(ReactorCounter.filesServed),
      bytesIn: ofReactors(ReactorCounter.receivedBytes),
      bytesOut: ofReactors(ReactorCounter.sentBytes),
      tasks: this.#endedTasks(),
      callbacks: addHistograms(
        Array.from({ length: shape.workerNum }, (_, id) =>
          [0, 1].map((lane) => ProcessRecord.ofPeer(this.#region, peerOf(id, lane)).callbacks),
        ).flat(),
      ),
    };
  }

  #gauges(): Pick<Rates, 'connections' | 'busy' | 'memoryBytes'> {
    const { shape } = this.#region;
    const reactors = new ReactorBoard(this.#region);
    const workers = new WorkerBoard(this.#region);
    const record = (id: number): ProcessRecord =>
      ProcessRecord.ofPeer(this.#region, peerOf(id, workers.field(id, WorkerField.lane)));
    const living = Array.from({ length: processNum(shape) }, (_, id) => id).filter(
      (id) => workers.field(id, WorkerField.pid) !== 0,
    );
    const serving = living.filter((id) => id < shape.workerNum);
    // Manager and master are the last two peers; in BASE mode the manager's record is empty.
    const parents = [2, 1].map((back) => ProcessRecord.ofPeer(this.#region, peerNum(shape) - back));
    return {
      connections: sum(shape.reactorNum, (id) => reactors.connections(id)),
      busy:
        serving.length === 0
          ? 0
          : serving.reduce((total, id) => total + record(id).loopUtilisation, 0) / serving.length,
      memoryBytes: [...living.map(record), ...parents].reduce((total, { residentBytes }) => total + residentBytes, 0),
    };
  }
}

function sum(count: number, read: (id: number) => number): number {
  let total = 0;
  for (let id = 0; id < count; id++) total += read(id);
  return total;
}
