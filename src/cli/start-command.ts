/** What a person types to start a server again as its note says. */
import type { RunEntry } from '../control/run-dir.js';
import { flagOf } from '../options/index.js';
import { heapArguments } from '../util/heap-argument.js';
import { partsOf, TAKES_NEXT } from './running.js';
import { flagWords, secretsAmong } from './start-flags.js';

type Started = Pick<RunEntry, 'command' | 'flags' | 'cwd'>;

/** For a shell in the server's folder. The values of secrets are left out. */
export function startCommandOf(entry: Started): string {
  const { nodeArgs, isApp, script, args } = partsOf(entry);
  const { flags, cwd } = entry;
  const given = { options: flags, nodeArgs: withValues(nodeArgs), isApp };
  const daemon = flags['daemonize'] === undefined ? [] : ['--daemon'];
  const hidden = secretsAmong(given).map((name) => `--${flagOf(name)}=…`);
  const behind = args.length > 0 ? ['--', ...args] : [];
  return ['tswoole', 'start', script, ...daemon, ...flagWords(given, cwd), ...hidden, ...behind].map(quoted).join(' ');
}

/** One word for each argument, and without the one that every server gets. */
function withValues(words: readonly string[]): string[] {
  const ofHeap = new Set(heapArguments([]));
  const joined = words.map((word, at) => (TAKES_NEXT.has(word) ? `${word}=${words[at + 1] ?? ''}` : word));
  return joined.filter((word, at) => !TAKES_NEXT.has(words[at - 1] ?? '') && !ofHeap.has(word));
}

function quoted(word: string): string {
  return /^[\w@%+=:,./…-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

/** What a shell sets for itself. */
const OF_SHELL = /^(?:_|PWD|OLDPWD|SHLVL|TERM|COLUMNS|LINES|PS\d|LS_COLORS|SSH_.*|TMUX.*|XDG_.*|TSWOOLE_.*)$/;
const MOST_NAMES = 10;

/**
 * How to start it when what failed is mended.
 * @param had its environment: what this shell has not is not in the command
 */
export function startAdvice(entry: Started, had: NodeJS.ProcessEnv): string {
  const { flags, cwd } = entry;
  const hidden = secretsAmong({ options: flags, nodeArgs: [], isApp: false }).map((name) => `--${flagOf(name)}`);
  const secret = hidden.length === 0 ? '' : ` (with the value of ${hidden.join(' and ')} in place of …)`;
  const lacking = Object.keys(had).filter((name) => !OF_SHELL.test(name) && had[name] !== process.env[name]);
  const names = lacking.sort().slice(0, MOST_NAMES).join(', ') + (lacking.length > MOST_NAMES ? ', …' : '');
  const variables = lacking.length === 0 ? '' : `\nIt also had variables that this shell has not: ${names}.`;
  return `When that is mended, start it again in ${cwd}${secret}: ${startCommandOf(entry)}${variables}`;
}
