/** The servers that run, as their run directory tells of them, and how a command names one. */
import { fileURLToPath } from 'node:url';
import { listEntries, type RunEntry, runDirFor } from '../control/run-dir.js';
import { RUN_APP_ENTRY } from '../entries.js';
import { variableOf } from '../options/index.js';
import { monotonicMs } from '../util/clock.js';
import { duration, table } from './terminal.js';

/** How a user chooses a server; nothing is needed where only one runs. */
export interface Choice {
  /** Name or pid. */
  readonly server?: string | undefined;
  readonly pidFile?: string | undefined;
  readonly runDir?: string | undefined;
  /** The config file; undefined: the one in the current folder, where there is one. */
  readonly config?: string | undefined;
}

/** A server found by its pid file; without an entry it can only receive signals. */
export interface Found {
  readonly pid: number;
  readonly entry: RunEntry | undefined;
}

export function runningServers({ runDir }: Choice): RunEntry[] {
  return listEntries(runDirFor(runDir ?? process.env[variableOf('runDir')] ?? ''));
}

/** For an app the program is ours, and unknown to the user: that of this package, or of the one the app has installed. */
const RUN_APP = fileURLToPath(RUN_APP_ENTRY);
const isRunApp = (word: string): boolean => word === RUN_APP || word.endsWith('/tswoole/dist/http/run-app.cjs');

/** Arguments of Node that take the next word; others use `=`. */
export const TAKES_NEXT: ReadonlySet<string> = new Set([
  '--import',
  '--require',
  '-r',
  '--loader',
  '--experimental-loader',
  '-C',
  '--conditions',
]);

/** The command of a server, taken apart. */
export interface CommandParts {
  readonly nodeArgs: readonly string[];
  /** Our own program loads the script. */
  readonly isApp: boolean;
  /** As given. */
  readonly script: string;
  readonly args: readonly string[];
}

export function partsOf({ command }: Pick<RunEntry, 'command'>): CommandParts {
  const words = command.slice(1);
  const isBefore = (word: string, at: number): boolean => word.startsWith('-') || TAKES_NEXT.has(words[at - 1] ?? '');
  const end = words.findIndex((word, at) => !isBefore(word, at));
  const [first = '', ...rest] = end < 0 ? [] : words.slice(end);
  const isApp = isRunApp(first);
  const [script = '', ...args] = isApp ? rest : [first, ...rest];
  return { nodeArgs: end < 0 ? words : words.slice(0, end), isApp, script, args };
}

/** The script as given, without arguments of Node and our own program. */
export const scriptOf = (entry: Pick<RunEntry, 'command'>): string => partsOf(entry).script;

export function serverTable(entries: readonly RunEntry[]): string {
  const rows = entries.map((entry) => {
    const { name, pid, mode, startedAtMonotonic } = entry;
    return [name, pid, mode, duration(monotonicMs() - startedAtMonotonic), scriptOf(entry)];
  });
  return table(['NAME', 'PID', 'MODE', 'UP', 'SCRIPT'], rows);
}
