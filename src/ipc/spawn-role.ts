/** Starts the user's script again, in another role. Node cannot fork, so every process runs it from the top. */
import { type ChildProcess, spawn } from 'node:child_process';
import { Socket } from 'node:net';
import type { DoorbellDescriptors } from '../os/doorbell.js';
import { bequeath, type ChildRole, CONTROL_DESCRIPTOR } from './inheritance.js';

/** `process.title` cannot grow past what argv had at the start, so children begin with this much room. */
const TITLE_ROOM = 96;

export interface StartedChild {
  readonly process: ChildProcess;
  readonly control: Socket;
}

export function spawnRole(
  role: ChildRole,
  title: string,
  region: number,
  bells: readonly DoorbellDescriptors[],
): StartedChild {
  const [script = '', ...args] = process.argv.slice(1);
  const child = spawn(process.execPath, [...inheritedExecArgv(), script, ...args], {
    ...bequeath(role, region, bells),
    argv0: title.padEnd(TITLE_ROOM),
  });
  // Without descriptors to spare there are no pipes either; the 'error' event of the process tells.
  const control = child.stdio?.[CONTROL_DESCRIPTOR] as Socket | undefined;
  return { process: child, control: control ?? new Socket() };
}

/** A debugger port can be held by one process only. */
function inheritedExecArgv(): string[] {
  return process.execArgv.filter((argument) => !argument.startsWith('--inspect'));
}
