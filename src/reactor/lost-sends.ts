/**
 * What a process held for connections, because it found no room, is lost when it dies. What follows would be taken for the
 * rest of it, so these connections end: their clients see that something is missing. Runs in the reactor.
 */
import { peerNum } from '../memory/layout.js';
import type { Region } from '../memory/region.js';
import type { ReactorContext } from './context.js';
import { processOfPeer } from './peer-process.js';

export class LostSends {
  readonly #context: ReactorContext;
  readonly #region: Region;

  constructor(context: ReactorContext, region: Region) {
    this.#context = context;
    this.#region = region;
  }

  /** Processes have ended, and all that they have sent was taken. */
  reapDead(): void {
    const { connections, table, workers } = this.#context;
    const peers = Array.from({ length: peerNum(this.#region.shape) }, (_, peer) => peer);
    const living = new Set(peers.map((peer) => processOfPeer(this.#region, workers, peer)));
    const isAlive = (pid: number): boolean => living.has(pid);
    for (const connection of connections.list()) {
      if (connection.isClosed || !table.holders.takeDead(connection.slot, isAlive)) continue;
      connection.protocol.sendsLost(connection);
    }
  }
}
