/** Who sends the requests of a worker: the peer of the connection, or the client that a trusted proxy names. Runs in a worker. */
import type { ConnectionTable } from '../memory/connection-table.js';
import type { ResolvedListen } from '../options/index.js';
import { trustOfPort } from '../options/trust-proxy.js';
import { type Forwarded, ProxyTrust } from '../protocol/http/forwarded.js';
import type { Peer } from './request.js';
import { findHeader } from './request-headers.js';

/** What a client is found by; an exchange has it. */
export interface Sent {
  /** Session id of the connection. */
  readonly fd: number;
  readonly rawHeaders: readonly string[];
}

export class RequestClients {
  readonly #table: ConnectionTable;
  /** By listen port; empty: no port trusts a proxy. */
  readonly #trusts: readonly (ProxyTrust | undefined)[];

  constructor(table: ConnectionTable, ports: readonly ResolvedListen[]) {
    this.#table = table;
    const trusts = ports.map(trustOfPort).map((trust) => (trust === null ? undefined : new ProxyTrust(trust)));
    this.#trusts = trusts.some((trust) => trust !== undefined) ? trusts : [];
  }

  /** The other end of the connection. */
  readonly peer = (fd: number): Peer => {
    const { remoteAddress = '', remotePort = 0 } = this.#table.info(fd) ?? {};
    return { remoteAddress, remotePort };
  };

  /** What trusted proxies say of a request; undefined: none has brought it. */
  readonly forwarded = ({ fd, rawHeaders }: Sent): Forwarded | undefined => {
    if (this.#trusts.length === 0) return undefined;
    const info = this.#table.info(fd);
    if (info === undefined) return undefined;
    return this.#trusts[info.portIndex]?.read(info.remoteAddress, (name) => findHeader(rawHeaders, name));
  };

  /** The client of a request. */
  readonly of = (sent: Sent): Peer => this.forwarded(sent)?.client ?? this.peer(sent.fd);
}
