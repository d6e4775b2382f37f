// node bench/cluster/jobs.js [--rounds N] [--jobs N] [--concurrency N]
// What a durable job costs beside plain BullMQ with the same settings, on a Redis of its own: microseconds of CPU of the
// process that enqueues (100 at a time) and works, and of Redis. Plain BullMQ is measured twice in each round: the noise.
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const BATCH = 100;
const KEPT = 1_000;
const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    jobs: { type: 'string', default: '10000' },
    concurrency: { type: 'string', default: '100' },
    side: { type: 'string' },
    port: { type: 'string' },
  },
});
const [jobs, concurrency] = [Number(values.jobs), Number(values.concurrency)];
const sides = { plain: startPlain, again: startPlain, tswoole: startOurs };

if (values.side === undefined) await compare();
else await measure(values.side, Number(values.port));

async function compare() {
  const folder = mkdtempSync(join(tmpdir(), 'tswoole-bench-'));
  const port = await freePort();
  const args = ['--port', `${port}`, '--bind', '127.0.0.1', '--save', '', '--dir', folder];
  const redis = spawn('redis-server', args, { stdio: 'ignore' });
  process.once('SIGTERM', () => redis.kill());
  try {
    report(await rounds(port));
  } finally {
    redis.kill();
    await once(redis, 'exit');
    rmSync(folder, { recursive: true, force: true });
  }
}

async function rounds(port) {
  const taken = Object.fromEntries(Object.keys(sides).map((side) => [side, []]));
  for (let round = 0; round < Number(values.rounds); round++) {
    for (const side of Object.keys(sides)) taken[side].push(await run(side, port));
  }
  return taken;
}

/** A process of its own for each, so that none has the other's heap. */
async function run(side, port) {
  const child = spawn(
    process.execPath,
    [fileURLToPath(import.meta.url), ...process.argv.slice(2), '--side', side, '--port', `${port}`],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (data) => (text += data));
  await once(child, 'exit');
  return JSON.parse(text);
}

function report(taken) {
  const columns = ['node', 'redis', 'wall'];
  const medians = Object.fromEntries(
    Object.entries(taken).map(([side, samples]) => [
      side,
      columns.map((column) => median(samples.map((it) => it[column]))),
    ]),
  );
  console.log(
    `µs a job, median of ${values.rounds}; ${jobs} jobs of 100 B, ${BATCH} at a time, ${concurrency} under way`,
  );
  for (const [side, figures] of Object.entries(medians)) {
    const shown = figures.map((us, at) => `${columns[at]} ${us.toFixed(1)} (${(us / medians.plain[at]).toFixed(3)})`);
    const both = (figures[0] + figures[1]) / (medians.plain[0] + medians.plain[1]);
    console.log(side.padEnd(8), shown.join('  '), ` CPU of both (${both.toFixed(3)})`);
  }
}

function median(numbers) {
  return numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)];
}

async function measure(side, port) {
  const { default: Redis } = await import('ioredis');
  const redis = new Redis(port);
  await redis.flushall();
  const world = await sides[side](port);
  await world.enqueue(2_000);
  await world.done(2_000);
  const before = [process.cpuUsage(), await cpuOf(redis), performance.now()];
  await world.enqueue(jobs);
  await world.done(2_000 + jobs);
  const { user, system } = process.cpuUsage(before[0]);
  const after = [await cpuOf(redis), performance.now()];
  console.log(
    JSON.stringify({
      node: (user + system) / jobs,
      redis: (after[0] - before[1]) / jobs,
      wall: ((after[1] - before[2]) * 1000) / jobs,
    }),
  );
  await world.close();
  redis.disconnect();
}

/** Microseconds so far. */
async function cpuOf(redis) {
  const info = await redis.info('cpu');
  const of = (name) => Number(new RegExp(`${name}:([\\d.]+)`).exec(info)[1]);
  return (of('used_cpu_user') + of('used_cpu_sys')) * 1e6;
}

async function startPlain(port) {
  const { Queue, Worker } = await import('bullmq');
  // As its documentation does it: a connection for the queue, two for the worker.
  const connection = { host: '127.0.0.1', port };
  const queue = new Queue('bench', { connection });
  let done = 0;
  const worker = new Worker('bench', async () => done++, { connection, concurrency });
  await worker.waitUntilReady();
  const opts = () => ({
    jobId: `=${randomUUID()}`,
    removeOnComplete: { count: KEPT },
    removeOnFail: { count: KEPT },
    attempts: 1,
  });
  return {
    enqueue: (count) =>
      batches(count, (data) => queue.addBulk(data.map((it) => ({ name: 'bench', data: it, opts: opts() })))),
    done: (count) => until(() => done === count),
    close: async () => {
      await worker.close();
      await queue.close();
    },
  };
}

async function startOurs(port) {
  const { openJobQueue } = await import('../../build/cluster/jobs/bull.js');
  const queue = await openJobQueue({ url: `redis://127.0.0.1:${port}` });
  let done = 0;
  await queue.work('bench', async () => done++, { concurrency });
  const keep = { done: KEPT, dead: KEPT };
  return {
    enqueue: (count) =>
      batches(count, (data) => queue.enqueueMany(data.map((it) => ({ name: 'bench', data: it, keep })))),
    done: (count) => until(() => done === count),
    close: () => queue.close(0),
  };
}

async function batches(count, enqueue) {
  const data = { text: 'x'.repeat(80), nth: 0 };
  for (let at = 0; at < count; at += BATCH) {
    await enqueue(Array.from({ length: BATCH }, (_, nth) => ({ ...data, nth: at + nth })));
  }
}

async function until(holds) {
  while (!holds()) await sleep(5);
}

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}
