/** Who asks the admin listener, and what they may do. Runs in the master. */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { ResolvedAdmin } from '../options/index.js';
import { monotonicMs } from '../util/clock.js';
import { Refusal } from './admin-request.js';
import { cookieName, readCookie, sessionCookie } from './dashboard/cookie.js';
import { LoginLimit } from './dashboard/login-limit.js';
import { hasOwnOrigin, isForeign, originOf } from './dashboard/same-origin.js';
import { type Rights, type Session, Sessions } from './dashboard/session.js';

export interface Client {
  /** `'none'`: no token was given, and none is set. */
  readonly rights: Rights | 'none';
  /** How it has shown that, for the log. */
  readonly by: 'token' | 'session' | 'nothing';
  readonly address: string;
}

export const CSRF_FIELD = 'x-tswoole-csrf';

export class Access {
  readonly #admin: ResolvedAdmin;
  readonly #now: () => number;
  readonly #sessions: Sessions;
  readonly #limit: LoginLimit;
  /** Of the field Authorization; its own, so that a script with an old token keeps nobody from logging in. */
  readonly #fieldLimit: LoginLimit;

  /** @param now monotonic ms */
  constructor(admin: ResolvedAdmin, now: () => number = monotonicMs) {
    this.#admin = admin;
    this.#now = now;
    this.#sessions = new Sessions(this.#now);
    this.#limit = new LoginLimit(this.#now);
    this.#fieldLimit = new LoginLimit(this.#now);
  }

  /** A token is set. */
  get needsToken(): boolean {
    return this.#admin.token !== '' || this.#admin.readToken !== '';
  }

  /** For a command. @throws Refusal 401, 403 */
  check(request: IncomingMessage, isChange: boolean): Client {
    const client = this.reader(request);
    if (!isChange) return client;
    if (client.rights === 'none') {
      throw new Refusal(403, 'commands can be given only where the option admin has a token');
    }
    if (client.rights === 'read') throw new Refusal(403, 'this token only reads: commands need the other one');
    if (client.by === 'session') this.#mustBeOwnPage(request);
    return client;
  }

  /** Whoever may read. @throws Refusal 401 */
  reader(request: IncomingMessage): Client {
    const address = addressOf(request);
    if (!this.needsToken) return { rights: 'none', by: 'nothing', address };
    const { authorization } = request.headers;
    if (authorization !== undefined) {
      const [scheme = '', given = ''] = authorization.split(' ');
      const rights = scheme.toLowerCase() === 'bearer' ? this.#rightsOf(given) : undefined;
      if (rights !== undefined) return { rights, by: 'token', address };
      mayTry(this.#fieldLimit, address);
      this.#fieldLimit.failed(address);
    } else {
      const session = this.session(request);
      if (session !== undefined) return { rights: session.rights, by: 'session', address };
    }
    throw new Refusal(401, 'send the token: Authorization: Bearer TOKEN', { 'www-authenticate': 'Bearer' });
  }

  /** Of the cookie. */
  session(request: IncomingMessage): Session | undefined {
    for (const name of namesOf(request)) {
      const value = readCookie(request.headers.cookie, name);
      const session = value === undefined ? undefined : this.#sessions.find(value);
      if (session !== undefined) return session;
    }
    return undefined;
  }

  /** @returns the cookie to set @throws Refusal 401, 403, 415, 429 */
  logIn(request: IncomingMessage, token: unknown): { readonly cookie: string; readonly client: Client } {
    const address = addressOf(request);
    mayTry(this.#limit, address);
    const rights = typeof token === 'string' ? this.#rightsOf(token) : undefined;
    if (rights === undefined) {
      this.#limit.failed(address);
      throw new Refusal(401, 'this is not the token of the option admin');
    }
    this.#limit.succeeded(address);
    const { value, lastsMs } = this.#sessions.open(rights);
    // The browser tells by the Origin that it speaks TLS, to a proxy.
    const isSecure = originOf(request.headers)?.protocol === 'https:';
    const name = cookieName(request.socket.localPort ?? 0, isSecure);
    return {
      cookie: sessionCookie(name, value, Math.floor(lastsMs / 1000)),
      client: { rights, by: 'session', address },
    };
  }

  /** @returns the cookies to remove @throws Refusal 403 */
  logOut(request: IncomingMessage): string[] {
    return namesOf(request).flatMap((name) => {
      const value = readCookie(request.headers.cookie, name);
      if (value === undefined) return [];
      this.#sessions.close(value);
      return [sessionCookie(name, '', 0)];
    });
  }

  /** A page of another origin may neither log in nor out, nor take streams. @throws Refusal 403 */
  mustNotBeForeign({ headers }: IncomingMessage): void {
    if (isForeign(headers)) throw new Refusal(403, 'a page of another origin may not ask this');
  }

  /** @throws Refusal 403 */
  #mustBeOwnPage(request: IncomingMessage): void {
    const { headers } = request;
    if (headers.origin === undefined) {
      throw new Refusal(403, 'there is no Origin: a program sends the token, Authorization: Bearer TOKEN');
    }
    if (!hasOwnOrigin(headers) || isForeign(headers)) {
      throw new Refusal(
        403,
        'the Origin of the request is not its Host: behind a proxy, let it pass on the Host field',
      );
    }
    const given = headers[CSRF_FIELD];
    const { csrf = '' } = this.session(request) ?? {};
    if (typeof given !== 'string' || csrf === '' || !isSame(given, csrf)) {
      throw new Refusal(403, `the field ${CSRF_FIELD} is not that of the session: load the page again`);
    }
  }

  #rightsOf(given: string): Rights | undefined {
    const { token, readToken } = this.#admin;
    // Both are compared, always.
    const isToken = isSame(given, token) && token !== '';
    const isReadToken = isSame(given, readToken) && readToken !== '';
    if (isToken) return 'change';
    return isReadToken ? 'read' : undefined;
  }
}

function namesOf({ socket }: IncomingMessage): string[] {
  const port = socket.localPort ?? 0;
  return [cookieName(port, true), cookieName(port, false)];
}

export function addressOf({ socket }: IncomingMessage): string {
  return socket.remoteAddress ?? 'unknown';
}

/** Takes the same time for every difference. */
function isSame(one: string, other: string): boolean {
  const hash = (text: string): Buffer => createHash('sha256').update(text).digest();
  return timingSafeEqual(hash(one), hash(other));
}

/** @throws Refusal 429 */
function mayTry(limit: LoginLimit, address: string): void {
  const wait = limit.waitSeconds(address);
  if (wait > 0) throw new Refusal(429, `too many wrong tokens: wait ${wait} s`, { 'retry-after': String(wait) });
}
