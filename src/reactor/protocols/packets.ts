/**
 * What protocols have in common whose packets go to a worker one by one, and whose worker replies when it likes: nothing
 * is owed, so no deadline, no saved state and no frames of their own. Runs in the reactor.
 */
import { CloseCode } from '../../ipc/frame.js';
import { ReactorCounter } from '../../memory/boards.js';
import type { Connection } from '../connection.js';
import type { FrameTypes, Protocol } from '../protocol.js';
import type { StreamParts } from './definition.js';

export abstract class PacketProtocol implements Protocol {
  abstract readonly name: string;
  abstract readonly isBound: boolean;
  readonly frames: FrameTypes = [];
  readonly tickMs = 0;
  protected readonly parts: StreamParts;

  constructor(parts: StreamParts) {
    this.parts = parts;
  }

  abstract readable(connection: Connection): void;

  peerEnded(connection: Connection): void {
    const { ending, dispatcher, reading } = this.parts;
    if (!this.isBound && dispatcher.isSpread(connection)) {
      ending.answering(connection);
      if (reading.endsLater(connection) || !dispatcher.settle(connection)) return;
    }
    ending.peerEnded(connection);
  }

  /** Bytes of a reply that was over before the connection became a tunnel. */
  frame(): void {
    const { id, board } = this.parts.context;
    board.add(id, ReactorCounter.discarded, 1);
  }

  overdue(connection: Connection): void {
    this.parts.ending.closeWhenFlushed(connection, CloseCode.ANSWER_TIMEOUT);
  }

  dismiss(connection: Connection): void {
    this.parts.ending.dismiss(connection);
  }

  isBusy(): boolean {
    return false;
  }

  /** Waiting bytes lie in the connection's input. */
  save(): null {
    return null;
  }

  restore(): void {}
  open(): void {}
  flushed(): void {}
  lost(): void {}
  closed(): void {}
  tick(): void {}
  workerDied(): void {}

  /** Only a reset tells the client of a stream that its end is none. */
  sendsLost(connection: Connection): void {
    this.parts.ending.reset(
      connection,
      CloseCode.WORKER_DIED,
      'a process has died with bytes that it held for this client',
    );
  }

  stop(): void {}
}
