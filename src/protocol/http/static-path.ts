/** Turns the target of a request into the path of a file; an odd target is refused rather than repaired. */

/** The longest path the system accepts. */
const LIMIT_PATH = 4096;

export interface StaticPath {
  /** Decoded; begins with a slash. */
  readonly path: string;
  /** With its question mark; '' for none. */
  readonly query: string;
}

/** undefined: it names no file, or names one in a way that only attackers use. */
export function staticPath(target: string): StaticPath | undefined {
  // A target must be visible ASCII, without a fragment.
  if (!/^[\x21\x22\x24-\x7e]+$/.test(target)) return undefined;
  const start = pathStart(target);
  if (start === -1) return undefined;
  const mark = target.indexOf('?', start);
  const end = mark === -1 ? target.length : mark;
  const path = decode(target.slice(start, end));
  if (path === undefined || path.length > LIMIT_PATH) return undefined;
  return { path, query: target.slice(end) };
}

/** Of the origin form, and of the absolute form, which a server must accept too. */
function pathStart(target: string): number {
  if (target.startsWith('/')) return 0;
  const authority = /^https?:\/\/[^/?\\]+/i.exec(target)?.[0];
  return authority !== undefined && target[authority.length] === '/' ? authority.length : -1;
}

/** Decodes once. An escaped slash, backslash or NUL is an attempt to deceive, and so is invalid UTF-8. */
function decode(path: string): string | undefined {
  if (path.includes('\\')) return undefined;
  if (!path.includes('%')) return path;
  if (/%(2f|5c|00)/i.test(path)) return undefined;
  try {
    return decodeURIComponent(path);
  } catch {
    return undefined;
  }
}

/** Whether each segment is the plain name of a file or folder; a path that ends in a slash has an empty last one. */
export function isPlain(path: string, dotFiles: 'ignore' | 'allow'): boolean {
  const segments = path.split('/');
  const isName = (segment: string, i: number): boolean => {
    if (segment === '') return i === segments.length - 1;
    return segment !== '.' && segment !== '..' && (dotFiles === 'allow' || !segment.startsWith('.'));
  };
  return segments.every(isName) && !/[\\\p{Cc}]/u.test(path);
}

/** The path encoded for `location`. Only the last segment may be empty, so it cannot name another host. */
export function encodePath(path: string): string {
  return path.split('/').map(encodeURIComponent).join('/');
}
