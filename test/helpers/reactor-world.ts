/** The shared memory of a server without its processes, and what parts of a reactor stand on: no socket, no thread. */
import { RingReader, RingWriter } from '../../src/ipc/ring.js';
import { AddressCounters } from '../../src/memory/address-counters.js';
import { ReactorBoard, WorkerBoard, WorkerField } from '../../src/memory/boards.js';
import { ConnectionTable } from '../../src/memory/connection-table.js';
import { DeadConnections } from '../../src/memory/dead-connections.js';
import { Region } from '../../src/memory/region.js';
import { AF_INET } from '../../src/os/constants.js';
import { Connection } from '../../src/reactor/connection.js';
import { ReactorContext, type ReactorOptions } from '../../src/reactor/context.js';
import { SharedDispatchView } from '../../src/reactor/dispatch-view.js';
import { WorkerRing } from '../../src/reactor/worker-ring.js';
import { testShape } from './test-shape.js';

const options: ReactorOptions = {
  ...{ maxQueuedBytes: 0, maxBufferedBytes: 0, overloadPolicy: 'pause', maxWaitMs: 3000 },
  ...{ heartbeatIdleMs: 0, writeTimeoutMs: 0, halfCloseTimeoutMs: 30_000, maxConnectionsPerIp: 0, ports: [] },
};

export class ReactorWorld {
  readonly region: Region;
  readonly workers: WorkerBoard;
  readonly table: ConnectionTable;
  readonly board: ReactorBoard;
  readonly rings: readonly WorkerRing[];
  readonly context: ReactorContext;
  readonly view: SharedDispatchView;
  #slots = 0;

  constructor(workerNum: number) {
    this.region = Region.create(testShape({ workerNum, ringBytes: 131_072 }));
    this.region.activeWorkerNum = workerNum;
    this.workers = new WorkerBoard(this.region);
    this.table = new ConnectionTable(this.region);
    this.board = new ReactorBoard(this.region);
    const waker = { wake: () => false, ring: () => {} };
    this.rings = Array.from({ length: workerNum }, (_, worker) => {
      this.workers.setField(worker, WorkerField.pid, 1000 + worker);
      return new WorkerRing(worker, this.#writerTo(worker), [waker, waker], () => 0);
    });
    const { workers, table, board, rings } = this;
    const addresses = new AddressCounters(this.region);
    const dead = new DeadConnections(this.region, options);
    this.context = new ReactorContext({ id: 0, reactorNum: 1, options, table, board, workers, rings, addresses, dead });
    this.view = new SharedDispatchView(this.region, workers, table, rings);
  }

  /** A living connection of a worker. */
  connect(worker: number): Connection {
    const slot = this.#slots++;
    const sessionId = this.table.nextSessionId(slot);
    const from = { family: AF_INET, address: Buffer.alloc(16), remotePort: 1 };
    this.table.open(slot, { sessionId, worker, portIndex: 0, descriptor: 100 + slot, now: 1, ...from });
    const connection = new Connection(sessionId, slot, 100 + slot, worker, 0);
    this.context.connections.add(connection);
    this.workers.addField(worker, WorkerField.connections, 1);
    return connection;
  }

  /** Fills the ring of a worker with packets, until the reactor would not read for it. */
  fill(worker: number): void {
    const ring = this.context.ring(worker);
    while (ring.readLimit > 0) ring.commitPacket(1, ring.readLimit);
    ring.flush();
  }

  /** What a worker would take: the frames of its ring. */
  framesOf(worker: number): RingReader {
    return new RingReader(this.region, this.region.layout.inbound(0, worker));
  }

  #writerTo(worker: number): RingWriter {
    return new RingWriter(this.region, this.region.layout.inbound(0, worker));
  }
}
