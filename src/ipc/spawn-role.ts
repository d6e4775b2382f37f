/** Starts the user's script again in another role. Node cannot fork, so every process runs the script from the top. */
import { type ChildProcess, spawn } from 'node:child_process';
import { Socket } from 'node:net';
import { constants } from 'node:os';
import type { Readable } from 'node:stream';
import { startedIn } from '../os/isolation.js';
import { heapArguments } from '../util/heap-argument.js';
import { isTitleArgument, titleArgument } from '../util/title-argument.js';
import { BootOutput, passOnBytes } from './boot-output.js';
import { type ChildOutput, takeOutput } from './child-output.js';
import {
  bequeath,
  type ChildRole,
  CONTROL_DESCRIPTOR,
  type OwnDescriptors,
  type SharedDescriptors,
} from './inheritance.js';
import { inspectArgs, inspectWish, isInspect } from './inspect.js';

/** A process the child has started may hold its end of the channel open. */
const LAST_WORDS_MS = 50;

export interface StartedChild {
  readonly process: ChildProcess;
  readonly control: Socket;
  /** Its standard error from before it is ready. */
  readonly boot: BootOutput;
  /** Its other streams that are read. */
  readonly heard: readonly Readable[];
}

export function spawnRole(
  role: ChildRole,
  title: string,
  shared: SharedDescriptors,
  own?: OwnDescriptors,
  output?: ChildOutput,
): StartedChild {
  const [script = '', ...args] = process.argv.slice(1);
  inspectWish(); // before the environment is passed on
  const debugging = role.role === 'manager' ? [] : inspectArgs(role.id, role.lane);
  const { relay, ...start } = bequeath(role, shared, own, output);
  const heap = role.role === 'manager' ? [] : heapArguments();
  const execArgv = [titleArgument(title), ...heap, ...debugging, ...inheritedExecArgv()];
  const child = spawn(process.execPath, [...execArgv, script, ...args], {
    ...start,
    cwd: startedIn,
  });
  // Without free descriptors there are no pipes either; the process's 'error' event reports it.
  const control = child.stdio?.[CONTROL_DESCRIPTOR] as Socket | undefined;
  const heard = output === undefined ? [] : takeOutput(child, role, output, relay);
  // If the parent keeps reading the output, that reader passes the lines on.
  if (child.stderr && output?.printed !== true) passOnBytes(child.stderr);
  const boot = new BootOutput(child.stderr ?? undefined);
  return { process: child, control: control ?? new Socket(), boot, heard };
}

/**
 * Calls back once when the process is gone and reaped (or could not be started: code 1), after its last output has been
 * read. @param callback gets signal 0 when it ended by itself, and its standard error from before it was ready
 */
export function whenEnded(
  child: StartedChild,
  callback: (exitCode: number, signal: number, wrote: string) => void,
): void {
  let ended = false;
  const end = (exitCode: number, signal: NodeJS.Signals | null): void => {
    if (ended) return;
    ended = true;
    callback(exitCode, signal === null ? 0 : constants.signals[signal], child.boot.text);
  };
  child.process.once('error', () => end(1, null));
  child.process.once('exit', (code, signal) => {
    const later = (): void => end(code ?? 0, signal);
    const open = [child.control, ...child.heard].filter((stream) => !stream.destroyed);
    let left = open.length + 1;
    const ended = (): void => {
      if (--left === 0) later();
    };
    for (const stream of open) stream.once('close', ended);
    child.boot.whenEnded(ended);
    setTimeout(later, LAST_WORDS_MS).unref();
  });
}

/** Only one process can hold a debugger port. */
function inheritedExecArgv(): string[] {
  return process.execArgv.filter((argument) => !isInspect(argument) && !isTitleArgument(argument));
}
