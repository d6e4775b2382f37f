/**
 * The inheritance of a child process: descriptors from 3 on, and one environment variable that lists them and names the
 * role. The variable is removed when it is read, so that a tswoole program started by the user from a worker becomes its
 * own master.
 */
import { flagsForChild, SECRETS_VARIABLE } from '../options/index.js';
import type { DoorbellDescriptors } from '../os/doorbell.js';
import { ARENA_DESCRIPTOR } from '../shared/objects.js';
import { CHILD_VARIABLE, CONTROL_DESCRIPTOR } from '../util/child-variable.js';
import { keepsBootOutput, realStandardError } from './boot-output.js';
import type { Descriptor } from './first-processes.js';
import { leaveInspect } from './inspect.js';
import { letGoOfSecrets, secretsToBequeath } from './secrets.js';

export { CONTROL_DESCRIPTOR };

const REGION_DESCRIPTOR = 4;
const OVERFLOW_DESCRIPTOR = 5;
const FIRST_FREE_DESCRIPTOR = ARENA_DESCRIPTOR + 1;

/** Roles that have a process id, and run the user's callbacks. */
export type ProcessRole = 'worker' | 'task' | 'user';

export type ChildRole = { role: 'manager' } | { role: ProcessRole; id: number; lane: number; generation: number };

/** Descriptors that every process of one server holds. */
export interface SharedDescriptors {
  readonly region: number;
  /** Data too large for the region: see `Overflow`. */
  readonly overflow: number;
  /** The user's shared objects: see `Arena`. */
  readonly arena: number;
  /** What the server was started with: the text of `packRunning`. */
  readonly settings: number;
  /** By listen port: the socket for sending datagrams; −1 for a stream port. */
  readonly datagrams: readonly number[];
  readonly bells: readonly DoorbellDescriptors[];
}

/** Further descriptors of the processes of one worker id, which own connections (BASE mode). */
export interface OwnDescriptors {
  /** By listen port: the socket it accepts from, or receives datagrams from; −1: none. */
  readonly listeners: readonly number[];
  /** A worker hands its connections over to the next process of its id by these. */
  readonly give: number;
  readonly take: number;
}

export type Inheritance = ChildRole &
  SharedDescriptors & {
    readonly own?: OwnDescriptors;
    /** The final standard error, used once the process is ready; until then its parent reads it. */
    readonly standardError?: number;
    /** The parent reads its standard output and error. */
    readonly printed?: boolean;
    /** The parent writes lines from here to the log file. */
    readonly relay?: number;
  };

export interface ChildStart {
  readonly stdio: readonly Descriptor[];
  readonly env: NodeJS.ProcessEnv;
  /** What the child finds in its environment. */
  readonly inheritance: Inheritance;
  /** Variables besides those of this process and the inheritance. */
  readonly variables: Readonly<Record<string, string>>;
  /** Index among the child's descriptors; −1: there is none. */
  readonly relay: number;
}

/** The outputs of a child that the parent reads. */
export interface Heard {
  readonly printed: boolean;
  readonly relayed: boolean;
}

const NOT_HEARD: Heard = { printed: false, relayed: false };

/** Descriptors of the parent besides those that are shared. */
export interface OfParent {
  /** Its final standard error; −1: children share its terminal. */
  readonly standardError: number;
  /** −1: there are none. */
  readonly secrets: number;
}

function ofThisProcess(): OfParent {
  return { standardError: keepsBootOutput() ? realStandardError() : -1, secrets: secretsToBequeath() };
}

/** What a process that has this inheritance gives to its own children, in its own numbers. */
export function asParent(inheritance: Inheritance, variables: ChildStart['variables']): OfParent {
  return { standardError: inheritance.standardError ?? -1, secrets: Number(variables[SECRETS_VARIABLE] ?? -1) };
}

/** @returns the options of `spawn` by which the child inherits `shared` */
export function bequeath(
  role: ChildRole,
  shared: SharedDescriptors,
  own?: OwnDescriptors,
  { printed, relayed }: Heard = NOT_HEARD,
  parent: OfParent = ofThisProcess(),
): ChildStart {
  const { region, overflow, arena, settings, bells } = shared;
  const descriptors: (number | 'pipe')[] = [];
  const inherit = (descriptor: number | 'pipe'): number => FIRST_FREE_DESCRIPTOR + descriptors.push(descriptor) - 1;
  const numbers = bells.map(({ read, write }) => {
    const readAt = inherit(read);
    return { read: readAt, write: write === read ? readAt : inherit(write) };
  });
  const inheritAny = (descriptor: number): number => (descriptor < 0 ? -1 : inherit(descriptor));
  const datagrams = shared.datagrams.map(inheritAny);
  const owned = own && {
    listeners: own.listeners.map(inheritAny),
    give: inherit(own.give),
    take: inherit(own.take),
  };
  const isKept = !printed && parent.standardError >= 0;
  const relay = relayed ? inherit('pipe') : -1;
  const inheritance: Inheritance = {
    ...role,
    ...(isKept && { standardError: inherit(parent.standardError) }),
    region: REGION_DESCRIPTOR,
    overflow: OVERFLOW_DESCRIPTOR,
    arena: ARENA_DESCRIPTOR,
    settings: inherit(settings),
    datagrams,
    bells: numbers,
    ...(owned && { own: owned }),
    ...(printed && { printed }),
    ...(relayed && { relay }),
  };
  const standard = printed ? 'pipe' : 'inherit';
  const secrets = inheritAny(parent.secrets);
  const variables = { ...flagsForChild(), ...(secrets < 0 ? {} : { [SECRETS_VARIABLE]: String(secrets) }) };
  return {
    stdio: ['ignore', standard, isKept ? 'pipe' : standard, 'pipe', region, overflow, arena, ...descriptors],
    env: { ...process.env, ...variables, [CHILD_VARIABLE]: JSON.stringify(inheritance) },
    ...{ inheritance, variables, relay },
  };
}

/** @returns undefined in a process that a user started: it becomes the master */
export function takeInheritance(): Inheritance | undefined {
  const text = process.env[CHILD_VARIABLE];
  if (text === undefined) return undefined;
  delete process.env[CHILD_VARIABLE];
  const inheritance = JSON.parse(text) as Inheritance;
  if (inheritance.role === 'manager') return inheritance;
  leaveInspect();
  letGoOfSecrets(); // it starts no process that needs them
  return inheritance;
}
