import { EAGAIN } from '../../src/os/libc.js';
import type { Connection } from '../../src/reactor/connection.js';
import type { FilePart } from '../../src/reactor/out-queue.js';
import type { Transport } from '../../src/reactor/transport/transport.js';

/** What a client has sent: bytes, its end, or an error of the socket as −errno. */
export type FromClient = Buffer | 'end' | number;

/** The client of one connection, as the kernel would show it. */
export interface FakeClient {
  readonly sent: FromClient[];
  /** Bytes it has got, in order. */
  got: string;
  /** Bytes that the kernel still takes for it. */
  room: number;
  /** What has become of the descriptor. */
  end: 'open' | 'half' | 'reset' | 'released';
}

/** Clients without sockets: by descriptor. */
export class FakeTransport implements Transport {
  drainsByShortRead = true;
  isDirect = true;
  canHandOff = true;
  readonly #clients = new Map<number, FakeClient>();

  clientOf({ descriptor }: Pick<Connection, 'descriptor'>): FakeClient {
    const known = this.#clients.get(descriptor);
    if (known !== undefined) return known;
    const client: FakeClient = { sent: [], got: '', room: Number.POSITIVE_INFINITY, end: 'open' };
    this.#clients.set(descriptor, client);
    return client;
  }

  receive(connection: Connection, target: Buffer, at: number, _address: number, limit: number): number {
    const { sent } = this.clientOf(connection);
    const next = sent[0];
    if (next === undefined) return -EAGAIN;
    if (next === 'end') return 0;
    if (typeof next === 'number') return next;
    const count = next.copy(target, at, 0, limit);
    if (count < next.length) sent[0] = next.subarray(count);
    else sent.shift();
    return count;
  }

  send(connection: Connection, source: Buffer, at: number, _address: number, length: number): number {
    const client = this.clientOf(connection);
    const count = Math.min(client.room, length);
    if (count === 0) return -EAGAIN;
    client.room -= count;
    client.got += source.toString('latin1', at, at + count);
    return count;
  }

  sendFile(connection: Connection, part: FilePart, most: number): number {
    const client = this.clientOf(connection);
    const count = Math.min(client.room, most);
    if (count === 0) return -EAGAIN;
    client.room -= count;
    client.got += `<${part.path} ${part.offset}+${count}>`;
    return count;
  }

  queuedBytes(): number {
    return 0;
  }

  rearm(): void {}

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
}
