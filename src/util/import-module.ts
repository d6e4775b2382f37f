/** `import()` of what does not belong to the program: modules of the user's, and those of Node that few processes need. */

import { statSync } from 'node:fs';

type ImportModule = <Exports>(specifier: string) => Promise<Exports>;

/** In the bundle it has an importer: code that V8 takes from a cache has no `import()` on Node 20 (src/load.cjs). */
declare const module: { readonly importModule?: ImportModule; readonly settle?: () => void } | undefined;

const loader = typeof module === 'undefined' ? undefined : module;

/** @param specifier the name of a package or module of Node, or a URL */
export const importModule: ImportModule = loader?.importModule ?? ((specifier) => import(specifier));

/**
 * A module of the user's. Node reads it without an end in sight where a pipe or a device stands in its place.
 * @param url of its file @throws an Error, also whatever the module throws
 */
export async function importFile<Exports>(url: string): Promise<Exports> {
  const stats = url.startsWith('file:') ? statSync(new URL(url), { throwIfNoEntry: false }) : undefined;
  if (stats !== undefined && !stats.isFile() && !stats.isDirectory()) throw new Error('it is no regular file');
  return importModule<Exports>(url);
}

/** Before this process gives up rights, or sees other files: what is loaded later of the program is kept open. */
export function keepProgram(): void {
  loader?.settle?.();
}
