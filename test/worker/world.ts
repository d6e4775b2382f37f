/** A worker's surroundings without its processes: rings in a region of their own, and fakes for all that acts. */
import type { ManagerToWorker, WorkerToManager } from '../../src/ipc/message.js';
import { Outbox } from '../../src/ipc/outbox.js';
import { RingReader, RingWriter } from '../../src/ipc/ring.js';
import { Sleeper } from '../../src/ipc/sleep.js';
import { WorkerBoard, WorkerCounter } from '../../src/memory/boards.js';
import { ConnectionTable } from '../../src/memory/connection-table.js';
import { peerOf } from '../../src/memory/layout.js';
import { ProcessRecord } from '../../src/memory/process-board.js';
import { Region } from '../../src/memory/region.js';
import type { Messaging } from '../../src/messaging/messaging.js';
import type { WorkSource } from '../../src/messaging/work-source.js';
import type { Poller } from '../../src/os/poller.js';
import { Log } from '../../src/util/log.js';
import type { UserConnection, WorkerCallbacks } from '../../src/worker/callbacks.js';
import { Calls } from '../../src/worker/calls.js';
import { Connections } from '../../src/worker/connections.js';
import { Figures } from '../../src/worker/figures.js';
import type { FrameService } from '../../src/worker/service.js';
import type { DatagramAnswers, WorkerHost } from '../../src/worker/services/host.js';
import { Worker, type WorkerParts } from '../../src/worker/worker.js';
import { testShape } from '../helpers/test-shape.js';

const SLOTS = 64;
const nowhere = { read: -1, write: -1 };

/** A frame as a reactor writes it. */
export interface Frame {
  readonly type: number;
  readonly fd?: number;
  readonly flags?: number;
  readonly detail?: number;
  readonly payload?: Uint8Array | string;
}

/** A frame as a reactor reads it. */
export interface SentFrame {
  readonly type: number;
  readonly fd: number;
  readonly flags: number;
  readonly detail: number;
  readonly text: string;
}

/** Of the user: knows its number, and whether it has ended. */
export class FakeConnection implements UserConnection {
  readonly fd: number;
  hasEnded = false;

  constructor(fd: number) {
    this.fd = fd;
  }

  ended(): void {
    this.hasEnded = true;
  }
}

type Callbacks = WorkerCallbacks<FakeConnection>;

/** Peers are addresses here. */
const datagrams: DatagramAnswers = {
  sentCount: 0,
  sentBytes: 0,
  peer: (_portIndex, sockaddr) => sockaddr,
  beginCallback() {},
  endCallback() {},
  endTurn() {},
};

/** The reactor's ends of the rings, and the tables: what worker 0 stands on. */
export class Surroundings {
  readonly region: Region;
  readonly table: ConnectionTable;
  readonly board: WorkerBoard;
  readonly lines: string[] = [];
  readonly log = new Log({ role: 'test', level: 'info', write: (line) => this.lines.push(line) });
  readonly #toWorker: RingWriter;
  readonly #fromWorker: readonly RingReader[];
  #slots = 0;

  constructor() {
    this.region = Region.create(testShape({ workerNum: 1, slots: SLOTS, ringBytes: 131_072 }));
    this.table = new ConnectionTable(this.region);
    this.board = new WorkerBoard(this.region);
    const { layout } = this.region;
    this.#toWorker = new RingWriter(this.region, layout.inbound(0, 0));
    this.#fromWorker = [0, 1].map((lane) => new RingReader(this.region, layout.outbound(0, peerOf(0, lane))));
  }

  /** A connection of worker 0. @returns its session id */
  connect(portIndex = 0): number {
    const slot = this.#slots++;
    const sessionId = this.table.nextSessionId(slot);
    const from = { family: 2, address: Buffer.from([127, 0, 0, 1]), remotePort: 5 };
    this.table.open(slot, { sessionId, worker: 0, portIndex, descriptor: 100 + slot, now: 0, ...from });
    return sessionId;
  }

