/** Asks silent clients whether they are there: a ping after each interval, the end after two without an answer. Runs in the reactor. */
import { CloseCode } from '../../../ipc/frame.js';
import type { Connection } from '../../connection.js';
import type { WebSocketLimits } from '../../context.js';
import type { StreamParts } from '../definition.js';
import { stateOf } from './socket-state.js';

const MOST_PINGS = 2;

export class Pings {
  readonly #parts: StreamParts;
  readonly #send: (connection: Connection) => void;

  /** @param send sends a ping */
  constructor(parts: StreamParts, send: (connection: Connection) => void) {
    this.#parts = parts;
    this.#send = send;
  }

  /** Called once a second. */
  check(connection: Connection, { pingIntervalMs }: WebSocketLimits): void {
    if (pingIntervalMs === 0 || connection.isClosing) return;
    const { context, ending } = this.#parts;
    const state = stateOf(connection);
    if (state.endCode >= 0) return;
    const heardAt = context.table.lastReceivedAt(connection.slot);
    if (heardAt > state.pingedAt) state.pings = 0;
    if (context.now - Math.max(heardAt, state.pingedAt) < pingIntervalMs) return;
    if (state.pings >= MOST_PINGS) return ending.reset(connection, CloseCode.PING_TIMEOUT);
    state.pings++;
    state.pingedAt = context.now;
    this.#send(connection);
  }
}
