import { createConnection } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { CommandLine, endCommandLines } from '../helpers/command-line.js';
import { DEADLINE_MS } from '../helpers/deadline.js';
import { poll } from '../helpers/server-process.js';
import { foreground, look, sharedLines } from '../helpers/shared-lines.js';

afterEach(endCommandLines);

const TOKEN = 'a-token-that-changes';
const READ_TOKEN = 'a-token-that-only-reads';

interface Person {
  readonly cookie: string;
  readonly csrf: string;
}

interface State {
  readonly at: number;
  readonly stats: { readonly requestCount: number; readonly connectionNum: number };
  readonly workers: readonly { readonly id: number; readonly pid: number }[];
  readonly reactors: readonly object[];
  readonly rates: { readonly requests: number; readonly connections: number };
  readonly ends: number;
  readonly doing: { readonly what: string } | null;
}

interface Event {
  readonly event: string;
  readonly id: string;
  readonly data: Partial<State>;
}

class World {
  readonly line = new CommandLine();
  url = '';
  #port = 0;

  async start(admin: object, ...flags: string[]): Promise<this> {
    const given = JSON.stringify({ port: 0, dashboard: true, ...admin });
    const { port } = await foreground(this.line, '--admin', given, '--log-file', 'log', ...flags);
    this.#port = port;
    this.url = (await look(this.line)).status.admin;
    return this;
  }

  ask(path: string, init: RequestInit = {}): Promise<Response> {
    return fetch(`${this.url}${path}`, { redirect: 'manual', ...init });
  }

  logIn(token: string, headers: Record<string, string> = {}): Promise<Response> {
    const body = JSON.stringify({ token });
    return this.ask('/login', { method: 'POST', headers: { 'content-type': 'application/json', ...headers }, body });
  }

  async person(token = TOKEN): Promise<Person> {
    const answer = await this.logIn(token);
    expect(answer.status).toBe(204);
    const [cookie = ''] = (answer.headers.get('set-cookie') ?? '').split(';');
    const { csrf } = (await (await this.ask('/dashboard/session', { headers: { cookie } })).json()) as Person;
    return { cookie, csrf };
  }

  /** As the page does it, unless the headers say otherwise; one that is undefined is left out. */
  post({ cookie, csrf }: Person, path: string, body: object, headers: Record<string, string | undefined> = {}) {
    const all = { cookie, origin: this.url, 'x-tswoole-csrf': csrf, ...headers };
    const sent = Object.entries(all).filter((entry): entry is [string, string] => entry[1] !== undefined);
    return this.ask(path, { method: 'POST', headers: sent, body: JSON.stringify(body) });
  }

  async get<T>({ cookie }: Person, path: string): Promise<T> {
    return (await (await this.ask(path, { headers: { cookie } })).json()) as T;
  }

  /** A client says a line. */
  say(line: string): Promise<void> {
    return new Promise((resolve, reject) => {
      const socket = createConnection(this.#port, '127.0.0.1', () => socket.write(`${line}\n`));
      socket.once('data', () => socket.destroy()).once('close', () => resolve());
      socket.once('error', reject);
    });
  }
}

/** A viewer of the event stream, with the newest value of each key. */
class Viewer {
  readonly status: number;
  readonly events: Event[] = [];
  state: Partial<State> = {};
  isOver = false;
  readonly #stop: AbortController;

  private constructor(status: number, stop: AbortController) {
    this.status = status;
    this.#stop = stop;
  }

  static async open(world: World, { cookie }: Person, headers: Record<string, string> = {}): Promise<Viewer> {
    const stop = new AbortController();
    const answer = await world.ask('/dashboard/events', { headers: { cookie, ...headers }, signal: stop.signal });
    const viewer = new Viewer(answer.status, stop);
    if (answer.status === 200) void viewer.#read(answer);
    else await answer.text();
    return viewer;
  }

  close(): void {
    this.#stop.abort();
  }

