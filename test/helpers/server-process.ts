/**
 * A fixture run as a user would run it: its own working directory, its whole process tree seen from outside by a mark
 * in the environment (so that orphans are seen too), and an end that leaves nothing behind.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { describe, it } from 'vitest';
import { certificateFor } from './certificates.js';
import { DEADLINE_MS } from './deadline.js';
import { OVER_TLS } from './dial.js';
import { describeTree, listProcesses, ProcessMark, type TreeProcess } from './processes.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const FIXTURES = join(ROOT, 'test/fixtures');

/** The mode in which fixtures run that do not say otherwise: the suite runs against both. */
export const TEST_MODE = process.env['TSWOOLE_TEST_MODE'] ?? 'process';
export const IS_BASE = TEST_MODE === 'base';
/** Titles of tests of what only PROCESS mode promises: see docs/modes.md. */
export const inProcessMode = it.skipIf(IS_BASE);
/** For what chooses its mode itself, or has none: the run in BASE mode would do the same again. */
export const describeOnce = describe.skipIf(IS_BASE);
export const itOnce = it.skipIf(IS_BASE);
/** In BASE mode encrypted connections cannot go over to another worker. */
export const whereConnectionsStay = it.skipIf(IS_BASE && OVER_TLS);
/** What TLS cannot do, or what is told apart there. */
export const overPlainTcp = it.skipIf(OVER_TLS);
/** With `maxRequest` one worker is a process of its own too. */
const modeOptions = {
  ...(IS_BASE && { mode: 'base', maxRequest: 1_000_000_000 }),
  ...(OVER_TLS && { tls: certificateFor('server.test') }),
  reactorBackend: process.env['TSWOOLE_TEST_BACKEND'] ?? 'auto',
};

/** One line a fixture has printed: see fixtures/say.js. */
export interface Line {
  readonly event: string;
  readonly pid: number;
  /** When it was read here, in ms of `performance.now()`. */
  readonly at: number;
  readonly [key: string]: unknown;
}

export interface StartOptions {
  readonly env?: Readonly<Record<string, string>> | undefined;
  /** Arguments of the script. */
  readonly args?: readonly string[] | undefined;
  /** Arguments of Node, before the script. */
  readonly node?: readonly string[] | undefined;
  /** Given to the fixture as OPTIONS, which say.js reads. */
  readonly options?: Readonly<Record<string, unknown>> | undefined;
  /** Runs a copy of the fixture that `edit()` may change. */
  readonly copy?: boolean | undefined;
  /** A command that runs Node: `['setpriv', '--reuid', '65534', '--']`. */
  readonly under?: readonly string[] | undefined;
  /** What Node reads from standard input; the fixture is not named then. */
  readonly input?: string | undefined;
}

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** Those that `endServers()` has not ended yet. */
const started = new Set<ServerProcess>();

/** Starts a fixture and waits for nothing. @param fixture a file of test/fixtures; '' for none */
export function spawnServer(fixture: string, given: StartOptions = {}): ServerProcess {
  const server = new ServerProcess(fixture, given);
  started.add(server);
  return server;
}

/** Starts a fixture and waits until it says `up`. */
export async function startServer(fixture: string, given: StartOptions = {}): Promise<ServerProcess> {
  const server = spawnServer(fixture, given);
  await server.waitForEvent('up');
  return server;
}

/** For `afterEach`: ends what a test has started, and fails if an orderly end left something. */
export async function endServers(): Promise<void> {
  const servers = [...started];
  started.clear();
  const results = await Promise.allSettled(servers.map((server) => server.stop()));
  for (const result of results) if (result.status === 'rejected') throw result.reason;
}

/** `endServers()` leaves it alone: it ends by `stop()`. */
export function keepRunning(server: ServerProcess): ServerProcess {
  started.delete(server);
  return server;
}

type Look<T> = T | undefined | false;

const LOOK_EVERY_MS = 10;
/** A look at all processes takes CPU, of which what is looked for is to have the most. */
const REST_PER_LOOK = 4;
const LONGEST_REST_MS = 50;

