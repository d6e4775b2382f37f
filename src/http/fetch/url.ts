/** The URL of a request from its target and Host. Runs in a worker. */

/** The URL standard changes nothing in such a target; dots of segments and escapes of dots are left to `URL`. */
const AS_IT_IS = /^\/[\w\-~!$&()*+,;=:@/?.]*$/;
const DOT_AFTER_SLASH = '/.';
const MAX_ORIGINS = 64;

/** Host as sent → origin; most servers have a handful of names. */
const origins = new Map<string, string>();

/** @param host of the request, '' where there was none (HTTP/1.0) */
export function urlOf(target: string, host: string, isEncrypted: boolean): string {
  if (target.charCodeAt(0) !== 47 /* / */) return absoluteUrl(target, host, isEncrypted);
  const origin = originOf(host, isEncrypted);
  if (AS_IT_IS.test(target) && !target.includes(DOT_AFTER_SLASH)) return origin + target;
  return parsed(origin + target) ?? `${origin}/`;
}

/** Absolute form: its own authority counts (RFC 9112, 3.2.2). The asterisk of OPTIONS has no URL: it becomes a path. */
function absoluteUrl(target: string, host: string, isEncrypted: boolean): string {
  const origin = originOf(host, isEncrypted);
  if (target === '*') return `${origin}/*`;
  return parsed(target) ?? `${origin}/`;
}

function originOf(host: string, isEncrypted: boolean): string {
  const key = isEncrypted ? `https://${host}` : `http://${host}`;
  const known = origins.get(key);
  if (known !== undefined) return known;
  const origin = originOfUrl(key, isEncrypted);
  // A client chooses the name, so the number kept is bounded.
  if (origins.size >= MAX_ORIGINS) origins.clear();
  origins.set(key, origin);
  return origin;
}

function originOfUrl(url: string, isEncrypted: boolean): string {
  const href = parsed(url);
  if (href !== null) return new URL(href).origin;
  return isEncrypted ? 'https://localhost' : 'http://localhost';
}

function parsed(url: string): string | null {
  try {
    return new URL(url).href;
  } catch {
    return null;
  }
}
