/** uri-host [ ":" port ], as in a Host field and in a target of absolute form (RFC 9110 4.2 and 7.2, RFC 3986 3.2.2). */
import { isIPv6 } from 'node:net';
import { COLON, hexValue, isDigit, REG_NAME } from './chars.js';

const BRACKET = 0x5b;
const BRACKET_END = 0x5d;
const PERCENT = 0x25;
const LONGEST_IPV6 = 45;
const HIGHEST_PORT = 65_535;

/** The host is required; user information (`user@`) is refused. */
export function isAuthority(bytes: Buffer, from: number, to: number): boolean {
  if (from === to) return false;
  const hostEnd = bytes[from] === BRACKET ? endOfIPv6(bytes, from, to) : endOfName(bytes, from, to);
  if (hostEnd <= from) return false;
  return hostEnd === to || (bytes[hostEnd] === COLON && isPort(bytes, hostEnd + 1, to));
}

/** @returns where the name ends; −1: invalid */
function endOfName(bytes: Buffer, from: number, to: number): number {
  let at = from;
  while (at < to) {
    if (REG_NAME[bytes[at]!] === 1) at++;
    else if (bytes[at] === PERCENT) {
      if (at + 2 >= to || hexValue(bytes[at + 1]!) < 0 || hexValue(bytes[at + 2]!) < 0) return -1;
      at += 3;
    } else return at;
  }
  return at;
}

function endOfIPv6(bytes: Buffer, from: number, to: number): number {
  let at = from + 1;
  // Neither zones (`%eth0`) nor future forms (`[v1.…]`).
  while (at < to && (hexValue(bytes[at]!) >= 0 || bytes[at] === COLON || bytes[at] === 0x2e)) at++;
  if (at === to || bytes[at] !== BRACKET_END || at - from > LONGEST_IPV6 + 1) return -1;
  return isIPv6(bytes.toString('latin1', from + 1, at)) ? at + 1 : -1;
}

/** `host:` without a port is valid. */
function isPort(bytes: Buffer, from: number, to: number): boolean {
  let port = 0;
  for (let at = from; at < to; at++) {
    const byte = bytes[at]!;
    if (!isDigit(byte)) return false;
    port = port * 10 + byte - 0x30;
    if (port > HIGHEST_PORT) return false;
  }
  return true;
}
