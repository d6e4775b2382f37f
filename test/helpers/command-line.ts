/** `tswoole` as a person uses it: its own run directory, everything it starts seen from outside, and nothing left. */

import { spawn, spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { ServerStatus } from '../../src/control/controlled.js';
import type { RunEntry } from '../../src/control/run-dir.js';
import type { ServerStats, WorkerInfo } from '../../src/control/stats.js';
import { DEADLINE_MS } from './deadline.js';
import { describeTree, ProcessMark, type TreeProcess } from './processes.js';
import { poll } from './server-process.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const MAIN = join(ROOT, 'dist/cli/main.cjs');

export interface Result {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Report {
  readonly status: ServerStatus;
  readonly stats: ServerStats;
  readonly workers: readonly WorkerInfo[];
}

/** A command may start several servers, one after another. */
const COMMAND_MS = 2 * DEADLINE_MS;

const open = new Set<CommandLine>();

/** For `afterEach`. */
export async function endCommandLines(): Promise<void> {
  const all = [...open];
  open.clear();
  for (const line of all) await line.end();
}

/** `endCommandLines` leaves it alone: it ends by `end()`. */
export function keepOpen(line: CommandLine): void {
  open.delete(line);
}

export class CommandLine {
  readonly folder = realpathSync(mkdtempSync(join(tmpdir(), 'cli-')));
  readonly runDir = join(this.folder, 'run');
  readonly #mark = new ProcessMark(this.folder);
  /** Of a shell from which it is called. */
  readonly env: NodeJS.ProcessEnv;
  /** test/fixtures/operated.js, in the folder of the test. */
  readonly script = join(this.folder, 'operated.js');

  constructor(env: Readonly<Record<string, string>> = {}) {
    mkdirSync(join(this.folder, 'bin'));
    mkdirSync(join(this.folder, 'node_modules'));
    symlinkSync(ROOT, join(this.folder, 'node_modules/tswoole'));
    symlinkSync(MAIN, join(this.folder, 'bin/tswoole'));
    writeFileSync(join(this.folder, 'package.json'), '{"type":"module"}');
    copyFileSync(join(ROOT, 'test/fixtures/operated.js'), this.script);
    this.env = {
      ...process.env,
      PATH: `${join(this.folder, 'bin')}:${process.env['PATH']}`,
      TSWOOLE_OPTION_RUN_DIR: this.runDir,
      TSWOOLE_OPTION_PORT: '0',
      TSWOOLE_OPTION_WORKER_NUM: '2',
      TSWOOLE_OPTION_REACTOR_NUM: '1',
      NO_COLOR: '1',
      ...env,
      ...this.#mark.variable,
    };
    open.add(this);
  }

  run(...args: string[]): Promise<Result> {
    return this.runIn({}, ...args);
  }

  runIn(env: Readonly<Record<string, string>>, ...args: string[]): Promise<Result> {
    return new Promise((resolve, reject) => {
      const child = spawn('tswoole', args, {
        cwd: this.folder,
        env: { ...this.env, ...env },
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      let [stdout, stderr] = ['', ''];
      child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
      child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
      const late = setTimeout(() => child.kill('SIGKILL'), COMMAND_MS);
      child.once('error', reject);
      child.once('close', (code) => {
        clearTimeout(late);
        resolve({ code, stdout, stderr });
      });
    });
  }

  /** Fails when the command does. @returns what it printed */
  async must(...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await this.run(...args);
    if (code !== 0) throw new Error(`tswoole ${args.join(' ')}: exit ${code}\n${stdout}${stderr}`);
    return stdout;
  }

  async report(...args: string[]): Promise<Report> {
    return JSON.parse(await this.must('status', '--json', ...args)) as Report;
  }

  async servers(): Promise<RunEntry[]> {
    return JSON.parse(await this.must('list', '--json')) as RunEntry[];
  }

  /** Starts a daemon. @returns its pid and port */
  async daemon(...args: string[]): Promise<{ readonly pid: number; readonly port: number }> {
    const said = await this.must('start', this.script, '--daemon', ...args);
    const [, pid = '0', port = '0'] = /process (\d+), listening on [^ ]*:(\d+)/.exec(said) ?? [];
    return { pid: Number(pid), port: Number(port) };
  }

  /** Everything started from here that still runs. */
  tree(): TreeProcess[] {
    return this.#mark.processes().filter(({ state }) => state !== 'Z');
  }

  /** Ends what is left, and fails when that was not possible in order. */
  async end(): Promise<void> {
    open.delete(this);
    for (const { pid, title } of this.tree()) if (title.includes(': master')) process.kill(pid, 'SIGTERM');
    try {
      await poll('all that was started has ended', () => this.tree().length === 0, 8000);
    } catch (error) {
      const left = this.tree();
      for (const { pid } of left) spawnSync('kill', ['-9', String(pid)]);
      throw new Error(`these are left:\n${describeTree(left)}`, { cause: error });
    } finally {
      rmSync(this.folder, { recursive: true, force: true });
    }
  }
}
