/** What the parts of the HTTP of one reactor share. Runs in the reactor. */
import type { ReactorConnection } from '../connection.js';
import type { HttpOptions, ReactorContext } from '../context.js';
import type { Ending } from '../ending.js';
import type { PacketGoal } from '../framing.js';
import type { Sending } from '../sending.js';
import type { WorkerLane } from '../worker-lane.js';
import { HttpState } from './http-state.js';

/** What HTTP asks of its reactor. */
export interface HttpHost {
  /** The worker that gets the next request, by the dispatch mode. */
  laneFor(connection: ReactorConnection): WorkerLane;
  /** The user's own function decides, by the request. Undefined: there is none. */
  readonly laneForRequest:
    | ((connection: ReactorConnection, bytes: Buffer, from: number, length: number) => PacketGoal)
    | undefined;
  /** Its worker is about to go: nothing of it may be given out now. */
  holds(connection: ReactorConnection): boolean;
  /** It is read on when the worker has room. */
  stall(connection: ReactorConnection, lane: WorkerLane): void;
  /** All that the kernel had was read. */
  readDry(connection: ReactorConnection): void;
  countReceived(connection: ReactorConnection, bytes: number): void;
  countDispatched(connection: ReactorConnection): void;
  /** The connection belongs to another worker from now on. */
  rebind(connection: ReactorConnection, worker: number): void;
  refused(connection: ReactorConnection, code: number, message: string): void;
  /** The pid of a peer at the moment; 0: none. */
  processOf(peer: number): number;
}

export class HttpParts {
  readonly context: ReactorContext;
  readonly ending: Ending;
  readonly sending: Sending;
  readonly host: HttpHost;

  constructor(context: ReactorContext, ending: Ending, sending: Sending, host: HttpHost) {
    this.context = context;
    this.ending = ending;
    this.sending = sending;
    this.host = host;
  }

  stateOf(connection: ReactorConnection): HttpState {
    connection.http ??= new HttpState(this.context.now);
    return connection.http;
  }

  /** Of the connection's port, which speaks HTTP. */
  optionsOf(connection: ReactorConnection): HttpOptions {
    return this.context.options.ports[connection.port]?.http as HttpOptions;
  }

  readSoon(connection: ReactorConnection): void {
    this.context.again.push(connection);
  }

  count(counter: number): void {
    this.context.board.add(this.context.id, counter, 1);
  }
}
