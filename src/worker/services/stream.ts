/** Connections of raw packets: the user's `connect`, `receive`, `bufferFull`, `bufferEmpty`. Runs in a worker. */
import { Event, flagsOf, PieceFlag, typeOf } from '../../ipc/frame.js';
import type { RingReader } from '../../ipc/ring.js';
import { SlotFlag } from '../../memory/connection-table.js';
import { isThenable } from '../../util/thenable.js';
import type { UserConnection } from '../callbacks.js';
import { copyPayload } from '../payload.js';
import type { FrameService } from '../service.js';
import type { WorkerConnection } from '../worker-connection.js';
import type { WorkerHost } from './host.js';

const nothing = Buffer.alloc(0);

export class StreamService<C extends UserConnection> implements FrameService<Buffer> {
  readonly types = [Event.connect, Event.receive, Event.bufferFull, Event.bufferEmpty, Event.writable];
  readonly #host: WorkerHost<C>;
  /** Of the frame that was taken. */
  #type = 0;
  #flags = 0;
  #fd = 0;
  /** Bytes of packets whose answers wait in this process. */
  readonly #draining = new Map<number, number>();

  constructor(host: WorkerHost<C>) {
    this.#host = host;
  }

  get isIncomplete(): boolean {
    return this.#host.connections.incomplete > 0;
  }

  take(ring: RingReader): Buffer {
    const { word } = ring;
    this.#type = typeOf(word);
    this.#flags = flagsOf(word);
    this.#fd = ring.sessionId;
    return this.#type === Event.receive ? copyPayload(ring) : nothing;
  }

  deliver(data: Buffer): boolean {
    if (this.#type !== Event.receive) {
      this.#notify(this.#type, this.#fd);
      return false;
    }
    const flags = this.#flags;
    const connection = this.#host.connections.of(this.#fd);
    const packet = flags === 0 ? data : this.#host.connections.assemble(connection, data, flags);
    if (packet !== undefined) this.#receive(connection, packet);
    return (flags & PieceFlag.more) !== 0;
  }

  connectionEnded(): void {}

  /** Connections are handed off as they are. */
  dismiss(_deadlineMs: number, done: () => void): void {
    done();
  }

  drain(): void {}

  poll(): void {}

  #notify(type: number, fd: number): void {
    const { calls, connections, figures, outbox } = this.#host;
    if (type === Event.writable) return outbox.writable(fd);
    const connection = connections.of(fd);
    const { callbacks, user } = connection;
    switch (type) {
      case Event.connect:
        figures.countConnect();
        return calls.callFor(connection, 'connect', () => callbacks.connect?.(user));
      case Event.bufferFull:
        return calls.callFor(connection, 'bufferFull', () => callbacks.bufferFull?.(user));
      case Event.bufferEmpty:
        return calls.callFor(connection, 'bufferEmpty', () => callbacks.bufferEmpty?.(user));
    }
  }

  #receive(connection: WorkerConnection<C>, data: Buffer): void {
    const { table, figures, calls } = this.#host;
    const { fd } = connection.user;
    // Bytes that the client had sent before the server closed the connection are dropped.
    if (table.isClosedByServer(fd)) return this.#handled(connection, data.length);
    if (connection.taker !== null) return connection.taker.received(fd, data);
    figures.countRequest(data.length);
    const { receive } = connection.callbacks;
    try {
      const result = connection.ended ? undefined : receive?.(connection.user, data);
      if (isThenable(result)) return this.#await(connection, result, data.length);
    } catch (error) {
      calls.failedFor(connection, error, 'receive');
    }
    calls.ended();
    this.#handled(connection, data.length);
  }

  #await(connection: WorkerConnection<C>, promise: PromiseLike<unknown>, bytes: number): void {
    const { calls } = this.#host;
    const startedAt = calls.begin(connection);
    const settled = (): void => {
      this.#handled(connection, bytes); // before it looks idle
      calls.settled(connection, startedAt);
    };
    promise.then(settled, (error: unknown) => {
      calls.failedFor(connection, error, 'receive');
      settled();
    });
  }

  /** Where the next packet may go to another worker, one is handled when its answers have left this process. */
  #handled(connection: WorkerConnection<C>, bytes: number): void {
    const { answersInTurn, countsHandled, outbox } = this.#host;
    const { fd } = connection.user;
    if (answersInTurn && outbox.heldBytesOf(fd) > 0) this.#handledWhenDrained(connection, bytes);
    else if (countsHandled) this.#countHandled(fd, bytes);
  }

  #handledWhenDrained(connection: WorkerConnection<C>, bytes: number): void {
    const { calls, outbox } = this.#host;
    const { fd } = connection.user;
    const waiting = this.#draining.get(fd);
    this.#draining.set(fd, (waiting ?? 0) + bytes);
    if (waiting !== undefined) return;
    calls.addPendingOf(connection);
    void outbox.drain(fd).then(() => {
      const all = this.#draining.get(fd) ?? 0;
      this.#draining.delete(fd);
      this.#countHandled(fd, all);
      calls.settled(connection);
    });
  }

  /** The reactor has stopped reading a client that is too far ahead: below half of the limit it may continue. */
  #countHandled(fd: number, bytes: number): void {
    const { table, answersInTurn, maxQueuedBytes, outbox } = this.#host;
    const slot = table.slotOf(fd);
    if (table.sessionId(slot) !== fd) return;
    const queued = table.countHandled(slot, bytes);
    if (!table.hasFlag(slot, SlotFlag.throttled)) return;
    const isDone = answersInTurn && !table.isBeingHandled(slot); // what has come besides is no whole packet
    if (!isDone && queued > maxQueuedBytes / 2) return;
    table.setFlag(slot, SlotFlag.throttled, false);
    outbox.readOn(fd);
  }
}
