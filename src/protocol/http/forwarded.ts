/**
 * The client of a request that came through proxies: `X-Forwarded-For`, `-Proto`, `-Host`, and `Forwarded` (RFC 7239).
 *
 * Each proxy appends whom it has got the request from, so only the right end of the list is written by proxies one knows:
 * it is read from the right, for as long as the one who wrote the element is trusted. What stands left of the first
 * untrusted address, anybody may have written.
 *
 * ```
 *   X-Forwarded-For: 6.6.6.6, 203.0.113.7, 10.0.0.2        and the connection comes from 10.0.0.3
 *                       │          │           └ trusted       └ trusted: it has written the last element
 *                       │          └ the client
 *                       └ invented
 * ```
 */
import { isIP } from 'node:net';
import type { ForwardedField, ResolvedTrustProxy } from '../../options/trust-proxy.js';
import { decodeAddress, encodeAddress } from '../../os/address.js';
import { AddressSet } from '../address-set.js';
import { isAuthority } from './authority.js';

export interface ForwardedClient {
  /** As the kernel writes it: an IPv4-mapped address of IPv6 as IPv4. */
  readonly remoteAddress: string;
  /** 0: the proxy has not told it. */
  readonly remotePort: number;
}

/** What trusted proxies say of a request; undefined: nothing, or nothing valid. */
export interface Forwarded {
  readonly client: ForwardedClient | undefined;
  /** The client speaks TLS. */
  readonly isEncrypted: boolean | undefined;
  /** The host that the client has asked for, with its port. */
  readonly host: string | undefined;
}

/** A field of the request by its lower-case name; several lines as one list. */
export type FieldOf = (name: string) => string | undefined;

/** Where the walk has ended: an element, and its place counted from the right. */
interface Found {
  readonly client: ForwardedClient | undefined;
  readonly element: string;
  readonly place: number;
}

const NOTHING: Found = { client: undefined, element: '', place: 0 };
/** No chain of proxies is longer; a list may have as many elements as a head has bytes. */
const MOST_ELEMENTS = 64;

export class ProxyTrust {
  readonly #addresses: AddressSet;
  readonly #unix: boolean;
  readonly #hops: number;
  readonly #fields: ReadonlySet<ForwardedField>;

  constructor({ from, unix, hops, fields }: ResolvedTrustProxy) {
    this.#addresses = new AddressSet(from);
    this.#unix = unix;
    this.#hops = hops;
    this.#fields = new Set(fields);
  }

