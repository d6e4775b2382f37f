/**
 * Which pages may open a WebSocket (RFC 6455 4.1 item 8, 10.2). A browser lets a page of any site open one, with the
 * user's cookies, and says in the Origin field which site it is; only the server can refuse.
 */

interface Origin {
  readonly scheme: string;
  readonly host: string;
  /** As text; that of the scheme where none is written. */
  readonly port: string;
}

const ORIGIN = /^([a-z][a-z0-9+.-]*):\/\/(\[[0-9a-f:.]+\]|[^\s/@:?#[\]\\]+)(?::([0-9]{1,5}))?$/;
const DEFAULT_PORTS: ReadonlyMap<string, string> = new Map([
  ['http', '80'],
  ['https', '443'],
]);
const WILDCARD = '*.';
/** What pages without a host send: sandboxed ones, and those from files. */
const OPAQUE: readonly string[] = ['null', 'file://'];

/**
 * @param origin value of the Origin field; a client without one is not a browser, and is allowed
 * @param host value of the Host field
 * @param allowed origins ('https://example.com'), with '*.' for one or more labels ('https://*.example.com', which is not
 * 'https://example.com'); 'same': host and port of Origin are those of Host; '*': all
 */
export function isOriginAllowed(
  origin: string | undefined,
  host: string,
  allowed: readonly string[] | 'same' | '*',
): boolean {
  if (origin === undefined || allowed === '*') return true;
  const parsed = parseOrigin(origin);
  if (allowed === 'same') return parsed !== undefined && isSame(parsed, host);
  return allowed.some((entry) => entry === origin || (parsed !== undefined && matches(parsed, entry)));
}

/** What may stand in a list of allowed origins; an entry of another form would match no client. */
export function isOriginPattern(text: string): boolean {
  if (OPAQUE.includes(text)) return true;
  const host = parseOrigin(text)?.host;
  if (host === undefined) return false;
  const name = host.startsWith(WILDCARD) ? host.slice(WILDCARD.length) : host;
  return name !== '' && !name.includes('*');
}

function parseOrigin(text: string): Origin | undefined {
  const [, scheme, host, port] = ORIGIN.exec(text.toLowerCase()) ?? [];
  if (scheme === undefined || host === undefined) return undefined;
  return { scheme, host, port: port ?? DEFAULT_PORTS.get(scheme) ?? '' };
}

/** The Host field has no scheme: a port it leaves out is that of the page's, since TLS may end at a proxy. */
function isSame({ scheme, host, port }: Origin, hostField: string): boolean {
  const own = parseOrigin(`${scheme}://${hostField}`);
  return own !== undefined && own.host === host && own.port === port;
}

function matches(origin: Origin, entry: string): boolean {
  const pattern = parseOrigin(entry);
  if (pattern === undefined || pattern.scheme !== origin.scheme || pattern.port !== origin.port) return false;
  if (!pattern.host.startsWith(WILDCARD)) return pattern.host === origin.host;
  const domain = pattern.host.slice(1);
  return origin.host.endsWith(domain) && origin.host.length > domain.length;
}
