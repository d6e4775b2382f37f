/**
 * Hands off what a reactor owns to the next process, and takes over from the preceding one (BASE mode, at a
 * reload). Runs in a worker in BASE mode.
 */
import { CloseCode } from '../../ipc/frame.js';
import { SlotState } from '../../memory/connection-table.js';
import { WRITABLE } from '../../os/poller.js';
import type { Admission } from '../admission/admission.js';
import type { Connection } from '../connection.js';
import type { ConnectionSlots } from '../connection-slots.js';
import type { ReactorContext } from '../context.js';
import type { Ending } from '../ending.js';
import type { InflightLimit } from '../inflight-limit.js';
import { Hold } from '../life.js';
import type { Protocols } from '../protocols/index.js';
import type { Rooms } from '../rooms.js';
import type { Speeches } from '../speeches.js';
import type { Transport } from '../transport/transport.js';
import {
  packConnection,
  packEvent,
  packPieces,
  type Snapshot,
  type SnapshotRecord,
  unpackConnection,
} from './snapshot.js';

export interface HandoffParts {
  readonly context: ReactorContext;
  readonly admission: Admission;
  readonly ending: Ending;
  readonly inflight: InflightLimit;
  readonly protocols: Protocols;
  readonly slots: ConnectionSlots;
  readonly speeches: Speeches;
  readonly plain: Transport;
  readonly rooms: Rooms;
}

export class Handoff {
  readonly #parts: HandoffParts;
  /** Called when no connection is left that cannot be handed off. */
  #dismissed: (() => void) | undefined;

  constructor(parts: HandoffParts) {
    this.#parts = parts;
  }

  /**
   * Closes connections that cannot be handed off (TLS keys stay in this process): their workers may still reply, and
   * queued replies are flushed first; after `deadlineMs` they are reset. Those that are amid an upload finish it, also one
   * that their worker has not heard of yet. `done` is called, later, when there are none of either.
   */
  dismiss(deadlineMs: number, done: () => void): void {
    const { context, admission } = this.#parts;
    context.wake();
    context.isLeaving = true;
    for (const connection of this.#bound()) connection.protocol.dismiss(connection);
    const timer = setTimeout(() => {
      context.wake();
      this.#giveUp();
      this.#resetUnfinished();
    }, deadlineMs);
    admission.isDismissing = true;
    this.#dismissed = () => {
      admission.isDismissing = false;
      clearTimeout(timer);
      setImmediate(done);
    };
  }

  /** Called at the end of each turn. */
  check(): void {
    if (this.#dismissed === undefined || this.#parts.admission.isShakingHands || this.#mustStay()) return;
    const done = this.#dismissed;
    this.#dismissed = undefined;
    done();
  }

  /** Packs everything; no turn comes after this. The caller closes the descriptors. */
  handOver(): Snapshot[] {
    const { context, admission, rooms } = this.#parts;
    this.#giveUp();
    this.#resetUnfinished();
    const snapshots = [...context.connections.list().map(packConnection), ...admission.handOver()];
    for (const { descriptor } of snapshots) context.poller.abandon(descriptor);
    for (const ring of context.rings) ring.flush();
    const spilled = context.rings.flatMap((ring) => ring.takeSpilled().map((event) => packEvent(ring.worker, event)));
    const begun = rooms.takeBegun().map(([peer, pieces]) => packPieces(peer, pieces));
    return [...snapshots, ...spilled, ...begun];
  }

  /**
   * Resumes what the preceding process handed off, before the first turn. Connections it did not hand off died
   * with it.
   */
  takeOver(snapshots: readonly Snapshot[]): void {
    const { context, ending, slots } = this.#parts;
    const { id, board, table, connections } = context;
    for (const snapshot of snapshots) this.#takeOne(snapshot);
    const used = slots.restore((slot) =>
      table.sessionId(slot) === 0 ? undefined : table.state(slot) === SlotState.free,
    );
    for (const slot of used) if (connections.get(slot) === undefined) ending.bury(slot);
    const living = snapshots.filter(({ record }) => isClient(record)).length;
    board.addConnections(id, living - board.connections(id));
    board.addOccupied(id, living + ending.slotsGone - board.occupied(id));
  }

  #takeOne({ record, descriptor, bytes }: Snapshot): void {
    const { context, admission } = this.#parts;
    switch (record.kind) {
      case 'event':
        return context.ring(record.worker).spill({ ...record, payload: Buffer.concat(bytes) });
      case 'publication':
        return this.#parts.rooms.resume(record.peer, [...bytes]);
      case 'pending':
        return admission.takeOver({ record, descriptor, bytes });
      case 'connection': {
        const { protocols, plain } = this.#parts;
        const protocol = protocols.named(record.protocol, record.port);
        return this.#adopt(unpackConnection({ record, descriptor, bytes }, protocol, plain));
      }
    }
  }

  #adopt(connection: Connection): void {
    const { context, admission, ending, inflight, speeches } = this.#parts;
    const { table, connections, again } = context;
    connections.add(connection);
    table.setDescriptor(connection.slot, connection.descriptor);
    ending.adopt(connection);
    speeches.adopt(connection);
    if (connection.holds & Hold.inflight) inflight.add(connection);
    context.countBuffered(connection);
    admission.watch(connection, false);
    if (connection.out !== null && !connection.isClosed) connection.transport.rearm(connection, WRITABLE);
    again.push(connection);
  }

  #giveUp(): void {
    this.#parts.admission.endHandshakes();
    for (const connection of this.#bound()) this.#parts.ending.reset(connection, CloseCode.WORKER_REPLACED);
  }

  /** They have had the time that a reload gives: what is half done cannot be gone on with. */
  #resetUnfinished(): void {
    const { context, ending } = this.#parts;
    for (const connection of context.connections.list()) {
      if (isUnfinished(connection) || connection.out?.isTakenAway === true) {
        ending.reset(connection, CloseCode.WORKER_REPLACED);
      }
    }
  }

  #mustStay(): boolean {
    const isBound = ({ transport }: Connection): boolean => !transport.canHandOff;
    return this.#parts.context.connections.list().some((each) => isBound(each) || isUnfinished(each));
  }

  /** Connections that cannot be handed over. */
  #bound(): Connection[] {
    return this.#parts.context.connections.list().filter(({ transport }) => !transport.canHandOff);
  }
}

/** What it is amid cannot go on in another process. */
function isUnfinished(connection: Connection): boolean {
  return !connection.isClosing && connection.protocol.canGoOver?.(connection) === false;
}

function isClient({ kind }: SnapshotRecord): boolean {
  return kind === 'connection' || kind === 'pending';
}
