/** The shared memory of a server without its processes, and a reactor's parts without sockets, threads or poller. */
import { AnswerFlag, Request, typeOf } from '../../src/ipc/frame.js';
import type { Overload } from '../../src/ipc/overload.js';
import { Reply } from '../../src/ipc/reply.js';
import { RingReader, RingWriter } from '../../src/ipc/ring.js';
import { AddressCounters } from '../../src/memory/address-counters.js';
import { ReactorBoard, WorkerBoard, WorkerField } from '../../src/memory/boards.js';
import { ConnectionTable } from '../../src/memory/connection-table.js';
import { DeadConnections } from '../../src/memory/dead-connections.js';
import { LANES_PER_WORKER, peerNum, peerOf, peerOfMaster } from '../../src/memory/layout.js';
import { Region } from '../../src/memory/region.js';
import { RoomBoard } from '../../src/memory/room-board.js';
import { AF_INET } from '../../src/os/constants.js';
import type { Poller } from '../../src/os/poller.js';
import { Admission } from '../../src/reactor/admission/admission.js';
import { Connection } from '../../src/reactor/connection.js';
import { ConnectionSlots } from '../../src/reactor/connection-slots.js';
import {
  type HttpOptions,
  type PortOptions,
  ReactorContext,
  type ReactorOptions,
  type WebSocketLimits,
} from '../../src/reactor/context.js';
import { type DispatchFunction, strategyOf } from '../../src/reactor/dispatch/index.js';
import { SharedDispatchView } from '../../src/reactor/dispatch-view.js';
import { Dispatcher } from '../../src/reactor/dispatcher.js';
import { Ending } from '../../src/reactor/ending.js';
import { FanOut } from '../../src/reactor/fan-out.js';
import { Handoff } from '../../src/reactor/handoff/handoff.js';
import type { Snapshot } from '../../src/reactor/handoff/snapshot.js';
import { IdleClients } from '../../src/reactor/idle-clients.js';
import { InflightLimit } from '../../src/reactor/inflight-limit.js';
import { Input } from '../../src/reactor/input.js';
import { LostSends } from '../../src/reactor/lost-sends.js';
import { MemoryBudget } from '../../src/reactor/memory-budget.js';
import { PeerProcesses } from '../../src/reactor/peer-process.js';
import type { PortFraming, ProtocolDefinition } from '../../src/reactor/protocols/definition.js';
import { definitions, Protocols } from '../../src/reactor/protocols/index.js';
import { Reading } from '../../src/reactor/reading.js';
import { type ReactorSender, Requests } from '../../src/reactor/requests.js';
import { RoomAnswers } from '../../src/reactor/room-answers.js';
import { Rooms } from '../../src/reactor/rooms.js';
import { Sending } from '../../src/reactor/sending.js';
import { Shutdown } from '../../src/reactor/shutdown.js';
import type { Secured } from '../../src/reactor/transport/transport.js';
import { WorkerRing } from '../../src/reactor/worker-ring.js';
import { FakeBatch } from './fake-batch.js';
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
  /** Shared memory, and clients, of a process before this one. */
  readonly before?: Pick<ReactorWorld, 'region' | 'transport'>;
  readonly slots?: number;
  /** The kernel takes many sends in one call: see `batch`. */
  readonly batched?: boolean;
}

/** What a worker, or another process, sends to a connection. Text is latin1. */
export interface SentFrame {
  readonly type: number;
  readonly flags?: number;
  readonly detail?: number;
  readonly payload?: string | Buffer;
}

/** What a worker found in its ring. */
export interface TakenFrame {
  readonly worker: number;
  readonly type: number;
  readonly flags: number;
  readonly detail: number;
  readonly sessionId: number;
  readonly text: string;
}

