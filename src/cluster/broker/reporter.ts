/**
 * Reports how this node is in its cluster: figures into shared memory, nodes and counts of jobs to the master. At each change, and every second,
 * which shows that the broker process lives. Runs in the broker process.
 */
import type { ClusterCounter, ClusterRecord } from '../../memory/cluster-record.js';
import type { ClusterDriver } from '../driver.js';
import type { ToMaster } from '../messages.js';
import { mostUserBytes } from '../user-bytes.js';
import type { Broker } from './broker.js';

const REPORT_MS = 1000;
/** A control message has 1 MiB at most, and a node up to 600 bytes. */
const MOST_NODES = 1500;
const MOST_LOST = 100;

type Counted = Readonly<Record<ClusterCounter, number>>;
const NONE: Counted = { published: 0, delivered: 0, lost: 0, reconnects: 0, jobsDone: 0, jobsFailed: 0 };

export interface ReporterParts {
  /** Node id. */
  readonly self: string;
  readonly record: ClusterRecord;
  /** By the manager, to the master. */
  tell(message: ToMaster): void;
}

export class Reporter {
  readonly #broker: Broker;
  readonly #parts: ReporterParts;
  readonly #timer: NodeJS.Timeout;
  #driver: ClusterDriver | undefined;
  #counted = NONE;
  #lostHere = 0;
  #told = '';

  constructor(broker: Broker, parts: ReporterParts) {
    this.#broker = broker;
    this.#parts = parts;
    this.#timer = setInterval(() => this.report(), REPORT_MS);
    this.report();
  }

  report(): void {
    const { driver, failure, followedRooms, jobs, lostNodes } = this.#broker;
    const { state } = driver;
    const all = driver.nodes();
    const { bufferedBytes } = driver.stats();
    const maxPayload = mostUserBytes(driver.capabilities.maxPayload);
    const jobsRunning = jobs?.stats().running;
    const now = { state, nodeNum: all.length, followedRooms, bufferedBytes, maxPayload, jobsRunning };
    this.#parts.record.write(now, this.#countMore());
    const nodes = all.slice(0, MOST_NODES);
    const why = state === 'up' ? '' : (failure?.message ?? '');
    const lost = lostNodes.latest(MOST_LOST);
    const report = { nodes, why, lost, queues: jobs?.counted ?? [], jobsWhy: jobs?.uncounted ?? '' };
    const text = JSON.stringify(report);
    if (text === this.#told) return;
    this.#told = text;
    this.#parts.tell({ say: 'nodes', self: this.#parts.self, ...report });
  }

  close(): void {
    clearInterval(this.#timer);
  }

  /** A driver is made anew for each attempt to start, and counts from 0. */
  #countMore(): Counted {
    const { driver, lost: lostHere } = this.#broker;
    const { jobsDone, jobsFailed } = this.#counted;
    if (driver !== this.#driver) this.#counted = { ...NONE, jobsDone, jobsFailed };
    this.#driver = driver;
    const { published, delivered, lost, reconnects } = driver.stats();
    const before = this.#counted;
    const { done = 0, failed = 0 } = this.#broker.jobs?.stats() ?? {};
    this.#counted = { published, delivered, lost, reconnects, jobsDone: done, jobsFailed: failed };
    const more = {
      published: published - before.published,
      delivered: delivered - before.delivered,
      lost: lost - before.lost + lostHere - this.#lostHere,
      reconnects: reconnects - before.reconnects,
      jobsDone: done - before.jobsDone,
      jobsFailed: failed - before.jobsFailed,
    };
    this.#lostHere = lostHere;
    return more;
  }
}
