import { type Command, Option } from 'commander';
import type { Reloaded } from '../../control/controlled.js';
import { integerBetween } from '../number.js';
import { type Asked, ask, askFound, type Choice, chooseServer } from '../servers.js';
import { onEach, type Say, type TargetFlags, targetsOf, withTarget } from '../target.js';
import { Rounds, reloadNodes } from './reload-nodes.js';

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
        'old ones have ended, or prints why they stay, or how a new one has crashed meanwhile.',
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
    .action(async (servers: string[], flags: Flags) => {
      const rounds = new Rounds();
      const reloadOne = flags.allNodes === true ? reloadAll(rounds, flags) : reload;
      return onEach(await targetsOf(flags, servers), ({ choice }, say) => reloadOne(choice, flags, say));
    });
}

/** One round for each cluster: of the servers that are meant, several may be nodes of one. */
function reloadAll(rounds: Rounds, { timeout = WAIT_FOR_NODES_SECONDS }: Flags): typeof reload {
  const round = async (asked: Asked, say: Say): Promise<void> => {
    const had = await rounds.had(asked);
    if (had === undefined) return reloadNodes(asked, timeout * 1000, rounds);
    say(`The cluster of its node ${had} has had its round.`);
  };
  return (choice, _flags, say) => ask(choice, (asked) => round(asked, say));
}

async function reload(choice: Choice, { tasks, timeout }: Flags, say: Say): Promise<void> {
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
