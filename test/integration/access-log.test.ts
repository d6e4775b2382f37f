import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdtempSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { connect as connectHttp2 } from 'node:http2';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { PACE } from '../helpers/deadline.js';
import { HttpClient } from '../helpers/http-client.js';
import {
  endServers,
  inProcessMode,
  poll,
  type ServerProcess,
  spawnServer,
  startServer,
} from '../helpers/server-process.js';
import { sharedServers } from '../helpers/shared-servers.js';
import { TcpClient } from '../helpers/tcp-client.js';

afterEach(endServers);

const asRoot = it.skipIf(process.getuid?.() !== 0);
const NOBODY = 65_534;

type Line = Readonly<Record<string, unknown>>;
const FILE = 'access.log';

const textOf = (server: ServerProcess, file = FILE): string => {
  const path = join(server.folder, file);
  return existsSync(path) ? readFileSync(path, 'utf8') : '';
};
const linesOf = (server: ServerProcess, file = FILE): Line[] =>
  textOf(server, file)
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Line);

const optionsOf = (accessLog: object, options: object = {}) => ({
  options: { workerNum: 1, reactorNum: 1, accessLog: { format: 'json', file: FILE, ...accessLog }, ...options },
});
const start = (accessLog: object = {}, options: object = {}): Promise<ServerProcess> =>
  startServer('http.js', optionsOf(accessLog, options));

const root = mkdtempSync(join(tmpdir(), 'public-'));
afterAll(() => rmSync(root, { recursive: true }));
writeFileSync(join(root, 'a.txt'), 'a'.repeat(100_000));
writeFileSync(join(root, 'long'), Buffer.alloc(40_000_000, 'x'));

const shared = sharedServers();
const skip = { paths: ['/who', '/skipped'] };
const staticFiles = { root, prefix: '/files' };
const soonMs = Math.round(300 * PACE);
const limits = { bodyLimit: 1000, requestTimeoutMs: soonMs, headersTimeoutMs: soonMs };

/** A server that tests share, and the lines that come from now on. Each test waits for its last one. */
async function startShared(options: object = {}): Promise<{ server: ServerProcess; lines(): Line[] }> {
  const server = await shared('http.js', optionsOf({ skip }, { staticFiles, ...options }));
  const from = linesOf(server).length;
  return { server, lines: () => linesOf(server).slice(from) };
}

/** Sends bytes on a connection of their own. @returns what came until the server ended it */
async function say(server: ServerProcess, bytes: string): Promise<string> {
  const client = await TcpClient.connect(server.port);
  client.send(bytes);
  await client.closed;
  return client.received;
}

const get = (path: string, fields = ''): string =>
  `GET ${path} HTTP/1.1\r\nHost: it\r\n${fields}Connection: close\r\n\r\n`;

async function lineFor(server: ServerProcess, url: string): Promise<Line> {
  return await poll(`a line for ${url}`, () => linesOf(server).find((line) => line['url'] === url));
}

