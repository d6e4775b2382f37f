/** Whether a request comes from a page of this very listener. Runs in the master. */
import type { IncomingHttpHeaders } from 'node:http';

/** What browsers send with every request that is not a plain GET; programs send none. */
export function originOf(headers: IncomingHttpHeaders): URL | undefined {
  try {
    return new URL(headers.origin ?? '');
  } catch {
    return undefined; // also 'null', of a page that has none
  }
}

/** The Origin is there, and names the host and port of the Host field. */
export function hasOwnOrigin(headers: IncomingHttpHeaders): boolean {
  const origin = originOf(headers);
  if (origin === undefined || !/^https?:$/.test(origin.protocol)) return false;
  try {
    return new URL(`${origin.protocol}//${headers.host ?? ''}`).host === origin.host;
  } catch {
    return false;
  }
}

/** A browser says that a page of another origin asks. No browser omits both fields where that page can read or change anything. */
export function isForeign(headers: IncomingHttpHeaders): boolean {
  const site = headers['sec-fetch-site'];
  if (site !== undefined && site !== 'same-origin' && site !== 'none') return true;
  return headers.origin !== undefined && !hasOwnOrigin(headers);
}
