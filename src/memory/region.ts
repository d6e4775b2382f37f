import { createSharedFile, type MappedRing, mapRing, mapShared } from '../os/memory.js';
import { type LogLevel, logLevels } from '../util/log.js';
import { layoutRegion, type RegionLayout, type RegionShape, type RingPlace } from './layout.js';

/** Int32 indices in the header. */
const MAGIC = 0;
const MASTER_PID = 5;
const MANAGER_PID = 6;
const RELOADS = 7;
const ROUND = 8;
const GENERATION = 9;
const PORT_COUNT = 10;
const RELOADS_FAILED = 11;
const MANAGER_SLEEP = 12;
const MASTER_SLEEP = 13;
const ACCEPTING = 14;
/** 0: as the option says; else 1 + its place among the levels. */
const LOG_LEVEL = 280; // past the ports
const LOG_EPOCH = 281;
/** Workers that packets go to, and workers that have a process: they differ while their number changes. */
const ACTIVE_WORKERS = 282;
const SEATS = 283;
/** Workers that have ended since the start: what reactors look at to find requests nobody will answer. */
const DEATHS = 284;
/** 1: requests may name the worker that has their session. */
const SESSION_AFFINITY = 285;
/** One counter for each of `endReasons`. */
const ENDS = 290;
/** The eight numbers of the shape. */
const SHAPE = 1000;
const PORTS = 16; // up to 256 bound ports
/** Float64 index of the start time (Unix ms); past the ports. */
const STARTED_AT = 256;

const shapeNames = [
  'reactorNum',
  'workerNum',
  'taskWorkerNum',
  'userProcessNum',
  'slots',
  'tlsSlots',
  'ringBytes',
  'exchangeSlots',
] as const satisfies readonly (keyof RegionShape)[];

const MAGIC_VALUE = 0x7473_7730; // 'tsw0'
/** Why processes with an id end, other than by the end of the server. */
export const endReasons = [
  'exit',
  'signal',
  'boot',
  'hang',
  'memory',
  'maxRequest',
  'asked',
  'reload',
  'scale',
] as const;
export type EndReason = (typeof endReasons)[number];
export const MAX_PORTS = 256;

/** The shared memory of one server, as one process or thread sees it. Runs in every process. */
export class Region {
  readonly descriptor: number;
  readonly layout: RegionLayout;
  /** The part before the rings, in two readings. */
  readonly int32: Int32Array;
  readonly float64: Float64Array;
  readonly bytes: Buffer;

  private constructor(descriptor: number, layout: RegionLayout, memory: ArrayBuffer) {
    this.descriptor = descriptor;
    this.layout = layout;
    this.int32 = new Int32Array(memory);
    this.float64 = new Float64Array(memory);
    this.bytes = Buffer.from(memory);
  }

  /** Made once, by the master. */
  static create(shape: RegionShape): Region {
    const layout = layoutRegion(shape);
    const descriptor = createSharedFile('tswoole', layout.totalBytes);
    const region = new Region(descriptor, layout, mapShared(descriptor, 0, layout.plainBytes));
    region.int32[MAGIC] = MAGIC_VALUE;
    region.int32[MASTER_PID] = process.pid;
    region.int32.set(
      shapeNames.map((name) => shape[name]),
      SHAPE,
    );
    region.float64[STARTED_AT] = Date.now();
    region.activeWorkerNum = shape.workerNum;
    region.seatNum = shape.workerNum;
    return region;
  }

  /** Maps what the master made. `descriptor` is inherited (or, in a reactor thread, the same number). */
  static open(descriptor: number): Region {
    const header = new Int32Array(mapShared(descriptor, 0, 4096));
    const at = (index: number): number => header[index] ?? 0;
    if (at(MAGIC) !== MAGIC_VALUE) throw new Error(`descriptor ${descriptor} holds no tswoole region`);
    const shape = Object.fromEntries(shapeNames.map((name, index) => [name, at(SHAPE + index)]));
    const layout = layoutRegion(shape as unknown as RegionShape);
    return new Region(descriptor, layout, mapShared(descriptor, 0, layout.plainBytes));
  }

  get shape(): RegionShape {
    return this.layout.shape;
  }

