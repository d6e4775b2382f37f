// redis-server on a unix socket, nothing saved, by ioredis. Variants: 1 in flight, or pipelines of 100.
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { BURST, COST, keys, PER_SECOND, rowOf, textOf } from '../cases.js';
import { redisServer, requirePackage } from '../packages.js';
import { batched, oneByOne } from '../runs.js';

/** GCRA by the server's clock, in µs. */
const TAKE = `
  local time = redis.call('TIME')
  local now = time[1] * 1000000 + time[2]
  local next = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), now) + ${(COST * 1e6) / PER_SECOND}
  if next - now > ${(BURST * 1e6) / PER_SECOND} then return 0 end
  redis.call('SET', KEYS[1], string.format('%.3f', next))
  return 1`;

const commands = {
  'get row': (redis, key) => redis.hgetall(key),
  'get column': (redis, key) => redis.hget(key, 'b'),
  has: (redis, key) => redis.exists(key),
  set: (redis, key, n) => setRow(redis, key, rowOf(n)),
  incr: (redis, key) => redis.hincrby(key, 'a', 1),
  'limiter take': (redis, key) => redis.take(`limit:${key}`),
  'cache get': (redis, key) => redis.get(`cache:${key}`),
  'cache set': (redis, key, n) => redis.set(`cache:${key}`, textOf(n)),
};

const setRow = (redis, key, { a, b, s }) => redis.hset(key, 'a', a, 'b', b, 's', s);

function connect(folder) {
  const Redis = requirePackage('ioredis');
  const redis = new Redis({ path: join(folder, 'redis.sock'), retryStrategy: () => 20 });
  // Until the server listens.
  redis.on('error', () => {});
  redis.defineCommand('take', { numberOfKeys: 1, lua: TAKE });
  return redis;
}

export async function host({ folder }) {
  const { program, env } = redisServer();
  const settings = ['--port', '0', '--unixsocket', join(folder, 'redis.sock'), '--save', '', '--appendonly', 'no'];
  const server = spawn(program, [...settings, '--dir', folder], { env, stdio: 'ignore' });
  const redis = connect(folder);
  const pipeline = redis.pipeline();
  for (const [n, key] of keys.entries()) {
    setRow(pipeline, key, rowOf(n));
    pipeline.set(`cache:${key}`, textOf(n));
  }
  await pipeline.exec();
  redis.disconnect();
  return { end: () => server.kill() };
}

export function open({ folder, variant }) {
  const redis = connect(folder);
  const run = variant === '100' ? (command) => inPipeline(redis, command) : (command) => alone(redis, command);
  return Object.fromEntries(Object.entries(commands).map(([name, command]) => [name, run(command)]));
}

const alone = (redis, command) => oneByOne((key, n) => command(redis, key, n));

const inPipeline = (redis, command) =>
  batched(
    () => redis.pipeline(),
    (pipeline, key, n) => void command(pipeline, key, n),
    async (pipeline) => (await pipeline.exec()).map(answerOf),
  );

function answerOf([error, answer]) {
  if (error) throw error;
  return answer;
}
