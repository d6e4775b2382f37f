import { createSharedFile, type MappedRing, mapRing, mapShared } from '../os/memory.js';
import { monotonicMs } from '../util/clock.js';
import { type LogLevel, logLevels } from '../util/log.js';
import { HEADER_BYTES, layoutRegion, type RegionLayout, type RegionShape, type RingPlace } from './layout.js';
import { float64, int32, layoutRecord } from './record.js';
import { WallTime } from './wall-time.js';

const shapeNames = [
  'reactorNum',
  'workerNum',
  'taskWorkerNum',
  'userProcessNum',
  'slots',
  'tlsSlots',
  'tlsRecordBytes',
  'dataSlots',
  'rooms',
  'ringBytes',
  'messageSlots',
  'logSlots',
] as const satisfies readonly (keyof RegionShape)[];

const MAGIC_VALUE = 0x7473_7730; // 'tsw0'
/** Why processes with an id end, apart from the end of the server. */
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
  'maxUptime',
] as const;
export type EndReason = (typeof endReasons)[number];
export const MAX_PORTS = 256;
const TICKET_SECRET_BYTES = 32;

/** The first 4 KiB. */
const header = layoutRecord(
  {
    magic: int32(),
    masterPid: int32(),
    managerPid: int32(),
    reloads: int32(),
    reloadsFailed: int32(),
    /** 1: a reload is running. Written by the manager. */
    reloading: int32(),
    round: int32(),
    generation: int32(),
    managerSleep: int32(),
    masterSleep: int32(),
    accepting: int32(),
    /** 0: the option's level; otherwise 1 + its place among the levels. */
    logLevel: int32(),
    logEpoch: int32(),
    /** Workers that packets go to, and workers that have a process: the two differ during a scaling. */
    activeWorkers: int32(),
    seats: int32(),
    /** Workers that have ended since the start: when it grows, reactors look for requests that will not be answered. */
    deaths: int32(),
    /** 1: the start has succeeded. */
    up: int32(),
    /** Processes that have held the connection to the cluster, one after another. */
    brokers: int32(),
    /** 1: requests may name the worker that holds their session. */
    sessionAffinity: int32(),
    /** One counter for each of `endReasons`. */
    ends: int32(endReasons.length),
    portCount: int32(),
    ports: int32(MAX_PORTS),
    shape: int32(shapeNames.length),
    /** In ms of `monotonicMs()`. */
    startedAt: float64(),
    /** Unix time in ms when the server was started, as the clock showed it then. */
    firstUnixMs: float64(),
    /** The difference of that clock to Unix time, see `WallTime`. */
    wallOffset: float64(),
    /** See `stopBy`. */
    stopBy: float64(),
    /** See `cluster-record.ts`. */
    cluster: float64(16),
    /** See `listen/ticket-keys.ts`. */
    ticketSecret: int32(TICKET_SECRET_BYTES / 4),
  },
  HEADER_BYTES,
).at;

/** The shared memory of one server, mapped into one process or thread. Runs in every process. */
export class Region {
  readonly descriptor: number;
  readonly layout: RegionLayout;
  /** The part before the rings, in two views. */
  readonly int32: Int32Array;
  readonly float64: Float64Array;
  readonly bytes: Buffer;
  readonly #wall: WallTime;
  readonly #parts = new Map<number, ArrayBuffer>();

  private constructor(descriptor: number, layout: RegionLayout, memory: ArrayBuffer) {
    this.descriptor = descriptor;
    this.layout = layout;
    this.int32 = new Int32Array(memory);
    this.float64 = new Float64Array(memory);
    this.bytes = Buffer.from(memory);
    this.#wall = new WallTime(this.float64, header.wallOffset);
  }

