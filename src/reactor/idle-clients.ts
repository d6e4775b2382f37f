/** Closes clients that have gone silent, and those that do not take what is sent to them. Runs in the reactor. */
import { CloseCode } from '../ipc/frame.js';
import { SlotFlag } from '../memory/connection-table.js';
import type { ReactorConnection } from './connection.js';
import type { ReactorContext } from './context.js';
import type { Ending } from './ending.js';

export class IdleClients {
  readonly #context: ReactorContext;
  readonly #ending: Ending;
  #timer: NodeJS.Timeout | undefined;

  constructor(context: ReactorContext, ending: Ending) {
    this.#context = context;
    this.#ending = ending;
  }

  /** @param look called when it is time; must call `check` in a turn of the reactor */
  start(look: () => void): void {
    const { heartbeatIdleMs, heartbeatCheckMs, writeTimeoutMs } = this.#context.options;
    if (heartbeatIdleMs === 0 && writeTimeoutMs === 0) return;
    const everyMs = heartbeatIdleMs === 0 ? Math.max(10, writeTimeoutMs / 4) : heartbeatCheckMs;
    this.#timer = setInterval(look, everyMs);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  check(): void {
    const { connections, options, now } = this.#context;
    const { heartbeatIdleMs, writeTimeoutMs } = options;
    for (const connection of connections.list()) {
      if (connection.closeCode >= 0 || connection.told) continue;
      if (writeTimeoutMs > 0 && !connection.isFlushed && now - waitingSince(connection) >= writeTimeoutMs) {
        this.#ending.reset(connection, CloseCode.WRITE_TIMEOUT);
      } else if (heartbeatIdleMs > 0 && this.#isSilent(connection, now - heartbeatIdleMs)) {
        this.#ending.closeWhenFlushed(connection, CloseCode.HEARTBEAT_TIMEOUT);
      }
    }
  }

  /** Not when it is we who do not read, and not when it is protected. */
  #isSilent(connection: ReactorConnection, since: number): boolean {
    const { table } = this.#context;
    if (connection.paused || connection.stalled || connection.readable || connection.http?.isOwed) return false;
    if (table.lastReceivedAt(connection.slot) > since) return false;
    return !table.hasFlag(connection.slot, SlotFlag.protected);
  }
}

function waitingSince({ out, tls }: ReactorConnection): number {
  return out?.since ?? tls?.waitingSince ?? 0;
}
