/** The cookie of a session. Runs in the master. */

/** Cookies do not know ports: a second dashboard on the same host has another name. */
export function cookieName(port: number, isSecure: boolean): string {
  return `${isSecure ? '__Host-' : ''}tswoole_session_${port}`;
}

/** @param maxAgeSeconds 0 removes it */
export function sessionCookie(name: string, value: string, maxAgeSeconds: number): string {
  const secure = name.startsWith('__Host-') ? '; Secure' : '';
  return `${name}=${value}; Path=/; HttpOnly; SameSite=Strict; Max-Age=${maxAgeSeconds}${secure}`;
}

/** RFC 6265 section 4.2.1. @returns undefined if it is not there, or more than once: one of them is not ours */
export function readCookie(header: string | undefined, name: string): string | undefined {
  const values = (header ?? '')
    .split(';')
    .map((pair) => pair.trim())
    .filter((pair) => pair.startsWith(`${name}=`))
    .map((pair) => pair.slice(name.length + 1));
  return values.length === 1 ? values[0] : undefined;
}
