/** All commands of `tswoole`. */
import { Command } from 'commander';
import { version } from '../version.js';
import { addCall } from './commands/call.js';
import { addCompletion } from './commands/completion.js';
import { addConnections } from './commands/connections.js';
import { addDashboard } from './commands/dashboard.js';
import { addDoctor } from './commands/doctor.js';
import { addHelp } from './commands/help.js';
import { addInfo } from './commands/info.js';
import { addInit } from './commands/init.js';
import { addJobs } from './commands/jobs.js';
import { addLogs } from './commands/logs.js';
import { addNodes } from './commands/nodes.js';
import { addProfile } from './commands/profile.js';
import { addReload } from './commands/reload.js';
import { addRestart } from './commands/restart.js';
import { addRooms } from './commands/rooms.js';
import { addStart } from './commands/start.js';
import { addList, addStatus } from './commands/status.js';
import { addStop } from './commands/stop.js';
import { addSystemd } from './commands/systemd.js';
import { addTop } from './commands/top.js';
import { addScale, addWorkers } from './commands/workers.js';
import { withAdviceForPm2 } from './pm2-words.js';

/** In the order of the help. */
const COMMANDS: ReadonlyMap<string, (program: Command) => void> = new Map([
  ['init', addInit],
  ['start', addStart],
  ['stop', addStop],
  ['reload', addReload],
  ['restart', addRestart],
  ['status', addStatus],
  ['list', addList],
  ['top', addTop],
  ['dashboard', addDashboard],
  ['logs', addLogs],
  ['workers', addWorkers],
  ['scale', addScale],
  ['connections', addConnections],
  ['rooms', addRooms],
  ['nodes', addNodes],
  ['jobs', addJobs],
  ['call', addCall],
  ['profile', addProfile],
  ['info', addInfo],
  ['doctor', addDoctor],
  ['systemd', addSystemd],
  ['completion', addCompletion],
]);

/** @param word the first of the command line: where it is the name of a command, the others need not be described */
export function createProgram(word?: string): Command {
  const program = new Command('tswoole')
    .description('Starts and operates servers: a master with reactor threads, a manager, workers.')
    .version(`tswoole ${version}`, '-V, --version')
    .showHelpAfterError('See "tswoole --help".')
    .addHelpText('after', EXIT_CODES)
    .configureOutput({ outputError: (text, write) => write(withAdviceForPm2(text)) })
    .exitOverride();
  const named = word === undefined ? undefined : COMMANDS.get(word);
  for (const add of named === undefined ? COMMANDS.values() : [named]) add(program);
  const groups = allOf(program).filter(({ commands }) => commands.length > 0);
  for (const group of named === undefined ? [program, ...groups] : groups) addHelp(group);
  for (const command of allOf(program)) {
    command.copyInheritedSettings(program);
    if (command.name() !== 'help') command.showHelpAfterError(`See "${fullNameOf(command)} --help".`);
  }
  return program;
}

function fullNameOf(command: Command): string {
  const { parent } = command;
  return parent === null ? command.name() : `${fullNameOf(parent)} ${command.name()}`;
}

function allOf(command: Command): Command[] {
  return command.commands.flatMap((sub) => [sub, ...allOf(sub)]);
}

const EXIT_CODES = `
Exit codes: 0 done, 1 failed, 2 wrong usage, 3 no such server runs, 4 several run and none was named, 5 timed out, 6 (status) it runs and does not stay up.`;
