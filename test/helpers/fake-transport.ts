import { EAGAIN, EINTR } from '../../src/os/libc.js';
import { READABLE } from '../../src/os/poller.js';
import type { Connection } from '../../src/reactor/connection.js';
import type { FilePart } from '../../src/reactor/out-queue.js';
import type { Transport } from '../../src/reactor/transport/transport.js';

/** What a client has sent: bytes, its end, or an error of the socket as −errno. −EINTR comes once, others stay. */
export type FromClient = Buffer | 'end' | number;

/** The client of one connection, as the kernel would show it. */
export interface FakeClient {
  readonly sent: FromClient[];
  /** Bytes it has got, in order. */
  got: string;
  /** Bytes that the transport has taken and the kernel has not: see `FakeTransport.encrypts`. */
  held: string;
  /** Bytes that the kernel still takes for it. */
  room: number;
  /** What the next sends answer instead of taking bytes: −errno, each once. */
  readonly sendFailures: number[];
  /** Reads that have given bytes. */
  reads: number;
  /** Sends that have given bytes. */
  calls: number;
  /** What has become of the descriptor. */
  end: 'open' | 'half' | 'reset' | 'released';
}

/** Clients without sockets: by descriptor. */
export class FakeTransport implements Transport {
  drainsByShortRead = true;
  isDirect = true;
  isPlain = false;
  canHandOff = true;
  /** Connections of which the reactor wants to be told when there is something to read. */
  readonly armed = new Set<Connection>();
  readonly #clients = new Map<number, FakeClient>();

  /** From here on it does what TLS does: bytes are taken at once, and reach the kernel by `passOn`. */
  encrypts(): void {
    this.drainsByShortRead = false;
    this.isDirect = false;
    this.canHandOff = false;
  }

  clientOf({ descriptor }: Pick<Connection, 'descriptor'>): FakeClient {
    const known = this.#clients.get(descriptor);
    if (known !== undefined) return known;
    const room = Number.POSITIVE_INFINITY;
    const client: FakeClient = { sent: [], got: '', held: '', room, sendFailures: [], reads: 0, calls: 0, end: 'open' };
    this.#clients.set(descriptor, client);
    return client;
  }

  receive(connection: Connection, target: Buffer, at: number, _address: number, limit: number): number {
    const client = this.clientOf(connection);
    const { sent } = client;
    const next = sent[0];
    if (next === undefined) return -EAGAIN;
    if (next === 'end') return 0;
    if (typeof next === 'number') {
      if (next === -EINTR) sent.shift();
      return next;
    }
    client.reads++;
    const count = next.copy(target, at, 0, limit);
    if (count < next.length) sent[0] = next.subarray(count);
    else sent.shift();
    return count;
  }

  send(
    connection: Pick<Connection, 'descriptor'>,
    source: Buffer,
    at: number,
    _address: number,
    length: number,
  ): number {
    const client = this.clientOf(connection);
    const failure = client.sendFailures.shift();
    if (failure !== undefined) return failure;
    const count = Math.min(client.room, length);
    if (count === 0) return -EAGAIN;
    client.room -= count;
    client.calls++;
    this.#give(client, source.toString('latin1', at, at + count));
    return count;
  }

  sendParts(connection: Connection, parts: readonly Buffer[]): number {
    const all = Buffer.concat(parts);
    return this.send(connection, all, 0, 0, all.length);
  }

  sendFile(connection: Connection, part: FilePart, most: number): number {
    const client = this.clientOf(connection);
    if (part.path.includes('missing')) throw new Error('it is not there');
    const count = Math.min(client.room, most);
    if (count === 0) return -EAGAIN;
    client.room -= count;
    this.#give(client, `<${part.path} ${part.offset}+${count}>`);
    return count;
  }

  queuedBytes(connection: Connection): number {
    return this.clientOf(connection).held.length;
  }

  /** What was held back reaches the kernel. */
  passOn(connection: Connection): void {
    const client = this.clientOf(connection);
    client.got += client.held;
    client.held = '';
  }

  rearm(connection: Connection, events: number): void {
    if (events & READABLE) this.armed.add(connection);
  }

  end(connection: Connection): void {
    this.clientOf(connection).end = 'half';
  }

  flush(): void {}

  reset(connection: Connection): void {
    this.clientOf(connection).end = 'reset';
  }

  release(connection: Connection): void {
    this.clientOf(connection).end = 'released';
  }

  /** No descriptor is there to be asked. */
  holdsDescriptor(): boolean {
    return false;
  }

  #give(client: FakeClient, text: string): void {
    if (this.isDirect) client.got += text;
    else client.held += text;
  }
}