const aPort: PortOptions = {
  ...{ sendBufferSize: 1 << 20, highWatermark: 1 << 18, lowWatermark: 1 << 16, noDelay: false, keepAlive: false },
  ...{ heartbeatIdleMs: 0, heartbeatCheckMs: 0, maxIdleMs: 0, delayReceive: false, framing: { type: 'raw' } },
  ...{ packageMaxLength: 1 << 20, proxyProtocol: [], tls: null, http: null, webSocket: null, datagrams: -1 },
} as PortOptions;

export const someHttp: HttpOptions = {
  ...{ bodyLimit: 1 << 20, requestLineLimit: 8192, headerLimit: 16_384, headerCountLimit: 100 },
  ...{ headersTimeoutMs: 0, requestTimeoutMs: 0, minBodyBytesPerSecond: 0, keepAliveTimeoutMs: 0 },
  ...{ maxConcurrency: 0, http2: true, staticFiles: [], rateLimit: null, trustProxy: null, sticky: null },
} as HttpOptions;

export const someWebSocket: WebSocketLimits = {
  ...{ maxMessageBytes: 1 << 20, pingIntervalMs: 0, slowConsumer: 'close', roomHighWatermark: 1 << 18 },
};

const serverOptions: ReactorOptions = {
  ...{ maxQueuedBytes: 0, maxBufferedBytes: 0, overloadPolicy: 'pause', maxWaitMs: 3000 },
  ...{ heartbeatIdleMs: 0, writeTimeoutMs: 0, halfCloseTimeoutMs: 30_000, maxConnectionsPerIp: 0, ioUring: true },
  accessLog: null,
  ports: [],
};

/** No descriptor of this process has this number: closing it by mistake hits nothing. */
let nextDescriptor = 1_000_000;
const FIRST_PID = 1000;
const MOST_TURNS = 1000;

