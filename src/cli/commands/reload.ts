import { type Command, Option } from 'commander';
import type { Reloaded } from '../../control/controlled.js';
import { integerBetween } from '../number.js';
import { ask, askFound, type Choice, chooseServer } from '../servers.js';
import { onEach, type Say, type TargetFlags, targetsOf, withTarget } from '../target.js';
import { reloadNodes } from './reload-nodes.js';

interface Flags extends TargetFlags {
  readonly tasks?: boolean;
  readonly allNodes?: boolean;
  readonly timeout?: number;
}

const WAIT_SECONDS = 120;
/** Each node may take its time. */
const WAIT_FOR_NODES_SECONDS = 3600;

export function addReload(program: Command): void {
  withTarget(program.command('reload'))
    .summary('replace workers without losing a connection')
    .description(
      'Replaces every worker and task worker by one that runs the script as it is now. No connection is lost. Returns when the ' +
        'old ones have ended, or prints why they stay.',
    )
    .argument('[servers...]', 'names or pids; without one all apps of the config file')
    .option('--tasks', 'task workers only')
    .addOption(
      new Option('--all-nodes', 'of every node of the cluster, one after another, until one fails').conflicts('tasks'),
    )
    .option(
      '--timeout <seconds>',
      `how long to wait (default: ${WAIT_SECONDS}; for all nodes ${WAIT_FOR_NODES_SECONDS})`,
      integerBetween(1, 86_400),
    )
    .action(async (servers: string[], flags: Flags) =>
      onEach(await targetsOf(flags, servers), ({ choice }, say) => reload(choice, flags, say)),
    );
}

async function reload(choice: Choice, { allNodes, tasks, timeout }: Flags, say: Say): Promise<void> {
  if (allNodes === true) return ask(choice, (asked) => reloadNodes(asked, (timeout ?? WAIT_FOR_NODES_SECONDS) * 1000));
  const tasksOnly = tasks === true;
  const found = await chooseServer(choice);
  if (found.entry === undefined) {
    process.kill(found.pid, tasksOnly ? 'SIGUSR2' : 'SIGUSR1');
    return say(`The server with pid ${found.pid} was sent the signal to reload; its log has the result.`);
  }
  const { generation, needsRestart = [] } = await askFound(found, ({ call }) =>
    call<Reloaded>('reload', { tasksOnly }, (timeout ?? WAIT_SECONDS) * 1000),
  );
  say(`${tasksOnly ? 'Task workers' : 'Workers'} were replaced: generation ${generation}.`);
  if (needsRestart.length === 0) return;
  say(`The script has changed what only "tswoole restart" applies: ${needsRestart.join(', ')}.`);
}
