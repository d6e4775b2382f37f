/** Closes clients that have gone silent, and those that do not take what is sent to them. Runs in the reactor. */
import { CloseCode } from '../ipc/frame.js';
import { SlotFlag } from '../memory/connection-table.js';
import type { ReactorConnection } from './connection.js';
import type { ReactorContext } from './context.js';
import type { Ending } from './ending.js';
import { msWithoutProgress } from './progress.js';

export class IdleClients {
  readonly #context: ReactorContext;
  readonly #ending: Ending;
  #timers: NodeJS.Timeout[] = [];

  constructor(context: ReactorContext, ending: Ending) {
    this.#context = context;
    this.#ending = ending;
  }

  /** @param inTurn must call what it is given in a turn of the reactor */
  start(inTurn: (look: () => void) => void): void {
    const { heartbeatIdleMs, heartbeatCheckMs, writeTimeoutMs } = this.#context.options;
    const every = (ms: number, look: () => void): void => {
      this.#timers.push(setInterval(() => inTurn(look), ms));
    };
    if (heartbeatIdleMs > 0) every(heartbeatCheckMs, () => this.#checkSilent(heartbeatIdleMs));
    if (writeTimeoutMs > 0) every(Math.max(10, writeTimeoutMs / 4), () => this.#checkDeaf(writeTimeoutMs));
  }

  stop(): void {
    for (const timer of this.#timers) clearInterval(timer);
    this.#timers = [];
  }

  /** Those that are being closed are looked at by `Ending`. */
  #checkDeaf(limitMs: number): void {
    const { connections, now } = this.#context;
    for (const connection of connections.list()) {
      if (connection.closeCode >= 0 || connection.isFlushed) continue;
      if (msWithoutProgress(connection, now) >= limitMs) this.#ending.reset(connection, CloseCode.WRITE_TIMEOUT);
    }
  }

  #checkSilent(limitMs: number): void {
    const { connections, now, table, options } = this.#context;
    for (const connection of connections.list()) {
      if (connection.closeCode >= 0 || connection.told) continue;
      if (table.hasFlag(connection.slot, SlotFlag.protected)) continue;
      const isDeaf = !connection.isFlushed && msWithoutProgress(connection, now) >= limitMs;
      const isSilent = this.#isSilent(connection, now - limitMs);
      // What waits for it does not leave, so there is nothing to wait for.
      if (isDeaf && (isSilent || options.writeTimeoutMs === 0)) {
        this.#ending.reset(connection, CloseCode.HEARTBEAT_TIMEOUT, 'the client has taken nothing for heartbeatIdleMs');
      } else if (isSilent) this.#ending.closeWhenFlushed(connection, CloseCode.HEARTBEAT_TIMEOUT);
    }
  }

  /** Not when it is we who do not read. */
  #isSilent(connection: ReactorConnection, since: number): boolean {
    if (connection.paused || connection.stalled || connection.readable || connection.http?.isOwed) return false;
    return this.#context.table.lastReceivedAt(connection.slot) <= since;
  }
}
