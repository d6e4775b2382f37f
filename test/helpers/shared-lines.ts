/** Fewer processes for tests of what `tswoole` has started: servers that they share, and questions without a command. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { afterAll } from 'vitest';
import { ControlClient } from '../../src/control/client.js';
import { listEntries } from '../../src/control/run-dir.js';
import { type CommandLine, keepOpen, type Report } from './command-line.js';
import { DEADLINE_MS } from './deadline.js';

interface HasLine {
  readonly line: CommandLine;
}

/**
 * For a block of tests that leave a server as they have found it: one for each key, started by the first test that wants
 * it, ended after the last test of the block. `endCommandLines` leaves it alone.
 */
export function sharedLines(): <T extends HasLine>(key: string, start: () => Promise<T>) => Promise<T> {
  const kept = new Map<string, Promise<HasLine>>();
  afterAll(async () => {
    const started = await Promise.allSettled(kept.values()); // one that has failed is left to `endCommandLines`
    await Promise.all(started.map((each) => (each.status === 'fulfilled' ? each.value.line.end() : undefined)));
  });
  return <T extends HasLine>(key: string, start: () => Promise<T>): Promise<T> => {
    const known = kept.get(key) ?? start();
    if (!kept.has(key)) void known.then(({ line }) => keepOpen(line)).catch(() => {});
    kept.set(key, known);
    return known as Promise<T>;
  };
}

type Call = <T>(command: string, given?: object) => Promise<T>;

/** Over the control socket of the one server, or of the one of this name, as a command of `tswoole` does. */
async function withServer<T>(
  { runDir }: CommandLine,
  name: string | undefined,
  use: (call: Call) => Promise<T>,
): Promise<T> {
  const entries = listEntries(runDir).filter((entry) => name === undefined || entry.name === name);
  const [entry] = entries;
  if (entry === undefined || entries.length > 1) throw new Error(`${entries.length} servers run in ${runDir}`);
  const client = await ControlClient.connect(entry.socket);
  try {
    return await use(async <R>(command: string, given?: object) => {
      return (await client.call(command, given, 2 * DEADLINE_MS)) as R;
    });
  } finally {
    client.close();
  }
}

/** Gives the one server a command. @returns its answer */
export function tell<T>(line: CommandLine, command: string, given?: object): Promise<T> {
  return withServer(line, undefined, (call) => call<T>(command, given));
}

/** What `tswoole status --json` prints: for what is looked at again and again. */
export function look(line: CommandLine, name?: string): Promise<Report> {
  return withServer(line, name, async (call) => ({
    status: await call<Report['status']>('status'),
    stats: await call<Report['stats']>('stats'),
    workers: await call<Report['workers']>('workers'),
  }));
}

/**
 * Starts the script of the line where nothing hangs on its being a daemon: one process less.
 * @returns its pid and port, when it is up
 */
export async function foreground(
  line: CommandLine,
  ...flags: string[]
): Promise<{ readonly pid: number; readonly port: number }> {
  const child = spawn('tswoole', ['start', line.script, ...flags], {
    cwd: line.folder,
    env: line.env,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const up = new Promise<number>((resolve) => {
    createInterface({ input: child.stdout }).on('line', (text) => {
      if (text.includes('"event":"up"')) resolve((JSON.parse(text) as { port: number }).port);
    });
  });
  const port = await Promise.race([up, once(child, 'close').then(() => -1)]);
  if (port < 0) throw new Error(`the server did not come up:\n${stderr}`);
  return { pid: child.pid ?? 0, port };
}
