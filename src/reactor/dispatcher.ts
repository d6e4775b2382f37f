/**
 * Chooses the worker for what a client has sent, and keeps the packets of one connection in order: by the
 * strategy, by a user function, or by the session that a request names. Runs in the reactor.
 */
import { ReactorCounter, WorkerField } from '../memory/boards.js';
import type { Region } from '../memory/region.js';
import { workerOfSession } from '../protocol/http/session-worker.js';
import type { Connection } from './connection.js';
import type { ReactorContext } from './context.js';
import type { DispatchFunction, DispatchStrategy, DispatchSubject } from './dispatch/index.js';
import type { SharedDispatchView } from './dispatch-view.js';
import { CloseSent, Hold } from './life.js';
import { WorkerDrain } from './worker-drain.js';
import type { WorkerRing } from './worker-ring.js';

/** Where a packet goes: to a worker, nowhere, or its connection is closed. `wait`: its worker is draining. */
export type PacketGoal = WorkerRing | 'discard' | 'close' | 'wait';

export type ChooseByBytes = (connection: Connection, bytes: Buffer, from: number, length: number) => PacketGoal;

export interface DispatcherParts {
  readonly region: Region;
  readonly context: ReactorContext;
  readonly view: SharedDispatchView;
  readonly strategy: DispatchStrategy;
  /** The user function, if there is one. */
  readonly dispatch: DispatchFunction | undefined;
  readonly answers: WorkerAnswers;
}

/** What workers have sent and the reactor has not taken. */
export interface WorkerAnswers {
  hasOf(worker: number): boolean;
  take(): void;
}

const NO_ADDRESS = Buffer.alloc(0);
const NO_CHOICE = -1;

export class Dispatcher {
  readonly #parts: DispatcherParts;
  readonly #workerDrain: WorkerDrain;
  /** The worker chosen for a packet that the read did not yield. */
  #unusedChoice = NO_CHOICE;
  readonly #byUser: ChooseByBytes | undefined;
  readonly #bySession: ChooseByBytes = (connection, bytes, from, length) =>
    this.ringForSession(connection, bytes, from, length);

  constructor(parts: DispatcherParts) {
    this.#parts = parts;
    if (parts.dispatch)
      this.#byUser = (connection, bytes, from, length) => this.goalFor(connection, bytes, from, length);
    this.#workerDrain = new WorkerDrain(parts.context, parts.view, parts.strategy);
  }

  /**
   * Takes the answers to its earlier packets, if any, so that the next ones may go to any worker.
   * @returns false: they have changed what may be read of it
   */
  settle(connection: Connection): boolean {
    const { strategy, answers, context } = this.#parts;
    const { lastWorker } = connection;
    if (strategy.sticky || lastWorker < 0 || !answers.hasOf(lastWorker)) return true;
    answers.take();
    if (!connection.isClosing && connection.closeSent === CloseSent.none && connection.holds === 0) return true;
    context.again.push(connection);
    return false;
  }

  /** True while packets of it may be with several workers, so that the one that closes it does not know of all answers. */
  isSpread({ lastWorker }: Connection): boolean {
    return !this.#parts.strategy.sticky && lastWorker >= 0;
  }

