import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { on, once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const SCRIPT = fileURLToPath(new URL('../src/server.js', import.meta.url));

/** Starts the server on a free port. `stop()` ends it in order, and fails where it does not end with 0. */
export async function startServer(env = {}) {
  const child = spawn(process.execPath, [SCRIPT], {
    env: { ...process.env, PORT: '0', ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exited = once(child, 'exit');
  const lines = createInterface({ input: child.stdout });
  let port = 0;
  for await (const [line] of on(lines, 'line', { close: ['close'] })) {
    port = Number(/listening on \S+:(\d+)$/.exec(line)?.[1] ?? 0);
    if (port > 0) break;
  }
  assert.ok(port > 0, 'The server ended before it listened.');
  return {
    port,
    url: `http://127.0.0.1:${port}`,
    async stop() {
      child.kill('SIGTERM');
      assert.deepEqual(await exited, [0, null]);
    },
  };
}
