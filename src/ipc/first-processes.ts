/**
 * The first workers and other processes with an id, which the process of the manager starts before it runs the script: they
 * run it at the same time, not one after the other. The master says how they are started; the manager takes them over when the
 * script has called `start()` there, if it would start them the same way.
 */
import type { ChildProcess } from 'node:child_process';
import { isDeepStrictEqual } from 'node:util';
import type { ProcessRole } from './inheritance.js';

/** Holds a `FirstPlan`, in the environment of the first manager. */
export const FIRST_VARIABLE = 'TSWOOLE_FIRST';
/** What was started, for the manager: who starts it is another bundle. */
const KEY = Symbol.for('tswoole.firstProcesses');

export type Descriptor = number | 'ignore' | 'inherit' | 'pipe';

/** How a process is started: what `spawn` is given. */
export interface StartCommand {
  /** Of Node, the script, and those of the script. */
  readonly args: readonly string[];
  readonly stdio: readonly Descriptor[];
  readonly env: NodeJS.ProcessEnv;
  readonly cwd: string;
}

/** A process of the first set. */
export interface PlannedFirst {
  readonly role: ProcessRole;
  readonly id: number;
  readonly lane: number;
  readonly generation: number;
}

/** In the numbers that descriptors have in the manager. */
export interface FirstPlan {
  /** The pid of the master: a process of the user's may inherit the environment, and is not the manager. */
  readonly master: number;
  /** Behind the title. */
  readonly args: readonly string[];
  readonly stdio: readonly Descriptor[];
  /** Variables besides those of the manager. */
  readonly env: Readonly<Record<string, string>>;
  /** What they inherit, without their roles. */
  readonly inheritance: object;
  readonly processes: readonly { readonly title: string; readonly role: PlannedFirst }[];
}

/** One that was started. Its streams that are read have listeners to `readable`, so that nothing is lost. */
export interface FirstProcess {
  readonly role: PlannedFirst;
  readonly command: StartCommand;
  readonly process: ChildProcess;
}

export function leaveFirst(started: readonly FirstProcess[]): void {
  Reflect.set(globalThis, KEY, started);
}

/** The script has not called `start()` yet. */
export function areLeft(): boolean {
  return Reflect.has(globalThis, KEY);
}

/** Once: each belongs to whoever takes it. */
export function takeFirst(): readonly FirstProcess[] {
  const started = Reflect.get(globalThis, KEY) as readonly FirstProcess[] | undefined;
  Reflect.deleteProperty(globalThis, KEY);
  return started ?? [];
}

/** @returns what differs, in words, without values: they may be secrets; empty: nothing */
export function differencesOf(one: StartCommand, other: StartCommand): string[] {
  const names = new Set([...Object.keys(one.env), ...Object.keys(other.env)]);
  const variables = [...names].filter((name) => one.env[name] !== other.env[name]);
  return [
    ...(isDeepStrictEqual(one.args, other.args) ? [] : ['its arguments']),
    ...(isDeepStrictEqual(one.stdio, other.stdio) ? [] : ['its descriptors']),
    ...(one.cwd === other.cwd ? [] : ['its working directory']),
    ...variables.map((name) => `the environment variable ${name}`),
  ];
}
