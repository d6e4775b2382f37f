import { randomUUID } from 'node:crypto';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

const MARKER = 'TSWOOLE_TEST_RUN';
const GRACE_MS = 3000;
const POLL_MS = 100;

export interface LeftOver {
  readonly pid: number;
  readonly commandLine: string;
}

/**
 * Marks every process this run starts with an environment variable, and after the last test fails the run
 * when a server process that carries the mark is still alive: a test that leaks a process tree must not pass.
 */
export default function setup(): (() => Promise<void>) | undefined {
  const runId = randomUUID();
  process.env[MARKER] = runId;
  if (process.platform !== 'linux') return undefined; // no /proc to look into
  return async () => {
    const leftOver = await waitUntilGone(runId);
    if (leftOver.length === 0) return;
    const list = leftOver.map(({ pid, commandLine }) => `  pid ${pid}: ${commandLine}`).join('\n');
    // An exception in a teardown is only reported by vitest; the exit code is what makes the run fail.
    process.exitCode = 1;
    throw new Error(`Processes started by these tests are still alive ${GRACE_MS} ms after the last test:\n${list}`);
  };
}

async function waitUntilGone(runId: string): Promise<LeftOver[]> {
  const deadlineMs = performance.now() + GRACE_MS;
  for (;;) {
    const alive = findLeftOvers(runId);
    if (alive.length === 0 || performance.now() >= deadlineMs) return alive;
    await sleep(POLL_MS);
  }
}

/** Living processes with the mark (a zombie has no environment any more) that are a server, by command line or title. */
export function findLeftOvers(runId: string): LeftOver[] {
  const mark = `${MARKER}=${runId}`;
  const found: LeftOver[] = [];
  for (const name of readdirSync('/proc')) {
    const pid = Number(name);
    if (!Number.isInteger(pid) || pid === process.pid) continue;
    const commandLine = readProc(pid, 'cmdline').replaceAll('\0', ' ').trim();
    const title = readProc(pid, 'comm').trim();
    const isEngine = folderOf(pid).includes(engineFolder(runId));
    if (!isEngine && !isServer(`${commandLine} ${title}`)) continue;
    if (!isEngine && !readProc(pid, 'environ').split('\0').includes(mark)) continue;
    found.push({ pid, commandLine: commandLine || title });
  }
  return found;
}

/** Redis writes its title over its environment: it is known by its folder. */
export function engineFolder(runId = process.env[MARKER] ?? ''): string {
  return `tswoole-engine-${runId.slice(0, 8)}-`;
}

function folderOf(pid: number): string {
  try {
    return readlinkSync(`/proc/${pid}/cwd`);
  } catch {
    return '';
  }
}

// vitest's own workers carry the mark too, and are recognized by their path: the checkout may be called tswoole.
function isServer(words: string): boolean {
  return /tswoole|test\/fixtures\/|examples\//.test(words) && !words.includes('node_modules/vitest/');
}

function readProc(pid: number, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8');
  } catch {
    return ''; // gone meanwhile, or another user's
  }
}
