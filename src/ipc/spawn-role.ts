/** Starts the user's script again in another role. Node cannot fork, so every process runs the script from the top. */
import { type ChildProcess, spawn } from 'node:child_process';
import { Socket } from 'node:net';
import { constants } from 'node:os';
import type { Readable } from 'node:stream';
import { startedIn } from '../os/isolation.js';
import { CHILD_VARIABLE } from '../util/child-variable.js';
import { isTitleArgument, titleArgument } from '../util/title-argument.js';
import { mayComeFirst, withSizedHeap } from './before-script.js';
import { BootOutput, passOnBytes } from './boot-output.js';
import { type ChildOutput, takeOutput } from './child-output.js';
import {
  FIRST_VARIABLE,
  type FirstPlan,
  type FirstProcess,
  type PlannedFirst,
  type StartCommand,
} from './first-processes.js';
import {
  asParent,
  bequeath,
  type ChildRole,
  type ChildStart,
  CONTROL_DESCRIPTOR,
  type Inheritance,
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
  const { relay, ...command } = commandOf(role, title, shared, own, output);
  return read(start(command), role, relay, output);
}

/** How `spawnRole` starts a process, for now. */
export function commandOf(
  role: ChildRole,
  title: string,
  shared: SharedDescriptors,
  own?: OwnDescriptors,
  output?: ChildOutput,
): StartCommand & Pick<ChildStart, 'relay'> {
  inspectWish(); // before the environment is passed on
  const { stdio, env, relay } = bequeath(role, shared, own, output);
  return { args: [titleArgument(title), ...argumentsOf(role)], stdio, env, cwd: startedIn, relay };
}

/** A process of the first set, with its title. */
export interface FirstRole {
  readonly title: string;
  readonly role: PlannedFirst;
}

/** What the first manager starts before it runs the script. */
export interface FirstSet {
  /** The file that starts them. */
  readonly entry: string;
  readonly roles: readonly FirstRole[];
  readonly output: ChildOutput | undefined;
}

/** The kernel takes 128 KiB for one variable. */
const LONGEST_PLAN = 100_000;

/** @param first nothing: the manager starts all processes itself */
export function spawnManager(
  title: string,
  shared: SharedDescriptors,
  output: ChildOutput | undefined,
  first: FirstSet | undefined,
): StartedChild {
  const role = { role: 'manager' } as const;
  // A person sits at the debugger: nothing is to be gained there.
  const hasFirst = first !== undefined && first.roles.length > 0 && inspectWish() === undefined;
  const plan = hasFirst ? planOf(first, bequeath(role, shared, undefined, output)) : '';
  if (!hasFirst || Buffer.byteLength(plan) > LONGEST_PLAN) return spawnRole(role, title, shared, undefined, output);
  const { relay, ...command } = commandOf(role, title, shared, undefined, output);
  const nodeArgs = inheritedExecArgv();
  const before = mayComeFirst(nodeArgs) ? [...nodeArgs, first.entry] : [`--require=${first.entry}`, ...nodeArgs];
  const args = [titleArgument(title), ...before, ...process.argv.slice(1)];
  return read(start({ ...command, args, env: { ...command.env, [FIRST_VARIABLE]: plan } }), role, relay, output);
}

/** @returns a `FirstPlan`, as text: what the manager would work out by `commandOf` */
function planOf({ roles, output }: FirstSet, manager: ChildStart): string {
  const [any] = roles;
  if (any === undefined) return '';
  const parent = asParent(manager.inheritance, manager.variables);
  const { stdio, variables, inheritance } = bequeath(any.role, manager.inheritance, undefined, output, parent);
  const { role: _, id: __, lane: ___, generation: ____, ...rest } = inheritance as Inheritance & PlannedFirst;
  const plan: FirstPlan = {
    ...{ master: process.pid, args: argumentsOf(any.role), stdio, env: variables, inheritance: rest },
    processes: roles.map(({ title, role }) => ({ title: titleArgument(title), role })),
  };
  return JSON.stringify(plan);
}

/** Takes over a process that was started before: what it has said meanwhile comes now. */
export function adoptFirst({ process: child, role, command }: FirstProcess, output?: ChildOutput): StartedChild {
  child.ref();
  for (const stream of child.stdio) {
    stream?.removeAllListeners('readable');
    (stream as Socket | null)?.ref();
  }
  const inheritance = JSON.parse(command.env[CHILD_VARIABLE] ?? '{}') as Partial<Inheritance>;
  return read(child, role, inheritance.relay ?? -1, output);
}

function start({ args, stdio, env, cwd }: StartCommand): ChildProcess {
  return spawn(process.execPath, args, { stdio: [...stdio], env, cwd });
}

function read(child: ChildProcess, role: ChildRole, relay: number, output?: ChildOutput): StartedChild {
  // Without free descriptors there are no pipes either; the process's 'error' event reports it.
  const control = child.stdio?.[CONTROL_DESCRIPTOR] as Socket | undefined;
  const heard = output === undefined ? [] : takeOutput(child, role, output, relay);
  // If the parent keeps reading the output, that reader passes the lines on.
  if (child.stderr && output?.printed !== true) passOnBytes(child.stderr);
  const boot = new BootOutput(child.stderr ?? undefined);
  return { process: child, control: control ?? new Socket(), boot, heard };
}

/** Behind the title. */
function argumentsOf(role: ChildRole): string[] {
  const [script = '', ...args] = process.argv.slice(1);
  if (role.role === 'manager') return [...inheritedExecArgv(), script, ...args];
  return withSizedHeap([...inspectArgs(role.id, role.lane), ...inheritedExecArgv()], [script, ...args]);
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
  const exited = (code: number | null, signal: NodeJS.Signals | null): void => {
    const later = (): void => end(code ?? 0, signal);
    const open = [child.control, ...child.heard].filter((stream) => !stream.destroyed);
    let left = open.length + 1;
    const ended = (): void => {
      if (--left === 0) later();
    };
    for (const stream of open) stream.once('close', ended);
    child.boot.whenEnded(ended);
    setTimeout(later, LAST_WORDS_MS).unref();
  };
  child.process.once('error', () => end(1, null));
  const { exitCode, signalCode } = child.process;
  if ((exitCode ?? signalCode ?? null) === null) child.process.once('exit', exited);
  else setImmediate(exited, exitCode, signalCode); // before it was adopted
}

/** Only one process can hold a debugger port. */
function inheritedExecArgv(): string[] {
  return process.execArgv.filter((argument) => !isInspect(argument) && !isTitleArgument(argument));
}
