/** The routes of the dashboard on the admin listener. Runs in the master. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Log } from '../../util/log.js';
import type { Access } from '../access.js';
import { allow, Refusal, readBody, shorten } from '../admin-request.js';
import type { Controlled } from '../controlled.js';
import { send } from '../send.js';
import { Events, MOST_STREAMS, type State } from './events.js';
import { PageFiles } from './files.js';

/** The page runs nothing and asks nothing but what this listener serves, and stands in no frame. */
export const PAGE_HEADERS: Readonly<Record<string, string>> = {
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'referrer-policy': 'no-referrer',
  'x-frame-options': 'DENY',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'permissions-policy': 'camera=(), microphone=(), geolocation=()',
};

/** The longest body of a log-in, which comes from people unknown. */
const LOGIN_BYTES = 4096;

const NOT_BUILT =
  'The page of the dashboard is not built. In a checkout of tswoole run "node scripts/prepare.mjs", which builds it into dist/dashboard; an installed package has it, so install it again. Everything else, such as /api and /metrics, works without it.\n';

export interface DashboardParts {
  readonly server: Controlled;
  readonly access: Access;
  readonly log: Log;
  /** Folder of the built page. */
  readonly folder: string;
}

export class Dashboard {
  readonly #parts: DashboardParts;
  readonly #files: PageFiles;
  readonly #events: Events;

  constructor(parts: DashboardParts) {
    this.#parts = parts;
    this.#files = new PageFiles(parts.folder);
    this.#events = new Events({
      build: () => stateOf(parts.server),
      failed: (error) => parts.log.error('the state for the dashboard could not be made', { error }),
    });
  }

  /** @returns false: the path is none of the dashboard's @throws Refusal */
  async answer(request: IncomingMessage, response: ServerResponse, path: string): Promise<boolean> {
    switch (path) {
      case '/login':
        await this.#logIn(request, response);
        return true;
      case '/logout':
        this.#logOut(request, response);
        return true;
      case '/dashboard':
        this.#index(request, response);
        return true;
      case '/dashboard/session':
        this.#session(request, response);
        return true;
      case '/dashboard/events':
        this.#stream(request, response);
        return true;
    }
    if (!path.startsWith('/dashboard/')) return false;
    this.#asset(request, response, path.slice('/dashboard/'.length));
    return true;
  }

  /** Ends all streams: the server stops. */
  close(): void {
    this.#events.close();
  }

  async #logIn(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { access, log } = this.#parts;
    allow(request, 'POST');
    access.mustNotBeForeign(request);
    if (!/^application\/json\b/i.test(request.headers['content-type'] ?? '')) {
      throw new Refusal(415, 'the body must be JSON, with content-type: application/json');
    }
    if (!access.needsToken) throw new Refusal(400, 'the option admin has no token: there is nothing to log in with');
    const { token } = await readBody(request, LOGIN_BYTES);
    try {
      const { cookie, client } = access.logIn(request, token);
      log.info('somebody logged in to the dashboard', { address: client.address, token: nameOf(client.rights) });
      send(response, 204, '', undefined, { 'set-cookie': cookie });
    } catch (error) {
      const { remoteAddress: address } = request.socket;
      // Those that come too often are no lines: they would fill the log.
      if (error instanceof Refusal && error.status === 401)
        log.warn('a log-in to the dashboard was refused', { address, why: error.message });
      throw error;
    }
  }

  #logOut(request: IncomingMessage, response: ServerResponse): void {
    allow(request, 'POST');
    this.#parts.access.mustNotBeForeign(request);
    const cookies = this.#parts.access.logOut(request);
    send(response, 204, '', undefined, cookies.length === 0 ? {} : { 'set-cookie': cookies });
  }

  #index(request: IncomingMessage, response: ServerResponse): void {
    allow(request, 'GET', 'HEAD');
    const [path = ''] = (request.url ?? '').split('?');
    if (!path.endsWith('/')) return send(response, 308, '', undefined, { location: '/dashboard/' });
    const page = this.#files.get('index.html');
    if (page === undefined) return send(response, 404, NOT_BUILT);
    send(response, 200, page.bytes, page.type, PAGE_HEADERS);
  }

  #asset(request: IncomingMessage, response: ServerResponse, name: string): void {
    allow(request, 'GET', 'HEAD');
    if (this.#files.isMissing) return send(response, 404, NOT_BUILT);
    const file = this.#files.get(name);
    if (file === undefined || name === 'index.html') {
      throw new Refusal(404, `the dashboard has no ${shorten(name)}: load its page again`);
    }
    const caching = { 'cache-control': 'public, max-age=31536000, immutable' };
    send(response, 200, file.bytes, file.type, { ...PAGE_HEADERS, ...caching });
  }

  /** Always answers, so that the page knows what to show. */
  #session(request: IncomingMessage, response: ServerResponse): void {
    allow(request, 'GET', 'HEAD');
    const { access, server } = this.#parts;
    const session = access.session(request);
    const { name, version } = server.status();
    const needsLogin = access.needsToken;
    const isIn = !needsLogin || session !== undefined;
    const body = {
      needsLogin,
      loggedIn: isIn,
      readOnly: session?.rights !== 'change',
      csrf: session?.csrf ?? '',
      // Whoever is not logged in learns nothing of this server.
      name: isIn ? name : '',
      version: isIn ? version : '',
    };
    send(response, 200, `${JSON.stringify(body)}\n`, 'application/json', PAGE_HEADERS);
  }

  #stream(request: IncomingMessage, response: ServerResponse): void {
    allow(request, 'GET');
    const { access } = this.#parts;
    access.mustNotBeForeign(request);
    access.reader(request);
    if (this.#events.isFull) {
      throw new Refusal(503, `there are ${MOST_STREAMS} viewers, which is the most`, { 'retry-after': '10' });
    }
    const isAllowed = (): boolean => {
      try {
        access.reader(request);
        return true;
      } catch {
        return false; // logged out, or the session is over
      }
    };
    this.#events.add(response, PAGE_HEADERS, isAllowed);
  }
}

/** For the log: which of the two tokens. */
export function nameOf(rights: string): string {
  return rights === 'read' ? 'readToken' : 'token';
}

function stateOf(server: Controlled): State {
  const status = server.status();
  const stats = server.stats();
  const { newest: log } = server.log({ after: Number.MAX_SAFE_INTEGER, count: 1 });
  return {
    at: server.now(),
    status,
    stats,
    workers: server.workers(),
    reactors: server.reactors(),
    rates: server.rates(),
    rooms: status.speaksWebSocket ? { rooms: stats.rooms, memberships: stats.roomMembers } : null,
    log,
    ends: server.ends(0).newest,
    doing: server.doing(),
  };
}
