/** The arena of this process: the server's, which children inherit, or one of a script's own. */
import { createHash } from 'node:crypto';
import { resolve } from 'node:path';

import { ServerError, told } from '../errors/index.js';
import { CHILD_VARIABLE } from '../util/child-variable.js';
import { Arena, type ObjectSpec, type SharedObject } from './arena.js';
import { attachInFile, fileArenas } from './file-arena.js';
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

/** Those that this process has mapped: the server's, and files of the user's. */
export function openArenas(): readonly OpenArena[] {
  const ours: OpenArena[] = arena === undefined && !isChild ? [] : [{ arena: ourArena() }];
  return [...ours, ...fileArenas().map(([path, of]) => ({ arena: of, path }))];
}

export interface OpenArena {
  readonly arena: Arena;
  /** Of a file of the user's. */
  readonly path?: string;
}

export interface Declared extends Omit<ObjectSpec, 'name'> {
  readonly name?: string | undefined;
  /** Path; undefined: it ends with the server. */
  readonly file?: string | undefined;
}

/** An object without a name is the n-th of its kind that the script declares, which is the same in each process. */
export function attach({ name, file, ...spec }: Declared): SharedObject {
  if (name?.startsWith('#')) throw told(new ServerError('ERR_SHARED_NAME', { received: name }));
  if (file !== undefined) {
    const path = resolve(file);
    return withName(
      attachInFile(path, spec, (identity) => checkIdentity(path, identity)),
      name,
    );
  }
  const number = (declared.get(spec.kind) ?? 0) + 1;
  declared.set(spec.kind, number);
  return ourArena().attach({ ...spec, name: name ?? `#${number}` });
}

/**
 * All processes of a server have the same file at that path: if it was moved or deleted meanwhile, a process that starts now
 * would count in another one. The first process leaves its mark in the server's memory.
 */
function checkIdentity(path: string, identity: string): void {
  const name = createHash('sha256').update(path).digest('hex');
  try {
    ourArena().attach({ kind: 'file', name, schema: identity, bytes: 8 });
  } catch (error) {
    if (!(error instanceof ServerError) || error.code !== 'ERR_SHARED_SCHEMA') throw error;
    throw new Error('it is another file than the one that this server has open: that was moved or deleted');
  }
}

function withName(object: SharedObject, name: string | undefined): SharedObject {
  return name === undefined ? object : { ...object, name };
}
