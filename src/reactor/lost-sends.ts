/**
 * What a process held for connections, because it found no room, is lost when it dies. What follows would be taken for the
 * rest of it, so these connections end: their clients see that something is missing. Runs in the reactor.
 */
import type { ReactorContext } from './context.js';

export class LostSends {
  readonly #context: ReactorContext;

  constructor(context: ReactorContext) {
    this.#context = context;
  }

  /** Processes have ended, and all that they have sent was taken. */
  reapDead(): void {
    const { connections, table, processes } = this.#context;
    const { living } = processes;
    const isAlive = (pid: number): boolean => living.has(pid);
    for (const connection of connections.list()) {
      // Nothing more is sent to one that the server has closed: what is held for it would be discarded.
      if (connection.isClosing || !table.holders.takeDead(connection.slot, isAlive)) continue;
      connection.protocol.sendsLost(connection);
    }
  }
}
