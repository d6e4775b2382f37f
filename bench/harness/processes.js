// How every benchmark starts a server, knows what it takes, and ends it: each runs in a session of its own, so that all
// its processes can be found.
import { spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';

const START_MS = 15_000;
const STOP_MS = 3000;
const running = new Set();

/**
 * Runs `use` beside a server, and ends the server whatever happens.
 * @param server `command` (a list, or what makes one of the port) and `env`; by `readyWhen` it is ready when it `says`
 *   something (the default), when it `accepts`, or once it is `spawned`
 * @param settings of its environment, beside PORT
 * @param use gets port, pid, startedAt (by performance.now), lines() of all output until now, cpuUs(), pssKiB()
 */
export async function withServer(server, settings, use) {
  const port = await freePort();
  const { command, env, readyWhen = 'says' } = server;
  const startedAt = performance.now();
  const [program, ...args] = typeof command === 'function' ? command(port) : command;
  const child = spawn(program, args, {
    env: { ...process.env, NODE_ENV: 'production', ...env, ...settings, PORT: String(port) },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  running.add(child.pid);
  const gone = new Promise((resolve) => child.once('close', resolve));
  const output = collect(child);
  try {
    await isReady(child, output, signOf(readyWhen, port));
    return await use({ startedAt, ...handleOf(child.pid, port, output) });
  } finally {
    await endServer(child.pid, gone);
  }
}

function handleOf(pid, port, output) {
  return {
    port,
    pid,
    lines: () => output.text.split('\n'),
    cpuUs: () => sessionCpuUs(pid),
    pssKiB: () => sessionPssKiB(pid),
  };
}

/** What shows that a server is ready; undefined where its output does. */
function signOf(readyWhen, port) {
  if (readyWhen === 'accepts') return accepts(port);
  return readyWhen === 'spawned' ? Promise.resolve() : undefined;
}

function collect({ stdout, stderr }) {
  const output = { text: '', complaint: '' };
  stdout.on('data', (data) => {
    output.text += data;
  });
  stderr.on('data', (data) => {
    output.complaint = `${output.complaint}${data}`.slice(0, 4000);
  });
  return output;
}

/** Resolves when the server has said that it is ready, or when `sign` does. */
function isReady(child, output, sign) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`not ready after ${START_MS} ms`)), START_MS);
    const settle = (then) => (value) => {
      clearTimeout(timer);
      then(value);
    };
    child.once('error', settle(reject));
    child.once('close', () => {
      const reason = /^\w*Error.*$/m.exec(output.complaint)?.[0] ?? output.complaint.trim().split('\n')[0];
      settle(reject)(new Error(`it has ended: ${reason}`));
    });
    if (sign === undefined) child.stdout.once('data', settle(resolve));
    else sign.then(settle(resolve), settle(reject));
  });
}

async function endServer(pid, gone) {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGTERM');
  } catch {
    // it has ended
  }
  const timer = setTimeout(() => killSession(pid), STOP_MS);
  await gone;
  clearTimeout(timer);
  killSession(pid);
  running.delete(pid);
}

/** For the way out that does not wait: Ctrl+C, an error. `clean` runs after it. */
export function endAllAtExit(clean = () => {}) {
  process.once('exit', () => {
    for (const session of running) killSession(session);
    clean();
  });
  for (const [signal, number] of [
    ['SIGINT', 2],
    ['SIGTERM', 15],
    ['SIGHUP', 1],
  ]) {
    process.once(signal, () => process.exit(128 + number));
  }
}

/** Ends every process of a session at once. */
export function killSession(session) {
  for (const { pid } of processesOf(session)) kill(pid);
}

/** @returns CPU time of all processes of a session in µs */
export function sessionCpuUs(session) {
  return sum(processesOf(session).map(({ ticks }) => ticks)) * 10_000;
}

/** @returns memory of all processes of a session: of what several share, each counts its part */
export function sessionPssKiB(session) {
  return sessionKiB(session, 'smaps_rollup', /^Pss:\s+(\d+)/m);
}

/** @returns memory of all processes of a session that is no file's and not shared */
export function sessionAnonymousKiB(session) {
  return sessionKiB(session, 'status', /^RssAnon:\s+(\d+)/m);
}

/** @returns of each process of a session a figure of a file in /proc, together */
function sessionKiB(session, file, pattern) {
  return sum(processesOf(session).map(({ pid }) => Number(pattern.exec(read(`/proc/${pid}/${file}`))?.[1] ?? 0)));
}

/** Every process of a session, with the CPU time it has taken. */
function processesOf(session) {
  return readdirSync('/proc').flatMap((name) => {
    const stat = /^\d+$/.test(name) ? read(`/proc/${name}/stat`) : '';
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    if (Number(fields[3]) !== session) return [];
    return [{ pid: Number(name), ticks: Number(fields[11]) + Number(fields[12]) }];
  });
}

export function freePort() {
  return new Promise((resolve) => {
    const probe = createServer().listen(0, '127.0.0.1', () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
}

async function accepts(port) {
  for (let tries = 0; tries < 500; tries++) {
    const ok = await new Promise((resolve) => {
      const socket = connect(port, '127.0.0.1', () => resolve(true)).on('error', () => resolve(false));
      socket.once('connect', () => socket.destroy());
    });
    if (ok) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`nobody listens on port ${port}`);
}

function kill(pid) {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // it has ended with the others
  }
}

const sum = (values) => values.reduce((total, value) => total + value, 0);

function read(file) {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
