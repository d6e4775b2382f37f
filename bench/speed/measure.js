// How a server is measured, by the kind of its case. Each function returns figures by name (cases.js), with `errors` and
// `count` (of answers) where both can be counted; it throws why there are none.
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { get } from 'node:http';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { withServer } from '../harness/processes.js';
import { Missing, median } from '../harness/rounds.js';
import { checkAnswers } from '../http/servers.js';
import { measureRequests, writeScript } from '../http/wrk.js';
import { measurePool } from '../tasks/measure.js';

/** V8 compiles what is hot within this. */
const WARM_UP_SECONDS = 2;
/** Collections that are due, workers that still boot. */
const SETTLING_MS = 2000;
/** What a rush of connections has made V8 take is given back when the process has become quiet; V8 itself takes 8 s. */
const RESTING_MS = 9000;
const RELOAD_MS = 10_000;
/** Between two looks at whether a server has got so far. */
const POLL_MS = 2;

/** @param tools of listTools() */
export function measure(server, one, tools, seconds) {
  need(server);
  return kinds[one.kind](server, one, tools, seconds);
}

const kinds = { http, socket, tasks, boot, command, idle };

function need(tool) {
  if (tool.missing) throw new Missing(tool.missing);
  return tool;
}

/** The certificate, for servers that encrypt; nothing for the others. */
function secured(isSecure, { certificate }) {
  if (!isSecure) return {};
  const { cert, key } = need(certificate);
  return { CERT: cert, KEY: key };
}

function http(server, { load, id }, tools, seconds) {
  need(tools.wrk);
  const script = join(tools.folder, `${id}.lua`);
  writeScript(script, load);
  return withServer(server, secured(load.isSecure, tools), async (running) => {
    await checkAnswers(running.port, expected(load, server));
    const { requests, requestsPerSecond, ...figures } = await measureRequests(running, script, load, {
      warmUp: WARM_UP_SECONDS,
      seconds,
    });
    const errors = figures.socketErrors + figures.badStatuses;
    return { cpuUs: figures.cpuUs, p50Us: figures.p50Us, perSecond: requestsPerSecond, count: requests, errors };
  });
}

/** Bytes are compared as text. */
function expected(load, { env }) {
  const answer = load.answer ?? readFileSync(join(env.FILES ?? '', load.path));
  return { ...load, answer: answer.toString() };
}

function socket(server, { load: { mode, connections } }, tools, seconds) {
  const isSecure = mode === 'tls' || mode === 'handshakes';
  const { program } = need(isSecure ? tools.secureLoad : tools.load);
  const kind = isSecure ? 'tls' : mode;
  return withServer(server, { KIND: kind, ...secured(isSecure, tools) }, async ({ port, cpuUs }) => {
    const client = startLoad(program, [mode, port, connections, seconds]);
    await client.line();
    const before = cpuUs();
    const { count, seconds: passed, p50Us, errors } = JSON.parse(await client.line());
    if (count === 0) throw new Error('no answer came');
    return { cpuUs: (cpuUs() - before) / count, p50Us, perSecond: count / passed, count, errors };
  });
}

async function tasks(pool, { load }, _tools, seconds) {
  return measurePool(pool, load, seconds);
}

/** What each further connection takes, at rest: the first ones let the heaps grow. */
function idle(server, { load: { first, connections } }, tools) {
  const { program } = need(tools.load);
  const hold = async (port, count) => {
    const holder = startLoad(program, ['idle', port, count, 1]);
    await holder.line();
    await sleep(RESTING_MS);
    return holder;
  };
  return withServer(server, { KIND: 'tcp' }, async ({ port, pssKiB }) => {
    const holders = [await hold(port, first)];
    const before = pssKiB();
    holders.push(await hold(port, connections));
    const after = pssKiB();
    await Promise.all(holders.map((holder) => holder.end()));
    return { bytes: ((after - before) * 1024) / connections };
  });
}

/** Runs load.c. */
function startLoad(program, args) {
  const child = spawn(program, args.map(String), { stdio: ['pipe', 'pipe', 'inherit'] });
  const kill = () => child.kill('SIGKILL');
  process.once('exit', kill);
  const gone = new Promise((resolve) => child.once('close', resolve)).then(() => process.off('exit', kill));
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const line = async () => {
    const { done, value } = await lines.next();
    if (done) throw new Error('the load has ended');
    return value;
  };
  const end = () => {
    child.stdin.end();
    return gone;
  };
  return { line, end };
}

/** From exec until it answers; then its CPU and memory at rest, and (of tswoole) a reload. */
function boot(server, _one, _tools) {
  return withServer({ ...server, readyWhen: 'spawned' }, {}, async (running) => {
    while (!(await answers(running.port))) await sleep(POLL_MS);
    const answersMs = performance.now() - running.startedAt;
    await sleep(SETTLING_MS);
    const runs = running.lines().filter((line) => line === 'runs the app').length;
    const bootCpuMs = running.cpuUs() / 1000 / runs;
    const figures = { answersMs, bootCpuMs, runs };
    if (server.env.MODE === undefined) return { ...figures, treeMiB: running.pssKiB() / 1024 };
    await sleep(RESTING_MS - SETTLING_MS);
    return { ...figures, treeMiB: running.pssKiB() / 1024, reloadMs: await reload(running) };
  });
}

function answers(port) {
  return new Promise((resolve) => {
    get({ port, host: '127.0.0.1', agent: false }, (res) => {
      res.resume().on('end', () => resolve(res.statusCode === 200));
    }).on('error', () => resolve(false));
  });
}

async function reload({ pid, lines }) {
  const began = performance.now();
  process.kill(pid, 'SIGUSR1');
  while (!lines().includes('reloaded')) {
    if (performance.now() - began > RELOAD_MS) throw new Error(`no reload in ${RELOAD_MS} ms`);
    await sleep(POLL_MS);
  }
  return performance.now() - began;
}

async function command(server, { load: { repeat } }) {
  const all = [];
  for (let i = 0; i < repeat; i++) all.push(await runCommand(server));
  return { ms: median(all) };
}

function runCommand({ command: [program, ...args], readsMs, status: wanted }) {
  const began = performance.now();
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'ignore'] });
  return new Promise((resolve, reject) => {
    let output = '';
    child.stdout.on('data', (data) => {
      output += data;
    });
    child.once('error', reject);
    child.once('close', (status) => {
      const took = performance.now() - began;
      if (status === wanted) resolve(readsMs ? Number(output) : took);
      else reject(new Error(`exit code ${status}, not ${wanted}`));
    });
  });
}
