/** A fixture started as a user would start it, and what can be seen of its processes from outside. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

export interface Told {
  readonly event: string;
  readonly pid: number;
  readonly [key: string]: unknown;
}

export interface ProcessInfo {
  readonly pid: number;
  readonly parent: number;
  readonly state: string;
  readonly title: string;
}

export interface TreeOptions {
  readonly options?: Record<string, unknown>;
  readonly env?: Record<string, string>;
  /** A shell line before the program, for `ulimit`. */
  readonly shell?: string;
  /** A path instead of a fixture's name. */
  readonly script?: string;
}

const FIXTURES = new URL('../fixtures/', import.meta.url);

/** Polls where nothing tells: the state of other processes. */
export async function until<T>(what: string, look: () => T | undefined | false, deadlineMs = 10_000): Promise<T> {
  const end = performance.now() + deadlineMs;
  for (;;) {
    const seen = look();
    if (seen !== undefined && seen !== false) return seen;
    if (performance.now() > end) throw new Error(`not within ${deadlineMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

export class Tree {
  readonly master: ChildProcess;
  readonly told: Told[] = [];
  stderr = '';
  readonly exited: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
  readonly #mark = `mark-${process.pid}-${Math.random().toString(36).slice(2)}`;
  readonly #listeners = new Set<() => void>();

  private constructor(fixture: string, given: TreeOptions) {
    const script = given.script ?? fileURLToPath(new URL(fixture, FIXTURES));
    const env = { ...process.env, OPTIONS: JSON.stringify(given.options ?? {}), ...given.env, TREE_MARK: this.#mark };
    const [command, ...args] = given.shell
      ? ['bash', '-c', `${given.shell}; exec "$0" "$1"`, process.execPath, script]
      : [process.execPath, script];
    this.master = spawn(command as string, args, { env, cwd: tmpdir(), stdio: ['ignore', 'pipe', 'pipe'] });
    this.exited = once(this.master, 'exit').then(([code, signal]) => ({ code, signal }));
    this.master.stderr?.on('data', (text) => {
      this.stderr += text;
    });
    createInterface({ input: this.master.stdout as NodeJS.ReadableStream }).on('line', (line) => this.#take(line));
  }

  /** Starts without waiting for anything. */
  static spawn(fixture: string, given: TreeOptions = {}): Tree {
    return new Tree(fixture, given);
  }

  /** Starts and waits until the server says that it is up. */
  static async start(fixture: string, given: TreeOptions = {}): Promise<Tree> {
    const tree = new Tree(fixture, given);
    const ended = tree.exited.then(() => {
      throw new Error(`the server ended before it was up:\n${tree.stderr}`);
    });
    await Promise.race([tree.waitFor('up'), ended]);
    ended.catch(() => {});
    return tree;
  }

  get port(): number {
    return Number(this.told.find((line) => line.event === 'up')?.['port']);
  }

  get masterPid(): number {
    return this.master.pid ?? 0;
  }

  get manager(): ProcessInfo | undefined {
    return this.processes().find(({ title, state }) => title.includes(': manager') && state !== 'Z');
  }

  get workers(): ProcessInfo[] {
    return this.processes().filter(({ title, state }) => title.includes(': worker') && state !== 'Z');
  }

  worker(id: number): ProcessInfo | undefined {
    return this.workers.find(({ title }) => title.trim().endsWith(`worker ${id}`));
  }

  all(event: string): Told[] {
    return this.told.filter((line) => line.event === event);
  }

  async waitFor(event: string, matches: (line: Told) => boolean = () => true, deadlineMs = 15_000): Promise<Told> {
    const find = (): Told | undefined => this.told.find((line) => line.event === event && matches(line));
    const known = find();
    if (known) return known;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#listeners.delete(look);
        reject(new Error(`'${event}' was not told within ${deadlineMs} ms; stderr:\n${this.stderr}`));
      }, deadlineMs);
      const look = (): void => {
        const line = find();
        if (line === undefined) return;
        clearTimeout(timer);
        this.#listeners.delete(look);
        resolve(line);
      };
      this.#listeners.add(look);
    });
  }

  signal(signal: NodeJS.Signals, pid: number | undefined = this.masterPid): void {
    if (!pid) throw new Error('there is no such process to signal'); // 0 would be this process group
    process.kill(pid, signal);
  }

  /** Every process of this tree by its mark, orphans included; children of the master without one are its zombies. */
  processes(): ProcessInfo[] {
    return listProcesses().filter((info) => this.#isOurs(info));
  }

  get zombies(): ProcessInfo[] {
    const living = new Set(this.processes().map(({ pid }) => pid));
    return listProcesses().filter(({ state, parent }) => state === 'Z' && living.has(parent));
  }

  /** Ends it in order, or by force, and checks that nothing is left. */
  async stop(): Promise<void> {
    if (this.master.exitCode === null && this.master.signalCode === null) this.master.kill('SIGTERM');
    const left = (): boolean => this.processes().length === 0;
    await until('the server has ended', left, 8000).catch((error) => {
      for (const { pid } of this.processes()) process.kill(pid, 'SIGKILL');
      throw error;
    });
    await this.exited;
  }

  #isOurs({ pid, state }: ProcessInfo): boolean {
    if (state === 'Z') return false;
    return read(`/proc/${pid}/environ`).split('\0').includes(`TREE_MARK=${this.#mark}`);
  }

  #take(line: string): void {
    try {
      this.told.push(JSON.parse(line) as Told);
    } catch {
      this.told.push({ event: 'text', pid: 0, line });
    }
    for (const listener of [...this.#listeners]) listener();
  }
}

function listProcesses(): ProcessInfo[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      const stat = read(`/proc/${name}/stat`);
      if (stat === '') return [];
      const [state = '', parent = '0'] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      const title = read(`/proc/${name}/cmdline`).replaceAll('\0', ' ').trim();
      return [{ pid: Number(name), parent: Number(parent), state, title }];
    });
}

/** Resident memory in MiB. */
export function residentMiB(pid: number): number {
  return Number(/VmRSS:\s+(\d+)/.exec(read(`/proc/${pid}/status`))?.[1] ?? 0) / 1024;
}

export function descriptorCount(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}

/** CPU time in ms that a process has used. */
export function cpuMs(pid: number): number {
  const stat = read(`/proc/${pid}/stat`);
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