  /** Created once, by the master. */
  static create(shape: RegionShape): Region {
    const layout = layoutRegion(shape);
    const descriptor = createSharedFile('tswoole', layout.totalBytes);
    const region = new Region(descriptor, layout, mapShared(descriptor, 0, layout.plainBytes));
    region.int32[header.magic] = MAGIC_VALUE;
    region.int32[header.masterPid] = process.pid;
    region.int32.set(
      shapeNames.map((name) => shape[name]),
      header.shape,
    );
    region.float64[header.startedAt] = monotonicMs();
    region.#wall.set();
    region.float64[header.firstUnixMs] = region.startedAt;
    region.activeWorkerNum = shape.workerNum;
    region.seatNum = shape.workerNum;
    return region;
  }

  /** Maps the master's region. `descriptor` is inherited (or, in a reactor thread, the same number). */
  static open(descriptor: number): Region {
    const first = new Int32Array(mapShared(descriptor, 0, HEADER_BYTES));
    const at = (index: number): number => first[index] ?? 0;
    if (at(header.magic) !== MAGIC_VALUE) throw new Error(`descriptor ${descriptor} holds no tswoole region`);
    const shape = Object.fromEntries(shapeNames.map((name, index) => [name, at(header.shape + index)]));
    const layout = layoutRegion(shape as unknown as RegionShape);
    return new Region(descriptor, layout, mapShared(descriptor, 0, layout.plainBytes));
  }

  get shape(): RegionShape {
    return this.layout.shape;
  }

  /** Parts that not every process needs are mapped when first asked for, and once. `at` is a multiple of the page size. */
  part(at: number, bytes: number): ArrayBuffer {
    const known = this.#parts.get(at);
    if (known !== undefined) return known;
    const memory = mapShared(this.descriptor, at, bytes);
    this.#parts.set(at, memory);
    return memory;
  }

  mapRing(place: RingPlace): MappedRing {
    return mapRing(this.descriptor, place.dataAt, place.bytes);
  }

  get masterPid(): number {
    return this.#read(header.masterPid);
  }

  /** The places of the sleep states of manager and master: see `Sleeper`. */
  get managerSleepIndex(): number {
    return header.managerSleep;
  }

  get masterSleepIndex(): number {
    return header.masterSleep;
  }

  /** The place of the `ClusterRecord`. */
  get clusterIndex(): number {
    return header.cluster;
  }

  /** From which the keys of TLS session tickets follow; zeros where no port speaks TLS. Written by the master. */
  get ticketSecret(): Buffer {
    return this.bytes.subarray(header.ticketSecret * 4, header.ticketSecret * 4 + TICKET_SECRET_BYTES);
  }

  get managerPid(): number {
    return this.#read(header.managerPid);
  }
  set managerPid(pid: number) {
    Atomics.store(this.int32, header.managerPid, pid);
  }

  /** Reloads completed since the start. */
  get reloads(): number {
    return this.#read(header.reloads);
  }
  set reloads(count: number) {
    Atomics.store(this.int32, header.reloads, count);
  }

  get reloadsFailed(): number {
    return this.#read(header.reloadsFailed);
  }
  set reloadsFailed(count: number) {
    Atomics.store(this.int32, header.reloadsFailed, count);
  }

  /**
   * Of this start of the server: no other start, on whatever machine, has the same beside the same node id. The same in every
   * process, also after the clock was set: so not from `startedAt`, which follows the clock.
   */
  get incarnation(): string {
    return `${this.masterPid.toString(36)}-${(this.float64[header.firstUnixMs] ?? 0).toString(36)}`;
  }

  /** To be called by the process that is to hold the connection to the cluster. @returns how many were there before */
  countBroker(): number {
    return Atomics.add(this.int32, header.brokers, 1);
  }

  /** The newest generation of workers; survives the manager. */
  get generation(): number {
    return this.#read(header.generation);
  }
  set generation(value: number) {
    Atomics.store(this.int32, header.generation, value);
  }

  get isReloading(): boolean {
    return this.#read(header.reloading) === 1;
  }
  set isReloading(is: boolean) {
    Atomics.store(this.int32, header.reloading, is ? 1 : 0);
  }

