import { Event, MAX_PAYLOAD } from '../ipc/frame.js';
import type { AddressCounters } from '../memory/address-counters.js';
import { type ReactorBoard, ReactorCounter, type WorkerBoard } from '../memory/boards.js';
import type { ConnectionTable } from '../memory/connection-table.js';
import type { DeadConnections } from '../memory/dead-connections.js';
import type { ResolvedAccessLog } from '../options/access-log.js';
import type { ReactorRateLimit } from '../options/for-reactor.js';
import type { ResolvedFraming } from '../options/index.js';
import type { ResolvedStaticFiles } from '../options/static-files.js';
import type { ResolvedSticky } from '../options/sticky.js';
import type { ResolvedTls } from '../options/tls.js';
import type { ResolvedTrustProxy } from '../options/trust-proxy.js';
import type { SlowConsumer } from '../options/websocket.js';
import { addressOf, allocateStable } from '../os/libc.js';
import type { Poller } from '../os/poller.js';
import { monotonicMs } from '../util/clock.js';
import type { Connection } from './connection.js';
import { ConnectionMap } from './connection-map.js';
import type { PeerProcesses } from './peer-process.js';
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
  /** 0: connections are not counted. */
  readonly maxConnectionsPerIp: number;
  readonly ioUring: boolean;
  /** With the file; null: none is written. */
  readonly accessLog: ResolvedAccessLog | null;
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
  /** Clients are read only after `confirm`. */
  readonly delayReceive: boolean;
  readonly framing: ResolvedFraming;
  readonly packageMaxLength: number;
  /** Load balancers whose PROXY header is expected; empty: no header. */
  readonly proxyProtocol: readonly string[];
  readonly tls: ResolvedTls | null;
  /** Where the port speaks HTTP. */
  readonly http: HttpOptions | null;
  /** Where the port speaks WebSocket. */
  readonly webSocket: WebSocketLimits | null;
  /** The socket that receives datagrams; −1 for a stream. */
  readonly datagrams: number;
}

export interface WebSocketLimits {
  readonly maxMessageBytes: number;
  /** 0: never. */
  readonly pingIntervalMs: number;
  /** What a member gets whose queue is above `roomHighWatermark`. */
  readonly slowConsumer: SlowConsumer;
  readonly roomHighWatermark: number;
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
  /** Null: none, or one that workers check. */
  readonly rateLimit: ReactorRateLimit | null;
  /** Proxies that name the client of a request. */
  readonly trustProxy: ResolvedTrustProxy | null;
  /** Requests with the same value go to the same worker. */
  readonly sticky: ResolvedSticky | null;
}

/** As much as a read into a ring may have brought. */
export const SCRATCH_BYTES = MAX_PAYLOAD;

interface ContextParts {
  readonly id: number;
  readonly reactorNum: number;
  readonly options: ReactorOptions;
  readonly table: ConnectionTable;
  readonly board: ReactorBoard;
  readonly workers: WorkerBoard;
  readonly processes: PeerProcesses;
  readonly rings: readonly WorkerRing[];
  readonly addresses: AddressCounters;
  readonly dead: DeadConnections;
  readonly poller: Poller;
}

/** Key of a sender that waits for room: a worker by its id, whichever process has it; another process by its peer. */
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
  readonly processes: PeerProcesses;
  readonly rings: readonly WorkerRing[];
  readonly addresses: AddressCounters;
  readonly dead: DeadConnections;
  readonly poller: Poller;
  readonly connections: ConnectionMap;
  readonly scratch = allocateStable(SCRATCH_BYTES);
  readonly scratchAddress = addressOf(this.scratch);
  /** In ms of `monotonicMs()`, looked up once per turn. */
  now = monotonicMs();
  /** BASE mode: its connections will go to another process, so nothing begins that cannot go on there. */
  isLeaving = false;
  /** The server will end: requests are still answered, and each answer closes its connection. */
  isEnding = false;
  /** Connections with more to read than one turn's share. */
  again: Connection[] = [];
  /** Connections with more to write than one turn's share. */
  writeOn: Connection[] = [];
  /** Peers other than workers that waited for room and can look now; rung at the end of the turn. */
  readonly #toRing = new Set<number>();
  /** Of this turn: reads that found bytes, and the messages in them that went to workers. */
  reads = 0;
  messages = 0;
  #buffered = 0;

  constructor(parts: ContextParts) {
    this.id = parts.id;
    this.reactorNum = parts.reactorNum;
    this.options = parts.options;
    this.table = parts.table;
    this.board = parts.board;
    this.workers = parts.workers;
    this.processes = parts.processes;
    this.rings = parts.rings;
    this.addresses = parts.addresses;
    this.dead = parts.dead;
    this.poller = parts.poller;
    this.connections = new ConnectionMap(parts.reactorNum);
    parts.board.set(parts.id, ReactorCounter.buffered, 0);
    parts.board.setUnderWay(parts.id, 0);
  }

  /** Bytes queued for the client. */
  queuedBytes(connection: Connection): number {
    const { out, secure } = connection;
    return (out?.bytes ?? 0) + (secure === null ? 0 : connection.transport.queuedBytes(connection));
  }

  /** Updates the buffered bytes of this connection, in and out. */
  countBuffered(connection: Connection): void {
    const bytes = connection.isClosed
      ? 0
      : this.queuedBytes(connection) + (connection.input?.length ?? 0) + connection.kept;
    if (bytes === connection.buffered) return;
    this.#buffered += bytes - connection.buffered;
    connection.buffered = bytes;
    this.board.set(this.id, ReactorCounter.buffered, this.#buffered);
  }

  /** Reports an event that did not come from the poller: the reactor looks up the time and runs a turn. */
  wake: () => void = () => {};

  /** @param watcher a worker's id, or a peer that receives no events: see `watcherOf` */
  notifyRoom(watcher: number, sessionId: number): void {
    if (watcher >= 0) this.ring(watcher).sendEvent(Event.writable, 0, 0, sessionId);
    else this.#toRing.add(peerOfWatcher(watcher));
  }

  /** Called after the rings of those peers are released, so that each peer sees its request taken. */
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

  /** The open connection of a session. */
  connectionOf(sessionId: number): Connection | undefined {
    const connection = this.connections.get(this.table.slotOf(sessionId));
    return connection?.sessionId === sessionId ? connection : undefined;
  }
}
