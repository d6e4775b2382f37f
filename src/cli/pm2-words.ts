/** Commands and flags of PM2 that go by another name here, for the error of who types them: docs/migrating/from-pm2.md. */

const commands = new Map(
  Object.entries({
    delete: '"tswoole stop": a server that has ended leaves nothing to delete',
    del: '"tswoole stop": a server that has ended leaves nothing to delete',
    kill: '"tswoole stop": no daemon stands above the servers',
    describe: '"tswoole status"',
    desc: '"tswoole status"',
    id: '"tswoole list"',
    pid: '"tswoole list"',
    update: '"tswoole restart" of each server',
    save: '"tswoole systemd", which starts a server at boot too',
    startup: '"tswoole systemd"',
    resurrect: '"tswoole start", of what tswoole.config.* names; at boot by "tswoole systemd"',
    ecosystem: '"tswoole init"',
    jlist: '"tswoole list --json"',
    prettylist: '"tswoole list --json"',
    reloadLogs: '"tswoole logs --reopen"',
    flush: '--log-rotation at the start, which ends old logs',
    trigger: '"tswoole call"',
    gracefulReload: '"tswoole reload"',
    startOrReload: '"tswoole start", and "tswoole reload" of what runs',
    startOrRestart: '"tswoole start", and "tswoole restart" of what runs',
  }),
);

const WORKERS = '--workers';
const LOG_FILE = '--log-file, for standard output and error';
const ONE_LOG = 'left out: standard output and error are in one log';
const BACKOFF = 'built in: at once, then after 0.1 to 30 s';

const flags = new Map(
  Object.entries({
    '-i': WORKERS,
    '--instances': WORKERS,
    '-n': '--name',
    '--no-daemon': 'left out: without --daemon a server runs in the foreground',
    '--attach': 'left out: without --daemon a server runs in the foreground',
    '-w': '--watch',
    '--ignore-watch': '--watch, with the folders to watch',
    '--max-memory-restart': '--max-memory',
    '--cron-restart': '--cron-reload',
    '--cron': '--cron-reload',
    '--node-args': '--node-arg, once for each; those that Node knows can be given as they are',
    '-o': LOG_FILE,
    '--output': LOG_FILE,
    '-e': LOG_FILE,
    '--error': LOG_FILE,
    '-l': LOG_FILE,
    '--log': LOG_FILE,
    '--kill-timeout': '--max-wait-ms',
    '--listen-timeout': '--boot-timeout-ms',
    '--wait-ready': 'built in: an app is ready when it listens',
    '--exp-backoff-restart-delay': BACKOFF,
    '--restart-delay': BACKOFF,
    '--max-restarts': BACKOFF,
    '--no-autorestart': 'left out: what ends is always started again',
    '--err': ONE_LOG,
    '--out': ONE_LOG,
    '--nostream': 'left out: without --follow the last lines are printed',
    '--cwd': '--working-dir',
    '--uid': '--user',
    '--gid': '--group',
  }),
);

/** PM2 counts from the cores: "max", 0, and one less by -1. */
const OF_CORES = /option '--(?:workers|worker-num) <value>' argument '(max|0|-1)'/;

/** @param text Commander's error @returns the same, with what the word is called here where it is one of PM2 */
export function withAdviceForPm2(text: string): string {
  const count = OF_CORES.exec(text)?.[1];
  if (count !== undefined) return `${text}(PM2's ${count} is here: left out, as there is a worker for each core.)\n`;
  const [, name = ''] = /unknown (?:command|option) '([^'=]+)/.exec(text) ?? [];
  const word = /^-\w/.test(name) ? name.slice(0, 2) : name; // "-i4" is "-i"
  const here = (word.startsWith('-') ? flags : commands).get(word);
  if (here === undefined) return text;
  const [error] = text.split('\n', 1);
  return `${error}\n(PM2's ${word} is here: ${here}.)\n`;
}
