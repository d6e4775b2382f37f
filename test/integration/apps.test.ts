// `tswoole start APP --http`: apps that were not written for tswoole.
import { lookup } from 'node:dns/promises';
import { readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { io, type Socket } from 'socket.io-client';
import { afterEach, describe, expect, it } from 'vitest';
import WebSocket from 'ws';
import { CommandLine, endCommandLines } from '../helpers/command-line.js';
import { poll } from '../helpers/server-process.js';

afterEach(endCommandLines);

/** Without a port and an address of its own in the environment. */
function lineWith(source: string, env: Readonly<Record<string, string>> = {}): CommandLine {
  const line = new CommandLine(env);
  delete line.env['TSWOOLE_OPTION_PORT'];
  delete line.env['PORT'];
  delete line.env['HOST'];
  Object.assign(line.env, env);
  writeFileSync(join(line.folder, 'app.js'), source);
  return line;
}

/** @returns where it says that it listens */
async function start(line: CommandLine, ...args: string[]): Promise<string> {
  const said = await line.must('start', 'app.js', '--http', '--daemon', ...args);
  return /listening on (.*)\n/.exec(said)?.[1] ?? said;
}

async function freePort(): Promise<number> {
  const holder = createServer().listen(0, '127.0.0.1');
  await poll('a free port', () => holder.listening);
  const { port } = holder.address() as { port: number };
  await new Promise((resolve) => holder.close(resolve));
  return port;
}

const HTTP = `import { createServer } from 'node:http';\n`;
const HTTPS = `import { createServer } from 'node:https';
await new Promise((up) => createServer({}).listen(0, '127.0.0.1', up));\n`;
const TELLS = `const tells = (request, response) => response.end(JSON.stringify({ port: process.env.PORT, host: process.env.HOST }));\n`;

describe('the server listens where the app says:', () => {
  const shapes = [
    ['listen(port, host)', (port: number) => `createServer(tells).listen(${port}, '127.0.0.2');`, '127.0.0.2'],
    [
      'listen({ port, host })',
      (port: number) => `createServer(tells).listen({ port: ${port}, host: '127.0.0.2' });`,
      '127.0.0.2',
    ],
    [
      'exported port and hostname',
      (port: number) =>
        `export default { port: ${port}, hostname: '127.0.0.2', fetch: () => Response.json({ port: process.env.PORT, host: process.env.HOST }) };`,
      '127.0.0.2',
    ],
    [
      'listen() after a while, with an export',
      (port: number) =>
        `export const app = createServer(tells); setTimeout(() => app.listen(${port}, '127.0.0.2'), 50);`,
      '127.0.0.2',
    ],
    [
      'listen() that the top of the script waits for',
      (port: number) =>
        `const server = createServer(tells); await new Promise((up) => server.listen(${port}, '127.0.0.2', up));`,
      '127.0.0.2',
    ],
    [
      'PORT or a port of its own',
      (port: number) => `createServer(tells).listen(process.env.PORT ?? ${port}, process.env.HOST ?? '127.0.0.2');`,
      '127.0.0.2',
    ],
  ] as const;
  it.each(shapes)('%s; it is told PORT and HOST', async (_, source, host) => {
    const port = await freePort();
    const line = lineWith(`${HTTP}${TELLS}${source(port)}`);
    expect(await start(line)).toBe(`${host}:${port}`);
    const told = await (await fetch(`http://${host}:${port}/`)).json();
    expect(told).toEqual({ port: String(port), host });
  });

  it('each worker of it knows its number as NODE_APP_INSTANCE', async () => {
    const line = lineWith(
      `${HTTP}createServer((_, response) => response.end(process.env.NODE_APP_INSTANCE)).listen(0, '127.0.0.1');`,
    );
    const address = await start(line, '--workers', '2');
    const seen = new Set<string>();
    await poll('both have answered', async () => {
      const answer = await fetch(`http://${address}/`, { headers: { connection: 'close' } });
      return seen.add(await answer.text()).size === 2 || undefined;
    });
    expect([...seen].sort()).toEqual(['0', '1']);
    expect(await line.must('show')).toContain(address);
  });

  it.each([
    ['listen(port)', (port: number) => `${HTTP}${TELLS}createServer(tells).listen(${port});`],
    ['exported port', (port: number) => `export default { port: ${port}, fetch: () => new Response() };`],
  ])('at every address, as Node does, where it names none: %s', async (_, source) => {
    const line = lineWith(source(await freePort()));
    const port = /^(?:\[::\]|0\.0\.0\.0|:::?):?(\d+)$/.exec(await start(line))?.[1];
    expect((await fetch(`http://127.0.0.1:${port}/`)).status).toBe(200);
  });

  it('and a server that is given a name finds the address that was bound by it, as in Node', async () => {
    const source = `${HTTP}const server = createServer((_, response) => response.end(JSON.stringify(server.address())));
      server.listen(${await freePort()}, 'localhost');`;
    const line = lineWith(source);
    const at = await start(line);
    expect(await (await fetch(`http://${at}/`)).json()).toEqual({
      ...(await lookup('localhost').then(({ address, family }) => ({ address, family: `IPv${family}` }))),
      port: Number(at.split(':').at(-1)),
    });
  });

  it('but flags win, PORT too; what they leave open is as the app says', async () => {
    const [own, given, third] = [await freePort(), await freePort(), await freePort()];
    const line = lineWith(`${HTTP}${TELLS}createServer(tells).listen(${own}, '127.0.0.2');`);
    expect(await start(line, '--port', String(given), '--host', '127.0.0.3', '--name', 'a')).toBe(`127.0.0.3:${given}`);
    expect(await (await fetch(`http://127.0.0.3:${given}/`)).json()).toEqual({
      port: String(given),
      host: '127.0.0.3',
    });
    expect(await start(line, '--port', String(third), '--name', 'b')).toBe(`127.0.0.2:${third}`);
  });

  it('an app that cannot be loaded says why', async () => {
    const line = lineWith(`import 'lost-package';\n${HTTP}`);
    const { code, stderr } = await line.run('start', 'app.js', '--http', '--daemon');
    expect(stderr).toMatch(/lost-package/);
    expect(code).toBe(1);
    expect(line.tree()).toEqual([]);
  });

  it.each([
    ['process', 'a server of https', HTTPS, /TLS is the work of tswoole here/g],
    ['base', 'a server of https', HTTPS, /TLS is the work of tswoole here/g],
    ['process', 'nothing', 'await new Promise(() => {});', /an `await` at its top/g],
    ['base', 'nothing', 'await new Promise(() => {});', /an `await` at its top/g],
  ])('an app that waits at its top in mode %s for %s is refused with the reason', async (mode, _, source, reason) => {
    const line = lineWith(source);
    const words = ['start', 'app.js', '--http', '--mode', mode, '--workers', '1'];
    const { code, stderr } = await line.run(...words);
    expect([code, stderr.match(reason)?.length], stderr).toEqual([1, 1]);
    const daemon = await line.run(...words, '--daemon', '--log-file', 'app.log');
    expect([daemon.code, daemon.stderr.match(reason)?.length], daemon.stderr).toEqual([1, 1]);
    expect(readFileSync(join(line.folder, 'app.log'), 'utf8')).toMatch(reason);
    expect(line.tree()).toEqual([]);
  });
});

it('list, status, workers and top show requests per second and latencies of HTTP servers, and no packets', async () => {
  const line = lineWith(`${HTTP}${TELLS}createServer(tells).listen(0, '127.0.0.1');`);
  const address = await start(line);
  for (let i = 0; i < 20; i++) await (await fetch(`http://${address}/`)).text();
  const [listed] = JSON.parse(await line.must('list', '--json')) as [
    { state: string; traffic: { perSecond: number; latencyP99: number } },
  ];
  expect(listed.state).toBe('running');
  expect(listed.traffic.perSecond).toBeGreaterThan(0);
  expect(listed.traffic.latencyP99).toBeGreaterThan(0);
  expect(await line.must('list')).toMatch(/ req\/s/);
  const status = await line.must('status');
  expect(status).toMatch(/requests +20 to workers \([\d.]+\/s, p50 .*, p99 /);
  for (const text of [status, await line.must('workers'), await line.must('top')]) {
    expect(text).toMatch(/req/i);
    expect(text).not.toMatch(/packets|PKT/i);
  }
});

it.each(['with its length', 'in chunks'])(
  'a body that is too large, sent %s, is answered 413 and logged by the name of the limit: bodyLimit',
  async (how) => {
    const line = lineWith(`${HTTP}createServer((q, r) => q.resume().on('end', () => r.end())).listen(0, '127.0.0.1');`);
    const address = await start(line, '--log-file', 'app.log', '--body-limit', '1m');
    const whole = new Uint8Array(5_000_000);
    const body = how === 'in chunks' ? new Blob([whole]).stream() : whole;
    const answer = await fetch(`http://${address}/`, { method: 'POST', body, duplex: 'half' } as RequestInit);
    expect([answer.status, await answer.text()]).toEqual([413, expect.stringContaining('bodyLimit')]);
    expect(await line.must('logs')).toMatch(/a client was disconnected: .*bodyLimit/);
  },
);

describe('arguments of Node go to workers:', () => {
  const app = `${HTTP}import v8 from 'node:v8';
createServer((q, r) => r.end(JSON.stringify({ heap: v8.getHeapStatistics().heap_size_limit, loaded: globalThis.loaded }))).listen(0, '127.0.0.1');`;

  it('--max-old-space-size and --import', async () => {
    const line = lineWith(app);
    writeFileSync(join(line.folder, 'first.mjs'), 'globalThis.loaded = true;\n');
    const address = await start(line, '--max-old-space-size=200', '--import', './first.mjs');
    const { heap, loaded } = (await (await fetch(`http://${address}/`)).json()) as { heap: number; loaded: boolean };
    expect(heap).toBeLessThan(500 * 2 ** 20);
    expect(loaded).toBe(true);
  });

  it.each([[[]], [['--mode', 'base', '--workers', '1']]])(
    '--inspect=PORT gives each a port of its own, told in the log, also of those that a reload starts: %s',
    async (mode) => {
      const line = lineWith(app);
      const port = await freePort();
      await start(line, `--inspect=${port}`, '--log-file', 'app.log', ...mode);
      const isAlone = mode.includes('1');
      expect(await debuggers(line)).toHaveLength(isAlone ? 1 : 2);
      if (isAlone) return;
      await line.must('reload');
      expect(new Set(await debuggers(line)).size).toBe(4);
    },
  );

  it('--inspect-brk: a worker waits for its debugger, beyond the time for its boot', async () => {
    const line = lineWith(app);
    const port = await freePort();
    const args = [`--inspect-brk=${port}`, '--workers', '1', '--boot-timeout-ms', '1000', '--log-file', 'app.log'];
    const starting = start(line, ...args);
    const target = await poll('the worker can be debugged', async () => {
      const answer = await fetch(`http://127.0.0.1:${port}/json`).catch(() => undefined);
      const [first] = ((await answer?.json()) ?? []) as { webSocketDebuggerUrl: string }[];
      return first;
    });
    await new Promise((resolve) => setTimeout(resolve, 1500)); // longer than it may boot otherwise
    const socket = new WebSocket(target.webSocketDebuggerUrl);
    const say = (id: number, method: string): void => socket.send(JSON.stringify({ id, method }));
    socket.on('message', (data) => String(data).includes('Debugger.paused') && say(4, 'Debugger.resume'));
    await new Promise((resolve) => socket.once('open', resolve));
    for (const [id, method] of ['Debugger.enable', 'Runtime.enable', 'Runtime.runIfWaitingForDebugger'].entries()) {
      say(id + 1, method);
    }
    expect(await starting).toMatch(/:\d+$/);
    socket.close();
  });
});

/** Those that are told in the log, asked whether they answer while their process lives. */
async function debuggers(line: CommandLine): Promise<string[]> {
  const log = await line.must('logs', '-n', '1000');
  const urls = [...log.matchAll(/"url":"ws:\/\/([^/]+)\/.*the debugger of this process listens/g)].map(
    ([, at]) => at ?? '',
  );
  const pids = new Set((await line.report()).workers.map(({ pid }) => pid));
  const living = log
    .split('\n')
    .filter((text) => text.includes('the debugger') && [...pids].some((pid) => text.includes(`"pid":${pid},`)));
  expect(living.length).toBe(pids.size);
  for (const text of living) {
    const at = /ws:\/\/([^/]+)\//.exec(text)?.[1];
    const targets = (await (await fetch(`http://${at}/json`)).json()) as { type: string }[];
    expect(targets).toMatchObject([{ type: 'node' }]);
  }
  return urls;
}

describe('clients of socket.io reach the worker that has their session:', () => {
  const CLIENTS = 8;
  const app = `${HTTP}import { Server } from 'socket.io';
const http = createServer((q, r) => r.end('else'));
const io = new Server(http);
if (process.env.OWN_IDS) { let last = 0; io.engine.generateId = () => 'own-' + process.pid + '-' + ++last; }
io.on('connection', (socket) => socket.on('ask', (text, answer) => answer(process.pid + ' ' + text.length)));
http.listen(0, '127.0.0.1');`;

  for (const mode of ['process', 'base']) {
    it.each([
      ['polling alone', { transports: ['polling'] }, {}],
      ['polling, then WebSocket', {}, {}],
      ['polling, with ids that the app makes', { transports: ['polling'] }, { OWN_IDS: '1' }],
    ])(`${mode} mode, 4 workers, all from one address: %s`, async (_, options, env) => {
      const line = lineWith(app, env);
      for (const name of ['socket.io']) {
        const target = fileURLToPath(new URL(`../../node_modules/${name}`, import.meta.url));
        symlinkSync(target, join(line.folder, 'node_modules', name));
      }
      const address = await start(line, '--workers', '4', '--mode', mode);
      const make = (): Socket => io(`http://${address}`, { ...options, forceNew: true, reconnection: false });
      const sockets = Array.from({ length: CLIENTS }, make);
      try {
        const answers = await Promise.all(sockets.map((socket) => talk(socket)));
        for (const pids of answers) expect(new Set(pids).size).toBe(1);
        // Not all in one worker; in BASE mode one may be quick enough to accept them all.
        if (mode === 'process') expect(new Set(answers.flat()).size).toBeGreaterThan(1);
      } finally {
        for (const socket of sockets) socket.close();
      }
    });
  }

  /** @returns which worker has answered each question */
  async function talk(socket: Socket): Promise<string[]> {
    await new Promise((resolve, reject) =>
      socket.once('connect', () => resolve(undefined)).once('connect_error', reject),
    );
    const pids: string[] = [];
    for (const size of [1, 1, 200_000, 1]) {
      const [pid = '', length] = ((await socket.timeout(10_000).emitWithAck('ask', 'x'.repeat(size))) as string).split(
        ' ',
      );
      expect(length).toBe(String(size));
      pids.push(pid);
    }
    return pids;
  }
});
