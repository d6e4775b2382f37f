/** The arena of this process: the server's, which children inherit, or one of a script's own. */
import { Arena, type ObjectSpec, type SharedObject } from './arena.js';
import type { Kind } from './kinds.js';

let arena: Arena | undefined;
const declared = new Map<Kind, number>();

/** Made when first asked for: by the first object that the script declares, or by `start()`. */
export function ourArena(): Arena {
  arena ??= Arena.create();
  return arena;
}

/** Called in a child before it runs the user's script. */
export function inheritArena(descriptor: number): void {
  arena = Arena.open(descriptor);
}

/** An object without a name is the n-th of its kind that the script declares, which is the same in each process. */
export function attach(spec: Omit<ObjectSpec, 'name'> & { readonly name?: string | undefined }): SharedObject {
  const number = (declared.get(spec.kind) ?? 0) + 1;
  declared.set(spec.kind, number);
  return ourArena().attach({ ...spec, name: spec.name ?? `#${number}` });
}
