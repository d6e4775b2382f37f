/**
 * What a client passes before it is a connection: it says who it is behind a load balancer, it shakes hands. Runs in the
 * reactor.
 */
import type { Arrival } from '../../ipc/arrival.js';
import type { PendingRecord, Snapshot } from '../handoff/snapshot.js';
import type { Secured, Transport } from '../transport/transport.js';

/** A client on its way in. */
export interface Entrant {
  readonly arrival: Arrival;
  /** Bytes it has sent behind what a gate has taken; used before `admit` returns. */
  readonly early: Buffer;
  /** The poller watches its descriptor already, under a token of the gate. */
  readonly isWatched: boolean;
  /** Set when it has shaken hands. */
  readonly secure: Secured | null;
  readonly transport: Transport;
}

export type Admit = (entrant: Entrant) => void;

export interface AdmissionGate {
  /** @param next is given the client when it has passed: at once, or later; it is never given one that is refused */
  admit(entrant: Entrant, next: Admit): void;
  /** Clients that have not passed yet. */
  readonly waiting: number;
  /** Clients that can go over to the process that comes next (BASE mode); the gate forgets them. */
  handOver(): Snapshot<PendingRecord>[];
  /** Turns away all that wait. */
  clear(): void;
}
