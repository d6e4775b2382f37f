/**
 * The program of the first process of the manager, or loaded by Node before its program: starts the first processes with an
 * id, before the script runs. They end with this process, as all of its children do: their control channels end.
 */
import { writeSync } from 'node:fs';
import { FIRST_VARIABLE, type FirstPlan, leaveFirst } from '../ipc/first-processes.js';
import { startFirst } from '../ipc/start-first.js';
import { CONTROL_DESCRIPTOR } from '../util/child-variable.js';
import { runScript } from '../util/run-script.js';

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
  // Where this process is killed, the master ends those that cannot end by themselves.
  const pids = started.map(({ role, process }) => [role.id, process.pid]);
  try {
    writeSync(CONTROL_DESCRIPTOR, `${JSON.stringify({ type: 'spawned', pids })}\n`);
  } catch {
    // The master is gone.
  }
}
