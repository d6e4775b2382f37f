import { once } from 'node:events';
import { existsSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { type IncomingMessage, request } from 'node:http';
import { createConnection } from 'node:net';
import { join } from 'node:path';
import { afterEach, describe, expect, it, onTestFinished } from 'vitest';
import { CommandLine, endCommandLines } from '../helpers/command-line.js';
import { poll } from '../helpers/server-process.js';
import { foreground, look, sharedLines } from '../helpers/shared-lines.js';

afterEach(endCommandLines);

const TOKEN = 'a-token-of-some-length';

interface Admin {
  readonly line: CommandLine;
  readonly url: string;
  readonly port: number;
}

async function start(admin: object): Promise<Admin> {
  const line = new CommandLine();
  await foreground(line, '--admin', JSON.stringify({ port: 0, ...admin }));
  const url = (await look(line)).status.admin;
  return { line, url, port: Number(new URL(url).port) };
}

const shared = sharedLines();
const withToken = (): Promise<Admin> => shared('with a token', () => start({ token: TOKEN }));
const withoutToken = (): Promise<Admin> =>
  shared('without a token', () => start({ hosts: ['metrics.internal', '2001:DB8::1'] }));

/** What comes back until the listener closes; each request must ask for that. */
function raw(port: number, bytes: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = '';
    const socket = createConnection(port, '127.0.0.1', () => socket.write(bytes));
    socket
      .on('data', (data) => (text += data.toString('latin1')))
      .on('close', () => resolve(text))
      .on('error', (error: NodeJS.ErrnoException) => (error.code === 'ECONNRESET' ? resolve(text) : reject(error)));
  });
}

const statusOf = (answer: string): number => Number(/^HTTP\/1\.1 (\d{3})/.exec(answer)?.[1] ?? 0);
const get = (target: string, ...fields: string[]): string =>
  `GET ${target} HTTP/1.1\r\n${[...fields, 'Connection: close'].join('\r\n')}\r\n\r\n`;

describe('a refusal', () => {
  /** The body leaves piece by piece, and all of it before the client reads: a reset would end the request. */
  const upload = async (url: string, fields: Record<string, string>, pieces: number): Promise<number> => {
    const sent = request(url, { method: 'POST', headers: fields, agent: false });
    const answered = once(sent, 'response') as Promise<[IncomingMessage]>;
    const piece = Buffer.alloc(65_536, 'x');
    for (let count = 0; count < pieces; count++) if (!sent.write(piece)) await once(sent, 'drain');
    sent.end();
    const [answer] = await answered;
    answer.resume();
    await once(answer, 'end');
    return answer.statusCode ?? 0;
  };
  const authorization = `Bearer ${TOKEN}`;

  it.each([
    ['of a wrong token', '/api/greet', { authorization: 'Bearer another-token-of-some' }, 401],
    ['of an unknown command', '/api/nix', { authorization }, 404],
    ['of an unknown path', '/nix', {}, 405],
    ['of a body whose length is too long', '/api/greet', { authorization, 'content-length': String(65_536 * 48) }, 413],
    ['of a body without a length that becomes too long', '/api/greet', { authorization }, 413],
  ])('%s reaches a client that sends 3 MiB before it reads', async (_, path, fields, status) => {
    const { url } = await withToken();
    expect(await upload(`${url}${path}`, fields, 48)).toBe(status);
  });

  it('reaches a client that never ends its body', async () => {
    const { port } = await withToken();
    const fields = `Host: 127.0.0.1:${port}\r\nContent-Length: 5000000`;
    expect(statusOf(await raw(port, `POST /api/greet HTTP/1.1\r\n${fields}\r\n\r\nbegun`))).toBe(401);
  });
});

