/** Header fields of a request as an object, by the rules of Node. */
import type { IncomingHttpHeaders } from 'node:http';

/** These names allow one line: the first counts. */
const ONLY_ONCE = new Set([
  ...['age', 'authorization', 'content-length', 'content-type', 'etag', 'expires', 'from', 'host', 'if-modified-since'],
  ...['if-unmodified-since', 'last-modified', 'location', 'max-forwards', 'proxy-authorization', 'referer'],
  ...['retry-after', 'server', 'user-agent'],
]);

/** @param raw name, value, name, value … */
export function headerObject(raw: readonly string[]): IncomingHttpHeaders {
  const headers = Object.create(null) as IncomingHttpHeaders;
  for (let at = 0; at < raw.length; at += 2) {
    const name = raw[at]!.toLowerCase();
    const value = raw[at + 1]!;
    const before = headers[name];
    if (name === 'set-cookie') headers[name] = [...(before ?? []), value];
    else headers[name] = before === undefined ? value : joined(name, before as string, value);
  }
  return headers;
}

/** One field without making the object: the values of all its lines, joined as the object has them. */
export function findHeader(raw: readonly string[], name: string): string | undefined {
  let found: string | undefined;
  for (let at = 0; at < raw.length; at += 2) {
    const given = raw[at]!;
    if (given.length !== name.length || (given !== name && given.toLowerCase() !== name)) continue;
    found = found === undefined ? raw[at + 1]! : joined(name, found, raw[at + 1]!);
  }
  return found;
}

function joined(name: string, before: string, value: string): string {
  if (ONLY_ONCE.has(name)) return before;
  return name === 'cookie' ? `${before}; ${value}` : `${before}, ${value}`;
}
