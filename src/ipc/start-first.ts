/**
 * Starts the first processes, before the script runs in the manager. Part of a program of its own, which loads nothing else of
 * the package: the sooner they run, the sooner the server is up.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import type { Socket } from 'node:net';
import { CHILD_VARIABLE } from '../util/child-variable.js';
import type { FirstPlan, FirstProcess } from './first-processes.js';

/** @returns those that could be started: the manager tries the others again, and reports it */
export function startFirst(plan: FirstPlan): FirstProcess[] {
  return plan.processes.flatMap((planned) => start(plan, planned));
}

function start(plan: FirstPlan, { title, role }: FirstPlan['processes'][number]): FirstProcess[] {
  const { args, stdio, env, inheritance } = plan;
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
    // Node reads what a child that has ended has left, and drops it where nobody listens.
    stream.on('readable', () => {});
    stream.on('error', () => {});
    (stream as Socket).unref();
  }
}
