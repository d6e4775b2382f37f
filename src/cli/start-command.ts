/** What a person types to start a server again as its note says. */
import { fileURLToPath } from 'node:url';
import type { RunEntry } from '../control/run-dir.js';
import { RUN_APP_ENTRY } from '../entries.js';
import { flagOf } from '../options/index.js';
import { heapArguments } from '../util/heap-argument.js';
import { flagWords, secretsAmong } from './start-flags.js';

/** Arguments of Node whose value may be a word of its own. */
const WITH_VALUE = new Set(['--import', '--require', '-r', '--loader', '--experimental-loader', '--conditions', '-C']);

/** For a shell in the server's folder. The values of secrets are left out. */
export function startCommandOf({ command, flags, cwd }: Pick<RunEntry, 'command' | 'flags' | 'cwd'>): string {
  const [, ...words] = command;
  const ofHeap = new Set(heapArguments([]));
  const nodeArgs: string[] = [];
  while (words[0]?.startsWith('-')) {
    const [word = '', value = ''] = words;
    const taken = WITH_VALUE.has(word) ? [`${word}=${value}`] : [word];
    words.splice(0, WITH_VALUE.has(word) ? 2 : 1);
    nodeArgs.push(...taken.filter((each) => !ofHeap.has(each)));
  }
  const isApp = words[0] === fileURLToPath(RUN_APP_ENTRY);
  const [script = '', ...args] = isApp ? words.slice(1) : words;
  const given = { options: flags, nodeArgs, isApp };
  const daemon = flags['daemonize'] === undefined ? [] : ['--daemon'];
  const hidden = secretsAmong(given).map((name) => `--${flagOf(name)}=…`);
  const behind = args.length > 0 ? ['--', ...args] : [];
  return ['tswoole', 'start', script, ...daemon, ...flagWords(given, cwd), ...hidden, ...behind].map(quoted).join(' ');
}

function quoted(word: string): string {
  return /^[\w@%+=:,./…-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
