/**
 * What /proc tells of processes. Tests look often, beside servers that need the CPU, and to read of one process takes the
 * kernel up to 0.1 ms: so a look leaves out the processes that are older than what is looked for.
 */
import { closeSync, openSync, readdirSync, readFileSync, readSync } from 'node:fs';

const MARK = 'TREE_MARK';
const MS_PER_TICK = 10;

export interface TreeProcess {
  readonly pid: number;
  readonly parent: number;
  /** As in /proc: R runs, S sleeps, T stopped, Z zombie … */
  readonly state: string;
  /** What `ps` shows; empty for a zombie. */
  readonly title: string;
  /** With the pid it says which process this is for good. */
  readonly startedAt: string;
}

type Found = Omit<TreeProcess, 'title'>;

/** A mark in the environment, by which a tree is seen from outside, orphans included. */
export class ProcessMark {
  readonly variable: Readonly<Record<string, string>>;
  readonly #text: string;
  /** Who has the mark has a higher number, until numbers begin again. */
  readonly #before: number;
  #highest: number;
  #haveBegunAgain = false;

  constructor(mark: string) {
    this.variable = { [MARK]: mark };
    this.#text = `${MARK}=${mark}`;
    this.#before = lastPid();
    this.#highest = this.#before;
  }

  /** All that carry it, and the zombies that these have not reaped. One whose parent is gone too is for init to reap. */
  processes(): TreeProcess[] {
    const young = this.#young().flatMap(readProcess);
    const marked = young.filter(({ pid, state }) => state !== 'Z' && environmentOf(pid).includes(this.#text));
    const ours = new Set(marked.map(({ pid }) => pid));
    return [...marked, ...young.filter(({ parent, state }) => state === 'Z' && ours.has(parent))].map(withTitle);
  }

  #young(): number[] {
    const all = listPids();
    const last = lastPid();
    if (last < this.#highest) this.#haveBegunAgain = true;
    this.#highest = last;
    return this.#haveBegunAgain ? all : all.filter((pid) => pid > this.#before);
  }
}

export function listProcesses(): TreeProcess[] {
  return listPids().flatMap(readProcess).map(withTitle);
}

export function describeTree(processes: readonly TreeProcess[]): string {
  return processes.map(({ pid, parent, state, title }) => `  ${pid} (parent ${parent}) ${state} ${title}`).join('\n');
}

/** CPU time in ms that a process has used, its ended children included; 0 when it is gone. */
export function cpuTimeMs(pid: number): number {
  const fields = statFields(pid);
  return fields.slice(11, 15).reduce((sum, ticks) => sum + Number(ticks), 0) * MS_PER_TICK;
}

/** Of the process, or thread, that was started last: proc(5), loadavg. */
function lastPid(): number {
  return Number(readFileSync('/proc/loadavg', 'latin1').trim().split(' ').at(-1));
}

function listPids(): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
}

/** Empty: it is gone meanwhile. */
function readProcess(pid: number): Found[] {
  const fields = statFields(pid);
  const [state, parent] = fields;
  const startedAt = fields[19];
  return state === undefined || startedAt === undefined ? [] : [{ pid, parent: Number(parent), state, startedAt }];
}

function withTitle(found: Found): TreeProcess {
  return { ...found, title: readProc(found.pid, 'cmdline').replaceAll('\0', ' ').trim() };
}

/** Field 3 (state) of proc(5) first. */
function statFields(pid: number): string[] {
  const stat = readProc(pid, 'stat');
  return stat === '' ? [] : stat.slice(stat.lastIndexOf(')') + 2).split(' ');
}

function environmentOf(pid: number): string[] {
  return readProc(pid, 'environ').split('\0');
}

const memory = Buffer.allocUnsafe(4 * 1024 * 1024);

/** @returns '': gone meanwhile, or another user's */
function readProc(pid: number, file: string): string {
  let descriptor: number | undefined;
  try {
    descriptor = openSync(`/proc/${pid}/${file}`, 'r');
    let length = 0;
    let got = 0;
    do {
      got = readSync(descriptor, memory, length, memory.length - length, null);
      length += got;
    } while (got > 0);
    return memory.toString('utf8', 0, length);
  } catch {
    return '';
  } finally {
    if (descriptor !== undefined) closeSync(descriptor);
  }
}
