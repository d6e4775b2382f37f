/**
 * Calls that go on in a process which has let go of their connections: where the client ends its side meanwhile, that comes to
 * another process, which must not end the connection before these have sent what they will. The one that leaves notes its pid in
 * the connection's record, and removes it when it is done. Runs in a worker.
 */
import type { Outbox } from '../ipc/outbox.js';
import type { ConnectionTable } from '../memory/connection-table.js';
import { isRunning } from '../os/other-process.js';
import type { UserConnection } from './callbacks.js';
import type { Calls } from './calls.js';
import type { WorkerConnection } from './worker-connection.js';

export interface LeftCallsParts {
  readonly table: Pick<ConnectionTable, 'slotOf' | 'sessionId' | 'taker' | 'setTaker'>;
  readonly outbox: Pick<Outbox, 'heldBytesOf' | 'drain'>;
  readonly calls: Pick<Calls, 'addPendingOf' | 'settled'>;
}

const LOOK_MS = 20;

export class LeftCalls<C extends UserConnection> {
  readonly #parts: LeftCallsParts;
  /** Those that this process ends behind another one. */
  readonly #behind = new Set<WorkerConnection<C>>();
  #timer: NodeJS.Timeout | undefined;

  constructor(parts: LeftCallsParts) {
    this.#parts = parts;
  }

  /** This process lets go of the connection, and has calls of it under way. */
  leave(connection: WorkerConnection<C>): void {
    connection.isLeft = true;
    this.#note(connection, process.pid);
  }

  /** The last of them has settled: done is what has left this process. */
  finished(connection: WorkerConnection<C>): void {
    const { outbox } = this.#parts;
    const { fd } = connection.user;
    connection.isLeft = false;
    if (outbox.heldBytesOf(fd) === 0) this.#note(connection, 0);
    else void outbox.drain(fd).then(() => this.#note(connection, 0));
  }

  /** Holds the end of a connection on which another process is at work: `settled` comes when it has finished, or is gone. @returns false: none is */
  holds(connection: WorkerConnection<C>): boolean {
    if (this.#behind.has(connection)) return true;
    if (!this.#isAtWork(connection)) return false;
    this.#behind.add(connection);
    this.#parts.calls.addPendingOf(connection);
    this.#timer ??= setInterval(() => this.#look(), LOOK_MS);
    return true;
  }

  #look(): void {
    const known = new Map<number, boolean>(); // many connections wait for few processes
    for (const connection of this.#behind) {
      if (this.#isAtWork(connection, known)) continue;
      this.#note(connection, 0);
      this.#behind.delete(connection);
      this.#parts.calls.settled(connection);
    }
    if (this.#behind.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  /** @param known which processes run, as far as it was looked up just now */
  #isAtWork({ user }: WorkerConnection<C>, known = new Map<number, boolean>()): boolean {
    const { table } = this.#parts;
    const slot = table.slotOf(user.fd);
    const pid = table.sessionId(slot) === user.fd ? table.taker(slot) : 0;
    if (pid === 0 || pid === process.pid) return false;
    const runs = known.get(pid) ?? isRunning(pid);
    known.set(pid, runs);
    return runs;
  }

  /** @param pid 0: none */
  #note({ user }: WorkerConnection<C>, pid: number): void {
    const { table } = this.#parts;
    const slot = table.slotOf(user.fd);
    if (table.sessionId(slot) === user.fd) table.setTaker(slot, pid);
  }
}
