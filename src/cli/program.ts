/** All commands of `tswoole`. */
import { Command } from 'commander';
import { version } from '../version.js';
import { addCall } from './commands/call.js';
import { addCompletion } from './commands/completion.js';
import { addConnections } from './commands/connections.js';
import { addDashboard } from './commands/dashboard.js';
import { addDoctor } from './commands/doctor.js';
import { addInfo } from './commands/info.js';
import { addInit } from './commands/init.js';
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

export function createProgram(): Command {
  const program = new Command('tswoole')
    .description('Starts and operates servers: a master with reactor threads, a manager, workers.')
    .version(`tswoole ${version}`, '-V, --version')
    .showHelpAfterError('See "tswoole --help".')
    .addHelpText('after', EXIT_CODES)
    .exitOverride();
  addInit(program);
  addStart(program);
  addStop(program);
  addReload(program);
  addRestart(program);
  addStatus(program);
  addList(program);
  addTop(program);
  addDashboard(program);
  addLogs(program);
  addWorkers(program);
  addScale(program);
  addConnections(program);
  addRooms(program);
  addNodes(program);
  addCall(program);
  addProfile(program);
  addInfo(program);
  addDoctor(program);
  addSystemd(program);
  addCompletion(program);
  for (const command of allOf(program)) command.copyInheritedSettings(program);
  return program;
}

function allOf(command: Command): Command[] {
  return command.commands.flatMap((sub) => [sub, ...allOf(sub)]);
}

const EXIT_CODES = `
Exit codes: 0 done, 1 failed, 2 wrong usage, 3 no such server runs, 4 several run and none was named, 5 timed out, 6 (status) it runs and does not stay up.`;
