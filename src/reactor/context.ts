import { Event } from '../ipc/frame.js';
import type { AddressCounters } from '../memory/address-counters.js';
import { type ReactorBoard, ReactorCounter, type WorkerBoard } from '../memory/boards.js';
import type { ConnectionTable } from '../memory/connection-table.js';
import type { DeadConnections } from '../memory/dead-connections.js';
import type { ResolvedFraming } from '../options/index.js';
import type { ResolvedStaticFiles } from '../options/static-files.js';
import type { ResolvedTls } from '../options/tls.js';
import { addressOf, allocateStable } from '../os/libc.js';
import type { Poller } from '../os/poller.js';
import { monotonicMs } from '../util/clock.js';
import type { Connection } from './connection.js';
import { ConnectionMap } from './connection-map.js';
import type { WorkerRing } from './worker-ring.js';

export interface ReactorOptions {
  /** 0: any number. */
  readonly maxQueuedBytes: number;
  /** Of the whole server; 0: any number. */
  readonly maxBufferedBytes: number;
  readonly overloadPolicy: 'pause' | 'close';
  readonly maxWaitMs: number;
  /** 0: never. */
  readonly heartbeatIdleMs: number;
  /** 0: never. */
  readonly writeTimeoutMs: number;
  readonly halfCloseTimeoutMs: number;
  /** 0: nobody counts. */
  readonly maxConnectionsPerIp: number;
  /** Per listen port, in the order of the region's `ports`. */
  readonly ports: readonly PortOptions[];
}

export interface PortOptions {
  readonly sendBufferSize: number;
  readonly highWatermark: number;
  readonly lowWatermark: number;
  readonly noDelay: boolean;
  readonly keepAlive: boolean;
  /** 0: never. */
  readonly heartbeatIdleMs: number;
  readonly heartbeatCheckMs: number;
  /** 0: never. */
  readonly maxIdleMs: number;
  /** Clients are read from `confirm` on. */
  readonly delayReceive: boolean;
  readonly framing: ResolvedFraming;
  readonly packageMaxLength: number;
  /** Load balancers whose PROXY header is expected; none: there is no header. */
  readonly proxyProtocol: readonly string[];
  readonly tls: ResolvedTls | null;
  /** Where the port speaks HTTP. */
  readonly http: HttpOptions | null;
  /** The socket that takes datagrams; −1 for a stream. */
  readonly datagrams: number;
}

export interface HttpOptions {
  readonly bodyLimit: number;
  readonly requestLineLimit: number;
  readonly headerLimit: number;
  readonly headerCountLimit: number;
  /** 0: any time. */
  readonly headersTimeoutMs: number;
  readonly requestTimeoutMs: number;
  /** 0: none. */
  readonly minBodyBytesPerSecond: number;
  readonly keepAliveTimeoutMs: number;
  /** 0: any number. */
  readonly maxConcurrency: number;
  readonly http2: boolean;
  /** Folders whose files are served here, without a worker. */
  readonly staticFiles: ResolvedStaticFiles;
}

export const SCRATCH_BYTES = 65536;

interface ContextParts {
  readonly id: number;
  readonly reactorNum: number;
  readonly options: ReactorOptions;
  readonly table: ConnectionTable;
  readonly board: ReactorBoard;
  readonly workers: WorkerBoard;
  readonly rings: readonly WorkerRing[];
  readonly addresses: AddressCounters;
  readonly dead: DeadConnections;
  readonly poller: Poller;
}

/** How one that waits for room is known: a worker by its id, whichever process bears it, another process by its peer. */
export const watcherOf = (worker: number, peer: number): number => (worker >= 0 ? worker : -1 - peer);
const peerOfWatcher = (watcher: number): number => -1 - watcher;

/** What the parts of one reactor share: its connections, its records, the time of the turn. */
export class ReactorContext {
  readonly id: number;
  readonly reactorNum: number;
  readonly options: ReactorOptions;
  readonly table: ConnectionTable;
  readonly board: ReactorBoard;
  readonly workers: WorkerBoard;
  readonly rings: readonly WorkerRing[];
  readonly addresses: AddressCounters;
  readonly dead: DeadConnections;
  readonly poller: Poller;
  readonly connections: ConnectionMap;
  readonly scratch = allocateStable(SCRATCH_BYTES);
  readonly scratchAddress = addressOf(this.scratch);
  /** In ms of `monotonicMs()`, looked up once per turn. */
  now = monotonicMs();
  /** Connections that have more to read than one turn's share. */
  again: Connection[] = [];
  /** Connections that have more to write than one turn's share. */
  writeOn: Connection[] = [];
  /** Peers other than workers that wait for room somewhere and can look now; rung at the end of the turn. */
  readonly #toRing = new Set<number>();
  #buffered = 0;

  constructor(parts: ContextParts) {
    this.id = parts.id;
    this.reactorNum = parts.reactorNum;
    this.options = parts.options;
    this.table = parts.table;
    this.board = parts.board;
    this.workers = parts.workers;
    this.rings = parts.rings;
    this.addresses = parts.addresses;
    this.dead = parts.dead;
    this.poller = parts.poller;
    this.connections = new ConnectionMap(parts.reactorNum);
    parts.board.set(parts.id, ReactorCounter.buffered, 0);
    parts.board.setUnderWay(parts.id, 0);
  }

  /** Bytes that wait to be sent to the client. */
  queuedBytes(connection: Connection): number {
    const { out, secure } = connection;
    return (out?.bytes ?? 0) + (secure === null ? 0 : connection.transport.queuedBytes(connection));
  }

  /** Counts what waits in memory for this connection, in and out. */
  countBuffered(connection: Connection): void {
    const bytes = connection.isClosed ? 0 : this.queuedBytes(connection) + (connection.input?.length ?? 0);
    if (bytes === connection.buffered) return;
    this.#buffered += bytes - connection.buffered;
    connection.buffered = bytes;
    this.board.set(this.id, ReactorCounter.buffered, this.#buffered);
  }

  /** Something has happened outside of the poller's reports: time is looked up, and a turn follows. */
  wake: () => void = () => {};

  /** @param watcher a worker's id, or a peer that takes no events: see `watcherOf` */
  notifyRoom(watcher: number, sessionId: number): void {
    if (watcher >= 0) this.ring(watcher).sendEvent(Event.writable, 0, 0, sessionId);
    else this.#toRing.add(peerOfWatcher(watcher));
  }

  /** By then the rings of those peers are released: they see that what they asked was taken. */
  ringWatchers(ring: (peer: number) => void): void {
    if (this.#toRing.size === 0) return;
    for (const peer of this.#toRing) ring(peer);
    this.#toRing.clear();
  }

  ring(worker: number): WorkerRing {
    const ring = this.rings[worker];
    if (ring === undefined) throw new RangeError(`dispatch chose worker ${worker} of ${this.rings.length}`);
    return ring;
  }

  /** The living connection of a session. */
  connectionOf(sessionId: number): Connection | undefined {
    const connection = this.connections.get(this.table.slotOf(sessionId));
    return connection?.sessionId === sessionId ? connection : undefined;
  }
}
