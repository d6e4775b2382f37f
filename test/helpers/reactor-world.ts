/** The shared memory of a server without its processes, and a reactor's parts without sockets, threads or poller. */
import { typeOf } from '../../src/ipc/frame.js';
import { RingReader, RingWriter } from '../../src/ipc/ring.js';
import { AddressCounters } from '../../src/memory/address-counters.js';
import { ReactorBoard, WorkerBoard, WorkerField } from '../../src/memory/boards.js';
import { ConnectionTable } from '../../src/memory/connection-table.js';
import { DeadConnections } from '../../src/memory/dead-connections.js';
import { Region } from '../../src/memory/region.js';
import { AF_INET } from '../../src/os/constants.js';
import type { Poller } from '../../src/os/poller.js';
import { Connection } from '../../src/reactor/connection.js';
import { ConnectionSlots } from '../../src/reactor/connection-slots.js';
import { type HttpOptions, type PortOptions, ReactorContext, type ReactorOptions } from '../../src/reactor/context.js';
import { type DispatchFunction, strategyOf } from '../../src/reactor/dispatch/index.js';
import { SharedDispatchView } from '../../src/reactor/dispatch-view.js';
import { Dispatcher } from '../../src/reactor/dispatcher.js';
import { Ending } from '../../src/reactor/ending.js';
import { InflightLimit } from '../../src/reactor/inflight-limit.js';
import { MemoryBudget } from '../../src/reactor/memory-budget.js';
import type { PortFraming, ProtocolDefinition } from '../../src/reactor/protocols/definition.js';
import { definitions, Protocols } from '../../src/reactor/protocols/index.js';
import { Reading } from '../../src/reactor/reading.js';
import { Sending } from '../../src/reactor/sending.js';
import { WorkerRing } from '../../src/reactor/worker-ring.js';
import { type FakeClient, FakeTransport, type FromClient } from './fake-transport.js';
import { testShape } from './test-shape.js';

export interface WorldOptions {
  readonly workers?: number;
  readonly mode?: Parameters<typeof strategyOf>[0];
  readonly dispatch?: DispatchFunction;
  readonly port?: Partial<PortOptions>;
  readonly options?: Partial<ReactorOptions>;
  readonly framing?: PortFraming;
  /** Beside those of the server. */
  readonly definitions?: readonly ProtocolDefinition[];
}

/** What a worker found in its ring. */
export interface TakenFrame {
  readonly type: number;
  readonly flags: number;
  readonly detail: number;
  readonly sessionId: number;
  readonly text: string;
}

const aPort: PortOptions = {
  ...{ sendBufferSize: 1 << 20, highWatermark: 1 << 18, lowWatermark: 1 << 16, noDelay: false, keepAlive: false },
  ...{ heartbeatIdleMs: 0, heartbeatCheckMs: 0, maxIdleMs: 0, delayReceive: false, framing: { type: 'raw' } },
  ...{ packageMaxLength: 1 << 20, proxyProtocol: [], tls: null, http: null, datagrams: -1 },
} as PortOptions;

export const someHttp: HttpOptions = {
  ...{ bodyLimit: 1 << 20, requestLineLimit: 8192, headerLimit: 16_384, headerCountLimit: 100 },
  ...{ headersTimeoutMs: 0, requestTimeoutMs: 0, minBodyBytesPerSecond: 0, keepAliveTimeoutMs: 0 },
  ...{ maxConcurrency: 0, http2: true, staticFiles: [] },
} as HttpOptions;

const serverOptions: ReactorOptions = {
  ...{ maxQueuedBytes: 0, maxBufferedBytes: 0, overloadPolicy: 'pause', maxWaitMs: 3000 },
  ...{ heartbeatIdleMs: 0, writeTimeoutMs: 0, halfCloseTimeoutMs: 30_000, maxConnectionsPerIp: 0, ports: [] },
};

const noPoller: Poller = {
  name: 'epoll',
  levelTriggered: false,
  ...{ add() {}, addReadable() {}, retoken() {}, remove() {}, abandon() {}, rearm() {}, wakeSoon() {}, close() {} },
};

export class ReactorWorld {
  readonly region: Region;
  readonly workers: WorkerBoard;
  readonly table: ConnectionTable;
  readonly board: ReactorBoard;
  readonly rings: readonly WorkerRing[];
  readonly context: ReactorContext;
  readonly view: SharedDispatchView;
  readonly dispatcher: Dispatcher;
  readonly ending: Ending;
  readonly sending: Sending;
  readonly reading: Reading;
  readonly budget: MemoryBudget;
  readonly inflight: InflightLimit;
  readonly protocols: Protocols;
  readonly transport = new FakeTransport();
  readonly slots: ConnectionSlots;
  /** What clients were disconnected for: close code and message. */
  readonly refused: (readonly [code: number, message: string])[] = [];
  /** Living processes by peer, where a test has any. */
  readonly processes = new Map<number, number>();
  readonly #readers: readonly RingReader[];
  #descriptor = 100;

