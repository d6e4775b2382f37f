// Runs one case on one store: starts its host in a session of its own, and ends it whatever happens.
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { killSession, sessionCpuUs } from '../harness/processes.js';

const PATIENCE_MS = 60_000;
const host = fileURLToPath(new URL('host.js', import.meta.url));
/** Files are in memory where that is possible: it is not the disk that is measured. */
const files = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();
const running = new Map();

/** @returns ns per operation of all processes together, operations per second, CPU µs per operation of all processes */
export async function measure({ file, variant }, { operation, over, processes }, seconds) {
  const folder = mkdtempSync(join(files, 'bench-shared-'));
  const settings = JSON.stringify({ file, variant, operation, over, processes, seconds, folder });
  const child = spawn(process.execPath, [host, settings], { stdio: ['pipe', 'pipe', 'inherit'], detached: true });
  running.set(child.pid, folder);
  const gone = new Promise((resolve) => child.once('close', resolve));
  const timer = setTimeout(() => killSession(child.pid), PATIENCE_MS);
  try {
    return await converse(child);
  } finally {
    await Promise.race([gone, new Promise((resolve) => setTimeout(resolve, 2000))]);
    clearTimeout(timer);
    remove(child.pid);
  }
}

async function converse({ pid, stdin, stdout }) {
  const lines = createInterface({ input: stdout })[Symbol.asyncIterator]();
  if ((await lines.next()).value !== 'measuring') throw new Error('it has ended');
  const before = sessionCpuUs(pid);
  stdin.write('go\n');
  const { value, done } = await lines.next();
  if (done) throw new Error('it has ended while it was measured');
  const cpuUs = sessionCpuUs(pid) - before;
  stdin.write('end\n');
  const { each } = JSON.parse(value);
  const count = each.reduce((sum, one) => sum + one.count, 0);
  const perSecond = each.reduce((sum, one) => sum + (one.count / one.ms) * 1000, 0);
  return { perSecond, ns: 1e9 / perSecond, cpuUs: cpuUs / count };
}

/** For the way out that does not wait: Ctrl+C, an error. */
export function endAll() {
  for (const session of running.keys()) remove(session);
}

function remove(session) {
  killSession(session);
  rmSync(running.get(session), { recursive: true, force: true });
  running.delete(session);
}
