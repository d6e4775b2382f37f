/**
 * The program of the first process of the manager, or loaded by Node before its program: starts the first processes with an
 * id, before the script runs. They end with this process, as all of its children do: their control channels end.
 */
import { writeSync } from 'node:fs';
import { areLeft, FIRST_VARIABLE, type FirstPlan, type FirstProcess, leaveFirst } from '../ipc/first-processes.js';
import { startFirst } from '../ipc/start-first.js';
import { CONTROL_DESCRIPTOR } from '../util/child-variable.js';
import { runScript } from '../util/run-script.js';

/** Within a second of the master's end, all processes have ended. */
const LOOK_MS = 200;

const isOurs = (word: string): boolean =>
  word.startsWith('--require=') && /[\\/]manager[\\/]first-entry\.c?js$/.test(word);

const text = process.env[FIRST_VARIABLE];
// Neither threads nor processes of the script are the manager.
delete process.env[FIRST_VARIABLE];
const at = process.execArgv.findIndex(isOurs);
if (at >= 0) process.execArgv.splice(at, 1);
if (text !== undefined) begin(JSON.parse(text) as FirstPlan);
if (at < 0) runScript();

function begin(plan: FirstPlan): void {
  if (plan.master !== process.ppid) return;
  const started = startFirst(plan);
  leaveFirst(started);
  watchMaster(plan.master, started);
  // Where this process is killed, the master ends those that cannot end by themselves.
  const pids = started.map(({ role, process }) => [role.id, process.pid]);
  try {
    writeSync(CONTROL_DESCRIPTOR, `${JSON.stringify({ type: 'spawned', pids })}\n`);
  } catch {
    // The master is gone.
  }
}

/** Until the script has called `start()`, nothing else here notices the end of the master, who would end those that cannot. */
function watchMaster(master: number, started: readonly FirstProcess[]): void {
  const look = setInterval(() => {
    if (!areLeft()) clearInterval(look);
    else if (process.ppid !== master) process.exit(1);
  }, LOOK_MS).unref();
  process.once('exit', () => {
    if (!areLeft() || process.ppid === master) return;
    for (const { process: child } of started) child.kill('SIGKILL');
  });
}
