/** The arena of this process: the server's, which children inherit, or one of a script's own. */

import { CHILD_VARIABLE } from '../util/child-variable.js';
import { Arena, type ObjectSpec, type SharedObject } from './arena.js';
import type { Kind } from './kinds.js';

/** Where a child of a server finds its arena. */
export const ARENA_DESCRIPTOR = 6;

/** Asked once, when the script is being loaded: the variable is gone as soon as it is read. */
const isChild = process.env[CHILD_VARIABLE] !== undefined;
let arena: Arena | undefined;
const declared = new Map<Kind, number>();

/** Made when first asked for: by the first object that the script declares, or by `start()`. */
export function ourArena(): Arena {
  arena ??= isChild ? Arena.open(ARENA_DESCRIPTOR) : Arena.create();
  return arena;
}

/** For programs that inherit the descriptor in another way. */
export function inheritArena(descriptor: number): void {
  arena = Arena.open(descriptor);
}

/** Those that this process has mapped: the server's, and those of files. */
export function openArenas(): readonly Arena[] {
  return arena === undefined && !isChild ? [] : [ourArena()];
}

/** An object without a name is the n-th of its kind that the script declares, which is the same in each process. */
export function attach(spec: Omit<ObjectSpec, 'name'> & { readonly name?: string | undefined }): SharedObject {
  const number = (declared.get(spec.kind) ?? 0) + 1;
  declared.set(spec.kind, number);
  return ourArena().attach({ ...spec, name: spec.name ?? `#${number}` });
}