  write(...frames: readonly Frame[]): void {
    for (const { type, fd = 0, flags = 0, detail = 0, payload = '' } of frames) {
      const bytes = Buffer.from(payload as string);
      bytes.copy(this.#toWorker.bytes, this.#toWorker.payloadAt);
      this.#toWorker.commit(type, flags, detail, fd, bytes.length);
    }
    this.#toWorker.publish();
  }

  /** What the worker of this lane has sent since the last call. */
  sent(lane = 0): SentFrame[] {
    const ring = this.#fromWorker[lane] as RingReader;
    const frames: SentFrame[] = [];
    for (; ring.available(); ring.advance()) {
      const { word, sessionId: fd, length, payloadAt, bytes } = ring;
      const text = bytes.toString('utf8', payloadAt, payloadAt + length);
      frames.push({ type: word & 0xff, fd, flags: (word >> 8) & 0xff, detail: word >>> 16, text });
    }
    ring.release();
    return frames;
  }

  /** Bytes of the inbound ring that were not given back. */
  get unreleased(): number {
    return this.#toWorker.queuedBytes;
  }

  /** The reactor wants to know when half of the inbound ring is free. */
  waitForRoom(): void {
    this.#toWorker.waitForRoom();
  }

  counter(name: keyof typeof WorkerCounter): number {
    return this.board.read(0, WorkerCounter[name]);
  }

  inbound(): RingReader {
    return new RingReader(this.region, this.region.layout.inbound(0, 0));
  }

  outbox(lane = 0): Outbox {
    const ring = new RingWriter(this.region, this.region.layout.outbound(0, peerOf(0, lane)));
    const link = { ring, waker: { wake: () => false, ring: () => {} } };
    return new Outbox(this.table, [link], { highWatermark: 1 << 18, limitBytes: 1 << 20, hearsOfRoom: true });
  }
}

/** What a service stands on. */
export class ServiceWorld extends Surroundings {
  readonly host: WorkerHost<FakeConnection>;
  /** Ends of connections, as every service hears of them. */
  readonly services: FrameService[] = [];

  constructor(callbacks: Partial<Callbacks> & Pick<Callbacks, 'ports'>) {
    super();
    const { region, table, log } = this;
    const outbox = this.outbox();
    const place = { id: 0, lane: 0, region };
    const figures = new Figures({ ...place, maxRequest: 0, reached: () => {} });
    const record = ProcessRecord.ofPeer(region, 0);
    const calls = new Calls({ outbox, figures, record, log, pendingChanged: () => {} });
    const connections = new Connections<FakeConnection>({
      ...{ table, outbox, calls, figures, callbacks: callbacks.ports },
      create: (fd) => new FakeConnection(fd),
      connectionEnded: (fd, isHalf) => {
        for (const service of this.services) service.connectionEnded(fd, isHalf);
      },
    });
    this.host = {
      ...{
        ...place,
        table,
        outbox,
        calls,
        figures,
        connections,
        callbacks,
        maxQueuedBytes: 0,
        countsHandled: true,
        answersInTurn: false,
      },
      datagrams,
    };
  }
}

export interface WorkerWorldOptions extends Partial<Omit<WorkerParts<FakeConnection>, 'callbacks'>> {
  readonly callbacks?: Callbacks;
  /** A second process of the same id. */
  readonly beside?: WorkerWorld;
}

/** Stays awake when the test says so; `meanwhile` is what happens then. */
class FakeSpin {
  isWorthwhile = false;
  waits = 0;
  readonly wakes: boolean[] = [];
  meanwhile: () => void = () => {};

  wait(hasWork: () => boolean): boolean {
    this.waits++;
    this.meanwhile();
    return hasWork();
  }

