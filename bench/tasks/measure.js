// Runs one pool with one load, in a session of its own.
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { killSession, sessionCpuUs } from '../harness/processes.js';

export const WORKERS = '2';
const PATIENCE_MS = 20_000;

export const pools = [
  { name: 'tswoole (processes)', program: 'tswoole.js' },
  { name: 'piscina (threads)', program: 'piscina.js' },
  { name: 'tinypool (child_process)', program: 'tinypool.js' },
];

/** @returns round trips: `perSecond`, and `cpuUs` of each, of all processes */
export async function measurePool({ program, env: given }, { kind, inFlight }, seconds) {
  const file = fileURLToPath(new URL(program, import.meta.url));
  const args = [file, kind, String(inFlight), String(seconds)];
  const env = { ...process.env, ...given, WORKERS };
  const child = spawn(process.execPath, args, { env, stdio: ['ignore', 'pipe', 'inherit'], detached: true });
  const gone = new Promise((resolve) => child.once('exit', resolve));
  const timer = setTimeout(() => killSession(child.pid), seconds * 1000 + PATIENCE_MS);
  let before = 0;
  let measured;
  for await (const line of createInterface({ input: child.stdout })) {
    if (line === 'measuring') before = sessionCpuUs(child.pid);
    else {
      const cpuUs = sessionCpuUs(child.pid) - before;
      const { roundTrips, ms } = JSON.parse(line);
      measured = { perSecond: (roundTrips / ms) * 1000, cpuUs: cpuUs / roundTrips };
    }
  }
  await gone;
  clearTimeout(timer);
  killSession(child.pid);
  if (measured === undefined) throw new Error(`${program} said nothing`);
  return measured;
}
