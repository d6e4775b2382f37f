/**
 * The figures of a node of several, in the header of the region. The broker process writes them, at each change and every
 * second; any process reads them, without a message, and also when the broker process hangs or is dead. Counters go on where
 * a preceding broker process has left them.
 */
import { monotonicMs } from '../util/clock.js';
import { WorkerBoard, WorkerField } from './boards.js';
import { numbered } from './record.js';
import type { Region } from './region.js';

const states = ['down', 'reconnecting', 'up'] as const;
/** `up`: messages reach other nodes. As `DriverState`. */
export type ClusterState = (typeof states)[number];

const counters = ['published', 'delivered', 'lost', 'reconnects', 'jobsDone', 'jobsFailed'] as const;
export type ClusterCounter = (typeof counters)[number];

/** What there is now. */
export interface ClusterGauges {
  readonly state: ClusterState;
  /** Living nodes, this one included. */
  readonly nodeNum: number;
  /** Rooms this node subscribes to, because they have members here. */
  readonly followedRooms: number;
  /** Bytes that the engine has not confirmed yet. */
  readonly bufferedBytes: number;
  /** Bytes of one packed publication; while the engine is lost, as last known. */
  readonly maxPayload: number;
  /** Durable jobs that this node runs; undefined: it has none, and enqueues none. */
  readonly jobsRunning: number | undefined;
}

export type ClusterFigures = Pick<ClusterGauges, 'state' | 'nodeNum' | 'followedRooms' | 'bufferedBytes'> &
  Readonly<Record<Exclude<ClusterCounter, 'jobsDone' | 'jobsFailed'>, number>> & {
    /** Durable jobs, as far as this node runs them; null: there are none. */
    readonly jobs: { readonly running: number; readonly done: number; readonly failed: number } | null;
  };

const at = numbered([
  // One more than the id of the broker process; 0: this server is alone.
  'process',
  'pid',
  'seenAt',
  ...(['state', 'nodeNum', 'followedRooms', 'bufferedBytes', 'maxPayload'] as const),
  // One more than there are; 0: this node has no jobs.
  'jobsRunning',
  ...counters,
]);

/** A broker process that has not written for this long is taken to be dead. */
const SILENT_MS = 5000;

export class ClusterRecord {
  readonly #floats: Float64Array;
  readonly #at: number;
  readonly #board: WorkerBoard;

  constructor(region: Region) {
    this.#floats = region.float64;
    this.#at = region.clusterIndex;
    this.#board = new WorkerBoard(region);
  }

  /** By the master, before any other process is there. @param id of the broker process */
  begin(id: number): void {
    this.#set('process', id + 1);
  }

  /** Pid of the broker process; 0: there is none now. */
  get brokerPid(): number {
    return this.#board.field(this.#get('process') - 1, WorkerField.pid);
  }

  /** By the broker process. @param more since the last call */
  write(now: ClusterGauges, more: Readonly<Record<ClusterCounter, number>>): void {
    this.#set('state', states.indexOf(now.state));
    this.#set('nodeNum', now.nodeNum);
    this.#set('followedRooms', now.followedRooms);
    this.#set('bufferedBytes', now.bufferedBytes);
    this.#set('maxPayload', now.maxPayload);
    this.#set('jobsRunning', now.jobsRunning === undefined ? 0 : now.jobsRunning + 1);
    for (const counter of counters) this.#set(counter, this.#get(counter) + more[counter]);
    this.#set('pid', process.pid);
    this.#set('seenAt', monotonicMs());
  }

  /** Undefined: this server is alone. Without a living broker process the state is `down`, and the rest as last known. */
  read(): ClusterFigures | undefined {
    if (this.#get('process') === 0) return undefined;
    return {
      state: this.#isHeard ? (states[this.#get('state')] ?? 'down') : 'down',
      nodeNum: this.#get('nodeNum'),
      followedRooms: this.#get('followedRooms'),
      bufferedBytes: this.#isHeard ? this.#get('bufferedBytes') : 0,
      published: this.#get('published'),
      delivered: this.#get('delivered'),
      lost: this.#get('lost'),
      reconnects: this.#get('reconnects'),
      jobs: this.#jobs,
    };
  }

  /** Bytes of one packed publication. Infinite: no broker process has said it yet. */
  get maxPayload(): number {
    return this.#get('maxPayload') || Number.POSITIVE_INFINITY;
  }

  /** The broker process has written, and nothing any more for so long that it stands still, or has no successor. */
  get isSilent(): boolean {
    return this.#get('pid') !== 0 && monotonicMs() - this.#get('seenAt') >= SILENT_MS;
  }

  get #jobs(): ClusterFigures['jobs'] {
    const running = this.#get('jobsRunning') - 1;
    if (running < 0) return null;
    return { running: this.#isHeard ? running : 0, done: this.#get('jobsDone'), failed: this.#get('jobsFailed') };
  }

  /** It has written lately: neither a preceding one, nor one that hangs. */
  get #isHeard(): boolean {
    return this.#get('pid') === this.brokerPid && !this.isSilent;
  }

  #get(name: keyof typeof at): number {
    return this.#floats[this.#at + at[name]] ?? 0;
  }

  #set(name: keyof typeof at, value: number): void {
    this.#floats[this.#at + at[name]] = value;
  }
}