  async until(what: string, is: (state: State) => boolean, withinMs = DEADLINE_MS): Promise<void> {
    await poll(what, () => this.events.length > 0 && is(this.state as State), withinMs);
  }

  async #read(answer: Response): Promise<void> {
    let rest = '';
    const decoder = new TextDecoder();
    try {
      for await (const piece of answer.body as unknown as AsyncIterable<Uint8Array>) {
        rest += decoder.decode(piece, { stream: true });
        const texts = rest.split('\n\n');
        rest = texts.pop() ?? '';
        for (const text of texts) this.#take(text);
      }
    } catch {
      // closed here, or by a server that is gone
    }
    this.isOver = true;
  }

  #take(text: string): void {
    const fields = Object.fromEntries(text.split('\n').map((line) => line.split(/: (.*)/s).slice(0, 2)));
    const event = { event: fields.event, id: fields.id, data: JSON.parse(fields.data) };
    this.events.push(event);
    if (event.event === 'state') this.state = { ...this.state, ...event.data };
  }
}

describe.each([
  ['process', '--mode=process'],
  ['base', '--mode=base'],
])('the dashboard of a server in %s mode', (mode, flag) => {
  const shared = sharedLines();
  const start = (): Promise<World> => shared('', () => new World().start({ token: TOKEN }, flag));

  it('shows live figures, and a worker that was killed within two seconds', async () => {
    const world = await start();
    const person = await world.person();
    const viewer = await Viewer.open(world, person);
    await viewer.until('the first state came', ({ workers }) => workers.length === 2);
    expect(viewer.state.reactors).toHaveLength(mode === 'base' ? 0 : 1);
    const before = viewer.state.stats?.requestCount ?? 0;
    for (let i = 0; i < 5; i++) await world.say('who');
    await viewer.until('requests are counted', ({ stats }) => stats.requestCount >= before + 5);
    expect(viewer.events.slice(1).every(({ data }) => !('rooms' in data))).toBe(true);

    const [first] = viewer.state.workers ?? [];
    process.kill(first?.pid ?? 0, 'SIGKILL');
    await viewer.until('its end is told', ({ ends }) => ends === 1, 2000);
    const { ends } = await world.get<{ ends: object[] }>(person, '/api/ends');
    expect(ends[0]).toMatchObject({
      ...{ number: 1, kind: 'worker', id: first?.id, pid: first?.pid, code: 0, signal: 'SIGKILL', cause: 'signal' },
      reason: `worker ${first?.id} was killed by SIGKILL`,
    });
    await viewer.until('another one is there', ({ workers }) =>
      workers.some(({ id, pid }) => id === first?.id && pid !== 0 && pid !== first?.pid),
    );
    const { points } = await world.get<{ points: { requests: number }[] }>(person, '/api/history');
    expect(points.some(({ requests }) => requests > 0)).toBe(true);
  });

  it('reloads when a person asks for it, who is in the log, and ends its streams with the server', async () => {
    const world = await start();
    const person = await world.person();
    const viewer = await Viewer.open(world, person);
    const before = await world.get<{ ends: object[] }>(person, '/api/ends');
    const answer = await world.post(person, '/api/reload', {});
    expect([answer.status, await answer.json()]).toEqual([200, { generation: 1 }]);
    const told = '/api/log?text=the%20admin%20listener%20command';
    const { lines } = await world.get<{ lines: { text: string; source: string }[] }>(person, told);
    expect(lines.map(({ text }) => text)).toEqual([
      'a command came to the admin listener command=reload address=127.0.0.1 token=token by=session',
    ]);
    const { ends } = await world.get<{ ends: { cause: string }[] }>(person, '/api/ends');
    const newest = ends.slice(0, ends.length - before.ends.length);
    expect(newest.map(({ cause }) => cause)).toEqual(['reload', 'reload']);
    await world.line.must('stop');
    await poll('the stream has ended', () => viewer.isOver);
    expect(viewer.events.at(-1)?.event).toBe('end');
  });
});