  /** Where the next packet of a connection goes, whatever its content. */
  ringFor(connection: Connection): WorkerRing {
    const { context, strategy, view } = this.#parts;
    if (strategy.sticky) return context.ring(connection.worker);
    if (this.#mustFollow(connection)) return context.ring(connection.lastWorker);
    if (this.#unusedChoice < 0) this.#unusedChoice = strategy.choose(subjectOf(connection), view);
    const chosen = context.ring(this.#unusedChoice);
    if (!strategy.keepsUnused) this.#unusedChoice = NO_CHOICE;
    if (chosen.readLimit > 0 || strategy.anyWillDo !== true) return chosen;
    return this.#ringWithRoom() ?? chosen;
  }

  /** Where a packet goes whose bytes may be inspected. */
  goalFor(connection: Connection, bytes: Buffer, from: number, length: number): PacketGoal {
    if (this.mustWait(connection)) return 'wait';
    const { dispatch, context, view } = this.#parts;
    if (dispatch === undefined) return this.ringFor(connection);
    const { sessionId: fd, slot, port: portIndex } = connection;
    const { table } = context;
    const remoteAddress = table.info(fd)?.remoteAddress ?? '';
    const data = bytes.subarray(from, from + length);
    const { workerNum } = view;
    const answer = dispatch({ fd, data, uid: table.uid(slot), remoteAddress, portIndex, workerNum });
    if (answer === 'fallback') return this.ringFor(connection);
    return typeof answer === 'number' ? context.ring(answer) : answer;
  }

  /**
   * How a request is inspected before its worker is chosen: by the user function, or for the session that it
   * names. Undefined: it is not inspected.
   */
  get choiceByRequest(): ChooseByBytes | undefined {
    return this.#byUser ?? (this.keepsSessions ? this.#bySession : undefined);
  }

  /** Workers have an app that keeps sessions: of Engine.IO. */
  get keepsSessions(): boolean {
    return this.#parts.region.hasSessionAffinity;
  }

  /** A request of a session that one worker keeps goes to that worker; other requests follow the strategy. */
  ringForSession(connection: Connection, bytes: Buffer, from: number, length: number): WorkerRing {
    return this.ringOfSession(bytes, from, length) ?? this.ringFor(connection);
  }

  /** The ring of the worker that keeps the session which a request names; undefined: it names none. */
  ringOfSession(bytes: Buffer, from: number, length: number): WorkerRing | undefined {
    const { context, view } = this.#parts;
    const worker = workerOfSession(bytes, from, length);
    return worker >= 0 && worker < view.workerNum ? context.ring(worker) : undefined;
  }

  /** Workers that new packets go to: those below this id. */
  get workerNum(): number {
    return this.#parts.view.workerNum;
  }

  isReady(worker: number): boolean {
    return this.#parts.view.isReady(worker);
  }

  /** Notes that a packet has gone to its worker. */
  dispatched(connection: Connection, ring: WorkerRing, bytes: number): void {
    if (!this.#parts.strategy.sticky) {
      connection.lastWorker = ring.worker;
      this.#parts.context.table.countDispatched(connection.slot, bytes);
    }
    this.requestDispatched(connection);
  }

  /** The same for an HTTP request, whose connection waits for the reply before the next request goes. */
  requestDispatched({ slot }: Connection): void {
    const { context } = this.#parts;
    const { id, board, table, now } = context;
    context.messages++;
    this.#unusedChoice = NO_CHOICE;
    table.dispatched(slot, now);
    board.add(id, ReactorCounter.dispatched, 1);
  }

  /** Gives the connection to this worker from now on. */
  rebind(connection: Connection, worker: number): void {
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

  /**
   * True while the connection's worker drains: nothing of it may go to a worker, and it is not read until the
   * drain ends.
   */
  mustWait(connection: Connection): boolean {
    if (!this.#workerDrain.holds(connection)) return false;
    connection.holds |= Hold.draining;
    return true;
  }

  /** The same for a connection whose packets all go to the worker that it is bound to. */
  mayGiveTo(connection: Connection): boolean {
    if (!this.#workerDrain.includes(connection.worker)) return true;
    connection.holds |= Hold.draining;
    return false;
  }

  /** True when that worker drains, or has gone. */
  isDraining(worker: number): boolean {
    return this.#workerDrain.includes(worker);
  }

  /** Sends nothing to workers from this id on; calls `done`, later, when no packet is half-way to them either. */
  drain(from: number, done: () => void): void {
    this.#unusedChoice = NO_CHOICE;
    this.#workerDrain.begin(from, done);
  }

  /** Called at the end of each turn. */
  checkDrain(): void {
    this.#workerDrain.check();
  }

  /** Those workers have finished: their connections go to others. @returns the connections that may be read again */
  endDrain(): Connection[] {
    return this.#workerDrain.end((connection, worker) => this.rebind(connection, worker));
  }

  /** There are rings for `maxWorkerNum` workers, and those that have no process are empty. */
  #ringWithRoom(): WorkerRing | undefined {
    const { context, view } = this.#parts;
    const hasRoom = ({ worker, readLimit }: WorkerRing): boolean => readLimit > 0 && view.isReady(worker);
    return context.rings.find((ring) => ring.worker < view.workerNum && hasRoom(ring));
  }

  /**
   * A packet goes to another worker only after the connection's earlier packets are handled, and their answers are
   * neither in its ring nor held back by it any more: those of another worker would overtake them.
   */
  #mustFollow({ lastWorker, slot, drainWatchers }: Connection): boolean {
    const { context, view, answers } = this.#parts;
    if (lastWorker < 0) return false;
    if (context.table.isBeingHandled(slot)) {
      if (!view.isIdle(lastWorker)) return true;
      context.table.forgetQueued(slot); // its pending packets went with a process that has died
    }
    return drainWatchers !== null || answers.hasOf(lastWorker);
  }
}

function subjectOf({ sessionId, slot }: Connection): DispatchSubject {
  return { sessionId, slot, address: NO_ADDRESS };
}
