/**
 * The Host names that the admin listener accepts. A page of another site can make its own name resolve to this machine
 * (DNS rebinding); the browser then sends that name as Host, which gives the request away. Runs in the master.
 */
import { isIP } from 'node:net';
import { networkInterfaces } from 'node:os';
import type { ResolvedAdmin } from '../options/index.js';

const WILDCARDS: readonly string[] = ['0.0.0.0', '::'];
const HOST = /^(?<name>\[[0-9a-f:.]+\]|[^:[\]/?#@\\\s]+)(?::(?<port>\d{0,5}))?$/i;

/** @returns undefined if it is not a host with an optional port (RFC 9110 section 7.2) */
export function hostName(text: string): string | undefined {
  const { name, port = '' } = HOST.exec(text)?.groups ?? {};
  if (name === undefined || Number(port) > 65_535) return undefined;
  return normal(name);
}

export class HostCheck {
  readonly #admin: ResolvedAdmin;
  readonly #names: ReadonlySet<string>;

  constructor(admin: ResolvedAdmin) {
    this.#admin = admin;
    this.#names = new Set([admin.host, ...admin.hosts].map(normal));
  }

  /** @param name from `hostName` @param localAddress the local address of the connection */
  allows(name: string, localAddress: string | undefined): boolean {
    if (isLoopback(name) || this.#names.has(name)) return true;
    if (localAddress !== undefined && normal(localAddress) === name) return true;
    return WILDCARDS.includes(this.#admin.host) && isIP(name) > 0 && ownAddresses().has(name);
  }
}

function isLoopback(name: string): boolean {
  if (name === 'localhost' || name.endsWith('.localhost')) return true; // RFC 6761 section 6.3
  return name === '::1' || (isIP(name) === 4 && name.startsWith('127.'));
}

/** They may change while the server runs. */
function ownAddresses(): Set<string> {
  return new Set(
    Object.values(networkInterfaces()).flatMap((all) => (all ?? []).map(({ address }) => normal(address))),
  );
}

/** Lower case, no brackets, no final dot, IPv6 in its canonical form, IPv4 not mapped into IPv6. */
function normal(host: string): string {
  const name = host
    .toLowerCase()
    .replace(/^\[(.*)\]$/, '$1')
    .replace(/\.$/, '')
    .replace(/%.*$/, '');
  if (isIP(name) !== 6) return name;
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/.exec(name)?.[1];
  return mapped ?? new URL(`http://[${name}]`).hostname.slice(1, -1);
}