/** Polls for what no event tells: the state of other processes. @returns the first truthy answer */
export async function poll<T>(
  what: string,
  look: () => Look<T> | Promise<Look<T>>,
  deadlineMs = DEADLINE_MS,
): Promise<T> {
  const end = performance.now() + deadlineMs;
  for (;;) {
    const began = process.cpuUsage();
    const seen = await look();
    if (seen !== undefined && seen !== false) return seen;
    if (performance.now() > end) throw new Error(`not within ${deadlineMs} ms: ${what}`);
    const { user, system } = process.cpuUsage(began);
    const restMs = Math.min(LONGEST_REST_MS, Math.max(LOOK_EVERY_MS, ((user + system) / 1000) * REST_PER_LOOK));
    await new Promise((resolve) => setTimeout(resolve, restMs));
  }
}

export class ServerProcess {
  /** What it printed, in the order in which it was read. */
  readonly lines: Line[] = [];
  /** All it has written to standard error, its log first of all. */
  stderr = '';
  /** Its working directory. With `copy` the script is in it. */
  readonly folder: string;
  readonly script: string;
  /** Where its control socket is. */
  readonly runDir: string;
  readonly exited: Promise<Exit>;
  /** Later than `exited`: nobody can print anything any more. */
  readonly silent: Promise<void>;
  readonly #child: ChildProcess;
  readonly #mark: ProcessMark;
  readonly #seen = new Map<number, string>();
  readonly #listeners = new Set<() => void>();
  #exit: Exit | undefined;

