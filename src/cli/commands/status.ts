import type { Command } from 'commander';
import type { ServerStatus } from '../../control/controlled.js';
import type { RunEntry } from '../../control/run-dir.js';
import type { ServerStats, WorkerInfo } from '../../control/stats.js';
import { isSecret } from '../../options/index.js';
import { ask, runningServers, serverTable } from '../servers.js';
import { choiceOf, type TargetFlags, withTarget } from '../target.js';
import { bytes, count, duration, list, paint, print, printJson } from '../terminal.js';

interface Flags extends TargetFlags {
  readonly json?: boolean;
}

export function addStatus(program: Command): void {
  withTarget(program.command('status'))
    .summary('what runs, and how it does')
    .argument('[server]', 'name or pid')
    .option('--json', 'everything, for programs: {status, stats, workers}')
    .action(async (server: string | undefined, flags: Flags) => {
      const all = await ask(choiceOf(flags, server), async ({ call }) => ({
        status: await call<ServerStatus>('status'),
        stats: await call<ServerStats>('stats'),
        workers: await call<WorkerInfo[]>('workers'),
      }));
      if (flags.json === true) printJson(all);
      else print(describeStatus(all.status, all.stats));
    });
}

export function addList(program: Command): void {
  program
    .command('list')
    .alias('ls')
    .summary('the servers of this user')
    .option('--json', 'for programs')
    .option('--run-dir <folder>', 'where control sockets are, unless at the usual place')
    .action((flags: { json?: boolean; runDir?: string }) => {
      const servers = runningServers({ runDir: flags.runDir });
      if (flags.json === true) printJson(servers.map(withoutSecrets));
      else print(servers.length === 0 ? 'No server of this user runs.' : serverTable(servers));
    });
}

/** Flags are kept for `tswoole restart`; a list is pasted anywhere. */
function withoutSecrets(entry: RunEntry): RunEntry {
  const flags = Object.entries(entry.flags).map(([name, value]) => [name, isSecret(name) ? '(hidden)' : value]);
  return { ...entry, flags: Object.fromEntries(flags) as Record<string, string> };
}

export function describeStatus(status: ServerStatus, stats: ServerStats): string {
  const head = `${paint('bold', status.name)}  ${paintPhase(status.phase)}, pid ${status.masterPid}, up ${duration(status.uptimeMs)}`;
  const { tasks } = stats;
  const entries: [string, string][] = [
    ['listening', status.listening.join(', ')],
    ...(status.admin === '' ? [] : [['admin', status.admin] as [string, string]]),
    ['script', status.script],
    ['versions', `tswoole ${status.version}, Node ${status.node}, ${status.mode} mode`],
    [
      'workers',
      `${status.workerNum} (${stats.idleWorkerNum} idle), generation ${status.generation}, ${stats.workerRestarts} restarts`,
    ],
    ['connections', `${stats.connectionNum} open, ${count(stats.acceptCount)} accepted`],
    [
      'packets',
      `${count(stats.requestCount)} received, ${count(stats.responseCount)} sent, ${stats.callbackErrors} callback errors`,
    ],
    [
      'traffic',
      `${bytes(stats.receivedBytes)} in, ${bytes(stats.sentBytes)} out, ${bytes(stats.bufferedBytes)} waiting`,
    ],
  ];
  if (stats.taskWorkerNum > 0) {
    const { queued, running, done, failed, timedOut } = tasks;
    const numbers = `${queued} waiting, ${running} running, ${count(done)} done, ${failed} failed, ${timedOut} timed out`;
    entries.push(['tasks', `${stats.taskWorkerNum} task workers (${stats.idleTaskWorkerNum} idle), ${numbers}`]);
  }
  if (stats.failedReloadCount > 0) entries.push(['reloads', `${stats.failedReloadCount} failed, see the log`]);
  entries.push(['log', `level ${status.logLevel}, ${whereTo(status)}`]);
  if (status.pidFile !== '') entries.push(['pid file', status.pidFile]);
  return `${head}\n${list(entries)}`;
}

function paintPhase(phase: string): string {
  return paint(phase === 'running' ? 'green' : 'yellow', phase);
}

function whereTo({ logFile, isDaemon }: ServerStatus): string {
  if (logFile !== '') return logFile;
  return isDaemon ? 'nowhere: a daemon needs a log file (--log-file)' : 'standard error';
}