  constructor({ workers: workerNum = 1, mode = 'fd-mod', dispatch, ...given }: WorldOptions = {}) {
    const port = { ...aPort, ...given.port };
    const options = { ...serverOptions, ports: [port], ...given.options };
    this.region = Region.create(testShape({ workerNum, ringBytes: 131_072 }));
    this.region.activeWorkerNum = workerNum;
    this.workers = new WorkerBoard(this.region);
    this.table = new ConnectionTable(this.region);
    this.board = new ReactorBoard(this.region);
    const waker = { wake: () => false, ring: () => {} };
    this.rings = Array.from({ length: workerNum }, (_, worker) => {
      this.workers.setField(worker, WorkerField.pid, 1000 + worker);
      const ring = new RingWriter(this.region, this.region.layout.inbound(0, worker));
      return new WorkerRing(worker, ring, [waker, waker], () => 0);
    });
    this.#readers = this.rings.map((_, worker) => new RingReader(this.region, this.region.layout.inbound(0, worker)));
    const { workers, table, board, rings } = this;
    const addresses = new AddressCounters(this.region);
    const dead = new DeadConnections(this.region, options);
    const shared = { table, board, workers, rings, addresses, dead, poller: noPoller };
    this.context = new ReactorContext({ id: 0, reactorNum: 1, options, ...shared });
    const { context } = this;
    this.view = new SharedDispatchView(this.region, workers, table, rings);
    this.slots = new ConnectionSlots(0, 1, this.region.shape.slots, workerNum);
    this.ending = new Ending(context, this.slots, () => {});
    this.sending = new Sending(context, this.ending);
    this.budget = new MemoryBudget(context, this.ending);
    this.inflight = new InflightLimit(context, this.view);
    const { ending, sending, budget, inflight, view, region } = this;
    this.reading = new Reading({ context, ending, budget, inflight });
    this.dispatcher = new Dispatcher({ context, region, view, strategy: strategyOf(mode), dispatch });
    const { reading, dispatcher } = this;
    this.protocols = new Protocols(
      {
        ...{ context, ending, sending, reading, dispatcher },
        refused: (_connection, code, message) => this.refused.push([code, message]),
        processOf: (peer) => this.processes.get(peer) ?? 0,
      },
      [{ index: 0, options: port, framing: given.framing }],
      [...(given.definitions ?? []), ...definitions],
    );
  }

  /** A living connection of a worker. */
  connect(worker = 0): Connection {
    const slot = this.slots.take();
    const sessionId = this.table.nextSessionId(slot);
    const descriptor = this.#descriptor++;
    const from = { family: AF_INET, address: Buffer.alloc(16), remotePort: 1 };
    this.table.open(slot, { sessionId, worker, portIndex: 0, descriptor, now: 1, ...from });
    const place = { sessionId, slot, descriptor, worker, port: 0 };
    const connection = new Connection(place, this.protocols.ofPort(0), this.transport, null);
    this.context.connections.add(connection);
    this.workers.addField(worker, WorkerField.connections, 1);
    connection.protocol.open(connection);
    return connection;
  }

  client(connection: Connection): FakeClient {
    return this.transport.clientOf(connection);
  }

  /** The client sends, and the reactor reads. Text is latin1. */
  clientSends(connection: Connection, ...sent: (FromClient | string)[]): void {
    const pieces = sent.map((piece) =>
      typeof piece === 'string' && piece !== 'end' ? Buffer.from(piece, 'latin1') : (piece as FromClient),
    );
    this.client(connection).sent.push(...pieces);
    connection.readable = true;
    this.reading.read(connection);
    this.turn();
  }

  /** What the reactor does at the end of turns, until nothing is left to be read on. */
  turn(): void {
    for (let turns = 0; turns < 100; turns++) {
      for (const protocol of this.protocols.withTurnEnd) protocol.turnEnd?.();
      if (this.context.again.length === 0 && this.context.writeOn.length === 0) break;
      this.reading.readAgain();
      this.sending.writeAgain();
    }
    this.reading.readHeldBack();
    for (const ring of this.rings) {
      this.reading.relieve(ring);
      ring.flush();
    }
    this.ending.reclaimSlots();
    this.dispatcher.checkDrain();
  }

  /** Time passes for what looks at `context.now`. */
  pass(ms: number): void {
    this.context.now += ms;
  }

  /** Fills the ring of a worker with packets, until the reactor would not read for it. */
  fill(worker: number): void {
    const ring = this.context.ring(worker);
    while (ring.readLimit > 0) ring.commitPacket(1, ring.readLimit);
    ring.flush();
  }

  /** A worker takes all that is in its ring. */
  take(worker = 0): TakenFrame[] {
    this.context.ring(worker).flush();
    const reader = this.#readers[worker] as RingReader;
    const frames: TakenFrame[] = [];
    while (reader.available()) {
      const { word, sessionId, bytes, payloadAt, length } = reader;
      const text = bytes.toString('latin1', payloadAt, payloadAt + length);
      frames.push({ type: typeOf(word), flags: (word >> 8) & 0xff, detail: word >>> 16, sessionId, text });
      reader.advance();
    }
    reader.release();
    return frames;
  }

  /** Of all workers, in the order of their ids. */
  takeAll(): TakenFrame[] {
    return this.rings.flatMap((_, worker) => this.take(worker));
  }
}
