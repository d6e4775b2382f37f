/**
 * What a child process is started with: descriptors from 3 on, and one environment variable that says what they are
 * and which role to take. The variable is taken out of the environment when it is read, so that a tswoole program the
 * user starts from a worker is a master of its own.
 */
import type { StdioOptions } from 'node:child_process';
import { flagsForChild, SECRETS_VARIABLE } from '../options/index.js';
import type { DoorbellDescriptors } from '../os/doorbell.js';
import { CHILD_VARIABLE } from '../util/child-variable.js';
import { keepsBootOutput, realStandardError } from './boot-output.js';
import { leaveInspect } from './inspect.js';
import { letGoOfSecrets, secretsToBequeath } from './secrets.js';

export const CONTROL_DESCRIPTOR = 3;
const REGION_DESCRIPTOR = 4;
const OVERFLOW_DESCRIPTOR = 5;
const FIRST_FREE_DESCRIPTOR = 6;

/** Roles that bear a process id, and run the user's callbacks. */
export type ProcessRole = 'worker' | 'task' | 'user';

export type ChildRole = { role: 'manager' } | { role: ProcessRole; id: number; lane: number; generation: number };

/** What every process of one server holds. */
export interface SharedDescriptors {
  readonly region: number;
  /** Data too large for the region: see `Overflow`. */
  readonly overflow: number;
  /** By listen port: the socket that datagrams are sent by; −1 where it is a stream's. */
  readonly datagrams: readonly number[];
  readonly bells: readonly DoorbellDescriptors[];
}

/** What the processes of one worker id hold besides (BASE mode): they own connections. */
export interface OwnDescriptors {
  /** By listen port: what it accepts from, or takes datagrams from; −1 where it does not. */
  readonly listeners: readonly number[];
  /** The connections of a worker go over to the next process of its id by these. */
  readonly give: number;
  readonly take: number;
}

export type Inheritance = ChildRole &
  SharedDescriptors & {
    readonly own?: OwnDescriptors;
    /** Where standard error leads when the process is ready; until then its parent reads it. */
    readonly standardError?: number;
    /** The parent reads its standard output and error. */
    readonly printed?: boolean;
    /** Lines written here are written to the log file by the parent. */
    readonly relay?: number;
  };

export interface ChildStart {
  readonly stdio: StdioOptions;
  readonly env: NodeJS.ProcessEnv;
  /** Index among the child's descriptors; −1: there is none. */
  readonly relay: number;
}

/** What the parent reads of a child. */
export interface Heard {
  readonly printed: boolean;
  readonly relayed: boolean;
}

const NOT_HEARD: Heard = { printed: false, relayed: false };

/** @returns what `spawn` needs so that the child finds `shared` */
export function bequeath(
  role: ChildRole,
  shared: SharedDescriptors,
  own?: OwnDescriptors,
  { printed, relayed }: Heard = NOT_HEARD,
): ChildStart {
  const { region, overflow, bells } = shared;
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
  const isKept = !printed && keepsBootOutput();
  const relay = relayed ? inherit('pipe') : -1;
  const inheritance: Inheritance = {
    ...role,
    ...(isKept && { standardError: inherit(realStandardError()) }),
    region: REGION_DESCRIPTOR,
    overflow: OVERFLOW_DESCRIPTOR,
    datagrams,
    bells: numbers,
    ...(owned && { own: owned }),
    ...(printed && { printed }),
    ...(relayed && { relay }),
  };
  const standard = printed ? 'pipe' : 'inherit';
  const secrets = inheritAny(secretsToBequeath());
  return {
    stdio: ['ignore', standard, isKept ? 'pipe' : standard, 'pipe', region, overflow, ...descriptors],
    env: {
      ...process.env,
      ...flagsForChild(),
      ...(secrets < 0 ? {} : { [SECRETS_VARIABLE]: String(secrets) }),
      [CHILD_VARIABLE]: JSON.stringify(inheritance),
    },
    relay,
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
