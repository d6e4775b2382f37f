/**
 * Clients behind a load balancer wait here until the PROXY header that says who they are is whole. Runs in the reactor.
 */
import type { Arrival } from '../../ipc/arrival.js';
import { formatIPv4, formatIPv6 } from '../../os/address.js';
import { AF_INET, AF_UNIX } from '../../os/constants.js';
import { EAGAIN, EINTR } from '../../os/libc.js';
import { type Poller, READABLE } from '../../os/poller.js';
import { receive } from '../../os/socket.js';
import { AddressSet } from '../../protocol/address-set.js';
import { type ProxiedClient, parseProxyHeader } from '../../protocol/proxy.js';
import { type ReactorContext, SCRATCH_BYTES } from '../context.js';
import type { PendingRecord, Snapshot } from '../handoff/snapshot.js';
import type { Transport } from '../transport/transport.js';
import type { AdmissionGate, Admit, Entrant } from './gate.js';

export interface ProxyHeaderParts {
  readonly context: ReactorContext;
  readonly poller: Poller;
  /** Load balancers, as addresses and networks. */
  readonly trusted: readonly string[];
  /** Not in use by another gate, and out of the range of slots and datagrams. */
  newToken(): number;
  /** The gate has forgotten the client, and the poller its descriptor. */
  refuse(arrival: Arrival, why: string): void;
}

interface Pending extends Arrival {
  readonly token: number;
  readonly deadline: number;
  readonly next: Admit;
  readonly transport: Transport;
  begun: Buffer;
}

const HEADER_MS = 5000;
const LOOK_MS = 250;

export class ProxyHeaderGate implements AdmissionGate {
  readonly #parts: ProxyHeaderParts;
  readonly #trusted: AddressSet;
  readonly #pending = new Map<number, Pending>();
  #timer: NodeJS.Timeout | undefined;

  constructor(parts: ProxyHeaderParts) {
    this.#parts = parts;
    this.#trusted = new AddressSet(parts.trusted);
  }

  get waiting(): number {
    return this.#pending.size;
  }

  admit({ arrival, early, transport }: Entrant, next: Admit): void {
    if (!this.#isTrusted(arrival)) return this.#parts.refuse(arrival, 'it does not come from a trusted address');
    this.#wait({ ...arrival, transport, next }, early);
  }

  handOver(): Snapshot<PendingRecord>[] {
    const pending = [...this.#pending.values()];
    for (const client of pending) this.#forget(client);
    return pending.map(({ descriptor, portIndex, family, remotePort, address, begun }) => ({
      record: { kind: 'pending', portIndex, family, remotePort, address: address.toString('hex') },
      descriptor,
      bytes: [begun],
    }));
  }

  /** A client that waited in the process before this one; its time begins anew. */
  takeOver({ record, descriptor, bytes }: Snapshot<PendingRecord>, transport: Transport, next: Admit): void {
    const { portIndex, family, remotePort, address } = record;
    const arrival = { descriptor, portIndex, family, remotePort, address: Buffer.from(address, 'hex') };
    this.#wait({ ...arrival, transport, next }, Buffer.concat(bytes));
  }

  /** @returns false: the token is not one of this gate's */
  ready(token: number): boolean {
    const client = this.#pending.get(token);
    if (client !== undefined) this.#read(client);
    return client !== undefined;
  }

  owns(token: number): boolean {
    return this.#pending.has(token);
  }

  clear(): void {
    for (const client of [...this.#pending.values()]) this.#refuse(client, 'the server shuts down');
  }

  #wait(client: Omit<Pending, 'token' | 'deadline' | 'begun'>, begun: Buffer): void {
    const token = this.#parts.newToken();
    const deadline = performance.now() + HEADER_MS;
    this.#pending.set(token, { ...client, token, deadline, begun });
    this.#timer ??= setInterval(() => this.#refuseLate(), LOOK_MS);
    this.#parts.poller.add(client.descriptor, token);
  }

  #read(client: Pending): void {
    const { context, poller } = this.#parts;
    const n = receive(client.descriptor, context.scratchAddress, SCRATCH_BYTES);
    if (n === -EAGAIN || n === -EINTR) return poller.rearm(client.descriptor, READABLE);
    if (n <= 0) return this.#refuse(client, 'it ended before its PROXY header was whole');
    const read = context.scratch.subarray(0, n);
    const bytes = client.begun.length === 0 ? read : Buffer.concat([client.begun, read]);
    const header = parseProxyHeader(bytes, 0, bytes.length);
    if (header === 'malformed') return this.#refuse(client, 'it did not begin with a PROXY header');
    if (header === 'more') {
      client.begun = Buffer.from(bytes);
      return poller.rearm(client.descriptor, READABLE);
    }
    this.#forget(client);
    const early = bytes.subarray(header.length);
    const arrival = behind(client, header.client);
    client.next({ arrival, early, isWatched: true, secure: null, transport: client.transport });
  }

  #refuse(client: Pending, why: string): void {
    this.#forget(client);
    this.#parts.poller.remove(client.descriptor);
    this.#parts.refuse(client, why);
  }

  #refuseLate(): void {
    const now = performance.now();
    for (const client of [...this.#pending.values()]) {
      if (now >= client.deadline) this.#refuse(client, `its PROXY header was not whole within ${HEADER_MS} ms`);
    }
  }

  #forget(client: Pending): void {
    this.#pending.delete(client.token);
    if (this.#pending.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  /** A unix socket is as trusted as its file. */
  #isTrusted({ family, address }: Arrival): boolean {
    if (family === AF_UNIX) return true;
    return this.#trusted.has(family === AF_INET ? formatIPv4(address, 0) : formatIPv6(address, 0));
  }
}

function behind(arrival: Arrival, client: ProxiedClient | undefined): Arrival {
  const { descriptor, portIndex, family, address, remotePort } = arrival;
  if (client === undefined) return { descriptor, portIndex, family, address, remotePort };
  return { descriptor, portIndex, family: client.family, address: client.address, remotePort: client.port };
}
