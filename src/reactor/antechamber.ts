/**
 * Where connections wait that must first say who they are: on ports that speak the PROXY protocol. They become connections
 * of the server, with the address of the client behind the load balancer, when the header is whole. Runs in the reactor.
 */
import { BlockList } from 'node:net';
import type { Arrival } from '../ipc/arrival.js';
import { formatIPv4, formatIPv6 } from '../os/address.js';
import { AF_INET, AF_UNIX } from '../os/constants.js';
import { EAGAIN, EINTR } from '../os/libc.js';
import { type Poller, READABLE } from '../os/poller.js';
import { receive } from '../os/socket.js';
import { type ProxiedClient, parseProxyHeader } from '../protocol/proxy.js';
import type { Cargo, VisitorRecord } from './cargo.js';
import { type ReactorContext, SCRATCH_BYTES } from './context.js';

export interface AntechamberHost {
  /** It has said who it is; its descriptor is watched already. `rest` is what it has sent behind the header; it is used before this returns. */
  enter(arrival: Arrival, rest: Buffer): void;
  turnAway(arrival: Arrival, why: string): void;
}

interface Visitor extends Arrival {
  readonly token: number;
  readonly deadline: number;
  begun: Buffer;
}

/** Above every slot and every port for datagrams, below the token of the bell. */
const FIRST_TOKEN = 0xc0000000;
/** Behind it are the tokens of the other parts of a BASE worker: see `SharedPoller`. */
const LAST_TOKEN = 0xffefffff;
const HEADER_MS = 5000;
const LOOK_MS = 250;
const nothing = Buffer.alloc(0);

export class Antechamber {
  readonly #context: ReactorContext;
  readonly #poller: Poller;
  readonly #host: AntechamberHost;
  /** By port; undefined where no header is expected. */
  readonly #trusted: readonly (BlockList | undefined)[];
  readonly #visitors = new Map<number, Visitor>();
  #nextToken = FIRST_TOKEN;
  #timer: NodeJS.Timeout | undefined;

  constructor(context: ReactorContext, poller: Poller, host: AntechamberHost) {
    this.#context = context;
    this.#poller = poller;
    this.#host = host;
    this.#trusted = context.options.ports.map(({ proxyProtocol }) => trustedBy(proxyProtocol));
  }

  static owns(token: number, bellToken: number): boolean {
    return token >= FIRST_TOKEN && token !== bellToken;
  }

  /** @returns false when connections of that port need not wait here */
  takes(portIndex: number): boolean {
    return this.#trusted[portIndex] !== undefined;
  }

  admit(arrival: Arrival): void {
    if (!this.#isTrusted(arrival)) return this.#host.turnAway(arrival, 'it does not come from a trusted address');
    this.#wait(arrival, nothing);
  }

  #wait(arrival: Arrival, begun: Buffer): void {
    const token = this.#newToken();
    this.#visitors.set(token, { ...arrival, token, deadline: performance.now() + HEADER_MS, begun });
    this.#timer ??= setInterval(() => this.#turnLateAway(), LOOK_MS);
    this.#poller.add(arrival.descriptor, token);
  }

  /** Those who wait, for the process that comes next. */
  handOver(): Cargo<VisitorRecord>[] {
    const visitors = [...this.#visitors.values()];
    for (const visitor of visitors) this.#forget(visitor);
    return visitors.map(({ descriptor, portIndex, family, remotePort, address, begun }) => ({
      record: { kind: 'visitor', portIndex, family, remotePort, address: address.toString('hex') },
      descriptor,
      bytes: [begun],
    }));
  }

  /** One that waited in the process before this one; its time begins anew. */
  takeOver({ record, descriptor, bytes }: Cargo<VisitorRecord>): void {
    const { portIndex, family, remotePort, address } = record;
    this.#wait(
      { descriptor, portIndex, family, remotePort, address: Buffer.from(address, 'hex') },
      Buffer.concat(bytes),
    );
  }

  ready(token: number): void {
    const visitor = this.#visitors.get(token);
    if (visitor !== undefined) this.#read(visitor);
  }

  /** At the end of the server nobody is waited for. */
  clear(): void {
    for (const visitor of [...this.#visitors.values()]) this.#turnAway(visitor, 'the server shuts down');
  }

  #read(visitor: Visitor): void {
    const { scratch, scratchAddress } = this.#context;
    const n = receive(visitor.descriptor, scratchAddress, SCRATCH_BYTES);
    if (n === -EAGAIN || n === -EINTR) return this.#poller.rearm(visitor.descriptor, READABLE);
    if (n <= 0) return this.#turnAway(visitor, 'it ended before its PROXY header was whole');
    const read = scratch.subarray(0, n);
    const bytes = visitor.begun.length === 0 ? read : Buffer.concat([visitor.begun, read]);
    const header = parseProxyHeader(bytes, 0, bytes.length);
    if (header === 'malformed') return this.#turnAway(visitor, 'it did not begin with a PROXY header');
    if (header === 'more') {
      visitor.begun = Buffer.from(bytes);
      return this.#poller.rearm(visitor.descriptor, READABLE);
    }
    this.#forget(visitor);
    this.#host.enter(behind(visitor, header.client), bytes.subarray(header.length));
  }

  #turnAway(visitor: Visitor, why: string): void {
    this.#forget(visitor);
    this.#poller.remove(visitor.descriptor);
    this.#host.turnAway(visitor, why);
  }

  #turnLateAway(): void {
    const now = performance.now();
    for (const visitor of [...this.#visitors.values()]) {
      if (now >= visitor.deadline) this.#turnAway(visitor, `its PROXY header was not whole within ${HEADER_MS} ms`);
    }
  }

  #forget(visitor: Visitor): void {
    this.#visitors.delete(visitor.token);
    if (this.#visitors.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #newToken(): number {
    do this.#nextToken = this.#nextToken >= LAST_TOKEN ? FIRST_TOKEN : this.#nextToken + 1;
    while (this.#visitors.has(this.#nextToken));
    return this.#nextToken;
  }

  /** A unix socket is as trusted as its file. */
  #isTrusted({ portIndex, family, address }: Arrival): boolean {
    if (family === AF_UNIX) return true;
    const list = this.#trusted[portIndex];
    if (family === AF_INET) return list?.check(formatIPv4(address, 0), 'ipv4') ?? false;
    const text = formatIPv6(address, 0);
    return list?.check(text, text.includes(':') ? 'ipv6' : 'ipv4') ?? false;
  }
}

function trustedBy(addresses: readonly string[]): BlockList | undefined {
  if (addresses.length === 0) return undefined;
  const list = new BlockList();
  for (const text of addresses) {
    const [address = '', bits] = text.split('/');
    const family = address.includes(':') ? 'ipv6' : 'ipv4';
    if (bits === undefined) list.addAddress(address, family);
    else list.addSubnet(address, Number(bits), family);
  }
  return list;
}

function behind(visitor: Arrival, client: ProxiedClient | undefined): Arrival {
  const { descriptor, portIndex } = visitor;
  if (client === undefined) return visitor;
  return { descriptor, portIndex, family: client.family, address: client.address, remotePort: client.port };
}