  constructor(fixture: string, given: StartOptions) {
    this.folder = mkdtempSync(join(tmpdir(), 'server-'));
    this.runDir = join(this.folder, 'run');
    this.#mark = new ProcessMark(this.folder);
    this.script = given.copy === true ? this.#copy(fixture) : join(FIXTURES, fixture);
    const script = given.input === undefined && fixture !== '' ? [this.script] : [];
    const words = [...(given.under ?? []), process.execPath, ...(given.node ?? []), ...script, ...(given.args ?? [])];
    const [command = '', ...args] = words;
    this.#child = spawn(command, args, {
      cwd: this.folder,
      env: {
        ...process.env,
        OPTIONS: JSON.stringify({ ...modeOptions, ...given.options }),
        TSWOOLE_OPTION_RUN_DIR: this.runDir,
        TSWOOLE_OPTION_LOG_FORMAT: 'text',
        ...given.env,
        ...this.#mark.variable,
      },
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    this.#child.stdin?.on('error', () => {});
    this.#child.stdin?.end(given.input ?? '');
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text;
      this.#changed();
    });
    createInterface({ input: this.#child.stdout as NodeJS.ReadableStream })
      .on('line', (line) => this.#take(line))
      .on('close', () => this.#changed());
    this.exited = new Promise((resolve, reject) => {
      this.#child.once('error', reject);
      this.#child.once('exit', (code, signal) => {
        this.#exit = { code, signal };
        resolve(this.#exit);
        this.#changed();
      });
    });
    this.exited.catch(() => {});
    this.silent = new Promise((resolve) => {
      this.#child.once('close', () => resolve());
    });
  }

  // ——— what it says ———

  get port(): number {
    return Number(this.events('up')[0]?.['port'] ?? 0);
  }

  events(event: string): Line[] {
    return this.lines.filter((line) => line.event === event);
  }

  /** The first line that fits, now or later. Fails at once when the program ends without it. */
  waitForEvent(event: string, fits: (line: Line) => boolean = () => true, deadlineMs = DEADLINE_MS): Promise<Line> {
    return this.waitFor(`'${event}'`, () => this.lines.find((line) => line.event === event && fits(line)), deadlineMs);
  }

  /** `look` is called again whenever the program has said something. */
  waitFor<T>(what: string, look: () => T | undefined | false, deadlineMs = DEADLINE_MS): Promise<T> {
    return new Promise((resolve, reject) => {
      const fail = (why: string): void => {
        end();
        reject(new Error(`${what} was not told ${why}; standard error:\n${this.stderr}`));
      };
      const timer = setTimeout(() => fail(`within ${deadlineMs} ms`), deadlineMs);
      const end = (): void => {
        clearTimeout(timer);
        this.#listeners.delete(again);
      };
      const again = (): void => {
        const seen = look();
        if (seen !== undefined && seen !== false) {
          end();
          resolve(seen);
        } else if (this.#exit !== undefined && this.#child.stdout?.readableEnded === true) {
          fail(`before the end (${this.#exit.signal ?? `code ${this.#exit.code}`})`);
        }
      };
      this.#listeners.add(again);
      again();
    });
  }

  /** Changes the script of a copy. Processes that are started from now on run it so. */
  edit(change: (source: string) => string): void {
    const before = readFileSync(this.script, 'utf8');
    const after = change(before);
    if (after === before) throw new Error('the edit has changed nothing');
    writeFileSync(this.script, after);
  }

  // ——— its processes ———

  get masterPid(): number {
    return this.#child.pid ?? 0;
  }

  /** In BASE mode the process that was started is the manager. */
  get manager(): TreeProcess | undefined {
    if (IS_BASE) return this.tree().find(({ pid }) => pid === this.masterPid);
    return this.tree().find(({ title }) => title.includes(': manager'));
  }

  get workers(): TreeProcess[] {
    return this.tree().filter(({ title }) => title.includes(': worker'));
  }

  /** The process of one worker id; during a reload the one that came last. */
  worker(id: number): TreeProcess | undefined {
    const those = this.workers.filter(({ title }) => title.endsWith(`: worker ${id}`));
    return those.sort((a, b) => Number(a.startedAt) - Number(b.startedAt)).at(-1);
  }

  get taskWorkers(): TreeProcess[] {
    return this.tree().filter(({ title }) => title.includes(': task worker'));
  }

  get zombies(): TreeProcess[] {
    return this.tree().filter(({ state }) => state === 'Z');
  }

  /** Everything that carries the mark, orphans included, and the zombies it has not reaped. */
  tree(): TreeProcess[] {
    const those = this.#mark.processes();
    for (const { pid, startedAt, state } of those) if (state !== 'Z') this.#seen.set(pid, startedAt);
    return those;
  }

  signal(signal: NodeJS.Signals, pid = this.masterPid): void {
    process.kill(pid, signal);
  }

  /** To every process at once, as a terminal or an init system does: some end before they are reached. */
  signalAll(signal: NodeJS.Signals): void {
    for (const { pid } of this.tree()) {
      try {
        process.kill(pid, signal);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
      }
    }
  }

  // ——— its end ———

  /** SIGTERM, then SIGKILL for everything that was ever seen. Rejects when force was needed. */
  async stop(deadlineMs = 8000): Promise<void> {
    this.tree();
    if (this.#exit === undefined) this.#child.kill('SIGTERM');
    try {
      await poll('the server has ended', () => this.#exit !== undefined && this.tree().length === 0, deadlineMs);
    } catch (error) {
      const left = describeTree(this.tree());
      this.#killAll();
      throw new Error(`the server did not end in order; left were\n${left}\n${this.stderr}`, { cause: error });
    } finally {
      started.delete(this);
      rmSync(this.folder, { recursive: true, force: true });
    }
  }

  /** To be called when the end has been seen: not one process, not one zombie. */
  assertNothingLeft(): void {
    const left = this.tree();
    if (left.length > 0) throw new Error(`these are left:\n${describeTree(left)}`);
  }

  #killAll(): void {
    this.tree();
    for (const { pid, startedAt } of listProcesses()) {
      if (this.#seen.get(pid) === startedAt) kill(pid);
    }
    kill(this.masterPid);
  }

  /** The package finds itself by its own exports; a copy elsewhere needs a link. */
  #copy(fixture: string): string {
    mkdirSync(join(this.folder, 'node_modules'));
    symlinkSync(ROOT, join(this.folder, 'node_modules/tswoole'));
    writeFileSync(join(this.folder, 'package.json'), '{"type":"module"}');
    for (const name of new Set([fixture || 'say.js', 'say.js']))
      copyFileSync(join(FIXTURES, name), join(this.folder, name));
    return join(this.folder, fixture);
  }

  #take(text: string): void {
    const at = performance.now();
    try {
      this.lines.push({ ...(JSON.parse(text) as { event: string; pid: number }), at });
    } catch {
      this.lines.push({ event: 'text', pid: 0, at, text });
    }
    this.#changed();
  }

  #changed(): void {
    for (const listener of [...this.#listeners]) listener();
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // gone meanwhile
  }
}
