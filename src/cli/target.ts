/** The arguments and flags by which a command selects its server. */
import type { Command } from 'commander';
import type { Choice } from './servers.js';

export interface TargetFlags {
  readonly server?: string;
  readonly pidFile?: string;
  readonly runDir?: string;
}

export function withTarget(command: Command): Command {
  return command
    .option('-s, --server <name|pid>', 'which server, where several run')
    .option('--pid-file <file>', 'the server that holds this pid file')
    .option('--run-dir <folder>', 'where control sockets are, unless at the usual place');
}

export function choiceOf({ server, pidFile, runDir }: TargetFlags, positional?: string): Choice {
  return { server: positional ?? server, pidFile, runDir };
}
