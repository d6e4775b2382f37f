/**
 * The PROXY protocol, versions 1 and 2 (haproxy.org, "The PROXY protocol", 2.1 and 2.2): the header by which a load
 * balancer names the client at the beginning of a connection.
 */
import { isIPv4, isIPv6 } from 'node:net';
import { encodeAddress } from '../os/address.js';
import { AF_INET, AF_INET6 } from '../os/constants.js';

export interface ProxiedClient {
  /** AF_INET or AF_INET6. */
  readonly family: number;
  /** 16 bytes; IPv4 in the first four. */
  readonly address: Buffer;
  readonly port: number;
}

export interface ProxyHeader {
  /** Bytes of the header; the bytes after it are the client's. */
  readonly length: number;
  /** undefined: the connection is the load balancer's own (a health check), or its client is not known. */
  readonly client: ProxiedClient | undefined;
}

const SIGNATURE = Buffer.from([0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a]);
const V1 = Buffer.from('PROXY ');
const V1_LONGEST = 107;
const V2_HEADER = 16;
/** Addresses and further data of the balancer (TLVs); no real header is longer. */
const V2_LONGEST_BODY = 4096;

/** @returns 'more' when the header is incomplete, 'malformed' when it is not a PROXY header */
export function parseProxyHeader(bytes: Buffer, from: number, to: number): ProxyHeader | 'more' | 'malformed' {
  const head = bytes.subarray(from, to);
  if (beginsLike(head, SIGNATURE)) return parseV2(head);
  return beginsLike(head, V1) ? parseV1(head) : 'malformed';
}

/** Compares the bytes received so far. */
function beginsLike(head: Buffer, pattern: Buffer): boolean {
  const length = Math.min(head.length, pattern.length);
  return head.compare(pattern, 0, length, 0, length) === 0;
}

function parseV1(head: Buffer): ProxyHeader | 'more' | 'malformed' {
  const end = head.subarray(0, V1_LONGEST).indexOf('\r\n');
  if (end < 0) return head.length < V1_LONGEST ? 'more' : 'malformed';
  const length = end + 2;
  const [, family, source = '', destination = '', port = '', otherPort = '', ...rest] = head
    .toString('latin1', 0, end)
    .split(' ');
  if (family === 'UNKNOWN') return { length, client: undefined };
  const isAddress = family === 'TCP4' ? isIPv4 : isIPv6;
  const known = family === 'TCP4' || family === 'TCP6';
  if (!known || rest.length > 0 || !isAddress(source) || !isAddress(destination)) return 'malformed';
  if (!isPort(port) || !isPort(otherPort)) return 'malformed';
  return { length, client: clientOf(source, Number(port)) };
}

function isPort(text: string): boolean {
  return /^(0|[1-9]\d{0,4})$/.test(text) && Number(text) < 65_536;
}

function clientOf(text: string, port: number): ProxiedClient {
  const sockaddr = encodeAddress(text, port);
  const isV4 = isIPv4(text);
  const address = Buffer.alloc(16);
  sockaddr.copy(address, 0, isV4 ? 4 : 8, isV4 ? 8 : 24);
  return { family: isV4 ? AF_INET : AF_INET6, address, port };
}

function parseV2(head: Buffer): ProxyHeader | 'more' | 'malformed' {
  if (head.length < V2_HEADER) return 'more';
  const version = (head[12] ?? 0) >> 4;
  const command = (head[12] ?? 0) & 15;
  const body = head.readUInt16BE(14);
  if (version !== 2 || command > 1 || body > V2_LONGEST_BODY) return 'malformed';
  const length = V2_HEADER + body;
  if (head.length < length) return 'more';
  if (command === 0) return { length, client: undefined };
  const family = (head[13] ?? 0) >> 4;
  if (family === 1) return clientV2(head, length, AF_INET, 4);
  if (family === 2) return clientV2(head, length, AF_INET6, 16);
  return { length, client: undefined };
}

function clientV2(head: Buffer, length: number, family: number, bytes: number): ProxyHeader | 'malformed' {
  if (length < V2_HEADER + 2 * bytes + 4) return 'malformed';
  const address = Buffer.alloc(16);
  head.copy(address, 0, V2_HEADER, V2_HEADER + bytes);
  return { length, client: { family, address, port: head.readUInt16BE(V2_HEADER + 2 * bytes) } };
}
