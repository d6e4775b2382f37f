/** Closes clients that have gone silent, and clients that do not take what is sent to them. Runs in the reactor. */
import { CloseCode } from '../ipc/frame.js';
import { SlotFlag } from '../memory/connection-table.js';
import type { Connection } from './connection.js';
import type { ReactorContext } from './context.js';
import type { Ending } from './ending.js';
import { CloseSent, Hold } from './life.js';
import { msWithoutProgress } from './progress.js';

export class IdleClients {
  readonly #context: ReactorContext;
  readonly #ending: Ending;
  #timers: NodeJS.Timeout[] = [];

  constructor(context: ReactorContext, ending: Ending) {
    this.#context = context;
    this.#ending = ending;
  }

  /** @param inTurn must run its callback in a turn of the reactor */
  start(inTurn: (look: () => void) => void): void {
    const { ports, writeTimeoutMs } = this.#context.options;
    const every = (ms: number, look: () => void): void => {
      this.#timers.push(setInterval(() => inTurn(look), ms));
    };
    const beats = ports.filter((port) => port.heartbeatIdleMs > 0).map((port) => port.heartbeatCheckMs);
    const idles = ports.filter(({ maxIdleMs }) => maxIdleMs > 0).map(({ maxIdleMs }) => lookEvery(maxIdleMs));
    if (beats.length > 0) every(Math.min(...beats), () => this.#checkSilent());
    if (idles.length > 0) every(Math.min(...idles), () => this.#checkIdle());
    if (writeTimeoutMs > 0) every(lookEvery(writeTimeoutMs), () => this.#checkDeaf(writeTimeoutMs));
  }

  stop(): void {
    for (const timer of this.#timers) clearInterval(timer);
    this.#timers = [];
  }

  /** `Ending` looks after connections that are being closed. */
  #checkDeaf(limitMs: number): void {
    const { connections, now } = this.#context;
    for (const connection of connections.list()) {
      if (connection.isClosing || connection.isFlushed) continue;
      if (msWithoutProgress(connection, now) >= limitMs) this.#ending.reset(connection, CloseCode.WRITE_TIMEOUT);
    }
  }

  #checkSilent(): void {
    const { connections, now, options } = this.#context;
    for (const connection of connections.list()) {
      const limitMs = options.ports[connection.port]?.heartbeatIdleMs ?? 0;
      if (limitMs === 0 || this.#isSpared(connection)) continue;
      const isDeaf = !connection.isFlushed && msWithoutProgress(connection, now) >= limitMs;
      const isSilent = this.#isSilent(connection, now - limitMs);
      // Its queued bytes do not leave, so there is nothing to wait for.
      if (isDeaf && (isSilent || options.writeTimeoutMs === 0)) {
        this.#ending.reset(connection, CloseCode.HEARTBEAT_TIMEOUT, 'the client has taken nothing for heartbeatIdleMs');
      } else if (isSilent) this.#ending.closeWhenFlushed(connection, CloseCode.HEARTBEAT_TIMEOUT);
    }
  }

  /** Neither side has sent anything. Queued bytes that do not leave do not count as sent. */
  #checkIdle(): void {
    const { connections, now, options, table } = this.#context;
    for (const connection of connections.list()) {
      const limitMs = options.ports[connection.port]?.maxIdleMs ?? 0;
      if (limitMs === 0 || this.#isSpared(connection) || !isOurTurnOver(connection)) continue;
      if (now - table.lastMovedAt(connection.slot) < limitMs) continue;
      if (connection.isFlushed) this.#ending.closeWhenFlushed(connection, CloseCode.IDLE_TIMEOUT);
      else if (msWithoutProgress(connection, now) >= limitMs) this.#ending.reset(connection, CloseCode.IDLE_TIMEOUT);
    }
  }

  #isSpared({ isClosing, closeSent, slot }: Connection): boolean {
    return isClosing || closeSent !== CloseSent.none || this.#context.table.hasFlag(slot, SlotFlag.protected);
  }

  #isSilent(connection: Connection, since: number): boolean {
    return isOurTurnOver(connection) && this.#context.table.lastReceivedAt(connection.slot) <= since;
  }
}

/** False while the server is not reading, or owes the reply. */
function isOurTurnOver(connection: Connection): boolean {
  const isHeld = (connection.holds & (Hold.paused | Hold.noRoom)) !== 0;
  return !isHeld && !connection.readable && !connection.protocol.isBusy(connection);
}

function lookEvery(limitMs: number): number {
  return Math.max(10, limitMs / 4);
}
