/** Asks silent clients whether they are there: a ping after each interval, the end after two without an answer. Runs in the reactor. */
import { CloseCode } from '../../../ipc/frame.js';
import type { Connection } from '../../connection.js';
import type { WebSocketLimits } from '../../context.js';
import type { StreamParts } from '../definition.js';
import { stateOf } from './socket-state.js';

const MOST_PINGS = 2;
const LONGEST_TICK_MS = 1000;
const SHORTEST_TICK_MS = 20;

/** How often to look: a quarter of the shortest interval. @param intervals of ports, in ms; 0: never */
export function tickMsFor(intervals: readonly number[]): number {
  const shortest = Math.min(...intervals.filter((ms) => ms > 0));
  return Math.max(SHORTEST_TICK_MS, Math.min(LONGEST_TICK_MS, Math.floor(shortest / 4)));
}

export class Pings {
  readonly #parts: StreamParts;
  readonly #send: (connection: Connection) => void;

  /** @param send sends a ping */
  constructor(parts: StreamParts, send: (connection: Connection) => void) {
    this.#parts = parts;
    this.#send = send;
  }

  /** Called at each tick. */
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
