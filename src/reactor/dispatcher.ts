/**
 * Chooses the worker that gets what a client has sent, and sees to it that the packets of one connection are handled in
 * their order: by the strategy, by a function of the user's, or by the session that a request names. Runs in the reactor.
 */
import { ReactorCounter, WorkerField } from '../memory/boards.js';
import { workerOfSession } from '../protocol/http/session-worker.js';
import type { ReactorConnection } from './connection.js';
import type { ReactorContext } from './context.js';
import type { DispatchFunction, DispatchStrategy, DispatchSubject } from './dispatch/index.js';
import type { SharedDispatchView } from './dispatch-view.js';
import type { PacketGoal } from './framing.js';
import { Withholding } from './withholding.js';
import type { WorkerLane } from './worker-lane.js';

export interface DispatcherParts {
  readonly context: ReactorContext;
  readonly view: SharedDispatchView;
  readonly strategy: DispatchStrategy;
  /** The user's own function, if there is one. */
  readonly dispatch: DispatchFunction | undefined;
}

const NO_ADDRESS = Buffer.alloc(0);
const NO_CHOICE = -1;

export class Dispatcher {
  readonly #parts: DispatcherParts;
  readonly #withholding: Withholding;
  /** A worker that was chosen for a packet, but reading gave none. */
  #unusedChoice = NO_CHOICE;

  constructor(parts: DispatcherParts) {
    this.#parts = parts;
    this.#withholding = new Withholding(parts.context, parts.view, parts.strategy);
  }

  /** Where the next packet of a connection goes, whatever is in it. */
  laneFor(connection: ReactorConnection): WorkerLane {
    const { context, strategy, view } = this.#parts;
    if (strategy.sticky) return context.lane(connection.worker);
    if (this.#mustFollow(connection)) return context.lane(connection.lastWorker);
    if (this.#unusedChoice < 0) this.#unusedChoice = strategy.choose(subjectOf(connection), view);
    const chosen = context.lane(this.#unusedChoice);
    if (!strategy.keepsUnused) this.#unusedChoice = NO_CHOICE;
    if (chosen.readLimit > 0) return chosen;
    return context.lanes.find((lane) => lane.readLimit > 0) ?? chosen;
  }

  /** Where a packet goes that can be looked at. */
  goalFor(connection: ReactorConnection, bytes: Buffer, from: number, length: number): PacketGoal {
    if (this.holds(connection)) return 'wait';
    const { dispatch, context, view } = this.#parts;
    if (dispatch === undefined) return this.laneFor(connection);
    const { sessionId: fd, slot, port: portIndex } = connection;
    const { table } = context;
    const remoteAddress = table.info(fd)?.remoteAddress ?? '';
    const data = bytes.subarray(from, from + length);
    const { workerNum } = view;
    const answer = dispatch({ fd, data, uid: table.uid(slot), remoteAddress, portIndex, workerNum });
    if (answer === 'fallback') return this.laneFor(connection);
    return typeof answer === 'number' ? context.lane(answer) : answer;
  }

  /** A request of a session that one worker keeps goes there; others go where they would. */
  laneForSession(connection: ReactorConnection, bytes: Buffer, from: number, length: number): WorkerLane {
    const worker = workerOfSession(bytes, from, length);
    const isThere = worker >= 0 && worker < this.#parts.view.workerNum;
    return isThere ? this.#parts.context.lane(worker) : this.laneFor(connection);
  }

  /** A packet has gone to its worker. */
  dispatched(connection: ReactorConnection, lane: WorkerLane, bytes: number): void {
    if (!this.#parts.strategy.sticky) {
      connection.lastWorker = lane.worker;
      this.#parts.context.table.countDispatched(connection.slot, bytes);
    }
    this.requestDispatched(connection);
  }

  /** The same for a request of HTTP, whose connection waits for the answer before the next one goes. */
  requestDispatched({ slot }: ReactorConnection): void {
    const { id, board, table, now } = this.#parts.context;
    this.#unusedChoice = NO_CHOICE;
    table.dispatched(slot, now);
    board.add(id, ReactorCounter.dispatched, 1);
  }

  /** The connection is this worker's from now on. */
  rebind(connection: ReactorConnection, worker: number): void {
    if (connection.worker === worker) return;
    const { workers, table } = this.#parts.context;
    workers.addField(connection.worker, WorkerField.connections, -1);
    workers.addField(worker, WorkerField.connections, 1);
    connection.worker = worker;
    table.setWorker(connection.slot, worker);
  }

  // ——— another number of workers ———

  /** New packets go to the workers below this id. */
  useWorkers(workerNum: number): void {
    this.#parts.view.workerNum = workerNum;
  }

  /** Its worker goes: nothing may be read from it, or given to another worker, now. */
  holds(connection: ReactorConnection): boolean {
    return this.#withholding.holds(connection);
  }

  holdsWorker(worker: number): boolean {
    return this.#withholding.holdsWorker(worker);
  }

  /** Nothing goes to workers from this id on; `done`, later, when no packet is half-way to them either. */
  drain(from: number, done: () => void): void {
    this.#unusedChoice = NO_CHOICE;
    this.#withholding.begin(from, done);
  }

  /** Called at the end of each turn. */
  checkDrain(): void {
    this.#withholding.check();
  }

  /** Those workers have finished: their connections go to others. @returns the connections that may be read again */
  endDrain(): ReactorConnection[] {
    return this.#withholding.end((connection, worker) => this.rebind(connection, worker));
  }

  /** One packet goes to another worker only when those of its connection before it are done with. */
  #mustFollow({ lastWorker, slot }: ReactorConnection): boolean {
    const { context, view } = this.#parts;
    if (lastWorker < 0 || !context.table.isBeingHandled(slot)) return false;
    if (!view.isIdle(lastWorker)) return true;
    context.table.forgetQueued(slot); // what it was handling has gone with a process that has died
    return false;
  }
}

function subjectOf({ sessionId, slot }: ReactorConnection): DispatchSubject {
  return { sessionId, slot, address: NO_ADDRESS };
}