  /** The start has succeeded: what fails from now on is told by the log, and not by `start()`. */
  get isUp(): boolean {
    return this.#read(header.up) === 1;
  }
  set isUp(is: boolean) {
    Atomics.store(this.int32, header.up, is ? 1 : 0);
  }

  /**
   * Until when processes that are ready may end in order although their manager is gone, in ms of `monotonicMs()`; 0: they have
   * a moment. Written by the master, who has killed the manager then, because it could not pass on the order to stop.
   */
  get stopBy(): number {
    return this.float64[header.stopBy] ?? 0;
  }
  set stopBy(time: number) {
    this.float64[header.stopBy] = time;
  }

  /** Some worker marks the ids of its sessions: reactors look for them in requests. */
  get hasSessionAffinity(): boolean {
    return this.#read(header.sessionAffinity) === 1;
  }
  beginSessionAffinity(): void {
    Atomics.store(this.int32, header.sessionAffinity, 1);
  }

  /** BASE mode: the ports listen, workers may accept. */
  get accepting(): boolean {
    return this.#read(header.accepting) === 1;
  }
  set accepting(on: boolean) {
    Atomics.store(this.int32, header.accepting, on ? 1 : 0);
  }

  /** The level set at run time; undefined: none. */
  get logLevel(): LogLevel | undefined {
    return logLevels[this.#read(header.logLevel) - 1];
  }
  set logLevel(level: LogLevel) {
    Atomics.store(this.int32, header.logLevel, logLevels.indexOf(level) + 1);
  }

  /** Grows when every process is to reopen its log file. */
  get logEpoch(): number {
    return this.#read(header.logEpoch);
  }
  reopenLogs(): void {
    Atomics.add(this.int32, header.logEpoch, 1);
  }

  /** Workers that new packets may go to: ids below this number. Written by the master. */
  get activeWorkerNum(): number {
    return this.#read(header.activeWorkers);
  }
  set activeWorkerNum(count: number) {
    Atomics.store(this.int32, header.activeWorkers, count);
  }

  /** Workers that have, or are about to have, a process. Written by the master. */
  get seatNum(): number {
    return this.#read(header.seats);
  }
  set seatNum(count: number) {
    Atomics.store(this.int32, header.seats, count);
  }

  /** Grows with each worker that has ended, after its record is updated. */
  get deaths(): number {
    return this.#read(header.deaths);
  }
  countDeath(): void {
    Atomics.add(this.int32, header.deaths, 1);
  }

  /** Written by the manager. */
  countEnd(reason: EndReason): void {
    Atomics.add(this.int32, header.ends + endReasons.indexOf(reason), 1);
  }

  ends(reason: EndReason): number {
    return this.#read(header.ends + endReasons.indexOf(reason));
  }

  /** Unix time in ms. */
  get startedAt(): number {
    return this.unixMs(this.float64[header.startedAt] ?? 0);
  }

  get uptimeMs(): number {
    return Math.round(monotonicMs() - (this.float64[header.startedAt] ?? 0));
  }

  /** The time of day, in Unix ms, of a reading of `monotonicMs()`; 0 for 0. */
  unixMs(monotonic: number): number {
    return this.#wall.unixMs(monotonic);
  }

  /** The bound port of each listen port, in the order they were declared. */
  get ports(): number[] {
    return Array.from(this.int32.subarray(header.ports, header.ports + this.#read(header.portCount)));
  }
  set ports(list: readonly number[]) {
    this.int32.set(list, header.ports);
    Atomics.store(this.int32, header.portCount, list.length);
  }

  /** A number that grows by one with each call of any reactor, for 'round-robin'. */
  nextRound(): number {
    return Atomics.add(this.int32, header.round, 1) >>> 0;
  }

  #read(index: number): number {
    return Atomics.load(this.int32, index);
  }
}
