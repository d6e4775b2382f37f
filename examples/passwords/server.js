// Password hashes, computed in task workers: a hash takes a processor for a tenth of a second, and no client waits for
// another client's hash. One command per line: `hash PASSWORD`, `verify HASH PASSWORD`, `stats`.
import { randomBytes, scryptSync, timingSafeEqual } from 'node:crypto';
import { Server } from 'tswoole';

const COST = { N: 2 ** 15, r: 8, p: 1, maxmem: 64 * 2 ** 20 };
const KEY_BYTES = 32;

const server = new Server({
  host: '127.0.0.1',
  port: Number(process.env.PORT ?? 9502),
  workerNum: 1,
  taskWorkerNum: 2,
  taskRetries: 1, // a hash may be computed twice: it has no side effects
});

// Runs in a task worker. taskWait() resolves to its return value.
server.on('task', ({ data }) => {
  if (data.command === 'hash') return hash(data.password);
  return verify(data.hash, data.password);
});

function hash(password, salt = randomBytes(16)) {
  return `${salt.toString('base64url')}.${scryptSync(password, salt, KEY_BYTES, COST).toString('base64url')}`;
}

function verify(expected, password) {
  const salt = Buffer.from(expected.split('.')[0] ?? '', 'base64url');
  const [given, wanted] = [Buffer.from(hash(password, salt)), Buffer.from(expected)];
  return given.length === wanted.length && timingSafeEqual(given, wanted);
}

async function answer(line) {
  const [command, ...words] = line.trim().split(' ');
  if (command === 'hash' && words.length === 1) return server.taskWait({ command, password: words[0] });
  if (command === 'verify' && words.length === 2) {
    return server.taskWait({ command, hash: words[0], password: words[1] }, { timeoutMs: 5000 });
  }
  if (command === 'stats') return JSON.stringify(server.stats().tasks);
  return 'say: hash PASSWORD, verify HASH PASSWORD, or stats';
}

// Runs in a worker. Data arrives in pieces, so an incomplete line is kept per connection.
const rest = new Map();
server.on('close', (conn) => rest.delete(conn.fd));
server.on('receive', async (conn, data) => {
  const lines = ((rest.get(conn.fd) ?? '') + data).split('\n');
  rest.set(conn.fd, lines.pop().slice(0, 1000));
  for (const line of lines) {
    // ERR_TASK_QUEUE_FULL, ERR_TASK_TIMEOUT, ERR_TASK_WORKER_DIED: each says what happened.
    conn.send(`${await answer(line).catch((error) => error.code ?? error.message)}\n`);
  }
});

await server.start();
console.log(`password server listening on ${server.host}:${server.port}

try     echo 'hash secret' | nc -N ${server.host} ${server.port}`);