export const noPoller: Poller = {
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
  readonly rooms: Rooms;
  readonly roomAnswers: RoomAnswers;
  readonly protocols: Protocols;
  readonly admission: Admission;
  readonly requests: Requests;
  readonly handoff: Handoff;
  readonly shutdown: Shutdown;
  readonly idleClients: IdleClients;
  readonly transport: FakeTransport;
  readonly slots: ConnectionSlots;
  readonly batch: FakeBatch;
  /** What clients were disconnected for: close code and message. */
  readonly refused: (readonly [code: number, message: string])[] = [];
  /** Pauses that were reported. */
  readonly overloads: Overload[] = [];
  /** Senders that have written what cannot be read: worker ids. */
  readonly brokenSenders: number[] = [];
  /** Peers whose bell was rung. */
  readonly rung: number[] = [];
  /** Living processes by peer, where a test has others than the one process of each worker. */
  readonly processes = new Map<number, number>();
  readonly #given: WorldOptions;
  readonly #readers: readonly RingReader[];
  readonly #writers = new Map<number, RingWriter>();

  constructor(options: WorldOptions = {}) {
    const { workers: workerNum = 1, mode = 'fd-mod', dispatch, before, slots = 64, ...given } = options;
    this.#given = options;
    const port = { ...aPort, ...given.port };
    const reactorOptions = { ...serverOptions, ports: [port], ...given.options };
    this.region = before?.region ?? Region.create(testShape({ workerNum, ringBytes: 131_072, slots }));
    this.transport = before?.transport ?? new FakeTransport();
    this.batch = new FakeBatch(this.transport);
    this.region.activeWorkerNum = workerNum;
    this.workers = new WorkerBoard(this.region);
    this.table = new ConnectionTable(this.region);
    this.board = new ReactorBoard(this.region);
    this.rings = this.#openRings(workerNum);
    this.#readers = this.rings.map((_, worker) => new RingReader(this.region, this.region.layout.inbound(0, worker)));
    this.context = this.#openContext(reactorOptions);
    const { context, region, workers, table, rings } = this;
    this.view = new SharedDispatchView(region, workers, table, rings);
    this.slots = new ConnectionSlots(0, 1, region.shape.slots, workerNum);
    this.ending = new Ending(context, this.slots, () => {});
    this.sending = new Sending(context, this.ending, () => (given.batched === true ? this.batch : undefined));
    this.budget = new MemoryBudget(context, this.ending, (overload) => this.overloads.push(overload));
    this.inflight = new InflightLimit(context, this.view);
    const { ending, sending, budget, inflight, view } = this;
    this.reading = new Reading({ context, ending, budget, inflight });
    const strategy = strategyOf(mode);
    const answers = {
      hasOf: (worker: number) => this.requests.areWaitingOf(worker),
      take: () => void this.requests.take(),
    };
    this.dispatcher = new Dispatcher({ context, region, view, strategy, dispatch, answers });
    const { reading, dispatcher } = this;
    this.transport.isPlain = given.batched === true;
    const fanOut = new FanOut(sending, () => this.batch);
    this.rooms = new Rooms(context, new RoomBoard(region), fanOut);
    this.protocols = new Protocols(
      {
        ...{ context, ending, sending, fanOut, reading, dispatcher },
        refused: (_connection, code, message) => this.refused.push([code, message]),
        rooms: this.rooms,
        waitForSpeech: (connection, { source, address, peer }, at, length) => {
          const place = { bytes: source, address, payloadAt: at, length };
          this.requests.speeches.wait(connection, peer, {
            word: Request.send,
            sessionId: connection.sessionId,
            ...place,
          });
        },
      },
      [{ index: 0, options: port, framing: given.framing }],
      [...(given.definitions ?? []), ...definitions],
    );
    this.admission = new Admission({
      ...{ context, ending, sending, reading, strategy, view, slots: this.slots, protocols: this.protocols },
      ...{ plain: this.transport, encrypted: this.transport, poller: noPoller, certificates: [undefined] },
      ticketSecret: region.ticketSecret,
      onRefused: (_sessionId, code, message) => this.refused.push([code, message]),
    });
    this.roomAnswers = new RoomAnswers(context, this.rooms);
    const shared = {
      context,
      ending,
      sending,
      reading,
      inflight,
      protocols: this.protocols,
      admission: this.admission,
      rooms: this.rooms,
      roomAnswers: this.roomAnswers,
    };
    this.requests = new Requests({
      ...{ ...shared, region, senders: this.#openSenders() },
      onBrokenSender: (worker) => this.brokenSenders.push(worker),
    });
    const { speeches } = this.requests;
    this.handoff = new Handoff({ ...shared, slots: this.slots, speeches, plain: this.transport });
    this.shutdown = new Shutdown({ ...shared, wakeUp: () => {} });
    this.idleClients = new IdleClients(context, ending);
    ending.onReleased = (connection) => {
      if (connection.speech !== null) speeches.forget(connection);
      if (connection.rooms !== null) this.rooms.leaveAll(connection);
    };
  }

  #openRings(workerNum: number): WorkerRing[] {
    const waker = { wake: () => false, ring: () => {} };
    return Array.from({ length: workerNum }, (_, worker) => {
      this.workers.setField(worker, WorkerField.pid, FIRST_PID + worker);
      this.workers.setField(worker, WorkerField.processOfLane0, FIRST_PID + worker);
      const ring = new RingWriter(this.region, this.region.layout.inbound(0, worker));
      return new WorkerRing(worker, ring, [waker, waker], () => 0);
    });
  }

  #openContext(options: ReactorOptions): ReactorContext {
    const { table, board, workers, rings } = this;
    const addresses = new AddressCounters(this.region);
    const dead = new DeadConnections(this.region, options);
    const processes = new PeerProcesses(this.region, workers);
    const { of } = PeerProcesses.prototype;
    processes.of = (peer) => this.processes.get(peer) ?? of.call(processes, peer);
    const shared = { table, board, workers, processes, rings, addresses, dead, poller: noPoller };
    return new ReactorContext({ id: 0, reactorNum: 1, options, ...shared });
  }

  #openSenders(): ReactorSender[] {
    const { shape, layout } = this.region;
    return Array.from({ length: peerNum(shape) }, (_, peer) => ({
      ring: new RingReader(this.region, layout.outbound(0, peer)),
      worker: peer < shape.workerNum * LANES_PER_WORKER ? Math.floor(peer / LANES_PER_WORKER) : -1,
      peer,
      ringBell: () => this.rung.push(peer),
      mayAccept: peer === peerOfMaster(shape),
    }));
  }

  /** A living connection of a worker. @param secure where it is encrypted */
  connect(worker = 0, secure: Secured | null = null): Connection {
    const slot = this.slots.take();
    const sessionId = this.table.nextSessionId(slot);
    const descriptor = nextDescriptor++;
    const from = { family: AF_INET, address: Buffer.alloc(16), remotePort: 1 };
    const { now } = this.context;
    this.table.open(slot, { sessionId, worker, portIndex: 0, descriptor, now, ...from });
    const place = { sessionId, slot, descriptor, worker, port: 0 };
    const connection = new Connection(place, this.protocols.ofPort(0), this.transport, secure);
    this.context.connections.add(connection);
    this.workers.addField(worker, WorkerField.connections, 1);
    this.board.addConnections(0, 1);
    this.board.addOccupied(0, 1);
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
    this.isReadable(connection);
  }

  /** The poller reports that there may be bytes, or the end. */
  isReadable(connection: Connection): void {
    connection.readable = true;
    this.reading.read(connection);
    this.turn();
  }

  /** The client has taken something: the kernel has room for `bytes` more. */
  clientTakes(connection: Connection, bytes = Number.POSITIVE_INFINITY): void {
    this.client(connection).room = bytes;
    this.sending.writeQueued(connection);
    this.turn();
  }

  /** Bytes that a gate has read before it was a connection. */
  comesEarly(connection: Connection, text: string): void {
    connection.input = new Input(Buffer.from(text, 'latin1'), 0, text.length);
    this.reading.countReceived(connection, text.length);
    this.context.countBuffered(connection);
  }

  /** A process writes frames for a connection, and the reactor takes them. @param peer the process of its worker, unless it says other */
  sends(to: Pick<Connection, 'sessionId' | 'worker'>, frames: readonly SentFrame[], peer = peerOf(to.worker, 0)): void {
    this.writes(to.sessionId, frames, peer);
    this.turn();
  }

  /** The same, and the reactor does not look yet. */
  writes(sessionId: number, frames: readonly SentFrame[], peer: number): void {
    const ring = this.writerOf(peer);
    for (const { type, flags = 0, detail = 0, payload = '' } of frames) {
      const bytes = typeof payload === 'string' ? Buffer.from(payload, 'latin1') : payload;
      bytes.copy(ring.bytes, ring.payloadAt);
      ring.commit(type, flags, detail, sessionId, bytes.length);
    }
    ring.publish();
  }

  /** A process's end of its ring to the reactor. */
  writerOf(peer: number): RingWriter {
    const known = this.#writers.get(peer);
    if (known !== undefined) return known;
    const ring = new RingWriter(this.region, this.region.layout.outbound(0, peer));
    this.#writers.set(peer, ring);
    return ring;
  }

  /** A worker in this process gives a whole answer by hand (BASE mode). */
  answersByHand(
    connection: Connection,
    answer: Partial<Pick<Reply, 'detail' | 'flags' | 'head' | 'text' | 'body' | 'tail'>>,
    peer = 0,
  ): boolean | undefined {
    const reply = new Reply(Request.answer, AnswerFlag.last | AnswerFlag.close);
    Object.assign(reply, { sessionId: connection.sessionId, ...answer });
    return connection.protocol.reply?.(connection, reply, peer);
  }

  /** What the reactor does at the end of turns, until nothing is left to be done at once. */
  turn(): void {
    for (let turns = 0; this.#oneTurn(); turns++) {
      if (turns >= MOST_TURNS) throw new Error('the reactor does not come to rest');
    }
  }

  /** @returns true when another one is to follow */
  #oneTurn(): boolean {
    const hasReported = this.#reportReadable();
    this.sending.held.beginTurn(false);
    const isUnfinished = this.requests.take();
    this.sending.held.endTurn();
    for (const protocol of this.protocols.withTurnEnd) protocol.turnEnd?.();
    this.reading.readAgain();
    this.sending.writeAgain();
    this.reading.readHeldBack();
    for (const ring of this.rings) this.reading.relieve(ring);
    this.roomAnswers.flush();
    for (const ring of this.rings) ring.flush();
    this.context.ringWatchers((peer) => this.rung.push(peer));
    this.ending.reclaimSlots();
    this.dispatcher.checkDrain();
    this.shutdown.check();
    this.handoff.check();
    return hasReported || isUnfinished || this.context.again.length > 0 || this.context.writeOn.length > 0;
  }

  /** As the poller does: once, to those that have asked for it. */
  #reportReadable(): boolean {
    let hasReported = false;
    for (const connection of [...this.transport.armed]) {
      if (connection.isClosed) this.transport.armed.delete(connection);
      if (connection.isClosed || this.client(connection).sent.length === 0) continue;
      this.transport.armed.delete(connection);
      connection.readable = true;
      this.reading.read(connection);
      hasReported = true;
    }
    return hasReported;
  }

  /** Time passes for what looks at `context.now`. */
  pass(ms: number): void {
    this.context.now += ms;
  }

  /** The process of a worker is replaced by another one; 0: by none. */
  replaceProcess(worker: number, pid: number): void {
    this.workers.setField(worker, WorkerField.pid, pid);
    this.workers.setField(worker, WorkerField.processOfLane0, pid);
    this.turn();
    for (const protocol of this.protocols.all) protocol.workerDied();
    this.requests.speeches.reapDead();
    new LostSends(this.context).reapDead();
    this.turn();
  }

  /** Fills the ring of a worker with packets, until nothing more finds room. */
  fill(worker: number): void {
    const ring = this.context.ring(worker);
    while (ring.readLimit > 0) ring.commitPacket(NO_SESSION, ring.readLimit);
    while (ring.hasRoomFor(0)) ring.commitPacket(NO_SESSION, 0);
    ring.flush();
  }

  /** A worker takes all that is in its ring, but for what `fill` has put there. */
  take(worker = 0): TakenFrame[] {
    this.context.ring(worker).flush();
    const reader = this.#readers[worker] as RingReader;
    const frames: TakenFrame[] = [];
    while (reader.available()) {
      const { word, sessionId, bytes, payloadAt, length } = reader;
      const text = bytes.toString('latin1', payloadAt, payloadAt + length);
      const frame = { worker, type: typeOf(word), flags: (word >> 8) & 0xff, detail: word >>> 16, sessionId, text };
      if (sessionId !== NO_SESSION) frames.push(frame);
      reader.advance();
    }
    reader.release();
    return frames;
  }

  /** Of all workers, in the order of their ids. */
  takeAll(): TakenFrame[] {
    return this.rings.flatMap((_, worker) => this.take(worker));
  }

  /** Everything goes over to a reactor of another process (BASE mode), through JSON. Nothing may be done with this one afterwards. */
  successor(): ReactorWorld {
    const snapshots = this.handoff.handOver().map(
      ({ record, descriptor, bytes }): Snapshot => ({
        record: JSON.parse(JSON.stringify(record)),
        descriptor,
        bytes: bytes.map((piece) => Buffer.from(piece)),
      }),
    );
    this.transport.armed.clear();
    const next = new ReactorWorld({ ...this.#given, before: this });
    next.context.now = this.context.now;
    next.handoff.takeOver(snapshots);
    next.turn();
    return next;
  }
}

/** Of the packets by which a ring is filled. */
const NO_SESSION = 1;
