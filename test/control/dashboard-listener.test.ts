/** The dashboard on a listener of its own, with a server that is made up. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { AdminServer } from '../../src/control/admin.js';
import { CommandTable } from '../../src/control/commands.js';
import type { Controlled } from '../../src/control/controlled.js';
import type { ResolvedAdmin } from '../../src/options/index.js';
import { Log } from '../../src/util/log.js';

const TOKEN = 'a-token-of-16-letters';

let folder: string;
let admin: AdminServer;
let log: string[];

const server = {
  status: () => ({ name: 'shop', version: '1.2.3', speaksWebSocket: true, workerNum: 2 }),
  stats: () => ({ rooms: 2, roomMembers: 5 }),
  log: () => ({ lines: [], newest: 7, lost: 0 }),
  ends: () => ({ ends: [], newest: 3 }),
  workers: () => [],
  reactors: () => [],
  rates: () => null,
  doing: () => null,
  now: () => 99,
  scale: async (workerNum: number) => ({ workerNum }),
} as unknown as Controlled;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'page-'));
  log = [];
});
afterEach(async () => {
  await admin.close();
  rmSync(folder, { recursive: true });
});

async function listen(given: Partial<ResolvedAdmin> = {}): Promise<void> {
  const output = new Log({ role: 'master', level: 'debug', write: (line) => log.push(line) });
  const options = {
    ...{ host: '127.0.0.1', port: 0, token: TOKEN, readToken: '', hosts: ['dash.example'], dashboard: true },
    ...given,
  };
  admin = new AdminServer(options, server, new CommandTable(server, new Map()), output, folder);
  await admin.listen();
}

function build(): void {
  mkdirSync(join(folder, 'assets'));
  writeFileSync(join(folder, 'index.html'), '<!doctype html>');
  writeFileSync(join(folder, 'assets/app-1.js'), 'go();');
}

const ask = (path: string, init: RequestInit = {}): Promise<Response> =>
  fetch(`${admin.url}${path}`, { redirect: 'manual', ...init });
const logIn = (token: unknown, headers: Record<string, string> = {}): Promise<Response> =>
  ask('/login', {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify({ token }),
  });
const cookieOf = (answer: Response): string => (answer.headers.get('set-cookie') ?? '').split(';')[0] ?? '';

describe('the page', () => {
  it('is one address, with files that never change', async () => {
    build();
    await listen();
    const moved = await ask('/dashboard');
    expect([moved.status, moved.headers.get('location')]).toEqual([308, '/dashboard/']);
    const page = await ask('/dashboard/');
    expect([page.status, await page.text()]).toEqual([200, '<!doctype html>']);
    expect(page.headers.get('cache-control')).toBe('no-store');
    const file = await ask('/dashboard/assets/app-1.js');
    expect([file.status, await file.text()]).toEqual([200, 'go();']);
    expect(file.headers.get('cache-control')).toBe('public, max-age=31536000, immutable');
    for (const path of ['assets/app-2.js', 'index.html', 'assets', 'assets/%2e%2e/index.html', 'package.json'])
      expect([path, (await ask(`/dashboard/${path}`)).status]).toEqual([path, 404]);
    const head = await ask('/dashboard/', { method: 'HEAD' });
    expect([head.status, head.headers.get('content-length'), await head.text()]).toEqual([200, '15', '']);
    for (const path of ['/dashboard/', '/dashboard/session', '/dashboard/events', '/dashboard/assets/app-1.js'])
      expect([path, (await ask(path, { method: 'POST' })).status]).toEqual([path, 405]);
    expect((await ask('/login')).status).toBe(405);
  });

  it('may load and ask nothing but this listener, and stand in no frame', async () => {
    build();
    await listen();
    for (const path of ['/dashboard/', '/dashboard/assets/app-1.js', '/dashboard/session']) {
      const { headers } = await ask(path);
      const policy = (headers.get('content-security-policy') ?? '').split('; ');
      expect(policy).toEqual(
        expect.arrayContaining([
          ...["default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'"],
          ...["img-src 'self' data:", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'"],
        ]),
      );
      expect(policy.join()).not.toContain('unsafe');
      expect(headers.get('x-content-type-options')).toBe('nosniff');
      expect(headers.get('referrer-policy')).toBe('no-referrer');
    }
  });

  it('that is not built says what to do, and is there as soon as it is', async () => {
    await listen();
    for (const path of ['/dashboard/', '/dashboard/assets/app-1.js']) {
      const answer = await ask(path);
      expect([answer.status, await answer.text()]).toEqual([404, expect.stringContaining('node scripts/prepare.mjs')]);
    }
    build();
    expect((await ask('/dashboard/')).status).toBe(200);
  });
});

describe('the log-in', () => {
  it('sets a cookie that no script reads, and that goes over TLS alone where the browser speaks it', async () => {
    await listen();
    const port = new URL(admin.url).port;
    const plain = await logIn(TOKEN);
    expect([plain.status, plain.headers.get('set-cookie')]).toEqual([
      204,
      expect.stringMatching(
        new RegExp(`^tswoole_session_${port}=[\\w-]{43}; Path=/; HttpOnly; SameSite=Strict; Max-Age=43200$`),
      ),
    ]);
    // A proxy passes the Host on; `fetch` sets its own, so the Origin is that of the listener.
    const secure = await logIn(TOKEN, { origin: admin.url.replace('http:', 'https:') });
    expect(secure.headers.get('set-cookie')).toMatch(new RegExp(`^__Host-tswoole_session_${port}=.*; Secure$`));
    const session = await ask('/dashboard/session', { headers: { cookie: cookieOf(secure) } });
    expect(await session.json()).toMatchObject({ loggedIn: true, readOnly: false, name: 'shop', version: '1.2.3' });
    expect(log.join('\n')).toContain('somebody logged in to the dashboard address=127.0.0.1 token=token');
  });

  it.each([[''], ['wrong'], [undefined], [null], [5], [{ length: 16 }], [[TOKEN]], [`${TOKEN} `]])(
    'with %j in place of the token is refused, and in the log',
    async (token) => {
      await listen();
      const answer = await logIn(token);
      expect([answer.status, answer.headers.get('set-cookie')]).toEqual([401, null]);
      expect(log.join('\n')).toContain('a log-in to the dashboard was refused address=127.0.0.1');
      expect(log.join('\n')).not.toContain(TOKEN);
    },
  );

  it('is refused with a long body, and after ten wrong tries without a word in the log', async () => {
    await listen();
    expect((await logIn('t'.repeat(4096))).status).toBe(413);
    for (let i = 0; i < 10; i++) expect((await logIn(`wrong token ${i}`)).status).toBe(401);
    const lines = log.length;
    const late = await logIn(TOKEN);
    expect([late.status, Number(late.headers.get('retry-after')) > 0, log.length]).toEqual([429, true, lines]);
  });

  it('that only reads changes nothing, and neither does an empty token that is not set', async () => {
    await listen({ token: '', readToken: TOKEN });
    expect((await logIn('')).status).toBe(401);
    const cookie = cookieOf(await logIn(TOKEN));
    const { csrf } = (await (await ask('/dashboard/session', { headers: { cookie } })).json()) as { csrf: string };
    const headers = { cookie, origin: admin.url, 'x-tswoole-csrf': csrf };
    expect((await ask('/api/scale', { method: 'POST', headers, body: '{"workerNum":3}' })).status).toBe(403);
    expect((await ask('/api/status', { headers })).status).toBe(200);
    for (const authorization of ['Bearer ', 'Bearer', 'Basic x', ''])
      expect((await ask('/api/status', { headers: { authorization } })).status).toBe(401);
  });
});

describe('a change by cookie', () => {
  it('is carried out for the own page, and who it was is in the log', async () => {
    await listen();
    const cookie = cookieOf(await logIn(TOKEN));
    const { csrf } = (await (await ask('/dashboard/session', { headers: { cookie } })).json()) as { csrf: string };
    const headers = { cookie, origin: admin.url, 'x-tswoole-csrf': csrf };
    const answer = await ask('/api/scale', { method: 'POST', headers, body: '{"workerNum":3}' });
    expect(await answer.json()).toEqual({ workerNum: 3 });
    expect(log.at(-1)).toMatch(/command=scale workerNum=3 address=127\.0\.0\.1 token=token by=session$/);
    // A header that is wrong is not made good by the cookie.
    expect((await ask('/api/status', { headers: { ...headers, authorization: 'Bearer wrong' } })).status).toBe(401);
  });
});

it('the event stream begins with the whole state', async () => {
  await listen();
  const stop = new AbortController();
  const headers = { authorization: `Bearer ${TOKEN}` };
  const answer = await ask('/dashboard/events', { headers, signal: stop.signal });
  expect([answer.status, answer.headers.get('content-type')]).toEqual([200, 'text/event-stream; charset=utf-8']);
  const first = await (answer.body as ReadableStream<Uint8Array>).getReader().read();
  const [, data = ''] = /^event: state\nid: \d+\ndata: (.*)\n\n$/.exec(Buffer.from(first.value ?? []).toString()) ?? [];
  expect(JSON.parse(data)).toEqual({
    ...{ at: 99, status: server.status(), stats: server.stats(), workers: [], reactors: [], rates: null },
    ...{ rooms: { rooms: 2, memberships: 5 }, log: 7, ends: 3, doing: null },
  });
  stop.abort();
});
