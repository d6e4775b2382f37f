// Which servers are measured, and how one is asked whether it answers right.
import { Agent, request } from 'node:http';
import { request as requestSecurely, Agent as SecureAgent } from 'node:https';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { withServer } from '../harness/processes.js';
import { compile, fetchBun } from '../harness/tools.js';

const ANSWER_MS = 5000;
const peer = (name) => fileURLToPath(new URL(`./peers/${name}`, import.meta.url));

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
  const [bun, fixed] = [fetchBun(), compile(peer('fixed.c'), join(folder, 'fixed'))];
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

/** Runs `use` beside a server; the one that always answers the same gets told what. */
export function withHttpServer(server, one, use) {
  return withServer(server, { ANSWER: fixedAnswer(one) }, use);
}

function fixedAnswer({ answer, contentType }) {
  return `HTTP/1.1 200 OK\r\ncontent-type: ${contentType}\r\ncontent-length: ${answer.length}\r\n\r\n${answer}`;
}

/** Asks twice over one connection, so that all are known to do the same work. Throws with what is wrong. */
export async function checkAnswers(port, one) {
  const agent = new (one.isSecure ? SecureAgent : Agent)({ keepAlive: true, maxSockets: 1 });
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

function ask(port, { path, fields, body, isSecure }, agent) {
  const send = isSecure ? requestSecurely : request;
  const method = body === undefined ? 'GET' : 'POST';
  const options = { host: '127.0.0.1', port, path, method, headers: fields, agent, timeout: ANSWER_MS };
  if (isSecure) options.rejectUnauthorized = false;
  return new Promise((resolve, reject) => {
    const asked = send(options, (res) => {
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
