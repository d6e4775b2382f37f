/**
 * What a child process is started with: descriptors from 3 on, and one environment variable that says what they are
 * and which role to take. The variable is taken out of the environment when it is read, so that a tswoole program the
 * user starts from a worker is a master of its own.
 */
import type { StdioOptions } from 'node:child_process';
import type { DoorbellDescriptors } from '../os/doorbell.js';

export const CONTROL_DESCRIPTOR = 3;
const REGION_DESCRIPTOR = 4;
const OVERFLOW_DESCRIPTOR = 5;
const FIRST_BELL_DESCRIPTOR = 6;
const VARIABLE = 'TSWOOLE_CHILD';

/** Roles that bear a process id, and run the user's callbacks. */
export type ProcessRole = 'worker' | 'task' | 'user';

export type ChildRole = { role: 'manager' } | { role: ProcessRole; id: number; lane: number; generation: number };

/** What every process of one server holds. */
export interface SharedDescriptors {
  readonly region: number;
  /** Data too large for the region: see `Overflow`. */
  readonly overflow: number;
  readonly bells: readonly DoorbellDescriptors[];
}

export type Inheritance = ChildRole & {
  readonly region: number;
  readonly overflow: number;
  readonly bells: readonly DoorbellDescriptors[];
};

export interface ChildStart {
  readonly stdio: StdioOptions;
  readonly env: NodeJS.ProcessEnv;
}

/** @returns what `spawn` needs so that the child finds `shared` */
export function bequeath(role: ChildRole, shared: SharedDescriptors): ChildStart {
  const { region, overflow, bells } = shared;
  const descriptors: number[] = [];
  const numbers = bells.map(({ read, write }) => {
    const readAt = FIRST_BELL_DESCRIPTOR + descriptors.push(read) - 1;
    const writeAt = write === read ? readAt : FIRST_BELL_DESCRIPTOR + descriptors.push(write) - 1;
    return { read: readAt, write: writeAt };
  });
  const inheritance: Inheritance = {
    ...role,
    region: REGION_DESCRIPTOR,
    overflow: OVERFLOW_DESCRIPTOR,
    bells: numbers,
  };
  return {
    stdio: ['ignore', 'inherit', 'inherit', 'pipe', region, overflow, ...descriptors],
    env: { ...process.env, [VARIABLE]: JSON.stringify(inheritance) },
  };
}

/** @returns undefined in a process that a user started: it becomes the master */
export function takeInheritance(): Inheritance | undefined {
  const text = process.env[VARIABLE];
  if (text === undefined) return undefined;
  delete process.env[VARIABLE];
  return JSON.parse(text) as Inheritance;
}
