/**
 * The accepted methods: those of Node, without CONNECT, which asks for a tunnel. A request holds an index into this list,
 * so append only.
 */
export const methods = [
  ...(['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH', 'TRACE', 'QUERY', 'COPY', 'MOVE', 'LOCK'] as const),
  ...(['UNLOCK', 'MKCOL', 'PROPFIND', 'PROPPATCH', 'SEARCH', 'ACL', 'BIND', 'REBIND', 'UNBIND', 'LINK'] as const),
  ...(['UNLINK', 'PURGE', 'CHECKOUT', 'MERGE', 'MKACTIVITY', 'MKCALENDAR', 'REPORT', 'M-SEARCH', 'NOTIFY'] as const),
  ...(['SUBSCRIBE', 'UNSUBSCRIBE', 'SOURCE'] as const),
] as const;

export const OPTIONS = methods.indexOf('OPTIONS');
const names = methods.map((name) => Buffer.from(name, 'latin1'));
export const LONGEST_METHOD = Math.max(...methods.map(({ length }) => length));

/** @returns the index of the method at that place; −1: not an accepted method */
export function methodAt(bytes: Buffer, from: number, to: number): number {
  for (let index = 0; index < names.length; index++) {
    const name = names[index]!;
    if (name.length === to - from && isAt(bytes, from, name)) return index;
  }
  return -1;
}

function isAt(bytes: Buffer, from: number, name: Buffer): boolean {
  for (let i = 0; i < name.length; i++) if (bytes[from + i] !== name[i]) return false;
  return true;
}