describe('a profile', () => {
  it('asked for over HTTP is the answer, and no path is taken', async () => {
    const { line, url } = await withToken();
    const target = join(line.folder, 'written');
    const post = (body: object): Promise<Response> =>
      fetch(`${url}/api/profile`, {
        method: 'POST',
        headers: { authorization: `Bearer ${TOKEN}` },
        body: JSON.stringify(body),
      });
    const refused = await post({ target: 'master', seconds: 1, path: target });
    expect(refused.status).toBe(400);
    expect(await refused.text()).toContain('ERR_OPTION_UNKNOWN');
    expect(existsSync(target)).toBe(false);
    for (const of of ['master', 'manager', 0]) {
      const answer = await post({ target: of, seconds: 1 });
      expect(answer.status).toBe(200);
      expect(answer.headers.get('content-disposition')).toContain('.cpuprofile');
      expect(await answer.json()).toMatchObject({ nodes: expect.any(Array) });
    }
    const heap = await post({ target: 1, kind: 'heap' });
    expect(await heap.json()).toMatchObject({ snapshot: { meta: expect.any(Object) } });
    expect((await post({ target: 77 })).status).toBe(400);
    expect((await fetch(`${url}/api/profile?target=0`, { headers: { authorization: `Bearer ${TOKEN}` } })).status).toBe(
      405,
    );
  });

  it('asked for over the control socket replaces nothing: not a file, not what a link leads to', async () => {
    const { line } = await withoutToken();
    const file = join(line.folder, 'precious');
    const link = join(line.folder, 'link');
    const dangling = join(line.folder, 'dangling');
    writeFileSync(file, 'precious');
    symlinkSync(file, link);
    symlinkSync(join(line.folder, 'made'), dangling);
    const asked = [
      ['0', file],
      ['manager', link],
      ['master', dangling],
      ['1', link, '--heap'],
      ['master', file, '--heap'],
    ] as const;
    for (const [of, to, ...kind] of asked) {
      const result = await line.run('profile', of, '--seconds', '1', '--output', to, ...kind);
      expect(result).toMatchObject({ code: 1, stderr: expect.stringMatching(/already.*name a new file/) });
    }
    expect(readFileSync(file, 'utf8')).toBe('precious');
    expect(existsSync(join(line.folder, 'made'))).toBe(false);
    await line.must('profile', '0', '--seconds', '1', '--output', join(line.folder, 'new'));
    expect(JSON.parse(readFileSync(join(line.folder, 'new'), 'utf8'))).toMatchObject({ nodes: expect.any(Array) });
  });
});