  woke(byWork: boolean): void {
    this.wakes.push(byWork);
  }
}

/** What messaging has under way. */
export class FakeMessaging {
  pending = 0;
  awaited = 0;
  hasWork = false;
  expectsResult = false;
  hasResult = false;
  isReceiving = false;
  isReading = false;
  delivered = (): void => {};
  deliver: (data: unknown, from: number) => void = () => {};
  readonly messenger = {
    wantsTurn: () => {},
    receive: (_id: number, deliver: (data: unknown, from: number) => void) => {
      this.isReceiving = true;
      this.deliver = deliver;
    },
    stopReceiving: () => {
      this.isReceiving = false;
    },
    whenDelivered: (callback: () => void) => {
      if (this.isReading) this.delivered = callback;
      else callback();
    },
  };

  take(): boolean {
    return false;
  }
}

const none = (): void => {};
const idle: WorkSource = {
  ...{ attach: none, release: none, settle: none, stop: none, look: none, take: () => false },
  ...{ hasWork: false, isFree: false, pending: 0, whenFree: (then) => then(), holdsUntilFinished: false },
};

/** One that does nothing but what is given; getters stay getters. */
export const sourceThat = (does: Partial<WorkSource>): WorkSource => Object.setPrototypeOf(does, idle) as WorkSource;

/** A worker whose turns the test takes. */
export class WorkerWorld {
  readonly around: Surroundings;
  readonly worker: Worker<FakeConnection>;
  readonly outbox: Outbox;
  readonly messaging = new FakeMessaging();
  readonly spin = new FakeSpin();
  readonly lane: number;
  /** Types of the messages to the manager. */
  readonly notified: string[] = [];
  readonly exits: number[] = [];
  /** Asks for a turn. */
  isDue = false;
  #manager: { message(message: ManagerToWorker): void; end(): void } | undefined;

  constructor({ beside, callbacks, ...options }: WorkerWorldOptions = {}) {
    this.around = beside?.around ?? new Surroundings();
    this.lane = beside === undefined ? 0 : 1;
    const { region, log } = this.around;
    this.outbox = this.around.outbox(this.lane);
    this.worker = new Worker<FakeConnection>({
      ...{ id: 0, lane: this.lane, region, log, outbox: this.outbox, bell: nowhere, services: [] },
      ...{ maxQueuedBytes: 0, countsHandled: true, answersInTurn: false, maxRequest: 0 },
      rings: [this.around.inbound()],
      reactorWakers: [{ wake: () => false, ring: () => {} }],
      sleeper: new Sleeper(region.int32, this.around.board.sleepIndex(0, this.lane)),
      channel: {
        listen: (handler) => {
          this.#manager = handler;
        },
        send: (message: WorkerToManager) => {
          this.notified.push(
            message.type === 'request' && 'why' in message ? `${message.action} ${message.why}` : message.type,
          );
          return true;
        },
        flushed: () => Promise.resolve(),
      },
      callbacks: callbacks ?? { ports: [] },
      messaging: this.messaging as unknown as Messaging,
      spin: this.spin,
      record: ProcessRecord.ofPeer(region, peerOf(0, this.lane)),
      createPoller: () => this.#poller(),
      createConnection: (fd) => new FakeConnection(fd),
      datagrams,
      exit: (code) => this.exits.push(code),
      ...options,
    });
  }

  /** Booted and attached. */
  static async serving(options: WorkerWorldOptions = {}): Promise<WorkerWorld> {
    const world = new WorkerWorld(options);
    await world.worker.boot();
    world.manager({ type: 'attach' });
    world.turn();
    world.notified.length = 0;
    return world;
  }

  /** The manager says something. */
  manager(message: ManagerToWorker): void {
    this.#manager?.message(message);
  }

  managerDies(): void {
    this.#manager?.end();
  }

  /** Turns until none is asked for any more. */
  turn(): void {
    do {
      this.isDue = false;
      this.worker.turnEnd();
    } while (this.isDue);
  }

  #poller(): Poller {
    const none = (): void => {};
    return {
      ...{ name: 'epoll', levelTriggered: false, add: none, addReadable: none, retoken: none, remove: none },
      ...{ abandon: none, rearm: none, close: none },
      wakeSoon: () => {
        this.isDue = true;
      },
    } as Poller;
  }
}

/** Lets promises go on. */
export const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