const alone = ['--worker-num', '1'];
const shared = sharedLines();
/** For tests that leave no wrong token behind: with too many the address is kept out. */
const withToken = (): Promise<World> => shared('', () => new World().start({ token: TOKEN }, ...alone));

describe('the dashboard refuses', () => {
  it('whoever has no token, the wrong one, or one that only reads', async () => {
    const world = await new World().start({ token: TOKEN, readToken: READ_TOKEN }, ...alone);
    const nobody = { cookie: 'a=b', csrf: '' };
    expect(await world.get(nobody, '/dashboard/session')).toEqual({
      ...{ needsLogin: true, loggedIn: false, readOnly: true, csrf: '', name: '', version: '' },
    });
    expect((await Viewer.open(world, nobody)).status).toBe(401);
    for (const path of ['/api/status', '/api/log', '/api/ends', '/api/history', '/api/objects'])
      expect([path, (await world.ask(path)).status]).toEqual([path, 401]);
    expect((await world.post(nobody, '/api/reload', {})).status).toBe(401);

    const reader = await world.person(READ_TOKEN);
    expect(await world.get(reader, '/dashboard/session')).toMatchObject({ loggedIn: true, readOnly: true });
    expect((await world.ask('/api/status', { headers: { cookie: reader.cookie } })).status).toBe(200);
    expect((await world.post(reader, '/api/reload', {})).status).toBe(403);
    const bearer = { authorization: `Bearer ${READ_TOKEN}` };
    expect((await world.ask('/api/status', { headers: bearer })).status).toBe(200);
    expect((await world.ask('/api/reload', { method: 'POST', headers: bearer })).status).toBe(403);

    for (let i = 0; i < 10; i++) expect((await world.logIn(`wrong token number ${i}`)).status).toBe(401);
    const late = await world.logIn(TOKEN);
    expect([late.status, Number(late.headers.get('retry-after'))]).toEqual([429, expect.any(Number)]);
    expect((await world.ask('/api/status', { headers: { cookie: reader.cookie } })).status).toBe(200);
    const settings = await world.get<{ admin: object }>(reader, '/api/settings');
    expect(settings.admin).toMatchObject({ token: '(hidden)', readToken: '(hidden)' });
  });

  it('pages of other origins, other hosts, and changes without what only its page knows', async () => {
    const world = await withToken();
    const person = await world.person();
    const reload = (headers: Record<string, string | undefined>): Promise<Response> =>
      world.post(person, '/api/reload', {}, headers);
    for (const headers of [
      ...[{ origin: 'http://evil.example' }, { origin: undefined }, { origin: 'null' }],
      ...[{ 'x-tswoole-csrf': undefined }, { 'x-tswoole-csrf': `${person.csrf}x` }, { 'x-tswoole-csrf': '' }],
      { 'sec-fetch-site': 'cross-site' },
    ])
      expect([headers, (await reload(headers)).status]).toEqual([headers, 403]);
    expect((await world.logIn(TOKEN, { origin: 'http://evil.example' })).status).toBe(403);
    expect((await world.logIn(TOKEN, { 'content-type': 'text/plain' })).status).toBe(415);
    expect((await Viewer.open(world, person, { origin: 'http://evil.example' })).status).toBe(403);
    const { port } = new URL(world.url);
    for (const path of ['/dashboard/', '/dashboard/session', '/dashboard/events', '/login', '/logout'])
      expect([path, await statusFor(Number(port), path, 'evil.example')]).toEqual([path, 403]);
    expect(await world.get(person, '/api/status')).toMatchObject({ generation: 0 }); // nothing was done

    const out = await world.post(person, '/logout', {});
    expect([out.status, out.headers.get('set-cookie')]).toEqual([204, expect.stringContaining('Max-Age=0')]);
    expect((await world.ask('/api/status', { headers: { cookie: person.cookie } })).status).toBe(401);
  });

  it('a seventeenth viewer; and a viewer who logs out', async () => {
    const world = await withToken();
    const [person, other] = [await world.person(), await world.person()];
    const viewers = await Promise.all(Array.from({ length: 15 }, () => Viewer.open(world, person)));
    const last = await Viewer.open(world, other);
    expect([...viewers, last].map(({ status }) => status)).toEqual(Array(16).fill(200));
    expect((await Viewer.open(world, person)).status).toBe(503);
    await world.post(person, '/logout', {});
    await poll('the streams have ended', () => viewers.every(({ isOver }) => isOver));
    expect([viewers[0]?.events.at(-1)?.event, last.isOver]).toEqual(['end', false]);
    last.close();
  });
});

