// HTTP as programs speak it that others wrote. Each is skipped where it is not installed.
import { execFile, execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { certificateFor } from '../helpers/certificates.js';
import { removeProfile } from '../helpers/chromium.js';
import { endServers, type ServerProcess, startServer } from '../helpers/server-process.js';
import { hasProgram, startWrk } from '../helpers/wrk.js';

const run = promisify(execFile);
const folder = mkdtempSync(join(tmpdir(), 'site-'));
let plain: ServerProcess;
let encrypted: ServerProcess;

beforeAll(async () => {
  writeFileSync(join(folder, 'index.html'), page);
  writeFileSync(join(folder, 'app.js'), 'document.querySelector("#script").textContent = "ran";');
  writeFileSync(join(folder, 'large.txt'), 'line of text\n'.repeat(100_000));
  const options = { workerNum: 2, staticFiles: { root: folder, index: false }, compression: true, bodyLimit: '64m' };
  plain = await startServer('http.js', { options });
  encrypted = await startServer('http.js', { options: { ...options, tls: certificateFor('localhost') } });
});
afterAll(async () => {
  await endServers();
  rmSync(folder, { recursive: true });
});

const page = `<!doctype html><title>test</title><p id="script"></p><p id="fetched"></p><p id="events"></p>
<script src="/app.js"></script><script>
fetch('/mirror', { method: 'POST', body: 'from the browser' }).then((r) => r.json()).then(({ body }) => { fetched.textContent = body; });
let seen = 0; const source = new EventSource('/events');
source.onmessage = () => { events.textContent = String(++seen); if (seen === 3) source.close(); };
</script>`;

const url = (path: string, { port } = plain, scheme = 'http'): string => `${scheme}://127.0.0.1:${port}${path}`;

async function curl(...args: string[]): Promise<string> {
  return (await run('curl', ['-sS', '--max-time', '20', ...args], { maxBuffer: 2 ** 26 })).stdout;
}

describe.skipIf(!hasProgram('curl'))('curl', () => {
  it('gets, posts, and keeps its connection', async () => {
    expect(await curl(url('/'), '--next', '-sS', url('/'))).toBe('hello\nhello\n');
    const told = JSON.parse(await curl('-d', 'a=b', url('/mirror'))) as { body: string; method: string };
    expect(told).toMatchObject({ method: 'POST', body: 'a=b' });
  });

  it('sends a large body with Expect, and in chunks', async () => {
    const file = join(folder, 'large.txt');
    expect(await curl('-T', file, '-H', 'Expect: 100-continue', url('/length'))).toMatch(/^1300000 /);
    expect(await curl('-T', file, '-H', 'Transfer-Encoding: chunked', url('/length'))).toMatch(/^1300000 /);
  });

  it('takes what is compressed, and a part of a file', async () => {
    const headers = await curl('-sS', '--compressed', '-D', '-', '-o', join(folder, 'out'), url('/text?count=5000'));
    expect(headers).not.toContain('content-encoding'); // no type: nothing is known to gain
    expect(await curl('-r', '0-3', url('/large.txt'))).toBe('line');
    expect(await curl('-I', url('/large.txt'))).toContain('content-length: 1300000');
    const etag = /etag: (\S+)/i.exec(await curl('-I', url('/large.txt')))?.[1] ?? '';
    expect(await curl('-o', '/dev/null', '-w', '%{http_code}', '-H', `If-None-Match: ${etag}`, url('/large.txt'))).toBe(
      '304',
    );
  });

  it('speaks HTTP/1.0', async () => {
    expect(await curl('-0', url('/'))).toBe('hello\n');
  });

  it('speaks TLS', async () => {
    expect(await curl('-k', '--http1.1', url('/', encrypted, 'https'))).toBe('hello\n');
    expect(await curl('-k', '--http1.1', url('/large.txt', encrypted, 'https'))).toHaveLength(1_300_000);
  });

  it('speaks HTTP/2, over TLS and in plain', async () => {
    const args = ['-w', ' %{http_version}'];
    expect(await curl(...args, '-k', '--http2', url('/', encrypted, 'https'))).toBe('hello\n 2');
    expect(await curl(...args, '--http2-prior-knowledge', url('/'))).toBe('hello\n 2');
    const told = await curl(
      '--http2-prior-knowledge',
      '--data-binary',
      `@${join(folder, 'large.txt')}`,
      url('/length'),
    );
    expect(told).toMatch(/^1300000 /);
  });
});

it.skipIf(!hasProgram('ab'))('ab gets 2,000 answers, over connections it keeps and over new ones', async () => {
  for (const keep of [['-k'], []]) {
    const { stdout } = await run('ab', ['-q', '-n', '2000', '-c', '20', ...keep, url('/')]);
    expect(stdout).toMatch(/Complete requests:\s+2000\n/);
    expect(stdout).toMatch(/Failed requests:\s+0\n/);
    if (keep.length > 0) expect(stdout).toMatch(/Keep-Alive requests:\s+2000\n/);
  }
});

it.skipIf(!hasProgram('wrk'))('wrk sees no error', async () => {
  const { errors, refused, requests } = await startWrk(url('/'), 32, 1).done;
  expect({ errors, refused }).toEqual({ errors: 0, refused: 0 });
  expect(requests).toBeGreaterThan(100);
});

it.skipIf(!hasProgram('h2load'))('h2load sees no error, over TLS and in plain, with HTTP/1.1 and HTTP/2', async () => {
  const targets = [
    ['--h1', url('/')],
    [url('/')],
    [url('/', encrypted, 'https')],
    ['-m', '10', url('/', encrypted, 'https')],
  ];
  for (const target of targets) {
    const { stdout } = await run('h2load', ['-n', '1000', '-c', '10', ...target]);
    expect(stdout, target.join(' ')).toContain('1000 succeeded, 0 failed, 0 errored, 0 timeout');
    expect(stdout).toContain('status codes: 1000 2xx');
  }
});

const h11 = `
import socket, sys, h11
conn = h11.Connection(our_role=h11.CLIENT)
sock = socket.create_connection(('127.0.0.1', int(sys.argv[1])), 10)
def ask(method, target, body):
    headers = [('Host', 'test')] + ([('Transfer-Encoding', 'chunked')] if body else [])
    sock.sendall(conn.send(h11.Request(method=method, target=target, headers=headers)))
    for piece in body: sock.sendall(conn.send(h11.Data(data=piece)))
    sock.sendall(conn.send(h11.EndOfMessage()))
    status, got = None, b''
    while True:
        event = conn.next_event()
        if event is h11.NEED_DATA: conn.receive_data(sock.recv(65536))
        elif isinstance(event, h11.Response): status = event.status_code
        elif isinstance(event, h11.Data): got += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage): break
    conn.start_next_cycle()
    return status, got
print(ask('GET', '/', []))
print(ask('POST', '/mirror', [b'abc', b'de'])[1].count(b'"abcde"'))
print(ask('GET', '/trailers', []))
print(ask('HEAD', '/', []))
print(ask('GET', '/pour?bytes=200000', [])[1].count(b'x'))
print(ask('GET', '/status?code=204', []))
`;

it.skipIf(!hasProgram('python3') || !hasH11())(
  'h11, a strict reader of HTTP/1.1, understands each answer',
  async () => {
    const { stdout } = await run('/usr/bin/python3', ['-c', h11, String(plain.port)]);
    expect(stdout.trim().split('\n')).toEqual([
      "(200, b'hello\\n')",
      '1',
      "(200, b'abc')",
      "(200, b'')",
      '200000',
      "(204, b'')",
    ]);
  },
);

function hasH11(): boolean {
  try {
    execFileSync('/usr/bin/python3', ['-c', 'import h11'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

it.skipIf(!hasProgram('chromium'))('Chromium loads a page, runs its script, fetches and hears events', async () => {
  const profile = mkdtempSync(join(tmpdir(), 'profile-'));
  const flags = [
    ...['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-sync'],
    ...['--disable-background-networking', '--disable-component-update', `--user-data-dir=${profile}`],
    ...['--virtual-time-budget=5000', '--dump-dom', '--ignore-certificate-errors'],
  ];
  for (const [server, scheme] of [
    [plain, 'http'],
    [encrypted, 'https'],
  ] as const) {
    const { stdout } = await run('chromium', [...flags, url('/index.html', server, scheme)], { timeout: 25_000 });
    expect(stdout).toContain('<p id="script">ran</p>');
    expect(stdout).toContain('<p id="fetched">from the browser</p>');
    expect(stdout).toContain('<p id="events">3</p>');
  }
  await removeProfile(profile);
});
