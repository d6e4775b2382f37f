/** Starts the user's script again, in another role. Node cannot fork, so every process runs it from the top. */
import { type ChildProcess, spawn } from 'node:child_process';
import { Socket } from 'node:net';
import { constants } from 'node:os';
import { standardError } from '../util/log-file.js';
import { BootOutput } from './boot-output.js';
import {
  bequeath,
  type ChildRole,
  CONTROL_DESCRIPTOR,
  type OwnDescriptors,
  type SharedDescriptors,
} from './inheritance.js';
import { inspectArgs, inspectWish, isInspect } from './inspect.js';

/** `process.title` cannot grow past what argv had at the start, so children begin with this much room. */
const TITLE_ROOM = 96;
/** Relative paths among the options mean the same in every process, wherever `workingDir` leads. */
const startedIn = process.cwd();
/** A process the child has started may hold its end of the channel open. */
const LAST_WORDS_MS = 50;

export interface StartedChild {
  readonly process: ChildProcess;
  readonly control: Socket;
  readonly output: BootOutput;
}

export function spawnRole(
  role: ChildRole,
  title: string,
  shared: SharedDescriptors,
  own?: OwnDescriptors,
): StartedChild {
  const [script = '', ...args] = process.argv.slice(1);
  inspectWish(); // before the environment is handed on
  const debugging = role.role === 'manager' ? [] : inspectArgs(role.id, role.lane);
  const child = spawn(process.execPath, [...debugging, ...inheritedExecArgv(), script, ...args], {
    ...bequeath(role, shared, own),
    argv0: title.padEnd(TITLE_ROOM),
    cwd: startedIn,
  });
  // Without descriptors to spare there are no pipes either; the 'error' event of the process tells.
  const control = child.stdio?.[CONTROL_DESCRIPTOR] as Socket | undefined;
  const output = new BootOutput(child.stderr ?? undefined, (text) => standardError.write(text));
  return { process: child, control: control ?? new Socket(), output };
}

/**
 * Calls back once when the process is gone and reaped (or could not be started: code 1), after what it said last has
 * been read. @param callback gets signal 0 when it ended by itself, and what it wrote to standard error before it was ready
 */
export function whenEnded(
  child: StartedChild,
  callback: (exitCode: number, signal: number, wrote: string) => void,
): void {
  let ended = false;
  const end = (exitCode: number, signal: NodeJS.Signals | null): void => {
    if (ended) return;
    ended = true;
    callback(exitCode, signal === null ? 0 : constants.signals[signal], child.output.text);
  };
  child.process.once('error', () => end(1, null));
  child.process.once('exit', (code, signal) => {
    const later = (): void => end(code ?? 0, signal);
    const whenRead = (): void => child.output.whenEnded(later);
    if (child.control.destroyed) whenRead();
    else child.control.once('close', whenRead);
    setTimeout(later, LAST_WORDS_MS).unref();
  });
}

/** A debugger port can be held by one process only. */
function inheritedExecArgv(): string[] {
  return process.execArgv.filter((argument) => !isInspect(argument));
}
