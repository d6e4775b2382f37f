/**
 * The closing handshake (RFC 6455 7). A close goes through the ring of the worker, behind the messages that came before,
 * and the answer comes back behind what the worker has sent; a worker that hangs delays it by two seconds at most. Runs
 * in the reactor.
 */
import { CloseCode, ClosingFlag, Event } from '../../../ipc/frame.js';
import { addressOf, allocateStable } from '../../../os/libc.js';
import { writeClosePayload } from '../../../protocol/websocket/close-codes.js';
import { Opcode } from '../../../protocol/websocket/frame-header.js';
import type { Connection } from '../../connection.js';
import { Life } from '../../life.js';
import type { StreamParts } from '../definition.js';
import { type SocketState, stateOf } from './socket-state.js';

/** How long a worker may take to answer a close. */
const ANSWER_MS = 2000;
const FIN = 0x80;
const ABNORMAL = 1006;
const MOST_CONTROL_BYTES = 125;

/** The code that tells the client why the server ends the connection, where nobody has chosen one. */
const codes = new Map<number, number>([
  [CloseCode.SERVER_CLOSED, 1000],
  [CloseCode.SERVER_SHUTDOWN, 1012],
  [CloseCode.WORKER_REPLACED, 1012],
  [CloseCode.CALLBACK_FAILED, 1011],
  [CloseCode.WORKER_DIED, 1011],
  [CloseCode.FILE_FAILED, 1011],
  [CloseCode.MEMORY_LIMIT, 1013],
  [CloseCode.SLOW_CONSUMER, 1013],
  [CloseCode.DATA_DETACHED, 1011],
  [CloseCode.HEARTBEAT_TIMEOUT, 1001],
  [CloseCode.IDLE_TIMEOUT, 1001],
  [CloseCode.PACKET_MALFORMED, 1002],
  [CloseCode.PACKET_TOO_LONG, 1009],
]);

export class Closing {
  readonly #parts: StreamParts;
  readonly #bytes = allocateStable(2 + MOST_CONTROL_BYTES);
  readonly #address = addressOf(this.#bytes);
  /** They wait for their worker. */
  readonly #waiting = new Set<Connection>();

  readonly #sendOwed: (connection: Connection) => void;

  /** @param sendOwed sends the pong that a ping of before still waits for */
  constructor(parts: StreamParts, sendOwed: (connection: Connection) => void) {
    this.#parts = parts;
    this.#sendOwed = sendOwed;
  }

  /** The client has sent a Close frame. */
  clientCloses(connection: Connection, code: number, reason: string): void {
    this.#begin(connection, { code, reason, cause: CloseCode.CLIENT_CLOSED, flags: ClosingFlag.byClient });
  }

  /** The client has broken the protocol, or a limit: nothing more is read. */
  refuse(connection: Connection, code: number, why: string): void {
    const cause = code === 1009 ? CloseCode.PACKET_TOO_LONG : CloseCode.PACKET_MALFORMED;
    this.#parts.refused(connection, cause, `WebSocket ${code}: ${why}`);
    this.#begin(connection, { code, reason: why, cause, flags: 0 });
  }

  #begin(connection: Connection, end: { code: number; reason: string; cause: number; flags: number }): void {
    const state = stateOf(connection);
    if (state.endCode >= 0) return;
    const { context, ending } = this.#parts;
    this.#note(connection, state, end);
    this.#tell(connection, state, end.flags | ClosingFlag.awaitsAnswer);
    state.endBy = context.now + ANSWER_MS;
    this.#waiting.add(connection);
    ending.announceClose(connection);
  }

  /** A process ends the connection, or answers a close. */
  disconnect(connection: Connection, code: number, reason: string): void {
    if (connection.isClosing) return;
    const state = stateOf(connection);
    if (state.endCode < 0) {
      this.#note(connection, state, { code, reason, cause: CloseCode.SERVER_CLOSED });
      this.#tell(connection, state, 0);
    }
    this.#finish(connection, state);
  }

  /** The connection is closing by another rule of the server. @param cause CloseCode */
  lost(connection: Connection, cause: number): void {
    const state = stateOf(connection);
    if (state.endCode >= 0 || connection.life !== Life.closing) return;
    const code = codes.get(cause);
    if (code === undefined) return;
    this.#note(connection, state, { code, reason: '', cause });
    this.#tell(connection, state, 0);
    this.#write(connection, state);
  }

  /** The client had ended its side before this was a WebSocket: it can neither answer nor close. */
  abandoned(connection: Connection): void {
    const state = stateOf(connection);
    this.#note(connection, state, { code: ABNORMAL, reason: '', cause: CloseCode.CLIENT_CLOSED });
    this.#parts.ending.closeWhenFlushed(connection, state.endCause);
  }

  /** It cannot go to the next process: behind what its worker still sends, the client is told to come again. */
  dismiss(connection: Connection): void {
    const cause = CloseCode.WORKER_REPLACED;
    if (!connection.isClosing) this.#begin(connection, { code: codes.get(cause)!, reason: '', cause, flags: 0 });
  }

  forget(connection: Connection): void {
    this.#waiting.delete(connection);
  }

  adopt(connection: Connection): void {
    if (stateOf(connection).endBy > 0) this.#waiting.add(connection);
  }

  /** Ends those whose worker has not answered in time. */
  check(): void {
    const { now } = this.#parts.context;
    for (const connection of this.#waiting) {
      const state = stateOf(connection);
      if (now >= state.endBy) this.#finish(connection, state);
    }
  }

  #note(
    connection: Connection,
    state: SocketState,
    { code, reason, cause }: { code: number; reason: string; cause: number },
  ): void {
    state.endCode = code;
    state.endReason = reason;
    state.endCause = cause;
    state.assembly = null;
    connection.kept = 0;
    connection.input = null;
    this.#parts.context.countBuffered(connection);
  }

  #tell(connection: Connection, state: SocketState, flags: number): void {
    const { context } = this.#parts;
    const { endCode, endReason } = state;
    context.ring(connection.worker).sendEvent(Event.closing, flags, endCode, connection.sessionId, endReason);
  }

  /** The process that was told may be gone, or let go of its id just now: the one that gets `close` must know the code. */
  beforeClose(connection: Connection): void {
    const state = stateOf(connection);
    if (state.endCode < 0) return;
    const by = state.endCause === CloseCode.CLIENT_CLOSED ? ClosingFlag.byClient : 0;
    this.#tell(connection, state, by | ClosingFlag.closeFollows);
  }

  #finish(connection: Connection, state: SocketState): void {
    this.#waiting.delete(connection);
    state.endBy = 0;
    this.#write(connection, state);
    if (!connection.isClosed) this.#parts.ending.closeWhenFlushed(connection, state.endCause);
  }

  /** In the middle of a send in pieces a Close frame would be taken for a part of it. */
  #write(connection: Connection, { endCode, endReason, endCause }: SocketState): void {
    if (connection.isClosed || connection.speech !== null) return;
    this.#sendOwed(connection);
    if (connection.isClosed) return;
    const length = writeClosePayload(this.#bytes, 2, endCode, endReason);
    connection.awaitsEnd = endCause !== CloseCode.CLIENT_CLOSED;
    this.#bytes[0] = FIN | Opcode.close;
    this.#bytes[1] = length;
    this.#parts.sending.write(connection, this.#bytes, 0, this.#address, 2 + length);
  }
}