describe('the admin listener', () => {
  it('answers for the addresses it listens on, localhost and the hosts of its option, and for no other', async () => {
    const { port } = await withoutToken();
    const ask = async (target: string, ...fields: string[]): Promise<number> =>
      statusOf(await raw(port, get(target, ...fields)));
    for (const path of ['/metrics', '/healthz', '/readyz', '/', '/api', '/api/status']) {
      for (const host of [
        'evil.example',
        `evil.example:${port}`,
        '10.1.2.3',
        '127.0.0.1.evil.example',
        '[2001:db8::2]',
      ])
        expect([path, host, await ask(path, `Host: ${host}`)]).toEqual([path, host, 403]);
    }
    for (const host of [
      ...['127.0.0.1', `127.0.0.1:${port}`, 'localhost', 'LOCALHOST:80', 'localhost.', 'app.localhost', '[::1]:9'],
      ...['metrics.internal', 'Metrics.Internal:443', '[2001:db8::1]', '[2001:db8:0:0:0:0:0:1]:80'],
    ])
      expect([host, await ask('/metrics', `Host: ${host}`)]).toEqual([host, 200]);
    for (const host of ['a b', 'localhost:', 'localhost:99999', 'localhost:x', 'user@localhost', '[::1', 'a/b'])
      expect([host, await ask('/metrics', `Host: ${host}`)]).toEqual([host, host === 'localhost:' ? 200 : 400]);
    expect(await ask('/metrics', 'Host: localhost', 'Host: localhost')).toBe(400);
    expect(await ask('/metrics')).toBe(400);
    expect(statusOf(await raw(port, 'GET /metrics HTTP/1.0\r\n\r\n'))).toBe(200);
    expect(statusOf(await raw(port, 'GET /metrics HTTP/1.0\r\nHost: evil.example\r\n\r\n'))).toBe(403);
  });

  it('looks at the host of an absolute target too', async () => {
    const { port } = await withoutToken();
    const ask = async (target: string, host = 'localhost'): Promise<number> =>
      statusOf(await raw(port, get(target, `Host: ${host}`)));
    expect(await ask('http://localhost/metrics')).toBe(200);
    expect(await ask('http://localhost')).toBe(200);
    expect(await ask('http://evil.example/metrics')).toBe(403);
    expect(await ask('http://localhost/metrics', 'evil.example')).toBe(403);
    expect(await ask('http://user@localhost/metrics')).toBe(400);
    expect(await ask('ftp://localhost/metrics')).toBe(400);
  });

  it('refuses targets that are no path with 400, unknown ones with 404, and tells nothing of itself', async () => {
    const { port } = await withoutToken();
    const refused: readonly (readonly [target: string, status: number])[] = [
      ...(['//', '//evil.example/metrics', '/%', '/%zz', '/api/%ff', '/metrics?%', '*', 'metrics'] as const).map(
        (target) => [target, 400] as const,
      ),
      ...(['/metrics/../../etc', '/api/constructor', `/${'a'.repeat(8000)}`] as const).map(
        (target) => [target, 404] as const,
      ),
      ...(['constructor', '__proto__', 'toString'] as const).map(
        (name) => [`/api/connections?${name}=1`, 400] as const,
      ),
      [`/${'a'.repeat(100_000)}`, 431],
    ];
    for (const [target, status] of refused) {
      const answer = await raw(port, get(target, 'Host: localhost'));
      expect([target.slice(0, 40), statusOf(answer)]).toEqual([target.slice(0, 40), status]);
      expect(answer).not.toMatch(/\bat \S+ \(|node:internal|\.js:|file:/);
      expect(answer.length).toBeLessThan(1000);
    }
  });

  it('refuses methods and bodies it does not take, and still serves', async () => {
    const { port, url, line } = await withToken();
    const say = (method: string, path: string, body = ''): Promise<string> =>
      raw(
        port,
        `${method} ${path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${TOKEN}\r\nConnection: close\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
      );
    for (const method of ['PUT', 'DELETE', 'OPTIONS', 'TRACE', 'PATCH', 'PROPFIND'])
      expect([method, statusOf(await say(method, '/metrics'))]).toEqual([method, 405]);
    expect(statusOf(await say('BREW', '/metrics'))).toBe(400);
    for (const body of ['{', '[]', '1', '"a"', 'null', '\xff\xfe', '['.repeat(100_000)])
      expect([body.slice(0, 9), statusOf(await say('POST', '/api/greet', body))]).toEqual([body.slice(0, 9), 400]);
    expect(statusOf(await say('POST', '/api/scale', '{"constructor":1}'))).toBe(400);
    const failed = await say('POST', '/api/fails');
    expect(statusOf(failed)).toBe(500);
    expect(failed).toContain('it is not my day');
    expect(failed).not.toMatch(/stack|\bat |operated/);
    expect((await fetch(`${url}/healthz`)).status).toBe(200);
    expect((await look(line)).status.phase).toBe('running');
  });

  it('tells of a failed reload without a stack or the folders of the machine', async () => {
    const { line, url } = await withToken();
    const source = readFileSync(line.script, 'utf8');
    onTestFinished(() => writeFileSync(line.script, source));
    writeFileSync(line.script, "import './not-there.js';\n");
    const headers = { authorization: `Bearer ${TOKEN}` };
    const answer = await fetch(`${url}/api/reload`, { method: 'POST', headers });
    const text = await answer.text();
    expect(answer.status).toBe(409);
    expect(text).not.toContain(line.folder);
    expect(text).not.toMatch(/\bat |node:internal/);
  });

  it('does not wait for a body that stalls', async () => {
    const { port, url } = await withToken();
    const head = `POST /api/greet HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${TOKEN}\r\nContent-Length: 100\r\n\r\n{`;
    const [answer, halfHead] = await Promise.all([raw(port, head), raw(port, 'GET /metrics HTTP/1.1\r\nHo')]);
    for (const text of [answer, halfHead]) expect([0, 408]).toContain(statusOf(text));
    await poll('it answers', async () => (await fetch(`${url}/healthz`)).status === 200);
  });
});
