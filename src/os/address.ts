/** Socket addresses between text and the kernel's sockaddr. */
import { isIP, isIPv6 } from '../options/ip-address.js';
import { AF_INET, AF_INET6, AF_UNIX } from './constants.js';
import { isLinux } from './libc.js';

export interface SocketAddress {
  readonly address: string;
  readonly port: number;
  readonly family: 4 | 6;
}

/** Large enough for any sockaddr of an internet socket. */
export const SOCKADDR_BYTES = 28;

function writeFamily(sockaddr: Buffer, family: number, length: number): void {
  if (isLinux) {
    sockaddr.writeUInt16LE(family, 0);
  } else {
    sockaddr[0] = length;
    sockaddr[1] = family;
  }
}

/** @throws TypeError when `host` is not an IP address: callers resolve names first. */
export function encodeAddress(host: string, port: number): Buffer {
  const family = isIP(host);
  if (family === 0) throw new TypeError(`expected an IP address, got '${host}'`);
  const sockaddr = Buffer.alloc(family === 4 ? 16 : SOCKADDR_BYTES);
  writeFamily(sockaddr, family === 4 ? AF_INET : AF_INET6, sockaddr.length);
  sockaddr.writeUInt16BE(port, 2);
  if (family === 4) encodeIPv4(host, sockaddr, 4);
  else encodeIPv6(host, sockaddr, 8);
  return sockaddr;
}

const SUN_PATH_AT = 2;
/** Bytes of a path in the kernel's sockaddr_un, its closing NUL included. */
const SUN_PATH_BYTES = isLinux ? 108 : 104;

/** @throws RangeError when the path does not fit */
export function encodeUnixAddress(path: string): Buffer {
  const bytes = Buffer.from(path);
  if (bytes.length >= SUN_PATH_BYTES) {
    throw new RangeError(`the path of a unix socket has less than ${SUN_PATH_BYTES} bytes, received ${bytes.length}`);
  }
  const sockaddr = Buffer.alloc(SUN_PATH_AT + SUN_PATH_BYTES);
  writeFamily(sockaddr, AF_UNIX, sockaddr.length);
  bytes.copy(sockaddr, SUN_PATH_AT);
  return sockaddr;
}

/** Large enough for any sockaddr. */
export const LONGEST_SOCKADDR_BYTES = SUN_PATH_AT + SUN_PATH_BYTES;

/** Where a datagram came from: an address and port, or the path of a unix socket ('' when it has none). */
export function decodePeer(sockaddr: Buffer): { address: string; port: number } {
  const family = isLinux ? sockaddr.readUInt16LE(0) : (sockaddr[1] ?? 0);
  if (family !== AF_UNIX) return decodeAddress(sockaddr);
  const end = sockaddr.indexOf(0, SUN_PATH_AT);
  return { address: sockaddr.toString('utf8', SUN_PATH_AT, end < 0 ? sockaddr.length : end), port: 0 };
}

export function decodeAddress(sockaddr: Buffer): SocketAddress {
  const family = isLinux ? sockaddr.readUInt16LE(0) : (sockaddr[1] ?? 0);
  const port = sockaddr.readUInt16BE(2);
  if (family === AF_INET) return { address: formatIPv4(sockaddr, 4), port, family: 4 };
  return { address: formatIPv6(sockaddr, 8), port, family: 6 };
}

function encodeIPv4(host: string, into: Buffer, at: number): void {
  host.split('.').forEach((part, index) => {
    into[at + index] = Number(part);
  });
}

function encodeIPv6(host: string, into: Buffer, at: number): void {
  let text = host.split('%')[0] ?? '';
  const dotted = /^(.*:)(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(text);
  if (dotted) {
    const [, head, a, b, c, d] = dotted;
    text = `${head}${(Number(a) * 256 + Number(b)).toString(16)}:${(Number(c) * 256 + Number(d)).toString(16)}`;
  }
  const [left = '', right] = text.split('::');
  const groups = (half: string | undefined) => (half ? half.split(':') : []);
  const before = groups(left);
  const after = groups(right);
  const zeros = right === undefined ? 0 : 8 - before.length - after.length;
  [...before, ...new Array<string>(zeros).fill('0'), ...after].forEach((group, index) => {
    into.writeUInt16BE(Number.parseInt(group, 16), at + index * 2);
  });
}

export function formatIPv4(bytes: Uint8Array, at: number): string {
  return `${bytes[at]}.${bytes[at + 1]}.${bytes[at + 2]}.${bytes[at + 3]}`;
}

/** RFC 5952: lower case, the longest run of zero groups shortened; an IPv4-mapped address reads as IPv4. */
export function formatIPv6(bytes: Uint8Array, at: number): string {
  const groups: number[] = [];
  for (let i = 0; i < 8; i++) groups.push(((bytes[at + i * 2] ?? 0) << 8) | (bytes[at + i * 2 + 1] ?? 0));
  if (groups.slice(0, 5).every((group) => group === 0) && groups[5] === 0xffff) return formatIPv4(bytes, at + 12);
  let bestStart = -1;
  let bestLength = 1;
  for (let start = 0; start < 8; start++) {
    let length = 0;
    while (start + length < 8 && groups[start + length] === 0) length++;
    if (length > bestLength) {
      bestStart = start;
      bestLength = length;
    }
  }
  const text = groups.map((group) => group.toString(16));
  if (bestStart < 0) return text.join(':');
  return `${text.slice(0, bestStart).join(':')}::${text.slice(bestStart + bestLength).join(':')}`;
}

export { isIP, isIPv6 };
