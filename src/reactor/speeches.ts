/**
 * Keeps long sends whole: a send longer than a frame comes in pieces, and processes send side by side, so frames
 * of other processes for the same connection wait here until it is whole. The window of each sender bounds what
 * waits. Runs in the reactor.
 */
import { CloseCode } from '../ipc/frame.js';
import type { Frame } from '../ipc/frames/frame.js';
import { addressOf, allocateStable } from '../os/libc.js';
import type { Connection } from './connection.js';
import type { ReactorContext } from './context.js';
import type { Ending } from './ending.js';
import type { WaitingFrame } from './speech.js';

export interface SpeechesParts {
  readonly context: ReactorContext;
  readonly ending: Ending;
  /** Carries out a frame that has waited. */
  play(frame: WaitingFrame): void;
}

export class Speeches {
  readonly #parts: SpeechesParts;
  readonly #connections = new Set<Connection>();
  /** A process that is gone has begun a send that waited: `reapDead` is to be called when all that it has sent was taken. */
  areToReap = false;

  constructor(parts: SpeechesParts) {
    this.#parts = parts;
  }

  /** True when a frame of this peer has to wait. */
  holds({ speech }: Connection, peer: number): boolean {
    return speech !== null && speech.peer !== peer;
  }

  wait({ speech }: Connection, peer: number, frame: Frame): void {
    if (speech === null) return;
    const { word, sessionId, length, payloadAt } = frame;
    const bytes = allocateStable(length);
    frame.bytes.copy(bytes, 0, payloadAt, payloadAt + length);
    speech.waiting.push({ peer, word, sessionId, bytes, address: addressOf(bytes), payloadAt: 0, length });
    speech.waitingBytes += length;
  }

  /** A piece has been written. @param more further pieces of the same send follow */
  spoke(connection: Connection, peer: number, mark: number, more: boolean): void {
    const { speech } = connection;
    if (connection.isClosed) return;
    if (speech !== null && speech.mark !== mark) return this.#broken(connection);
    if (!more) return this.#end(connection);
    connection.speech ??= { peer, mark, waiting: [], waitingBytes: 0 };
    this.#connections.add(connection);
  }

  /** The connection is gone. */
  forget(connection: Connection): void {
    connection.speech = null;
    this.#connections.delete(connection);
  }

  /** Adopts a connection whose preceding process was in the middle of a send. */
  adopt(connection: Connection): void {
    if (connection.speech !== null) this.#connections.add(connection);
  }

  /** Processes have ended, and all that they have sent was taken: their unfinished sends will never be whole. */
  reapDead(): void {
    this.areToReap = false;
    for (const connection of [...this.#connections]) if (this.#isOfDead(connection)) this.#broken(connection);
  }

  #isOfDead({ speech }: Connection): boolean {
    return speech !== null && this.#parts.context.processes.isGoneWith(speech.peer, speech.mark);
  }

  /** Further bytes would be taken for the rest of the send: only the end of the connection shows that to the client. */
  #broken(connection: Connection): void {
    const { ending } = this.#parts;
    ending.reset(connection, CloseCode.WORKER_DIED, 'a process has died in the middle of what it was sending');
  }

  #end(connection: Connection): void {
    const waiting = connection.speech?.waiting ?? [];
    this.forget(connection);
    while (waiting.length > 0 && !connection.isClosed) {
      const next = waiting.findIndex(({ peer }) => !this.holds(connection, peer));
      const [frame] = next < 0 ? [] : waiting.splice(next, 1);
      if (frame === undefined) break;
      this.#parts.play(frame);
    }
    for (const frame of waiting) this.#waitOn(connection, frame);
    // Its end may have been noticed before, when others spoke.
    if (this.#isOfDead(connection)) this.areToReap = true;
  }

  #waitOn({ speech }: Connection, frame: WaitingFrame): void {
    if (speech === null) return;
    speech.waiting.push(frame);
    speech.waitingBytes += frame.length;
  }
}
