// `dev`: the compiler and the server, each watching. The compiler makes JavaScript of what changes, the server reloads.
// Node strips types itself from 22.18 on; compiled code runs on Node 20 too.
import { spawn, spawnSync } from 'node:child_process';

const { status } = spawnSync('tsc', { stdio: 'inherit' });
if (status !== 0) process.exit(status ?? 1);

const children = [
  spawn('tsc', ['--watch', '--preserveWatchOutput'], { stdio: ['ignore', 'inherit', 'inherit'], detached: true }),
  spawn('tswoole', ['start', 'dist/src/server.js', '--watch', 'dist'], { stdio: 'inherit' }),
];
// One ends: so does the other. A signal reaches both.
for (const child of children) child.once('exit', stop);
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, stop);

function stop() {
  const [compiler, server] = children;
  server.kill('SIGTERM');
  try {
    process.kill(-compiler.pid, 'SIGTERM'); // what it has started, too: the compiler itself is a process of tsc's
  } catch {
    // it has ended
  }
}
