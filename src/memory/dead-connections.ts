/** Clears up the records of connections whose process, and so their sockets, have died (BASE mode). */
import type { ResolvedOptions } from '../options/index.js';
import { AddressCounters } from './address-counters.js';
import { ReactorBoard, ReactorCounter, WorkerBoard, WorkerField } from './boards.js';
import { ConnectionTable, SlotFlag, SlotState } from './connection-table.js';
import type { Region } from './region.js';
import { RoomBoard } from './room-board.js';

export type CountsAddresses = Pick<ResolvedOptions, 'maxConnectionsPerIp'>;

/** RFC 6455 7.1.5. */
const WITHOUT_CLOSE_FRAME = 1006;

/** They no longer count, and accept no sends. The next process of that reactor reports their `close`. */
export class DeadConnections {
  readonly #table: ConnectionTable;
  readonly #reactors: ReactorBoard;
  readonly #workers: WorkerBoard;
  readonly #addresses: AddressCounters;
  readonly #options: CountsAddresses;
  readonly #reactorNum: number;
  readonly #region: Region;
  readonly #hasRooms: boolean;

  constructor(region: Region, options: CountsAddresses) {
    this.#table = new ConnectionTable(region);
    this.#reactors = new ReactorBoard(region);
    this.#workers = new WorkerBoard(region);
    this.#addresses = new AddressCounters(region);
    this.#options = options;
    this.#reactorNum = region.shape.reactorNum;
    this.#region = region;
    this.#hasRooms = region.shape.rooms > 0;
  }

  /** The process of this reactor has been reaped. Called by its manager, before another one takes over. */
  reap(reactor: number): void {
    this.#reactors.addConnections(reactor, -this.#reactors.connections(reactor));
    for (let slot = reactor; slot < this.#table.slots; slot += this.#reactorNum) this.close(reactor, slot);
    this.#reactors.setUnderWay(reactor, 0);
    this.#reactors.set(reactor, ReactorCounter.buffered, 0);
    this.#reactors.set(reactor, ReactorCounter.webSockets, 0);
    this.#reactors.set(reactor, ReactorCounter.paused, 0);
    this.#reactors.set(reactor, ReactorCounter.pausedAt, 0);
    if (this.#hasRooms) new RoomBoard(this.#region).resetReactor(reactor);
  }

  /** Who sees it closed finds it counted no more. @returns false when it was closed before */
  close(reactor: number, slot: number): boolean {
    const state = this.#table.state(slot);
    if (state === SlotState.free || state === SlotState.closed) return false;
    this.#reactors.add(reactor, ReactorCounter.closed, 1);
    if (this.#table.hasFlag(slot, SlotFlag.webSocket)) this.#countWebSocket(reactor);
    this.#workers.addField(this.#table.worker(slot), WorkerField.connections, -1);
    const isCounted = this.#options.maxConnectionsPerIp > 0 && !this.#table.isUnix(slot);
    if (isCounted) this.#addresses.add(this.#table.address(slot), 0, -1);
    this.#table.setState(slot, SlotState.closed);
    return true;
  }

  #countWebSocket(reactor: number): void {
    this.#reactors.add(reactor, ReactorCounter.webSockets, -1);
    this.#reactors.countClose(reactor, WITHOUT_CLOSE_FRAME);
  }
}
