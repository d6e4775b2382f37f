// Compiles load.c, and runs it beside a server.
import { spawn, spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { compressedPayload } from './cases.js';

const WARM_UP_SECONDS = 2;
/** Collections that are due after the last connection, and those of a process that has become quiet. */
const SETTLING_MS = 6000;
/** Before memory is read for the first time, the server has had this many connections. */
const FIRST_CONNECTIONS = 64;

/** @returns undefined where there is no C compiler */
export function compileLoad(folder) {
  const program = join(folder, 'load');
  const source = fileURLToPath(new URL('./load.c', import.meta.url));
  const { status } = spawnSync('cc', ['-O2', '-o', program, source], { stdio: ['ignore', 'ignore', 'inherit'] });
  if (status !== 0) return undefined;
  const payload = join(folder, 'payload');
  writeFileSync(payload, compressedPayload());
  return { program, payload };
}

/** @returns messages, perSecond, p50Us, p99Us, cpuUs per message; or, of idle connections, bytes per connection */
export function measure(load, { server, one, seconds, running }) {
  const options = optionsOf(load, server, one, { port: running.port, seconds });
  return one.mode === 'idle' ? measureIdle(load, options, running) : measureMessages(load, options, running);
}

function optionsOf({ payload }, { isSocketIo }, { mode, load, isCompressed }, { port, seconds }) {
  const path = (role) => (isSocketIo ? `/socket.io/?EIO=4&transport=websocket&role=${role}r` : `/${role}`);
  return {
    ...{ port, mode, ...load },
    ...(mode !== 'idle' && { seconds, 'warm-up': WARM_UP_SECONDS }),
    ...(mode === 'broadcast' ? { path: path('subscribe'), 'publish-path': path('publishe') } : { path: path('') }),
    ...(isCompressed && { deflate: true, payload }),
    ...(isSocketIo && { 'socket-io': true }),
  };
}

async function measureMessages(load, options, { cpuUs }) {
  const client = start(load, options);
  const lines = client.lines;
  expectLine(await lines.next(), 'measuring');
  const before = cpuUs();
  client.go();
  const result = JSON.parse(expectLine(await lines.next()));
  const { messages, perSecond, p50Us, p99Us } = result;
  return { messages, perSecond, p50Us, p99Us, cpuUs: (cpuUs() - before) / messages };
}

async function measureIdle(load, options, { pssKiB }) {
  const hold = async (connections, use) => {
    const client = start(load, { ...options, connections });
    expectLine(await client.lines.next(), 'measuring');
    await new Promise((resolve) => setTimeout(resolve, SETTLING_MS));
    use();
    client.go();
    await client.gone;
    await new Promise((resolve) => setTimeout(resolve, SETTLING_MS / 12));
  };
  let [before, after] = [0, 0];
  await hold(FIRST_CONNECTIONS, () => {
    before = pssKiB();
  });
  await hold(options.connections, () => {
    after = pssKiB();
  });
  return { bytes: ((after - before) * 1024) / (options.connections - FIRST_CONNECTIONS) };
}

function start({ program }, options) {
  const args = Object.entries(options).flatMap(([name, value]) =>
    value === true ? [`--${name}`] : [`--${name}`, String(value)],
  );
  const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  child.stdin.on('error', () => {}); // it has ended, and said why
  const end = () => child.kill('SIGKILL');
  process.once('exit', end);
  const gone = new Promise((resolve) => child.once('close', resolve)).then(() => process.off('exit', end));
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return { lines, gone, go: () => child.stdin.write('\n') };
}

function expectLine({ done, value }, expected = value) {
  if (done || value !== expected) throw new Error(`the load has ended${done ? '' : `: ${value}`}`);
  return value;
}
