/** The file the user has started. It is the program of every process, unless one of ours runs it (`tswoole start --http`). */
let given: string | undefined;

export function scriptPath(): string | undefined {
  return given ?? process.argv[1];
}

/** This process runs a program of ours that loads the user's file. */
export function setScriptPath(path: string): void {
  given = path;
}
