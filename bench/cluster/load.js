// Runs the load of bench/websocket beside three nodes: members in one room, in turn over the nodes, and a publisher at the first.
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { compile } from '../harness/tools.js';

/** As many messages as go through: code that runs a few hundred times a second is compiled late, after some 20 s. */
const FLOOD = { connections: 300, 'in-flight': 4, seconds: 8, 'warm-up': 0 };
/** Then at the rate that is measured. */
const WARM_UP_SECONDS = 4;

/** @returns undefined where there is no C compiler */
export function compileLoad(folder) {
  return compile(fileURLToPath(new URL('../websocket/load.c', import.meta.url)), join(folder, 'load'));
}

/** @returns perSecond (deliveries), p50Us, p99Us, cpuUs and engineUs per delivery */
export async function measure(program, { server, one, seconds, nodes }) {
  const load = { seconds, 'warm-up': WARM_UP_SECONDS, ...one.load };
  await run(program, { server, nodes, load: FLOOD });
  return run(program, { server, nodes, load });
}

async function run(program, { server, nodes, load }) {
  const path = (role) => (server.isSocketIo ? `/socket.io/?EIO=4&transport=websocket&role=${role}r` : `/${role}`);
  const options = {
    ...{ mode: 'broadcast', port: nodes.ports.join(','), bytes: 64 },
    ...{ path: path('subscribe'), 'publish-path': path('publishe'), ...load },
  };
  const args = Object.entries(options).flatMap(([name, value]) => [`--${name}`, String(value)]);
  const child = spawn(program, server.isSocketIo ? [...args, '--socket-io'] : args, {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  child.stdin.on('error', () => {}); // it has ended, and said why
  const end = () => child.kill('SIGKILL');
  process.once('exit', end);
  try {
    return await result(child, nodes);
  } finally {
    end();
    process.off('exit', end);
  }
}

async function result(child, { cpuUs, engineUs }) {
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const { value: measuring } = await lines.next();
  if (measuring !== 'measuring') throw new Error('the load has ended');
  const [before, engineBefore] = [cpuUs(), engineUs()];
  child.stdin.write('\n');
  const { value } = await lines.next();
  if (value === undefined) throw new Error('the load has ended');
  const { messages, perSecond, p50Us, p99Us } = JSON.parse(value);
  return {
    ...{ perSecond, p50Us, p99Us },
    cpuUs: (cpuUs() - before) / messages,
    engineUs: (engineUs() - engineBefore) / messages,
  };
}
