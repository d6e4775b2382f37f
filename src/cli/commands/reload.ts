import { type Command, Option } from 'commander';
import { integerBetween } from '../number.js';
import { ask, chooseServer } from '../servers.js';
import { choiceOf, type TargetFlags, withTarget } from '../target.js';
import { print } from '../terminal.js';
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
    .argument('[server]', 'name or pid')
    .option('--tasks', 'task workers only')
    .addOption(
      new Option('--all-nodes', 'of every node of the cluster, one after another, until one fails').conflicts('tasks'),
    )
    .option(
      '--timeout <seconds>',
      `how long to wait (default: ${WAIT_SECONDS}; for all nodes ${WAIT_FOR_NODES_SECONDS})`,
      integerBetween(1, 86_400),
    )
    .action(async (server: string | undefined, flags: Flags) => {
      const choice = choiceOf(flags, server);
      if (flags.allNodes === true) {
        return ask(choice, (asked) => reloadNodes(asked, (flags.timeout ?? WAIT_FOR_NODES_SECONDS) * 1000));
      }
      const tasksOnly = flags.tasks === true;
      const { pid, entry } = await chooseServer(choice);
      if (entry === undefined) {
        process.kill(pid, tasksOnly ? 'SIGUSR2' : 'SIGUSR1');
        return print(`The server with pid ${pid} was sent the signal to reload; its log has the result.`);
      }
      const { generation } = await ask({ ...choice, server: String(pid), pidFile: undefined }, ({ call }) =>
        call<{ generation: number }>('reload', { tasksOnly }, (flags.timeout ?? WAIT_SECONDS) * 1000),
      );
      print(`${tasksOnly ? 'Task workers' : 'Workers'} were replaced: generation ${generation}.`);
    });
}
