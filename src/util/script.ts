import { basename, dirname, extname } from 'node:path';

/** The file the user has started: the program of every process, unless one of our programs runs it (`start --http`). */
let given: string | undefined;

export function scriptPath(): string | undefined {
  return given ?? process.argv[1];
}

/** This process runs one of our programs, which loads the user's file. */
export function setScriptPath(path: string): void {
  given = path;
}

/** How people call the server of a script, where it has no name of its own. */
export function nameOfScript(script: string): string {
  const own = basename(script, extname(script));
  // Half of all scripts have this name, and many of them lie in a folder of that name: that of the project is more telling.
  let folder = dirname(script);
  while (/^(src|dist|lib|build|out|bin)$/.test(basename(folder))) folder = dirname(folder);
  return /^(server|index|main|app)$/.test(own) && basename(folder) !== '' ? basename(folder) : own;
}