describe('the access log', () => {
  it('has a line for each answer, with its status and the bytes of its body', async () => {
    const { server, lines } = await startShared();
    const cases: readonly (readonly [path: string, status: number, bytes: number])[] = [
      ['/', 200, 6],
      ['/status?code=404', 404, 4],
      ['/status?code=204', 204, 0],
      ['/throw', 500, 22],
      ['/hints', 200, 6],
      ['/pour?bytes=300000', 200, 300_000],
      ['/text?count=40000', 200, 80_000],
    ];
    for (const [path, status, bytes] of cases) {
      const answer = await say(server, get(path));
      const line = await lineFor(server, path);
      expect(line, path).toMatchObject({ method: 'GET', url: path, httpVersion: '1.1', status, client: '127.0.0.1' });
      expect(line, path).toMatchObject({ host: 'it' });
      // As it was sent: with the framing of chunks.
      const final = answer.slice(answer.lastIndexOf('HTTP/1.1'));
      expect(line['bytes'], path).toBe(final.length - final.indexOf('\r\n\r\n') - 4);
      if (path !== '/pour?bytes=300000') expect(line['bytes'], path).toBeGreaterThanOrEqual(bytes);
      expect(line, path).not.toHaveProperty('cut');
    }
    expect(lines()).toHaveLength(cases.length);
  });

  it('has what comes by pipelining, by HEAD, with a body, and with a body in chunks, in order', async () => {
    const { server, lines } = await startShared();
    const requests = [
      'HEAD /one HTTP/1.1\r\nHost: it\r\n\r\n',
      'POST /two HTTP/1.1\r\nHost: it\r\nContent-Length: 5\r\n\r\nhello',
      'POST /three HTTP/1.1\r\nHost: it\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n',
      `POST /four HTTP/1.1\r\nHost: it\r\nContent-Length: 200000\r\nConnection: close\r\n\r\n${'x'.repeat(200_000)}`,
    ];
    await say(server, requests.join(''));
    await lineFor(server, '/four');
    const all = lines();
    expect(all.map(({ method, url, status }) => [method, url, status])).toEqual([
      ['HEAD', '/one', 200],
      ['POST', '/two', 200],
      ['POST', '/three', 200],
      ['POST', '/four', 200],
    ]);
    expect(all[0]).toMatchObject({ bytes: 0 });
  });

  it('has what the server answers itself: files, nonsense, limits, a client that left', async () => {
    const { server, lines } = await startShared(limits);
    await say(server, get('/files/a.txt'));
    expect(await lineFor(server, '/files/a.txt')).toMatchObject({ status: 200, bytes: 100_000 });
    await say(server, 'NONSENSE\r\n\r\n');
    await poll('the nonsense is told', () => lines().some(({ status }) => status === 400 || status === 501));
    await say(server, `POST /big HTTP/1.1\r\nHost: it\r\nContent-Length: 2000\r\n\r\n`);
    expect(await lineFor(server, '/big')).toMatchObject({ status: 413 });
    await say(server, get('/never'));
    expect(await lineFor(server, '/never')).toMatchObject({ status: 503 });
    const leaves = await TcpClient.connect(server.port);
    leaves.send('GET /signal HTTP/1.1\r\nHost: it\r\n\r\n');
    await server.waitForEvent('waiting');
    leaves.socket.resetAndDestroy();
    expect(await lineFor(server, '/signal')).toMatchObject({ status: 499, cut: true, bytes: 0 });
  });

  it('has a line for an answer that is broken off, with what had left', async () => {
    const { server } = await startShared();
    expect(await say(server, get('/throw-late'))).toContain('a part');
    const line = await lineFor(server, '/throw-late');
    expect(line).toMatchObject({ status: 200, cut: true });
    expect(line['bytes']).toBeGreaterThanOrEqual('a part'.length);
  });

  it('has a file that its client did not take whole, with what left of it', async () => {
    const { server, lines } = await startShared();
    const client = await TcpClient.connect(server.port);
    client.socket.pause();
    client.send('GET /files/long HTTP/1.1\r\nHost: it\r\n\r\n');
    await once(client.socket, 'readable');
    expect(lines()).toEqual([]);
    client.socket.resetAndDestroy();
    const line = await lineFor(server, '/files/long');
    expect(line).toMatchObject({ status: 200, cut: true });
    expect(line['bytes']).toBeLessThan(40_000_000);
    expect((await say(server, get('/files/long'))).length).toBeGreaterThan(40_000_000);
    await poll('the whole one', () => lines().find(({ bytes, cut }) => bytes === 40_000_000 && cut !== true));
  });

  it('has requests whose body does not come, but not where they are to be skipped', async () => {
    const { server, lines } = await startShared(limits);
    const fields = 'HTTP/1.1\r\nHost: it\r\nContent-Length: 10\r\n';
    expect(await say(server, `POST /skipped ${fields}\r\nabc`)).toContain(' 408 ');
    expect(await say(server, `POST /late ${fields}User-Agent: it\r\n\r\nabc`)).toContain(' 408 ');
    expect(await lineFor(server, '/late')).toMatchObject({ status: 408, userAgent: 'it', method: 'POST' });
    expect(await say(server, `GET /head HTTP/1.1\r\nHost`)).toContain(' 408 ');
    expect(await lineFor(server, '/head')).toMatchObject({ status: 408, method: 'GET' });
    const leaves = await TcpClient.connect(server.port);
    leaves.send(`POST /left ${fields}\r\nabc`);
    leaves.socket.end();
    expect(await lineFor(server, '/left')).toMatchObject({ status: 499, cut: true });
    expect(lines()).toHaveLength(3);
  });

  it('that is a named pipe without a reader ends the start', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'tswoole-pipe-'));
    const file = join(folder, FILE);
    expect(spawnSync('mkfifo', [file]).status).toBe(0); // before the server could make a file of that name
    const server = spawnServer('http.js', { options: { workerNum: 1, reactorNum: 1, accessLog: { file } } });
    expect((await server.exited).code).toBe(1);
    expect(server.stderr).toContain('ERR_LOG_FILE');
    rmSync(folder, { recursive: true });
  });

  // In BASE mode the lines of the last moments die with their process, as its connections do.
  inProcessMode('has the requests of a worker that died', async () => {
    const server = await start();
    await say(server, get('/die'));
    expect(await lineFor(server, '/die')).toMatchObject({ status: 502 });
    expect(await say(server, get('/die-late'))).toContain('a part');
    expect(await lineFor(server, '/die-late')).toMatchObject({ status: 200, cut: true });
  });

  it('has the streams of HTTP/2', async () => {
    const { server, lines } = await startShared();
    const session = connectHttp2(`http://127.0.0.1:${server.port}`);
    const ask = (path: string, method = 'GET'): Promise<number> =>
      new Promise((resolve, reject) => {
        const stream = session.request({ ':path': path, ':method': method, 'user-agent': 'two', referer: 'r' });
        let bytes = 0;
        stream.on('data', (data: Buffer) => (bytes += data.length));
        stream.on('error', reject);
        stream.on('end', () => resolve(bytes));
      });
    for (const path of ['/?two', '/pour?bytes=200000', '/status?code=404&two', '/who']) {
      const bytes = await ask(path);
      if (path === '/who') continue;
      const status = path.includes('404') ? 404 : 200;
      const expected = { method: 'GET', status, bytes, httpVersion: '2.0', client: '127.0.0.1' };
      expect(await lineFor(server, path)).toMatchObject({ ...expected, userAgent: 'two', referer: 'r' });
    }
    for (let nth = 0; nth < 5; nth++) {
      const stream = session.request({ ':path': `/mirror?${nth}`, ':method': 'POST' });
      let bytes = 0;
      stream.on('data', (data: Buffer) => (bytes += data.length)).end('abc');
      await once(stream, 'end');
      expect(await lineFor(server, `/mirror?${nth}`)).toMatchObject({ method: 'POST', bytes });
    }
    await ask('/end', 'HEAD');
    expect(await lineFor(server, '/end')).toMatchObject({ method: 'HEAD', bytes: 0 });
    expect(lines().filter(({ cut }) => cut === true)).toEqual([]);
    expect(lines().map(({ url }) => url)).not.toContain('/who');
    session.destroy();
  });

  it('is as Apache writes it, with the client that a trusted proxy names', async () => {
    const server = await start({ format: 'combined' }, { trustProxy: 'loopback' });
    const fields = 'X-Forwarded-For: 6.6.6.6, 203.0.113.9\r\nReferer: http://a/"b\r\nUser-Agent:  Mozilla/5.0 \r\n';
    await say(server, get('/?a=b', fields));
    const line = await poll('the line', () => textOf(server) || undefined);
    const shown = /^203\.0\.113\.9 - - \[\d\d\/[A-Z][a-z]{2}\/\d{4}:\d\d:\d\d:\d\d \+0000\] (.*)\n$/.exec(line)?.[1];
    expect(shown).toBe('"GET /?a=b HTTP/1.1" 200 6 "http://a/\\x22b" "Mozilla/5.0"');
  });

  it('has the time that a handler has kept its worker busy', async () => {
    const { server } = await startShared();
    await say(server, get('/block?ms=300'));
    const { ms } = await lineFor(server, '/block?ms=300');
    expect(ms).toBeGreaterThanOrEqual(299);
  });

  it('leaves out what is to be skipped', async () => {
    const skip = { paths: ['/who', '/status*'], statusBelow: 400 };
    const server = await start({ skip });
    for (const path of ['/', '/who?a', '/status?code=500', '/throw']) await say(server, get(path));
    await lineFor(server, '/throw');
    expect(linesOf(server).map(({ url }) => url)).toEqual(['/throw']);
  });

  it('goes to standard output where no file is named', async () => {
    const server = await start({ file: undefined });
    await say(server, get('/there'));
    const line = await server.waitFor('the line', () => server.lines.find(({ url }) => url === '/there'));
    expect(line).toMatchObject({ status: 200, client: '127.0.0.1' });
  });

  it('has one line for an upgrade', async () => {
    const accessLog = { format: 'json', file: FILE };
    const server = await startServer('websocket.js', { options: { workerNum: 1, reactorNum: 1, accessLog } });
    const client = await TcpClient.connect(server.port);
    const fields = 'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n';
    client.send(`GET /socket HTTP/1.1\r\nHost: it\r\n${fields}Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n`);
    expect(await lineFor(server, '/socket')).toMatchObject({ status: 101, bytes: 0 });
    await client.close();
    await say(server, get('/after'));
    await lineFor(server, '/after');
    expect(linesOf(server)).toHaveLength(2);
  });

  asRoot('belongs to the user of the workers, who find it again after a rotation', async () => {
    const options = { accessLog: { format: 'json', file: FILE }, workerNum: 1, reactorNum: 1, user: 'nobody' };
    const server = spawnServer('http.js', { options });
    chmodSync(server.folder, 0o755); // nobody may go through it, and make nothing in it
    await server.waitForEvent('up');
    const file = join(server.folder, FILE);
    await say(server, get('/before'));
    await lineFor(server, '/before');
    expect(statSync(file).uid).toBe(NOBODY);
    renameSync(file, `${file}.1`);
    server.signal('SIGWINCH');
    await poll('there is a new file', () => existsSync(file) && statSync(file).uid === NOBODY);
    await say(server, get('/after'));
    await lineFor(server, '/after');
    expect(statSync(file).uid).toBe(NOBODY);
    expect(linesOf(server, `${FILE}.1`).map(({ url }) => url)).toEqual(['/before']);
    expect(server.stderr).toBe('');
  });

  it('loses no line over reloads, rotations and an end in order', async () => {
    const server = await start({}, { workerNum: 2, reactorNum: 2 });
    const client = await HttpClient.connect(server.port);
    let sent = 0;
    const file = join(server.folder, FILE);
    for (let round = 0; round < 4; round++) {
      for (let i = 0; i < 50; i++) await client.get(`/?n=${sent++}`);
      if (round === 1) process.kill(server.masterPid, 'SIGUSR1');
      if (round === 2) {
        renameSync(file, `${file}.1`);
        process.kill(server.masterPid, 'SIGWINCH');
        await poll('there is a new file', () => existsSync(file));
      }
    }
    await client.close();
    process.kill(server.masterPid, 'SIGTERM');
    await server.exited;
    const seen = [...linesOf(server, `${FILE}.1`), ...linesOf(server)].map(({ url }) => url as string);
    expect(seen.toSorted()).toEqual(Array.from({ length: sent }, (_, n) => `/?n=${n}`).toSorted());
    expect(statSync(file).mode & 0o777).toBe(0o640);
    expect(linesOf(server).length).toBeGreaterThan(0);
  });
});