  mapRing(place: RingPlace): MappedRing {
    return mapRing(this.descriptor, place.dataAt, place.bytes);
  }

  get masterPid(): number {
    return this.#read(MASTER_PID);
  }

  /** Where manager and master tell their sleep: see `Sleeper`. */
  get managerSleepIndex(): number {
    return MANAGER_SLEEP;
  }

  get masterSleepIndex(): number {
    return MASTER_SLEEP;
  }

  get managerPid(): number {
    return this.#read(MANAGER_PID);
  }
  set managerPid(pid: number) {
    Atomics.store(this.int32, MANAGER_PID, pid);
  }

  /** Reloads that were completed since the start. */
  get reloads(): number {
    return this.#read(RELOADS);
  }
  set reloads(count: number) {
    Atomics.store(this.int32, RELOADS, count);
  }

  get reloadsFailed(): number {
    return this.#read(RELOADS_FAILED);
  }
  set reloadsFailed(count: number) {
    Atomics.store(this.int32, RELOADS_FAILED, count);
  }

  /** The newest generation of workers; survives the manager. */
  get generation(): number {
    return this.#read(GENERATION);
  }
  set generation(value: number) {
    Atomics.store(this.int32, GENERATION, value);
  }

  /** Some worker marks the ids of sessions it keeps: reactors look for them in requests. */
  get hasSessionAffinity(): boolean {
    return this.#read(SESSION_AFFINITY) === 1;
  }
  beginSessionAffinity(): void {
    Atomics.store(this.int32, SESSION_AFFINITY, 1);
  }

  /** BASE mode: the ports listen, workers may accept. */
  get accepting(): boolean {
    return this.#read(ACCEPTING) === 1;
  }
  set accepting(on: boolean) {
    Atomics.store(this.int32, ACCEPTING, on ? 1 : 0);
  }

  /** What it was changed to while the server runs; undefined: nothing. */
  get logLevel(): LogLevel | undefined {
    return logLevels[this.#read(LOG_LEVEL) - 1];
  }
  set logLevel(level: LogLevel) {
    Atomics.store(this.int32, LOG_LEVEL, logLevels.indexOf(level) + 1);
  }

  /** Grows when every process shall open its log file again. */
  get logEpoch(): number {
    return this.#read(LOG_EPOCH);
  }
  reopenLogs(): void {
    Atomics.add(this.int32, LOG_EPOCH, 1);
  }

  /** Workers that new packets may go to: ids below this number. Written by the master. */
  get activeWorkerNum(): number {
    return this.#read(ACTIVE_WORKERS);
  }
  set activeWorkerNum(count: number) {
    Atomics.store(this.int32, ACTIVE_WORKERS, count);
  }

  /** Workers that have, or are about to have, a process. Written by the master. */
  get seatNum(): number {
    return this.#read(SEATS);
  }
  set seatNum(count: number) {
    Atomics.store(this.int32, SEATS, count);
  }

  /** Grows with each worker that has ended, after its record says so. */
  get deaths(): number {
    return this.#read(DEATHS);
  }
  countDeath(): void {
    Atomics.add(this.int32, DEATHS, 1);
  }

  /** Written by the manager. */
  countEnd(reason: EndReason): void {
    Atomics.add(this.int32, ENDS + endReasons.indexOf(reason), 1);
  }

  ends(reason: EndReason): number {
    return this.#read(ENDS + endReasons.indexOf(reason));
  }

  /** Unix time in ms. */
  get startedAt(): number {
    return this.float64[STARTED_AT] ?? 0;
  }

  /** The bound port of each listen port, in the order they were declared. */
  get ports(): number[] {
    return Array.from(this.int32.subarray(PORTS, PORTS + this.#read(PORT_COUNT)));
  }
  set ports(list: readonly number[]) {
    this.int32.set(list, PORTS);
    Atomics.store(this.int32, PORT_COUNT, list.length);
  }

  /** A number that grows by one with each call of any reactor: what 'round-robin' goes by. */
  nextRound(): number {
    return Atomics.add(this.int32, ROUND, 1) >>> 0;
  }

  #read(index: number): number {
    return Atomics.load(this.int32, index);
  }
}
