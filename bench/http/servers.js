// Which servers are measured, and how one is started, asked once whether it answers right, and ended.
import { spawn, spawnSync } from 'node:child_process';
import { Agent, request } from 'node:http';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { fetchBun, freePort, killSession, sessionCpuUs } from '../servers.js';

const START_MS = 15_000;
const STOP_MS = 3000;
const ANSWER_MS = 5000;
const peer = (name) => fileURLToPath(new URL(`./peers/${name}`, import.meta.url));
const running = new Set();

/** As they stand in the tables, and as the targets name them. */
export const NAMES = {
  base: 'tswoole BASE, 1 worker',
  process: 'tswoole PROCESS, 1 + 1',
  process2: 'tswoole PROCESS, 2 + 2',
  base2: 'tswoole BASE, 2 workers',
  fetch: 'tswoole BASE 1, fetch: Hono',
  listener: 'tswoole BASE 1, listener: Express',
  node: 'node:http',
  cluster: 'node:cluster × 2',
  fastify: 'Fastify',
  hono: 'Hono on node:http',
  express: 'Express on node:http',
  bun: 'Bun',
  c: 'C epoll, fixed answer',
};

/** @param folder for what is compiled */
export function listServers(folder) {
  const js = (name, file, env = {}) => ({ name, command: [process.execPath, peer(file)], env });
  const ours = (name, env) => js(name, 'tswoole.js', env);
  const [bun, fixed] = [fetchBun(), compileFixed(folder)];
  return [
    ours(NAMES.base, { MODE: 'base', WORKERS: '1' }),
    ours(NAMES.process, { MODE: 'process', REACTORS: '1', WORKERS: '1' }),
    ours(NAMES.process2, { MODE: 'process', REACTORS: '2', WORKERS: '2' }),
    ours(NAMES.base2, { MODE: 'base', WORKERS: '2' }),
    ours(NAMES.fetch, { MODE: 'base', WORKERS: '1', HANDLER: 'fetch' }),
    ours(NAMES.listener, { MODE: 'base', WORKERS: '1', HANDLER: 'listener' }),
    js(NAMES.node, 'node.js'),
    js(NAMES.cluster, 'node.js', { WORKERS: '2' }),
    js(NAMES.fastify, 'fastify.js'),
    js(NAMES.hono, 'hono.js'),
    js(NAMES.express, 'express.js'),
    ...(bun ? [{ name: NAMES.bun, command: [bun, peer('bun.js')], env: {} }] : []),
    ...(fixed ? [{ name: NAMES.c, command: [fixed], env: {} }] : []),
  ];
}

/** Where a C compiler exists; undefined otherwise. */
function compileFixed(folder) {
  const program = join(folder, 'fixed');
  return spawnSync('cc', ['-O2', '-o', program, peer('fixed.c')], { stdio: 'ignore' }).status === 0
    ? program
    : undefined;
}

/** Runs `use` beside a server of its own session, and ends the server whatever happens. */
export async function withServer({ command: [program, ...args], env }, one, use) {
  const port = await freePort();
  const settings = { ...process.env, NODE_ENV: 'production', ...env, PORT: String(port), ANSWER: fixedAnswer(one) };
  const child = spawn(program, args, { env: settings, stdio: ['ignore', 'pipe', 'pipe'], detached: true });
  const gone = new Promise((resolve) => child.once('close', resolve));
  running.add(child.pid);
  try {
    await isReady(child);
    return await use({ port, cpuUs: () => sessionCpuUs(child.pid) });
  } finally {
    await endServer(child, gone);
  }
}

/** Resolves when the server says that it is ready. */
function isReady(child) {
  return new Promise((resolve, reject) => {
    let complaint = '';
    child.stderr.on('data', (data) => {
      complaint = `${complaint}${data}`.slice(0, 4000);
    });
    const timer = setTimeout(() => reject(new Error(`not ready after ${START_MS} ms`)), START_MS);
    child.once('error', reject);
    child.stdout.once('data', () => {
      clearTimeout(timer);
      resolve();
    });
    child.once('close', () => {
      clearTimeout(timer);
      const reason = /^\w*Error.*$/m.exec(complaint)?.[0] ?? complaint.trim().split('\n')[0];
      reject(new Error(`it has ended: ${reason}`));
    });
  });
}

async function endServer(child, gone) {
  try {
    process.kill(-child.pid, 'SIGTERM');
  } catch {
    // it has ended
  }
  const timer = setTimeout(() => killSession(child.pid), STOP_MS);
  await gone;
  clearTimeout(timer);
  killSession(child.pid);
  running.delete(child.pid);
}

/** For the way out that does not wait: Ctrl+C, an error. */
export function killServers() {
  for (const session of running) killSession(session);
}

function fixedAnswer({ answer, contentType }) {
  return `HTTP/1.1 200 OK\r\ncontent-type: ${contentType}\r\ncontent-length: ${answer.length}\r\n\r\n${answer}`;
}

/** Asks twice over one connection, so that all are known to do the same work. Throws with what is wrong. */
export async function checkAnswers(port, one) {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  try {
    expectAnswer(await ask(port, one, agent), one);
    const second = await ask(port, one, agent);
    expectAnswer(second, one);
    if (!second.reused) throw new Error('the connection was not kept alive');
  } finally {
    agent.destroy();
  }
}

function expectAnswer({ status, type, body }, { answer, contentType }) {
  if (status !== 200) throw new Error(`status ${status}, not 200`);
  if (!type.startsWith(contentType)) throw new Error(`content-type ${type}, not ${contentType}`);
  if (body !== answer) throw new Error(`another body: ${JSON.stringify(body.slice(0, 60))}`);
}

function ask(port, { path, fields, body }, agent) {
  const method = body === undefined ? 'GET' : 'POST';
  const options = { host: '127.0.0.1', port, path, method, headers: fields, agent, timeout: ANSWER_MS };
  return new Promise((resolve, reject) => {
    const asked = request(options, (res) => {
      const pieces = [];
      res.on('data', (piece) => pieces.push(piece));
      res.on('error', reject);
      res.on('end', () =>
        resolve({
          status: res.statusCode,
          type: res.headers['content-type'] ?? '',
          body: Buffer.concat(pieces).toString(),
          reused: asked.reusedSocket,
        }),
      );
    });
    asked.on('timeout', () => asked.destroy(new Error(`no answer in ${ANSWER_MS} ms`)));
    asked.on('error', reject).end(body);
  });
}
