/**
 * Loaded by Node in the first process of the manager, before the script: starts the first processes with an id. A program of
 * its own, which loads nothing else of the package: the sooner they run, the sooner the server is up. They end with this
 * process, as all of its children do: their control channels end.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { writeSync } from 'node:fs';
import type { Socket } from 'node:net';
import { FIRST_VARIABLE, type FirstPlan, type FirstProcess, leaveFirst } from '../ipc/first-processes.js';
import { CHILD_VARIABLE, CONTROL_DESCRIPTOR } from '../util/child-variable.js';

const isOurs = (word: string): boolean => word.startsWith('--require=') && word.endsWith('/manager/first-entry.cjs');

const text = process.env[FIRST_VARIABLE];
// Neither threads nor processes of the script are the manager.
delete process.env[FIRST_VARIABLE];
const at = process.execArgv.findIndex(isOurs);
if (at >= 0) process.execArgv.splice(at, 1);
if (text !== undefined) begin(JSON.parse(text) as FirstPlan);

function begin(plan: FirstPlan): void {
  if (plan.master !== process.ppid) return;
  const started = plan.processes.flatMap((planned) => start(plan, planned));
  leaveFirst(started);
  // Where this process is killed, the master ends those that cannot end by themselves.
  const pids = started.map(({ role, process }) => [role.id, process.pid]);
  try {
    writeSync(CONTROL_DESCRIPTOR, `${JSON.stringify({ type: 'spawned', pids })}\n`);
  } catch {
    // The master is gone.
  }
}

/** @returns nothing where it cannot be started: the manager tries again, and reports it */
function start(
  { args, stdio, env, inheritance }: FirstPlan,
  { title, role }: FirstPlan['processes'][number],
): FirstProcess[] {
  const command = {
    args: [title, ...args],
    stdio,
    env: { ...process.env, ...env, [CHILD_VARIABLE]: JSON.stringify({ ...role, ...inheritance }) },
    cwd: process.cwd(),
  };
  try {
    const child = spawn(process.execPath, command.args, { stdio: [...stdio], env: command.env, cwd: command.cwd });
    child.on('error', () => {});
    if (child.pid === undefined) return [];
    hold(child);
    return [{ role, command, process: child }];
  } catch {
    return [];
  }
}

/** Until the manager takes it over: what it says is kept, and it does not keep this process, whose script may end without. */
function hold(child: ChildProcess): void {
  child.unref();
  for (const stream of child.stdio) {
    if (stream === null || stream === undefined) continue;
    stream.on('readable', () => {});
    stream.on('error', () => {});
    (stream as Socket).unref();
  }
}