describe('the dashboard', () => {
  it('needs no log-in on loopback without a token, and nothing can be changed then', async () => {
    const world = await new World().start({}, ...alone);
    const nobody = { cookie: '', csrf: '' };
    expect(await world.get(nobody, '/dashboard/session')).toMatchObject({
      ...{ needsLogin: false, loggedIn: true, readOnly: true, csrf: '', name: 'operated' },
    });
    const viewer = await Viewer.open(world, nobody);
    await viewer.until('a second state came', () => viewer.events.length > 1);
    viewer.close();
    expect((await world.post(nobody, '/api/reload', {})).status).toBe(403);
    expect((await world.logIn('any token that is long')).status).toBe(400);
    expect(await world.line.must('dashboard')).toBe(
      `${world.url}/dashboard/\nNo log-in is needed, and nothing can be changed: the option admin has no token.\n`,
    );
  });

  it('is not there unless it is asked for', async () => {
    const world = await new World().start({ token: TOKEN, dashboard: false }, ...alone);
    for (const path of ['/dashboard', '/dashboard/', '/dashboard/session', '/dashboard/events', '/login'])
      expect([path, (await world.ask(path)).status]).toEqual([path, 404]);
    const log = await world.ask('/api/log', { headers: { authorization: `Bearer ${TOKEN}` } });
    expect([log.status, await log.json()]).toMatchObject([409, { error: { code: 'ERR_NO_DASHBOARD' } }]);
    const { code, stderr } = await world.line.run('dashboard');
    expect([code, stderr]).toEqual([1, expect.stringContaining('The dashboard of operated is off')]);
  });

  it('leaves text of others as it is', async () => {
    const world = await withToken();
    const person = await world.person();
    const script = '<script>alert(1)</script>';
    const answer = await world.post(person, '/api/publish', { room: script, text: 'x' });
    expect([answer.status, answer.headers.get('content-type')]).toEqual([409, 'application/json']);
    expect(answer.headers.get('x-content-type-options')).toBe('nosniff');
    const path = `/api/log?text=${encodeURIComponent('command=publish')}`;
    const lines = await world.ask(path, { headers: { cookie: person.cookie } });
    expect(lines.headers.get('content-type')).toBe('application/json');
    expect(await lines.json()).toMatchObject({ lines: [{ text: expect.stringContaining(`room=${script}`) }] });
    const missing = await world.ask(`/dashboard/${encodeURIComponent(script)}`);
    expect([missing.status, missing.headers.get('content-type')]).toEqual([404, expect.not.stringContaining('html')]);
  });
});

/** `fetch` sets the Host itself. */
function statusFor(port: number, path: string, host: string): Promise<number> {
  return new Promise((resolve, reject) => {
    let text = '';
    const method = path.startsWith('/log') ? 'POST' : 'GET';
    const socket = createConnection(port, '127.0.0.1', () =>
      socket.write(`${method} ${path} HTTP/1.1\r\nHost: ${host}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`),
    );
    socket.on('data', (data) => (text += data.toString('latin1')));
    socket.on('close', () => resolve(Number(/^HTTP\/1\.1 (\d{3})/.exec(text)?.[1]))).on('error', reject);
  });
}