  /** @param peer address of the connection, '' of a unix socket @returns undefined: the peer is not trusted */
  read(peer: string, field: FieldOf): Forwarded | undefined {
    if (!this.#trusts(peer, 0)) return undefined;
    const plain = this.#believed('x-forwarded-for', field);
    const standard = plain === undefined ? this.#believed('forwarded', field) : undefined;
    const found = this.#walk(plain ?? standard ?? '', plain === undefined ? nodeOfElement : (element) => element);
    const { proto, host } = standard === undefined ? NO_PARAMETERS : parametersOf(found.element);
    return {
      client: found.client,
      isEncrypted: isSecureScheme(proto ?? this.#beside(found, 'x-forwarded-proto', field)),
      host: validHost(host ?? this.#beside(found, 'x-forwarded-host', field)),
    };
  }

  /** @param hop 0: the peer itself, 1: the address that it names … */
  #trusts(address: string, hop: number): boolean {
    if (this.#hops > 0) return hop < this.#hops;
    return address === '' ? this.#unix : this.#addresses.has(address);
  }

  #believed(name: ForwardedField, field: FieldOf): string | undefined {
    return this.#fields.has(name) ? field(name) : undefined;
  }

  /** The walk stops at the first address that is not trusted, and before the first element that names none. */
  #walk(list: string, nodeOf: (element: string) => string): Found {
    let found = NOTHING;
    let place = 0;
    for (const element of fromRight(list)) {
      const client = parseNode(nodeOf(element));
      if (client === undefined) return place === 0 ? { ...NOTHING, element } : found;
      found = { client, element, place };
      place++;
      if (!this.#trusts(client.remoteAddress, place)) break;
    }
    return found;
  }

  /** Each proxy appends to this list too, or the first one has written its only element. */
  #beside({ place }: Found, name: ForwardedField, field: FieldOf): string | undefined {
    const list = this.#believed(name, field);
    if (list === undefined) return undefined;
    let last: string | undefined;
    let at = 0;
    for (const element of fromRight(list)) {
      last = element;
      if (at++ === place) break;
    }
    return last;
  }
}

const QUOTE = 0x22;
const COMMA = 0x2c;
const BACKSLASH = 0x5c;

/**
 * The elements of a list without the empty ones, the last one first. From the right also in `Forwarded`: a quote that a
 * client leaves open does not swallow what proxies append.
 */
function* fromRight(list: string): Generator<string> {
  let end = list.length;
  let isQuoted = false;
  let count = 0;
  for (let at = end - 1; at >= -1 && count < MOST_ELEMENTS; at--) {
    const code = at < 0 ? COMMA : list.charCodeAt(at);
    if (code === QUOTE && !isEscaped(list, at)) isQuoted = !isQuoted;
    if (code !== COMMA || (isQuoted && at >= 0)) continue;
    const element = list.slice(at + 1, end).trim();
    end = at;
    count++;
    if (element !== '') yield element;
  }
}

function isEscaped(list: string, at: number): boolean {
  let before = at;
  while (before > 0 && list.charCodeAt(before - 1) === BACKSLASH) before--;
  return (at - before) % 2 === 1;
}

const NODE = /^(?:(\d{1,3}(?:\.\d{1,3}){3})|\[([\da-f:.]{2,45})\])(?::(?:(\d{1,5})|_[\w.-]{1,64}))?$/i;
const BARE_IPV6 = /^[\da-f:.]{2,45}$/i;
const MOST_PORT = 65_535;

/**
 * An address with or without a port (RFC 7239 6; of IPv6 without a port also without brackets).
 * @returns undefined for everything else: `unknown`, obfuscated names, garbage
 */
export function parseNode(text: string): ForwardedClient | undefined {
  const [, v4, v6, port = '0'] = NODE.exec(text) ?? [];
  const address = v4 ?? v6 ?? (BARE_IPV6.test(text) ? text : '');
  const family = isIP(address);
  const isRight = v4 === undefined ? family === 6 : family === 4;
  if (!isRight || Number(port) > MOST_PORT) return undefined;
  const decoded = decodeAddress(encodeAddress(address, Number(port)));
  return { remoteAddress: decoded.address, remotePort: decoded.port };
}

interface Parameters {
  readonly for?: string;
  readonly proto?: string;
  readonly host?: string;
}

const NO_PARAMETERS: Parameters = {};
/** Values that are no tokens should be quoted; addresses often are not. */
const PARAMETER = /[ \t]*([!#$%&'*+.^_`|~\da-z-]+)=(?:([^\s",;=]+)|"((?:[^"\\]|\\.)*)")[ \t]*(?:;|$)/iy;

/** The parameters of one element of `Forwarded`; none where it is malformed, or has one twice (RFC 7239 4). */
function parametersOf(element: string): Parameters {
  const parameters: Record<string, string> = Object.create(null);
  PARAMETER.lastIndex = 0;
  while (PARAMETER.lastIndex < element.length) {
    const [, name = '', token, quoted = ''] = PARAMETER.exec(element) ?? [];
    const lower = name.toLowerCase();
    if (lower === '' || lower in parameters) return NO_PARAMETERS;
    parameters[lower] = token ?? quoted.replace(/\\(.)/g, '$1');
  }
  return parameters;
}

const nodeOfElement = (element: string): string => parametersOf(element).for ?? '';

/** Some proxies name the protocol inside of HTTP. */
const secure: Readonly<Record<string, boolean>> = { http: false, ws: false, https: true, wss: true };

function isSecureScheme(scheme: string | undefined): boolean | undefined {
  const lower = scheme?.toLowerCase() ?? '';
  return Object.hasOwn(secure, lower) ? secure[lower] : undefined;
}

function validHost(host: string | undefined): string | undefined {
  if (host === undefined || host === '') return undefined;
  const bytes = Buffer.from(host, 'latin1');
  return isAuthority(bytes, 0, bytes.length) ? host : undefined;
}
